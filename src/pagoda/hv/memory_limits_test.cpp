// The limits of a machine against what its guest touches, page by page.
#include "pagoda/hv/memory_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pagoda/hv/testing/test_vm.h"

namespace pagoda::hv {
namespace {

using testing::TestHost;
using testing::TestHostConfig;

PartitionConfig limited(std::optional<PageCount> memory_max, std::optional<PageCount> swap_max) {
  return {.memory = pages_of(2_MiB),
          .backing = Backing::kDeferred,
          .fault_cluster = 1_pages,
          .memory_max = memory_max,
          .swap_max = swap_max};
}

// A machine whose memory is touched by the host's word for it.
class Limited {
 public:
  Limited(TestHost& host, const PartitionConfig& config) : host_(host), config_(config) {
    memory_ = *GuestMemory::create(host.manager(), host.cpu(), config_, counts_);
    memory_->attach(cache_);
    host.manager().attach(host.cpu(), memory_->vmmem());
  }
  ~Limited() {
    host_.manager().detach(host_.cpu());
    memory_->detach(cache_);
  }
  Limited(const Limited&) = delete;
  Limited& operator=(const Limited&) = delete;

  [[nodiscard]] GuestMemory& memory() { return *memory_; }
  void touch(std::uint32_t frame) {
    memory_->handle_violation(host_.cpu(), *memory_->map().find(Gfn(frame)), Gfn(frame), machine::Access::kWrite,
                              [](GfnRange) { return true; });
    host_.cpu().store<std::uint64_t>(VirtualAddress(memory_->map().find(Gfn(frame))->page_of(Gfn(frame))), frame + 1);
  }
  [[nodiscard]] PageCount inside() { return memory_->census().active; }
  [[nodiscard]] PageCount outside() {
    const GuestMemory::Census census = memory_->census();
    return census.modified + census.standby + census.compressed + census.page_file;
  }
  [[nodiscard]] PageCount minimum() {
    const LockGuard guard(memory_->vmmem().lock);
    return memory_->vmmem().working_set().limits().minimum;
  }

 private:
  class Nothing final : public GuestFrameCache {
    void forget(Gfn /*frame*/) override {}
    bool test_and_clear_accessed(Gfn /*frame*/) override { return false; }
    void contents_lost(GfnRange /*frames*/) override {}
    void forget_all() override {}
  };

