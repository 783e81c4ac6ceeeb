#include "pagoda/machine/sim/sim_disk.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

#include "pagoda/base/interleave.h"
#include "pagoda/machine/shared_bytes.h"

namespace pagoda::machine {

// Bytes in a host file: one without a name, deleted with the process, whatever ends it; or one that was there already.
class SimDiskFile : public DiskFile {
 public:
  // Takes `fd`, a file of `size` bytes in the folder, over.
  SimDiskFile(SimDisk& disk, int fd, std::filesystem::path folder, FileAccess access, ByteCount size)
      : disk_(disk), fd_(fd), folder_(std::move(folder)), access_(access), size_when_opened_(size), size_(size) {}
  SimDiskFile(const SimDiskFile&) = delete;
  SimDiskFile& operator=(const SimDiskFile&) = delete;
  ~SimDiskFile() override {
    {
      const LockGuard guard(disk_.lock_);
      disk_.give_space(space_of(size()));
    }
    close(fd_);
  }

  Disk& disk() override { return disk_; }
  [[nodiscard]] ByteCount size() const override { return size_.load(std::memory_order_acquire); }

  [[nodiscard]] bool writable() const override { return access_ == FileAccess::kReadWrite; }

  Result<> resize(ByteCount size) override {
    if (!writable()) return fail(Status::kAccessDenied);
    const LockGuard guard(disk_.lock_);
    const ByteCount before = space_of(this->size());
    const ByteCount after = space_of(size);
    if (after > before) PAGODA_TRY(disk_.take_space(after - before));
    if (ftruncate(fd_, static_cast<off_t>(size.value())) != 0) {
      disk_.report(HostFailure::Operation::kResize, folder_, errno);
      if (after > before) disk_.give_space(after - before);
      return fail(Status::kDiskFull);
    }
    if (after < before) disk_.give_space(before - after);
    size_.store(size, std::memory_order_release);
    return {};
  }

  DiskTransfer read(Processor& cpu, FileOffset at, std::span<const Pfn> frames) override {
    return transfer(cpu, at, frames, FaultInjection::Direction::kRead);
  }
  DiskTransfer write(Processor& cpu, FileOffset at, std::span<const Pfn> frames) override {
    return transfer(cpu, at, frames, FaultInjection::Direction::kWrite);
  }
  [[nodiscard]] bool peek(FileOffset at, std::span<std::byte> into) const override {
    const FileOffset file_end(size().value());
    const FileOffset end = at + ByteCount(into.size());
    const bool in_last_page = end.value() <= bytes_of(pages_of(size())).value();
    const bool in_last_frame = at < file_end && end < file_end + kPageSize;
    if (end < at || !(in_last_page || in_last_frame)) return false;
    const std::size_t past = end > file_end ? std::min(into.size(), (end - file_end).value()) : 0;
    std::ranges::fill(into.last(past), std::byte{0});
    into = into.first(into.size() - past);
    while (!into.empty()) {
      const ssize_t n = pread(fd_, into.data(), into.size(), static_cast<off_t>(at.value()));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      at += ByteCount(static_cast<std::uint64_t>(n));
      into = into.subspan(static_cast<std::size_t>(n));
    }
    return true;
  }

 private:
  DiskTransfer transfer(Processor& cpu, FileOffset at, std::span<const Pfn> frames,
                        FaultInjection::Direction direction) {
    const ByteCount bytes = bytes_of(PageCount(frames.size()));
    PAGODA_CHECK_LT((at + bytes).value(), (size() + kPageSize).value());
    const bool reads = direction == FaultInjection::Direction::kRead;
    if (!reads && !writable()) return {.status = Status::kAccessDenied, .completes = cpu.now()};
    cpu.charge(cpu.machine().costs().disk_operation);
    disk_.bounce(cpu, frames);
    const SimDisk::Queued queued = disk_.queue(cpu.now(), bytes, direction);
    DiskTransfer result{.completes = queued.completes};
    PAGODA_INTERLEAVING_WINDOW();
    if (queued.fails || !move_bytes(cpu, at, frames, reads)) {
      disk_.count_error();
      result.status = Status::kIoDeviceError;
    }
    PAGODA_INTERLEAVING_WINDOW();
    return result;
  }

  bool move_bytes(Processor& cpu, FileOffset at, std::span<const Pfn> frames, bool reads) const {
    for (; !frames.empty(); frames = frames.subspan(std::min(frames.size(), kFramesPerCall))) {
      const auto now = frames.first(std::min(frames.size(), kFramesPerCall));
      if (!move_some(cpu.physical(), at, now, reads)) return false;
      at += bytes_of(PageCount(now.size()));
    }
    return true;
  }

