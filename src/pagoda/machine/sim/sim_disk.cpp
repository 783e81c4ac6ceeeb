#include "pagoda/machine/sim/sim_disk.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <utility>

namespace pagoda::machine {

// Bytes in a host file without a name: gone with the process, whatever ends it.
class SimDiskFile : public DiskFile {
 public:
  SimDiskFile(SimDisk& disk, int fd) : disk_(disk), fd_(fd) {}
  SimDiskFile(const SimDiskFile&) = delete;
  SimDiskFile& operator=(const SimDiskFile&) = delete;
  ~SimDiskFile() override {
    disk_.give_space(size_);
    close(fd_);
  }

  Disk& disk() override { return disk_; }
  [[nodiscard]] ByteCount size() const override { return size_; }

  Result<> resize(ByteCount size) override {
    if (size > size_) PAGODA_TRY(disk_.take_space(size - size_));
    if (ftruncate(fd_, static_cast<off_t>(size.value())) != 0) {
      if (size > size_) disk_.give_space(size - size_);
      return fail(Status::kDiskFull);
    }
    if (size < size_) disk_.give_space(size_ - size);
    size_ = size;
    return {};
  }

  DiskTransfer read(Processor& cpu, FileOffset at, std::span<const Pfn> frames) override {
    return transfer(cpu, at, frames, FaultInjection::Direction::kRead);
  }
  DiskTransfer write(Processor& cpu, FileOffset at, std::span<const Pfn> frames) override {
    return transfer(cpu, at, frames, FaultInjection::Direction::kWrite);
  }
  [[nodiscard]] bool peek(FileOffset at, std::span<std::byte> into) const override {
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
    PAGODA_CHECK_LE((at + bytes).value(), size_.value());
    const bool reads = direction == FaultInjection::Direction::kRead;
    Disk::Counts& counts = disk_.counts_;
    ++(reads ? counts.reads : counts.writes);
    (reads ? counts.bytes_read : counts.bytes_written) += bytes;

    cpu.charge(cpu.machine().costs().disk_operation);
    DiskTransfer result{.completes = disk_.schedule(cpu.now(), bytes)};
    if (disk_.injection_.next_fails(direction) || !move_bytes(cpu, at, frames, reads)) {
      ++counts.errors;
      result.status = Status::kIoDeviceError;
    }
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

  // At most kFramesPerCall frames, all of them held until their bytes have moved.
  bool move_some(const PhysicalView& memory, FileOffset at, std::span<const Pfn> frames, bool reads) const {
    std::array<std::optional<FrameView>, kFramesPerCall> views;
    std::array<iovec, kFramesPerCall> pieces{};
    for (std::size_t i = 0; i < frames.size(); ++i) {
      views[i].emplace(memory.bytes(frames[i], reads ? Access::kWrite : Access::kRead));
      pieces[i] = {views[i]->data(), kPageBytes};
    }
    auto offset = static_cast<off_t>(at.value());
    for (std::span<iovec> left(pieces.data(), frames.size()); !left.empty();) {
      const auto count = static_cast<int>(left.size());
      const ssize_t n = reads ? preadv(fd_, left.data(), count, offset) : pwritev(fd_, left.data(), count, offset);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
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

  SimDisk& disk_;
  int fd_;
  ByteCount size_;
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

}  // namespace

SimDisk::SimDisk(DiskModel model) : model_(std::move(model)), slot_free_(std::max(model_.depth, 1U)) {}

Result<std::unique_ptr<DiskFile>> SimDisk::create(const std::string& file_name) {
  const int fd =
      model_.directory.empty() ? memfd_create(file_name.c_str(), MFD_CLOEXEC) : open_nameless(model_.directory);
  if (fd < 0) return fail(Status::kInsufficientResources);
  return std::make_unique<SimDiskFile>(*this, fd);
}

Result<> SimDisk::take_space(ByteCount bytes) {
  if (bytes > model_.capacity - used_) return fail(Status::kDiskFull);
  used_ += bytes;
  return {};
}

Time SimDisk::schedule(Time now, ByteCount bytes) {
  Time& slot = *std::ranges::min_element(slot_free_);
  const Time starts = std::max(now, slot);
  const auto moving = static_cast<std::uint64_t>(static_cast<unsigned __int128>(bytes.value()) * 1'000'000'000 /
                                                 model_.bandwidth_per_second.value());
  const Time completes = std::max(starts + model_.latency, channel_free_) + Duration(moving);
  channel_free_ = completes;
  slot = completes;
  const Time busy_from = std::max(starts, busy_until_);
  if (completes > busy_from) counts_.busy += completes - busy_from;
  busy_until_ = std::max(busy_until_, completes);
  return completes;
}

}  // namespace pagoda::machine
