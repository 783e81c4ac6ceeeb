#include "pagoda/hv/hot_io_pages.h"

#include <gtest/gtest.h>

#include <vector>

#include "pagoda/hv/testing/test_vm.h"

namespace pagoda::hv::testing {
namespace {

constexpr std::uint64_t kBuffers = 8;  // Guest frames that its driver writes from.
constexpr std::uint32_t kFirst = 300;  // Above what the guest's manager has used.

class HotIo : public ::testing::TestWithParam<MmuKind> {
 protected:
  HotIo() : HotIo(kReach) {}
  explicit HotIo(PageCount reach)
      : host_({.frames = PageCount(2048)}),
        vm_(host_, {.partition = {.memory = pages_of(2_MiB),
                                  .mmu = GetParam(),
                                  .fault_cluster = 1_pages,
                                  .disks = {machine::DiskModel{.name = "low", .reach = bytes_of(reach)}}}}),
        file_(*vm_.partition().machine().disks().front()->create("file")) {
    PAGODA_CHECK(file_->resize(64_KiB).has_value());
    // So that what comes below lies high in the host.
    for (std::uint32_t i = 0; i < 200; ++i) write(Pfn(i + 60));
    for (std::uint32_t i = 0; i < kBuffers; ++i) write(buffer(i));
  }

  static Pfn buffer(std::uint32_t number) { return Pfn(kFirst + number); }
  void write(Pfn frame) { vm_.cpu().physical().store<std::uint64_t>(PhysicalAddress(frame), frame.value() + 1); }
  std::uint64_t read(Pfn frame) { return vm_.cpu().physical().load<std::uint64_t>(PhysicalAddress(frame)); }
  Pfn host_frame(Pfn of_guest) { return vm_.partition().slat().frame_of(to_gfn(of_guest)); }
  // Transfers of all buffers.
  void send() {
    for (std::uint32_t i = 0; i < kBuffers; ++i) {
      const Pfn frame = buffer(i);
      ASSERT_EQ(file_->write(vm_.cpu(), FileOffset(i * kPageBytes), std::span(&frame, 1)).status, Status::kSuccess);
    }
  }
  const PartitionCounts& counts() { return vm_.partition().counts(); }
  void expect_nothing_lost() {
    for (std::uint32_t i = 0; i < 200; ++i) ASSERT_EQ(read(Pfn(i + 60)), i + 61);
    for (std::uint32_t i = 0; i < kBuffers; ++i) {
      ASSERT_EQ(read(buffer(i)), buffer(i).value() + 1);
      std::uint64_t sent = 0;
      ASSERT_TRUE(file_->peek(FileOffset(i * kPageBytes), std::as_writable_bytes(std::span(&sent, 1))));
      ASSERT_EQ(sent, buffer(i).value() + 1);
    }
    EXPECT_EQ(vm_.check(), "");
  }