  // At most kFramesPerCall frames, all of them held until their bytes have moved. Only the last can pass the file's
  // end.
  bool move_some(const PhysicalView& memory, FileOffset at, std::span<const Pfn> frames, bool reads) const {
    std::array<std::optional<FrameView>, kFramesPerCall> views;
    std::array<iovec, kFramesPerCall> pieces{};
    for (std::size_t i = 0; i < frames.size(); ++i) {
      views[i].emplace(memory.bytes(frames[i], reads ? Access::kWrite : Access::kRead));
      const std::size_t left = size().value() - (at.value() + i * kPageBytes);
      pieces[i] = {views[i]->data(), std::min(kPageBytes, left)};
      if (reads) std::memset(views[i]->data() + pieces[i].iov_len, 0, kPageBytes - pieces[i].iov_len);
    }
    const auto all = std::span(pieces).first(frames.size());
    return kRacesAreWatched ? move_watched(all, at, reads) : move(all, at, reads);
  }

  // By way of a buffer that no program stores to.
  bool move_watched(std::span<const iovec> pieces, FileOffset at, bool reads) const {
    std::vector<std::byte> buffer(pieces.size() * kPageBytes);
    std::array<iovec, kFramesPerCall> copies{};
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      copies[i] = {buffer.data() + i * kPageBytes, pieces[i].iov_len};
      if (!reads) copy_shared(buffer.data() + i * kPageBytes, bytes_of_piece(pieces[i]), pieces[i].iov_len);
    }
    if (!move(std::span(copies).first(pieces.size()), at, reads)) return false;
    if (!reads) return true;
    for (std::size_t i = 0; i < pieces.size(); ++i)
      copy_shared(bytes_of_piece(pieces[i]), buffer.data() + i * kPageBytes, pieces[i].iov_len);
    return true;
  }
  static std::byte* bytes_of_piece(const iovec& piece) { return static_cast<std::byte*>(piece.iov_base); }

  bool move(std::span<iovec> left, FileOffset at, bool reads) const {
    auto offset = static_cast<off_t>(at.value());
    while (!left.empty()) {
      const auto count = static_cast<int>(left.size());
      const ssize_t n = reads ? preadv(fd_, left.data(), count, offset) : pwritev(fd_, left.data(), count, offset);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        disk_.report(reads ? HostFailure::Operation::kRead : HostFailure::Operation::kWrite, folder_,
                     n < 0 ? errno : EIO);
        return false;
      }
      offset += static_cast<off_t>(n);
      left = skip(left, static_cast<std::size_t>(n));
    }
    return true;
  }

  // What is left after `done` bytes: a call may move fewer than it was asked to, and end inside a frame.
  static std::span<iovec> skip(std::span<iovec> pieces, std::size_t done) {
    while (!pieces.empty() && done >= pieces.front().iov_len) {
      done -= pieces.front().iov_len;
      pieces = pieces.subspan(1);
    }
    if (done > 0) {
      pieces.front().iov_base = static_cast<std::byte*>(pieces.front().iov_base) + done;
      pieces.front().iov_len -= done;
    }
    return pieces;
  }

  // Choice: 256 KB a call; its arrays take 3 KB of stack.
  static constexpr std::size_t kFramesPerCall = 64;

  // What a file of that size takes of the disk: what it had when it was opened is the host's affair.
  [[nodiscard]] ByteCount space_of(ByteCount size) const {
    return size > size_when_opened_ ? size - size_when_opened_ : ByteCount();
  }

  SimDisk& disk_;
  const int fd_;
  const std::filesystem::path folder_;  // Empty: in memory.
  const FileAccess access_;
  const ByteCount size_when_opened_;
  std::atomic<ByteCount> size_;  // Changes under the disk's lock.
};

