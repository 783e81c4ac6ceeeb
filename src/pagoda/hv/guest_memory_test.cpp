#include "pagoda/hv/guest_memory.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "pagoda/hv/testing/test_vm.h"

namespace pagoda::hv::testing {
namespace {

constexpr PageCount kMemory = pages_of(2_MiB);
constexpr GfnRange kWritten{Gfn(64), PageCount(32)};

// "active modified standby compressed page_file nothing".
std::string text(const GuestMemory::Census& census) {
  std::string text;
  for (const PageCount count :
       {census.active, census.modified, census.standby, census.compressed, census.page_file, census.nothing})
    text += (text.empty() ? "" : " ") + std::to_string(count.value());
  return text;
}

class GuestMemories : public ::testing::Test {
 protected:
  explicit GuestMemories(Backing backing = Backing::kVirtual)
      : partition_(*Partition::create(host_.manager(), host_.cpu(), {.memory = kMemory, .backing = backing})) {
    host_.dispatch(*partition_);
  }

  GuestMemory& memory() { return partition_->memory(); }
  std::string census() { return text(memory().census()); }
  void write_all() {
    const machine::PhysicalView physical = partition_->processor(0).guest().physical();
    for (Gfn frame = kWritten.first; frame < kWritten.end(); ++frame)
      physical.store<std::uint64_t>(PhysicalAddress(to_guest_pfn(frame)), frame.value());
  }

  TestHost host_;
  std::unique_ptr<Partition> partition_;
};

TEST_F(GuestMemories, TheCensusFollowsThePages) {
  EXPECT_EQ(census(), "0 0 0 0 0 512");
  write_all();
  EXPECT_EQ(census(), "32 0 0 0 0 480");
  memory().vmmem().empty_working_set(host_.cpu());
  EXPECT_EQ(census(), "0 32 0 0 0 480");
  ASSERT_TRUE(host_.manager().flush_modified(host_.cpu()));
  EXPECT_EQ(census(), "0 0 32 0 0 480");
  host_.reuse_standby();
  EXPECT_EQ(census(), "0 0 0 0 32 480");
  const GpaRange& range = *memory().map().find(kWritten.first);
  memory().hint(host_.cpu(), machine::HeatHint::kColdDiscard, range, kWritten);
  EXPECT_EQ(census(), "0 0 0 0 0 512");
  EXPECT_EQ(hv::to_string(hv::check(*partition_)) + host_.check(), "");
}

class PinnedGuestMemories : public GuestMemories {
 protected:
  PinnedGuestMemories() : GuestMemories(Backing::kPinned) {}
};

TEST_F(PinnedGuestMemories, AreActiveThroughout) { EXPECT_EQ(census(), "512 0 0 0 0 0"); }

TEST_F(GuestMemories, AdmitWhatTheGuestMayUse) {
  EXPECT_NE(memory().admit(Gfn(511), machine::Access::kWrite), nullptr);
  EXPECT_EQ(memory().admit(Gfn(512), machine::Access::kRead), nullptr);
  EXPECT_EQ(memory().admit(kNoGfn, machine::Access::kWrite), nullptr);
  EXPECT_EQ(partition_->counts().wild_accesses, 2U);
  EXPECT_EQ(partition_->counts().lost_writes, 0U);
}

}  // namespace
}  // namespace pagoda::hv::testing