  static constexpr PageCount kReach{120};
  TestHost host_;
  TestVm vm_;
  std::unique_ptr<machine::DiskFile> file_;
};
INSTANTIATE_TEST_SUITE_P(Kinds, HotIo, ::testing::ValuesIn(kAllMmus));

TEST_P(HotIo, ATransferFromAboveIsACopyThatTheGuestPays) {
  const machine::CostModel& costs = host_.machine().costs();
  ASSERT_GE(host_frame(buffer(0)), Pfn(kReach.value()));
  const Time before = vm_.cpu().now();
  send();
  EXPECT_EQ(counts().bounced_pages, kBuffers);
  const double cycles = static_cast<double>((vm_.cpu().now() - before).value()) *
                        static_cast<double>(costs.cycles_per_us) / 1000 / kBuffers;
  EXPECT_GE(cycles, static_cast<double>((costs.disk_operation + costs.copy_page).value()) - 3);
  EXPECT_EQ(counts().lowered_pages, 0U);
  // What lies below is not copied.
  const Pfn low(60);
  ASSERT_LT(host_frame(low), Pfn(kReach.value()));
  ASSERT_EQ(file_->read(vm_.cpu(), FileOffset(0), std::span(&low, 1)).status, Status::kSuccess);
  EXPECT_EQ(counts().bounced_pages, kBuffers);
  EXPECT_EQ(read(low), buffer(0).value() + 1);
  EXPECT_EQ(vm_.check(), "");
}

TEST_P(HotIo, APageThatIsCopiedOftenMovesBelow) {
  // The guest gives some memory below to its host.
  const PfnRange low{Pfn(60), 20_pages};
  ASSERT_TRUE(vm_.partition().machine().hypercalls()->heat_hint(vm_.cpu(), machine::HeatHint::kColdDiscard,
                                                                std::span(&low, 1)));
  for (std::uint32_t i = 1; i < HotIoPages::kHotCopies; ++i) send();
  EXPECT_EQ(counts().lowered_pages, 0U);
  send();
  EXPECT_EQ(counts().lowered_pages, kBuffers);
  EXPECT_EQ(counts().raised_pages, 0U);
  for (std::uint32_t i = 0; i < kBuffers; ++i) write(buffer(i));
  for (std::uint32_t i = 0; i < kBuffers; ++i) EXPECT_LT(host_frame(buffer(i)), Pfn(kReach.value()));
  const std::uint64_t copied = counts().bounced_pages;
  EXPECT_EQ(copied, kBuffers * HotIoPages::kHotCopies);
  for (int i = 0; i < 50; ++i) send();
  EXPECT_EQ(counts().bounced_pages, copied) << "none is copied any more";
  for (std::uint32_t i = 0; i < 20; ++i) write(Pfn(60 + i));
  expect_nothing_lost();
}

TEST_P(HotIo, ColdPagesMakeRoom) {
  // Others have what is free below.
  mm::PfnDatabase& pfns = host_.manager().core().pfns;
  std::vector<Pfn> others;
  {
    const LockGuard guard(pfns.lock);
    for (auto taken = pfns.take_below(host_.cpu(), Pfn(kReach.value())); taken;
         taken = pfns.take_below(host_.cpu(), Pfn(kReach.value())))
      others.push_back(taken->frame);
  }
  for (std::uint32_t i = 0; i < HotIoPages::kHotCopies; ++i) send();
  EXPECT_EQ(counts().raised_pages, kBuffers);
  EXPECT_EQ(counts().lowered_pages, kBuffers);
  for (std::uint32_t i = 0; i < kBuffers; ++i) {
    EXPECT_EQ(read(buffer(i)), buffer(i).value() + 1);
    EXPECT_LT(host_frame(buffer(i)), Pfn(kReach.value()));
  }
  {
    const LockGuard guard(pfns.lock);
    for (const Pfn frame : others) pfns.give_back(frame, mm::Contents::kAny);
  }
  expect_nothing_lost();
}

TEST(HotIoOfPinnedMemory, IsCopiedForGood) {
  TestHost host({.frames = PageCount(4096)});
  TestVm vm(host, {.partition = {.memory = pages_of(2_MiB),
                                 .backing = Backing::kPinned,
                                 .disks = {machine::DiskModel{.reach = 4_KiB}}}});
  const auto file = *vm.partition().machine().disks().front()->create("file");
  ASSERT_TRUE(file->resize(64_KiB));
  const Pfn frame(kFirst);
  for (int i = 0; i < 40; ++i)
    ASSERT_EQ(file->write(vm.cpu(), FileOffset(0), std::span(&frame, 1)).status, Status::kSuccess);
  EXPECT_EQ(vm.partition().counts().bounced_pages, 40U);
  EXPECT_EQ(vm.partition().counts().lowered_pages, 0U);
  EXPECT_EQ(vm.check(), "");
}

}  // namespace
}  // namespace pagoda::hv::testing