namespace {

// A file that has no name. Not every file system can make one at once (O_TMPFILE); the others lose the name again.
int open_nameless(const std::filesystem::path& directory) {
  const int fd = open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return fd;
  std::string path = directory / "pagoda-XXXXXX";
  const int named = mkostemp(path.data(), O_CLOEXEC);
  if (named >= 0) unlink(path.c_str());
  return named;
}

int open_flags(FileAccess access, FileCreation creation) {
  // Without O_NONBLOCK a pipe without a writer would wait for one.
  int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (access == FileAccess::kRead ? O_RDONLY : O_RDWR);
  if (creation != FileCreation::kOpenExisting) flags |= O_CREAT;
  if (creation == FileCreation::kCreateNew) flags |= O_EXCL;
  return flags;
}

Status status_of_open(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
    case ELOOP:
    case EINVAL:  // A name that the file system cannot have.
      return Status::kObjectNameNotFound;
    case EEXIST:
      return Status::kObjectNameCollision;
    case EACCES:
    case EPERM:
    case EROFS:
    case ETXTBSY:
      return Status::kAccessDenied;
    case EISDIR:
    case ENXIO:  // A socket, or a pipe without a reader.
    case ENODEV:
      return Status::kInvalidFileForSection;
    default:
      return Status::kInsufficientResources;
  }
}

}  // namespace

SimDisk::SimDisk(DiskModel model) : model_(std::move(model)), slot_free_(std::max(model_.depth, 1U)) {}

Result<std::unique_ptr<DiskFile>> SimDisk::create(const std::string& file_name) {
  const int fd =
      model_.directory.empty() ? memfd_create(file_name.c_str(), MFD_CLOEXEC) : open_nameless(model_.directory);
  if (fd < 0) {
    report(HostFailure::Operation::kMake, model_.directory, errno);
    return fail(Status::kInsufficientResources);
  }
  return std::make_unique<SimDiskFile>(*this, fd, model_.directory, FileAccess::kReadWrite, ByteCount());
}

Result<std::unique_ptr<DiskFile>> SimDisk::open(const std::filesystem::path& path, FileAccess access,
                                                FileCreation creation) {
  if (path.native().contains('\0')) return fail(Status::kObjectNameNotFound);  // The host would open something else.
  const int fd = ::open(path.c_str(), open_flags(access, creation), 0666);
  if (fd < 0) return fail(status_of_open(errno));
  struct stat facts{};
  if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) {
    close(fd);
    return fail(Status::kInvalidFileForSection);
  }
  return std::make_unique<SimDiskFile>(*this, fd, path.has_parent_path() ? path.parent_path() : ".", access,
                                       ByteCount(static_cast<std::uint64_t>(facts.st_size)));
}

Result<> SimDisk::take_space(ByteCount bytes) {
  if (bytes > model_.capacity - used_) return fail(Status::kDiskFull);
  used_ += bytes;
  return {};
}

SimDisk::Queued SimDisk::queue(Time now, ByteCount bytes, FaultInjection::Direction direction) {
  const LockGuard guard(lock_);
  const bool reads = direction == FaultInjection::Direction::kRead;
  ++(reads ? counts_.reads : counts_.writes);
  (reads ? counts_.bytes_read : counts_.bytes_written) += bytes;
  const Time completes = schedule(now, bytes);
  return {.completes = completes, .fails = injection_.next_fails(direction)};
}

void SimDisk::report(HostFailure::Operation operation, const std::filesystem::path& folder, int error) {
  if (host_failures_ == nullptr) return;
  host_failures_->report({.operation = operation, .disk = name(), .folder = folder, .error = error});
}

void SimDisk::bounce(Processor& cpu, std::span<const Pfn> frames) {
  if (!model_.reach) return;
  const Pfn end = PhysicalAddress(model_.reach->value()).pfn();
  const auto copied =
      static_cast<std::uint64_t>(std::ranges::count_if(frames, [&](Pfn frame) { return frame >= end; }));
  cpu.charge(cpu.machine().costs().copy_page * copied);
  const LockGuard guard(lock_);
  counts_.bounced += copied;
}

void SimDisk::count_error() {
  const LockGuard guard(lock_);
  ++counts_.errors;
}

// Says when a transfer that is asked for now completes.
Time SimDisk::schedule(Time now, ByteCount bytes) {
  Time& slot = *std::ranges::min_element(slot_free_);
  const Time starts = std::max(now, slot);
  const auto moving = static_cast<std::uint64_t>(static_cast<unsigned __int128>(bytes.value()) * 1'000'000'000 /
                                                 model_.bandwidth_per_second.value());
  const Time completes = std::max(starts + model_.latency * slowness_, channel_free_) + Duration(moving) * slowness_;
  channel_free_ = completes;
  slot = completes;
  const Time busy_from = std::max(starts, busy_until_);
  if (completes > busy_from) counts_.busy += completes - busy_from;
  busy_until_ = std::max(busy_until_, completes);
  return completes;
}

}  // namespace pagoda::machine
