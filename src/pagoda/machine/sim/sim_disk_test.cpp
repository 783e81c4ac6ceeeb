#include "pagoda/machine/sim/sim_disk.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "pagoda/machine/sim/sim_machine.h"
#include "pagoda/machine/testing/page_tables.h"

namespace {

// What the next transfers are allowed: POSIX lets them move less than they were asked to, and be interrupted.
struct Host {
  std::size_t bytes_per_call = SIZE_MAX;
  bool interrupts = false;
  std::uint64_t calls = 0;
} host;

template <class Move>
ssize_t move_pieces(const iovec* pieces, int count, off_t at, Move&& move) {
  ++host.calls;
  if (host.interrupts && host.calls % 2 == 1) {
    errno = EINTR;
    return -1;
  }
  ssize_t done = 0;
  for (int i = 0; i < count; ++i) {
    const std::size_t left = host.bytes_per_call - static_cast<std::size_t>(done);
    const std::size_t wanted = std::min(pieces[i].iov_len, left);
    if (wanted == 0) break;
    const ssize_t n = move(pieces[i].iov_base, wanted, at + done);
    if (n < 0) return done > 0 ? done : n;
    done += n;
    if (static_cast<std::size_t>(n) < wanted) break;
  }
  return done;
}

}  // namespace

// In the place of the C library's.
extern "C" ssize_t preadv(int fd, const iovec* pieces, int count, off_t at) {
  return move_pieces(pieces, count, at, [fd](void* to, std::size_t n, off_t from) { return pread(fd, to, n, from); });
}
extern "C" ssize_t pwritev(int fd, const iovec* pieces, int count, off_t at) {
  return move_pieces(pieces, count, at, [fd](void* from, std::size_t n, off_t to) { return pwrite(fd, from, n, to); });
}