  TestHost& host_;
  const PartitionConfig config_;
  PartitionCounts counts_;
  Nothing cache_;
  std::unique_ptr<GuestMemory> memory_;
};

TEST(MemoryLimits, MemoryMaxIsAHardMaximumAndSwapMaxARisingMinimum) {
  TestHost host;
  Limited vm(host, limited(100_pages, 50_pages));
  const PageCount least = vm.minimum();
  for (std::uint32_t frame = 0; frame < 150; ++frame) {
    vm.touch(frame);
    ASSERT_LE(vm.inside(), 100_pages);
    ASSERT_LE(vm.outside(), 50_pages);
  }
  EXPECT_EQ(vm.inside(), 100_pages);
  EXPECT_EQ(vm.outside(), 50_pages);
  EXPECT_EQ(vm.minimum(), 100_pages);
  vm.touch(0);  // Not a first touch: one in, one out.
  EXPECT_THROW(vm.touch(150), GuestMemoryLost);
  EXPECT_EQ(vm.inside() + vm.outside(), 150_pages);
  EXPECT_GT(vm.minimum(), least);
  EXPECT_EQ(host.check(), "");
}

TEST(MemoryLimits, WhatIsGivenBackMakesRoom) {
  TestHost host;
  Limited vm(host, limited(60_pages, 20_pages));
  const PageCount least = vm.minimum();
  for (std::uint32_t frame = 0; frame < 80; ++frame) vm.touch(frame);
  vm.memory().take_free(host.cpu(), {Gfn(0), 30_pages});
  EXPECT_EQ(vm.minimum(), std::max(least, 30_pages));
  for (std::uint32_t frame = 100; frame < 130; ++frame) vm.touch(frame);
  EXPECT_THROW(vm.touch(130), GuestMemoryLost);
  EXPECT_EQ(host.check(), "");
}

TEST(MemoryLimits, AColdHintTakesNoMoreThanMayLeave) {
  TestHost host;
  Limited vm(host, limited(std::nullopt, 10_pages));
  for (std::uint32_t frame = 0; frame < 200; ++frame) vm.touch(frame);
  vm.memory().hint(host.cpu(), machine::HeatHint::kCold, vm.memory().map().ranges().front(), {Gfn(0), 200_pages});
  EXPECT_EQ(vm.outside(), 10_pages);
  EXPECT_EQ(vm.inside(), 190_pages);
}

TEST(MemoryLimits, ATrimOfTheHostTakesNoMoreThanMayLeave) {
  TestHost host;
  Limited vm(host, limited(std::nullopt, 10_pages));
  for (std::uint32_t frame = 0; frame < 200; ++frame) vm.touch(frame);
  host.manager().balance_set_manager().trim(host.cpu(), host.manager().available() + 10_pages);
  EXPECT_EQ(vm.outside(), 10_pages);
  EXPECT_EQ(host.check(), "");
}

TEST(MemoryLimits, WithoutASlotForAnotherPageAFullMachineIsLost) {
  TestHost host({.paging_file = 1_MiB});
  Limited vm(host, limited(100_pages, std::nullopt));
  EXPECT_THROW(
      for (std::uint32_t frame = 0; frame < 512; ++frame) {
        vm.touch(frame);
        ASSERT_LE(vm.inside(), 100_pages);
      },
      GuestMemoryLost);
  EXPECT_GT(vm.outside(), 200_pages) << "as long as there were slots";
  EXPECT_EQ(host.check(), "");
}

// cgroup v2: memory.swap.current counts a page of zswap as it does any other.
TEST(MemoryLimits, ACompressedPageCountsWhole) {
  TestHostConfig config;
  config.tunables.compression_budget = 64_pages;
  TestHost host(config);
  Limited vm(host, limited(100_pages, 50_pages));
  for (std::uint32_t frame = 0; frame < 150; ++frame) vm.touch(frame);
  EXPECT_TRUE(host.manager().flush_modified(host.cpu()));
  host.reuse_standby();
  EXPECT_GT(vm.memory().census().compressed, 0_pages);
  EXPECT_EQ(vm.outside(), 50_pages);
  EXPECT_THROW(vm.touch(150), GuestMemoryLost);
}

class Asked final : public ChargeSource {
 public:
  bool find_charge(mm::Processor& /*host*/, const std::string& machine) override {
    EXPECT_EQ(machine, "vm");
    ++times;
    return false;
  }
  unsigned times = 0;
};

TEST(MemoryLimits, WhatAHostCannotKeepItIsAskedToFind) {
  TestHost host({.frames = 512_pages});
  Limited vm(host, limited(std::nullopt, 0_pages));
  Asked source;
  vm.memory().set_charge_source(&source);
  EXPECT_THROW(for (std::uint32_t frame = 0; frame < 512; ++frame) vm.touch(frame), GuestMemoryLost);
  EXPECT_EQ(source.times, 1U);
  EXPECT_GT(vm.inside(), 300_pages);
  EXPECT_EQ(vm.outside(), 0_pages);
  EXPECT_EQ(host.check(), "");
}

TEST(MemoryLimits, AreForDeferredBacking) {
  TestHost host;
  PartitionConfig config = limited(100_pages, std::nullopt);
  config.backing = Backing::kVirtual;
  EXPECT_FALSE(Partition::create(host.manager(), host.cpu(), config));
}

TEST(Reap, GivesAllMemoryAndItsChargeBack) {
  for (const Backing backing : {Backing::kDeferred, Backing::kVirtual, Backing::kPinned}) {
    TestHost host;
    PartitionConfig config = limited(std::nullopt, std::nullopt);
    config.backing = backing;
    Limited vm(host, config);
    for (std::uint32_t frame = 0; frame < 512; ++frame) vm.touch(frame);
    const PageCount before = host.manager().commit().charged;
    vm.memory().reap(host.cpu());
    EXPECT_LE(host.manager().commit().charged + 512_pages, before);
    EXPECT_EQ(vm.inside() + vm.outside(), 0_pages);
    EXPECT_EQ(host.check(), "");
  }
}

}  // namespace
}  // namespace pagoda::hv
