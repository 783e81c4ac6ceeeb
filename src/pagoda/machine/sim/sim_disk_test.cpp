#include "pagoda/machine/sim/sim_disk.h"

#include <gtest/gtest.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <span>
#include <utility>
#include <vector>

#include "pagoda/machine/sim/sim_machine.h"
#include "pagoda/machine/testing/disk_rig.h"
#include "pagoda/machine/testing/page_tables.h"

namespace {

using pagoda::machine::testing::host;

template <class Move>
ssize_t move_pieces(const iovec* pieces, int count, off_t at, Move&& move) {
  std::atomic_ref(host.calls).fetch_add(1);  // Threads use disks at once.
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

using testing::host;
using testing::kStart;
using testing::Rig;
using testing::round_model;

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

TEST(SimDisk, WhatItDoesNotReachIsCopiedByTheProcessor) {
  DiskModel model = round_model();
  model.reach = bytes_of(PageCount(3));
  Rig s(std::move(model));
  ASSERT_TRUE(s.file->resize(1_MiB));
  const std::vector<Pfn> frames{Pfn(1), Pfn(2), Pfn(3), Pfn(900)};
  for (const Pfn frame : frames) s.fill(frame, frame.value());
  const Time before = s.cpu.now();
  const DiskTransfer written = s.file->write(s.cpu, kStart, frames);
  ASSERT_EQ(written.status, Status::kSuccess);
  EXPECT_EQ(s.disk.counts().bounced, 2U);
  const Duration copies((s.machine->costs().copy_page * 2).value() * 1000 / s.machine->costs().cycles_per_us);
  EXPECT_EQ(s.cpu.now() - before, copies);
  EXPECT_EQ(written.completes, s.cpu.now() + 100_us + Duration(4 * 4096)) << "the disk begins when the copies are made";
  const std::vector<Pfn> to{Pfn(0), Pfn(901)};
  ASSERT_EQ(s.file->read(s.cpu, FileOffset(2 * kPageBytes), to).status, Status::kSuccess);
  EXPECT_EQ(s.disk.counts().bounced, 3U);
  EXPECT_TRUE(s.cpu.physical().equal(to[0], frames[2]));
  EXPECT_TRUE(s.cpu.physical().equal(to[1], frames[3]));
}

TEST(SimDisk, ADiskThatReachesEverythingCopiesNothing) {
  Rig s;
  ASSERT_TRUE(s.file->resize(1_MiB));
  const Time before = s.cpu.now();
  const Pfn high(5000);
  ASSERT_EQ(s.file->write(s.cpu, kStart, std::span(&high, 1)).status, Status::kSuccess);
  EXPECT_EQ(s.disk.counts().bounced, 0U);
  EXPECT_EQ(s.cpu.now(), before);
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

}  // namespace
}  // namespace pagoda::machine