namespace pagoda::machine {
namespace {

constexpr FileOffset kStart{0};

// 4096 bytes take 4096 ns.
DiskModel round_model() {
  return {.capacity = 1_MiB * 16, .latency = 100_us, .bandwidth_per_second = ByteCount(1'000'000'000), .depth = 32};
}

struct Rig {
  explicit Rig(DiskModel model = round_model())
      : machine(*SimMachine::create({.costs = costs(), .disks = {std::move(model)}})),
        cpu(machine->processor()),
        disk(machine->sim_disk()),
        file(*disk.create("test")) {}

  // Setting up a transfer costs nothing, so that times are the disk's alone.
  static CostModel costs() {
    CostModel costs;
    costs.disk_operation = Cycles(0);
    return costs;
  }
  void fill(Pfn frame, std::uint64_t seed) {
    for (std::uint64_t at = 0; at < kPageBytes; at += 8)
      cpu.physical().store<std::uint64_t>(PhysicalAddress(frame) + ByteCount(at), Random::mix(seed + at));
  }

  std::unique_ptr<SimMachine> machine;
  Processor& cpu;
  SimDisk& disk;
  std::unique_ptr<DiskFile> file;
};

void expect_round_trip(DiskModel model) {
  Rig s(std::move(model));
  ASSERT_TRUE(s.file->resize(1_MiB));
  // More than one call's worth of frames, in no order.
  std::vector<Pfn> from;
  std::vector<Pfn> to;
  for (std::uint32_t i = 0; i < 150; ++i) {
    from.emplace_back(1000 + i * 37 % 150);
    to.emplace_back(3000 + i * 53 % 150);
    s.fill(from.back(), i * 10'000);
  }
  const FileOffset at(0x7000);
  ASSERT_EQ(s.file->write(s.cpu, at, from).status, Status::kSuccess);
  ASSERT_EQ(s.file->read(s.cpu, at, to).status, Status::kSuccess);
  for (std::size_t i = 0; i < from.size(); ++i) ASSERT_TRUE(s.cpu.physical().equal(from[i], to[i])) << i;
  // Page by page it is the same bytes.
  for (std::size_t i = 0; i < from.size(); i += 13) {
    const Pfn one(5000);
    ASSERT_EQ(s.file->read(s.cpu, at + kPageSize * i, std::span(&one, 1)).status, Status::kSuccess);
    EXPECT_TRUE(s.cpu.physical().equal(from[i], one));
  }
  // What was never written is zero.
  const Pfn last(5001);
  s.fill(last, 1);
  ASSERT_EQ(s.file->read(s.cpu, kStart, std::span(&last, 1)).status, Status::kSuccess);
  EXPECT_TRUE(s.cpu.physical().equal(last, Pfn(5002)));
}

TEST(SimDisk, BytesComeBackFromMemory) { expect_round_trip(round_model()); }

TEST(SimDisk, BytesComeBackFromADirectory) {
  DiskModel model = round_model();
  model.directory = std::filesystem::path(::testing::TempDir()) / "pagoda-sim-disk-test";
  std::filesystem::create_directories(model.directory);
  const auto directory = model.directory;
  expect_round_trip(std::move(model));
  EXPECT_TRUE(std::filesystem::is_empty(directory));  // Files without a name.
  std::filesystem::remove(directory);
}

TEST(SimDisk, ShortAndInterruptedTransfersGoOnWhereTheyEnded) {
  for (const std::size_t bytes : {std::size_t{1000}, std::size_t{4096}, std::size_t{10'000}}) {
    host = {.bytes_per_call = bytes, .interrupts = true};
    expect_round_trip(round_model());
    EXPECT_GT(host.calls, 100U);
    host = {};
  }
}

TEST(SimDisk, ManyFramesAreFewCalls) {
  Rig s;
  ASSERT_TRUE(s.file->resize(1_MiB));
  const std::vector<Pfn> frames(150, Pfn(9));
  host = {};
  static_cast<void>(s.file->write(s.cpu, kStart, frames));
  EXPECT_EQ(host.calls, 3U);  // 64 frames a call.
  EXPECT_EQ(s.disk.counts().writes, 1U);
}

TEST(SimDisk, AFileThatEndsTooEarlyIsAnIoError) {
  Rig s;
  ASSERT_TRUE(s.file->resize(1_MiB));
  const std::vector<Pfn> one(1, Pfn(9));
  host = {.bytes_per_call = 0};  // As at the end of the host's file.
  EXPECT_EQ(s.file->read(s.cpu, kStart, one).status, Status::kIoDeviceError);
  host = {};
  EXPECT_EQ(s.disk.counts().errors, 1U);
}

TEST(SimDisk, ADirectoryThatIsNotThereIsRefused) {
  DiskModel model = round_model();
  model.directory = "/nonexistent/pagoda";
  SimDisk disk(model);
  const auto file = disk.create("test");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error(), Status::kInsufficientResources);
}

TEST(SimDisk, MovesFramesThatAreReachedOneByOne) {
  Rig s;
  testing::ScatteredFrames reach(256);
  SimProcessor guest(*s.machine, 0, PhysicalView(reach), TlbGeometry::kLarge);
  ASSERT_TRUE(s.file->resize(1_MiB));
  std::vector<Pfn> from(100);
  std::vector<Pfn> to(100);
  for (std::uint32_t i = 0; i < 100; ++i) {
    from[i] = Pfn(i);
    to[i] = Pfn(199 - i);
    guest.physical().store<std::uint32_t>(PhysicalAddress(from[i]) + ByteCount(4092), i);
  }
  ASSERT_EQ(s.file->write(guest, kStart, from).status, Status::kSuccess);
  EXPECT_EQ(reach.write_holds(Pfn(150)), 0U);
  ASSERT_EQ(s.file->read(guest, kStart, to).status, Status::kSuccess);
  EXPECT_EQ(reach.write_holds(Pfn(150)), 1U);
  for (std::uint32_t i = 0; i < 100; ++i)
    EXPECT_EQ(guest.physical().load<std::uint32_t>(PhysicalAddress(to[i]) + ByteCount(4092)), i);
  EXPECT_TRUE(reach.balanced());
}

TEST(SimDisk, PeekingIsNoTransfer) {
  Rig s;
  ASSERT_TRUE(s.file->resize(8_KiB));
  const Pfn frame(9);
  s.fill(frame, 1);
  ASSERT_EQ(s.file->write(s.cpu, FileOffset(0x1000), std::span(&frame, 1)).status, Status::kSuccess);
  const Time before = s.cpu.now();
  std::vector<std::byte> page(kPageBytes);
  ASSERT_TRUE(s.file->peek(FileOffset(0x1000), page));
  const FrameView written = s.cpu.physical().bytes(frame, Access::kRead);
  EXPECT_TRUE(std::ranges::equal(page, written.bytes()));
  EXPECT_EQ(s.disk.counts().reads, 0U);
  EXPECT_EQ(s.disk.injection().operations(), 1U);
  EXPECT_EQ(s.cpu.now(), before);
}

// --- Time ---

TEST(SimDisk, ATransferTakesLatencyAndBandwidth) {
  Rig s;
  ASSERT_TRUE(s.file->resize(1_MiB));
  const std::vector<Pfn> one(1, Pfn(9));
  const std::vector<Pfn> ten(10, Pfn(9));
  EXPECT_EQ(s.file->read(s.cpu, kStart, one).completes, Time(104'096));
  s.cpu.advance_to(Time(1'000'000));
  EXPECT_EQ(s.file->read(s.cpu, kStart, ten).completes, Time(1'140'960));
  EXPECT_EQ(s.cpu.now(), Time(1'000'000));  // Nobody waited.
}

TEST(SimDisk, SettingUpIsChargedFirst) {
  auto machine = SimMachine::create({.disks = {round_model()}});
  ASSERT_TRUE(machine);
  Processor& cpu = (*machine)->processor();
  auto file = (*machine)->sim_disk().create("test");
  ASSERT_TRUE(file && (*file)->resize(1_MiB));
  const std::vector<Pfn> one(1, Pfn(9));
  EXPECT_EQ((*file)->read(cpu, kStart, one).completes, Time(2'000 + 104'096));  // 6000 cycles at 3 GHz.
  EXPECT_EQ(cpu.now(), Time(2'000));
}

TEST(SimDisk, LatenciesOverlapAndTheChannelIsShared) {
  Rig s;
  ASSERT_TRUE(s.file->resize(1_MiB));
  const std::vector<Pfn> one(1, Pfn(9));
  // All 32 slots wait out their latency together; the channel then moves one page after the other.
  for (std::uint64_t i = 1; i <= 32; ++i)
    EXPECT_EQ(s.file->read(s.cpu, kStart, one).completes, Time(100'000 + i * 4'096)) << i;
  // The 33rd gets the slot of the first, at 104'096. Its latency ends before the channel is free.
  EXPECT_EQ(s.file->read(s.cpu, kStart, one).completes, Time(100'000 + 33 * 4'096));
}

TEST(SimDisk, DepthOneIsOneAfterTheOther) {
  DiskModel model = round_model();
  model.depth = 1;
  Rig s(model);
  ASSERT_TRUE(s.file->resize(1_MiB));
  const std::vector<Pfn> one(1, Pfn(9));
  for (std::uint64_t i = 1; i <= 5; ++i) EXPECT_EQ(s.file->read(s.cpu, kStart, one).completes, Time(i * 104'096));
}

TEST(SimDisk, FilesOfOneDiskShareItsQueue) {
  DiskModel model = round_model();
  model.depth = 1;
  Rig s(model);
  auto second = s.disk.create("second");
  ASSERT_TRUE(second && (*second)->resize(1_MiB) && s.file->resize(1_MiB));
  const std::vector<Pfn> one(1, Pfn(9));
  EXPECT_EQ(s.file->write(s.cpu, kStart, one).completes, Time(104'096));
  EXPECT_EQ((*second)->read(s.cpu, kStart, one).completes, Time(208'192));
}

TEST(SimDisk, BusyTimeCountsOverlapsOnceAndGapsNever) {
  Rig s;
  ASSERT_TRUE(s.file->resize(1_MiB));
  const std::vector<Pfn> one(1, Pfn(9));
  static_cast<void>(s.file->read(s.cpu, kStart, one));
  EXPECT_EQ(s.disk.counts().busy, 104'096_ns);
  static_cast<void>(s.file->read(s.cpu, kStart, one));  // Ends 4096 ns later.
  EXPECT_EQ(s.disk.counts().busy, 108'192_ns);
  s.cpu.advance_to(Time(1'000'000));
  static_cast<void>(s.file->write(s.cpu, kStart, one));
  EXPECT_EQ(s.disk.counts().busy, 108'192_ns + 104'096_ns);
}

// --- Space ---

TEST(SimDisk, FilesTakeAndGiveSpace) {
  Rig s;
  EXPECT_EQ(s.disk.capacity(), 16_MiB);
  ASSERT_TRUE(s.file->resize(10_MiB));
  EXPECT_EQ(s.file->size(), 10_MiB);
  EXPECT_EQ(s.disk.used(), 10_MiB);
  auto second = s.disk.create("second");
  ASSERT_TRUE(second);
  EXPECT_EQ((*second)->resize(7_MiB).error(), Status::kDiskFull);
  EXPECT_EQ((*second)->size(), 0_B);
  EXPECT_EQ(s.disk.used(), 10_MiB);
  EXPECT_TRUE((*second)->resize(6_MiB));
  EXPECT_EQ(s.file->resize(11_MiB).error(), Status::kDiskFull);
  EXPECT_EQ(s.file->size(), 10_MiB);
  EXPECT_TRUE(s.file->resize(4_MiB));
  EXPECT_EQ(s.disk.used(), 10_MiB);
  second->reset();
  EXPECT_EQ(s.disk.used(), 4_MiB);
  EXPECT_EQ(&s.file->disk(), &s.disk);
}

TEST(SimDisk, ShrinkingForgetsAndGrowingZeroes) {
  Rig s;
  ASSERT_TRUE(s.file->resize(8_KiB));
  const Pfn frame(9);
  s.fill(frame, 1);
  ASSERT_EQ(s.file->write(s.cpu, FileOffset(0x1000), std::span(&frame, 1)).status, Status::kSuccess);
  ASSERT_TRUE(s.file->resize(4_KiB));
  ASSERT_TRUE(s.file->resize(8_KiB));
  ASSERT_EQ(s.file->read(s.cpu, FileOffset(0x1000), std::span(&frame, 1)).status, Status::kSuccess);
  EXPECT_TRUE(s.cpu.physical().equal(frame, Pfn(10)));  // Never written.
}

TEST(SimDiskDeathTest, BeyondTheEndDies) {
  Rig s;
  ASSERT_TRUE(s.file->resize(4_KiB));
  const std::vector<Pfn> two(2, Pfn(9));
  EXPECT_DEATH(static_cast<void>(s.file->read(s.cpu, kStart, two)), "check failed");
}

// --- Errors ---

TEST(SimDisk, TheNthOperationFails) {
  Rig s;
  ASSERT_TRUE(s.file->resize(1_MiB));
  const std::vector<Pfn> one(1, Pfn(9));
  s.disk.injection().fail_operation = 3;
  EXPECT_EQ(s.file->write(s.cpu, kStart, one).status, Status::kSuccess);
  EXPECT_EQ(s.file->read(s.cpu, kStart, one).status, Status::kSuccess);
  const DiskTransfer failed = s.file->read(s.cpu, kStart, one);
  EXPECT_EQ(failed.status, Status::kIoDeviceError);
  EXPECT_EQ(failed.completes, Time(100'000 + 3 * 4'096));  // It takes its time like any other.
  EXPECT_EQ(s.file->read(s.cpu, kStart, one).status, Status::kSuccess);
  EXPECT_EQ(s.disk.injection().operations(), 4U);
  EXPECT_EQ(s.disk.counts().errors, 1U);
}

TEST(SimDisk, AFailedWriteLeavesTheBytes) {
  Rig s;
  ASSERT_TRUE(s.file->resize(1_MiB));
  const Pfn frame(9);
  const Pfn back(10);
  s.fill(frame, 1);
  s.disk.injection().fail_operation = 1;
  EXPECT_EQ(s.file->write(s.cpu, kStart, std::span(&frame, 1)).status, Status::kIoDeviceError);
  EXPECT_EQ(s.file->read(s.cpu, kStart, std::span(&back, 1)).status, Status::kSuccess);
  EXPECT_TRUE(s.cpu.physical().equal(back, Pfn(11)));
}

std::vector<bool> failures(std::uint64_t seed, double read_rate, double write_rate) {
  Rig s;
  EXPECT_TRUE(s.file->resize(1_MiB));
  s.disk.injection() = FaultInjection(seed);
  s.disk.injection().read_error_rate = read_rate;
  s.disk.injection().write_error_rate = write_rate;
  const std::vector<Pfn> one(1, Pfn(9));
  std::vector<bool> failed;
  for (int i = 0; i < 1000; ++i) {
    const DiskTransfer transfer = i % 2 == 0 ? s.file->read(s.cpu, kStart, one) : s.file->write(s.cpu, kStart, one);
    failed.push_back(transfer.status != Status::kSuccess);
  }
  return failed;
}

TEST(SimDisk, TheSameSeedFailsTheSameOperations) {
  EXPECT_EQ(failures(5, 0.2, 0.1), failures(5, 0.2, 0.1));
  EXPECT_NE(failures(5, 0.2, 0.1), failures(6, 0.2, 0.1));
}

TEST(SimDisk, RatesAreOfTheirDirection) {
  const auto failed = failures(7, 0.3, 0);
  int reads = 0;
  for (std::size_t i = 0; i < failed.size(); ++i) {
    ASSERT_FALSE(i % 2 == 1 && failed[i]) << i;
    reads += failed[i] ? 1 : 0;
  }
  EXPECT_NEAR(reads, 150, 40);  // There are 500; the standard deviation is 10.
}

TEST(SimDisk, CountsWhatItMoved) {
  Rig s;
  ASSERT_TRUE(s.file->resize(1_MiB));
  const std::vector<Pfn> three(3, Pfn(9));
  static_cast<void>(s.file->read(s.cpu, kStart, three));
  static_cast<void>(s.file->read(s.cpu, kStart, three));
  static_cast<void>(s.file->write(s.cpu, kStart, three));
  EXPECT_EQ(s.disk.counts().reads, 2U);
  EXPECT_EQ(s.disk.counts().writes, 1U);
  EXPECT_EQ(s.disk.counts().bytes_read, 24_KiB);
  EXPECT_EQ(s.disk.counts().bytes_written, 12_KiB);
  EXPECT_EQ(s.disk.counts().errors, 0U);
}

// --- Files of the host ---

// A directory of its own that goes with the test.
class HostFiles {
 public:
  HostFiles()
      : path_(std::filesystem::path(::testing::TempDir()) /
              ("pagoda-host-files-" + std::to_string(getpid()) + "-" +
               ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::create_directories(path_);
  }
  HostFiles(const HostFiles&) = delete;
  HostFiles& operator=(const HostFiles&) = delete;
  ~HostFiles() { std::filesystem::remove_all(path_); }

  [[nodiscard]] std::filesystem::path operator/(const char* name) const { return path_ / name; }
  // A file of so many bytes, of which none is zero.
  [[nodiscard]] std::filesystem::path make(const char* name, std::size_t size) const {
    std::ofstream out(path_ / name, std::ios::binary);
    for (std::size_t i = 0; i < size; ++i) out.put(byte_at(i));
    return path_ / name;
  }
  static char byte_at(std::size_t at) { return static_cast<char>(1 + Random::mix(at) % 255); }
  static std::string bytes(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  std::filesystem::path path_;
};

char byte_of(Rig& s, Pfn frame, std::uint64_t offset) {
  return static_cast<char>(s.cpu.physical().load<std::uint8_t>(PhysicalAddress(frame) + ByteCount(offset)));
}

constexpr FileAccess kRead = FileAccess::kRead;
constexpr FileAccess kReadWrite = FileAccess::kReadWrite;
constexpr FileCreation kExisting = FileCreation::kOpenExisting;

TEST(SimDiskFiles, ReadingPastTheEndGivesZeros) {
  const HostFiles files;
  Rig s;
  const auto file = s.disk.open(files.make("odd", 10'000), kRead, kExisting);
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->size(), 10'000_B);
  EXPECT_EQ(&(*file)->disk(), &s.disk);
  const std::vector<Pfn> frames = {Pfn(7), Pfn(5), Pfn(9)};
  for (const std::uint64_t at : {0, 512, 1807}) {
    for (const Pfn frame : frames) s.fill(frame, 1);
    ASSERT_EQ((*file)->read(s.cpu, FileOffset(at), frames).status, Status::kSuccess);
    for (std::uint64_t i = 0; i < 3 * kPageBytes; ++i) {
      const char expected = at + i < 10'000 ? HostFiles::byte_at(at + i) : '\0';
      ASSERT_EQ(byte_of(s, frames[i / kPageBytes], i % kPageBytes), expected) << at << "+" << i;
    }
  }
  // Time and counts are those of whole pages.
  EXPECT_EQ(s.disk.counts().reads, 3U);
  EXPECT_EQ(s.disk.counts().bytes_read, kPageSize * 9);
}

TEST(SimDiskFiles, ShortTransfersGoOnInTheTailToo) {
  const HostFiles files;
  Rig s;
  const auto file = s.disk.open(files.make("odd", 10'000), kReadWrite, kExisting);
  ASSERT_TRUE(file);
  const std::vector<Pfn> frames = {Pfn(7), Pfn(5), Pfn(9)};
  host = {.bytes_per_call = 1000, .interrupts = true};
  ASSERT_EQ((*file)->read(s.cpu, kStart, frames).status, Status::kSuccess);
  ASSERT_EQ((*file)->write(s.cpu, kStart, frames).status, Status::kSuccess);
  host = {};
  for (std::uint64_t i = 0; i < 10'000; ++i)
    ASSERT_EQ(byte_of(s, frames[i / kPageBytes], i % kPageBytes), HostFiles::byte_at(i)) << i;
  EXPECT_EQ(std::filesystem::file_size(files / "odd"), 10'000U);
}

TEST(SimDiskFiles, WritingLeavesTheSize) {
  const HostFiles files;
  const auto path = files.make("odd", 5'000);
  Rig s;
  {
    const auto file = s.disk.open(path, kReadWrite, kExisting);
    ASSERT_TRUE(file);
    EXPECT_TRUE((*file)->writable());
    const std::vector<Pfn> frames = {Pfn(7), Pfn(5)};
    for (const Pfn frame : frames) s.fill(frame, frame.value());
    ASSERT_EQ((*file)->write(s.cpu, kStart, frames).status, Status::kSuccess);
    EXPECT_EQ((*file)->size(), 5'000_B);
    const std::string bytes = HostFiles::bytes(path);
    ASSERT_EQ(bytes.size(), 5'000U);
    for (std::size_t i = 0; i < bytes.size(); ++i)
      ASSERT_EQ(bytes[i], byte_of(s, frames[i / kPageBytes], i % kPageBytes)) << i;
    // Nothing of the frame's tail waits behind the end.
    ASSERT_TRUE((*file)->resize(kPageSize * 2));
    const std::string longer = HostFiles::bytes(path);
    ASSERT_EQ(longer.size(), 2 * kPageBytes);
    EXPECT_EQ(longer.find_first_not_of('\0', 5'000), std::string::npos);
  }
  EXPECT_EQ(std::filesystem::file_size(path), 2 * kPageBytes);  // It stays.
}

TEST(SimDiskFiles, ResizingChangesTheRealFile) {
  const HostFiles files;
  const auto path = files.make("file", 3'000);
  Rig s;
  const auto file = s.disk.open(path, kReadWrite, kExisting);
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->resize(1'000_B));
  EXPECT_EQ((*file)->size(), 1'000_B);
  EXPECT_EQ(std::filesystem::file_size(path), 1'000U);
  ASSERT_TRUE((*file)->resize(9'001_B));
  const std::string bytes = HostFiles::bytes(path);
  ASSERT_EQ(bytes.size(), 9'001U);
  EXPECT_EQ(bytes[999], HostFiles::byte_at(999));
  EXPECT_EQ(bytes.find_first_not_of('\0', 1'000), std::string::npos);
}

TEST(SimDiskFiles, AFileThatIsOnlyReadKeepsItsBytesAndSize) {
  const HostFiles files;
  const auto path = files.make("file", 5'000);
  const std::string before = HostFiles::bytes(path);
  Rig s;
  const auto file = s.disk.open(path, kRead, kExisting);
  ASSERT_TRUE(file);
  EXPECT_FALSE((*file)->writable());
  EXPECT_EQ((*file)->resize(0_B).error(), Status::kAccessDenied);
  EXPECT_EQ((*file)->resize(50'000_B).error(), Status::kAccessDenied);
  const std::vector<Pfn> one(1, Pfn(7));
  const DiskTransfer refused = (*file)->write(s.cpu, kStart, one);
  EXPECT_EQ(refused.status, Status::kAccessDenied);
  EXPECT_EQ(refused.completes, s.cpu.now());  // The disk was not asked.
  EXPECT_EQ(s.disk.counts().writes, 0U);
  EXPECT_EQ(s.disk.injection().operations(), 0U);
  EXPECT_EQ((*file)->size(), 5'000_B);
  EXPECT_EQ(HostFiles::bytes(path), before);
  EXPECT_EQ(s.disk.used(), 0_B);
}

TEST(SimDiskFiles, OnlyWhatAFileGrowsByTakesSpace) {
  const HostFiles files;
  Rig s;
  {
    const auto file = s.disk.open(files.make("file", 5'000), kReadWrite, kExisting);
    ASSERT_TRUE(file);
    EXPECT_EQ(s.disk.used(), 0_B);
    ASSERT_TRUE((*file)->resize(6'000_B));
    EXPECT_EQ(s.disk.used(), 1'000_B);
    ASSERT_TRUE((*file)->resize(100_B));
    EXPECT_EQ(s.disk.used(), 0_B);
    ASSERT_TRUE((*file)->resize(5'000_B));
    EXPECT_EQ(s.disk.used(), 0_B);
    EXPECT_EQ((*file)->resize(16_MiB + 5'001_B).error(), Status::kDiskFull);
    EXPECT_EQ((*file)->size(), 5'000_B);
    EXPECT_EQ(std::filesystem::file_size(files / "file"), 5'000U);
    ASSERT_TRUE((*file)->resize(16_MiB + 5'000_B));
    EXPECT_EQ(s.disk.used(), 16_MiB);
  }
  EXPECT_EQ(s.disk.used(), 0_B);
}

TEST(SimDiskFiles, WhatTheHostRefusesTakesNoSpace) {
  const HostFiles files;
  DiskModel model = round_model();
  model.capacity = ByteCount(~std::uint64_t{0});
  Rig s(model);
  const auto file = s.disk.open(files.make("file", 5'000), kReadWrite, kExisting);
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->resize(ByteCount(std::uint64_t{1} << 63)).error(), Status::kDiskFull);
  EXPECT_EQ((*file)->size(), 5'000_B);
  EXPECT_EQ(s.disk.used(), 0_B);
}

TEST(SimDiskFiles, TimesAndErrorsAreAsForPagingFiles) {
  const HostFiles files;
  Rig s;
  const auto file = s.disk.open(files.make("file", 100), kReadWrite, kExisting);
  ASSERT_TRUE(file);
  const std::vector<Pfn> one(1, Pfn(9));
  s.disk.injection().fail_operation = 2;
  const DiskTransfer first = (*file)->read(s.cpu, kStart, one);
  EXPECT_EQ(first.status, Status::kSuccess);
  EXPECT_EQ(first.completes, Time(104'096));
  EXPECT_EQ((*file)->write(s.cpu, kStart, one).status, Status::kIoDeviceError);
  EXPECT_EQ((*file)->write(s.cpu, kStart, one).status, Status::kSuccess);
  EXPECT_EQ(s.disk.counts().errors, 1U);
  EXPECT_EQ(s.disk.counts().writes, 2U);
}

TEST(SimDiskFiles, AFileThatSomebodyCutIsAnIoError) {
  const HostFiles files;
  const auto path = files.make("file", 5'000);
  Rig s;
  const auto file = s.disk.open(path, kRead, kExisting);
  ASSERT_TRUE(file);
  std::filesystem::resize_file(path, 100);
  const std::vector<Pfn> two = {Pfn(9), Pfn(10)};
  EXPECT_EQ((*file)->read(s.cpu, kStart, two).status, Status::kIoDeviceError);
}

TEST(SimDiskFiles, PeekingSeesTheTailAsZeros) {
  const HostFiles files;
  Rig s;
  const auto file = s.disk.open(files.make("file", 5'000), kRead, kExisting);
  ASSERT_TRUE(file);
  struct Case {
    std::uint64_t at;
    std::size_t size;
    bool there;
  };
  // The last page ends at 8192; a frame at 512 ends at 8704.
  for (const Case& c :
       {Case{0, 5'000, true}, Case{4'096, 4'096, true}, Case{4'999, 4'096, true}, Case{5'000, 10, true},
        Case{8'191, 1, true}, Case{8'192, 0, true}, Case{4'096, 4'097, true}, Case{512, 8'192, true},
        Case{5'000, 3'193, false}, Case{8'192, 1, false}, Case{904, 8'192, false}, Case{~std::uint64_t{0}, 2, false}}) {
    std::vector<std::byte> bytes(c.size, std::byte{0xff});
    ASSERT_EQ((*file)->peek(FileOffset(c.at), bytes), c.there) << c.at << " " << c.size;
    if (!c.there) continue;
    for (std::size_t i = 0; i < c.size; ++i)
      ASSERT_EQ(static_cast<char>(bytes[i]), c.at + i < 5'000 ? HostFiles::byte_at(c.at + i) : '\0')
          << c.at << "+" << i;
  }
}

TEST(SimDiskFiles, WhatIsNoRegularFileIsRefused) {
  const HostFiles files;
  const auto plain = files.make("plain", 10);
  ASSERT_EQ(mkfifo((files / "pipe").c_str(), 0600), 0);
  std::filesystem::create_symlink("loop", files / "loop");
  Rig s;
  struct Case {
    std::filesystem::path path;
    FileAccess access;
    FileCreation creation;
    Status status;
  };
  const std::vector<Case> cases = {
      {files / "nothing", kRead, kExisting, Status::kObjectNameNotFound},
      {files / "nothing", kReadWrite, kExisting, Status::kObjectNameNotFound},
      {files / "no/such/directory", kReadWrite, FileCreation::kOpenOrCreate, Status::kObjectNameNotFound},
      {plain / "below", kRead, kExisting, Status::kObjectNameNotFound},
      {files / "loop", kRead, kExisting, Status::kObjectNameNotFound},
      {files / std::string(1000, 'x').c_str(), kRead, kExisting, Status::kObjectNameNotFound},
      {plain.native() + '\0', kRead, kExisting, Status::kObjectNameNotFound},
      {"", kRead, kExisting, Status::kObjectNameNotFound},
      {plain, kRead, FileCreation::kCreateNew, Status::kObjectNameCollision},
      {files / "", kRead, kExisting, Status::kInvalidFileForSection},
      {files / "", kReadWrite, kExisting, Status::kInvalidFileForSection},
      {files / "pipe", kRead, kExisting, Status::kInvalidFileForSection},
      {files / "pipe", kReadWrite, kExisting, Status::kInvalidFileForSection},
      {"/dev/null", kReadWrite, kExisting, Status::kInvalidFileForSection},
      // A program that runs is not written to, not even by root.
      {"/proc/self/exe", kReadWrite, kExisting, Status::kAccessDenied},
  };
  for (const Case& c : cases) {
    const auto file = s.disk.open(c.path, c.access, c.creation);
    ASSERT_FALSE(file) << c.path;
    EXPECT_EQ(file.error(), c.status) << c.path;
  }
  EXPECT_FALSE(std::filesystem::exists(files / "nothing"));
}

TEST(SimDiskFiles, MissingFilesAreMadeWhenAsked) {
  const HostFiles files;
  Rig s;
  for (const FileCreation creation : {FileCreation::kOpenOrCreate, FileCreation::kCreateNew}) {
    const auto path = files / (creation == FileCreation::kCreateNew ? "new" : "maybe");
    const auto file = s.disk.open(path, kReadWrite, creation);
    ASSERT_TRUE(file);
    EXPECT_EQ((*file)->size(), 0_B);
    ASSERT_TRUE((*file)->resize(100_B));
    EXPECT_EQ(std::filesystem::file_size(path), 100U);
  }
  const auto again = s.disk.open(files / "maybe", kRead, FileCreation::kOpenOrCreate);
  ASSERT_TRUE(again);
  EXPECT_EQ((*again)->size(), 100_B);
}

TEST(SimDiskFilesDeathTest, AFrameWhollyPastTheEndDies) {
  const HostFiles files;
  Rig s;
  const auto file = s.disk.open(files.make("file", 4'096), kReadWrite, kExisting);
  ASSERT_TRUE(file);
  const std::vector<Pfn> one(1, Pfn(9));
  const std::vector<Pfn> two(2, Pfn(9));
  EXPECT_DEATH(static_cast<void>((*file)->read(s.cpu, kStart, two)), "check failed");
  EXPECT_DEATH(static_cast<void>((*file)->write(s.cpu, FileOffset(4'096), one)), "check failed");
}

}  // namespace
}  // namespace pagoda::machine
