// The checker finds what it is there for: each rule, in a healthy virtual machine that something was done to.
#include "pagoda/hv/check.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "pagoda/hv/testing/corruptor.h"
#include "pagoda/hv/testing/test_vm.h"

namespace pagoda::hv::testing {
namespace {

using namespace machine::pte_bits;

class HvCheck : public ::testing::Test {
 protected:
  HvCheck() : vm_(host_), base_(vm_.commit(PageCount(32))) {
    vm_.fill(base_, PageCount(32));
    EXPECT_EQ(vm_.check(), "");
    // Some guest frame that the guest's TLB leads to, and that it wrote.
    const machine::CachedTranslation held = vm_.cpu().tlb().held().front();
    const Pfn frame = host_.cpu().physical().frame_at(held.host);
    slat().for_each([&](Gfn first, unsigned, machine::RawPte raw) {
      if (Slat::mode().frame(raw) == frame) guest_frame_ = first;
    });
  }
  Partition& partition() { return vm_.partition(); }
  Slat& slat() { return Corruptor::slat(vm_.partition()); }
  // The ids of what is wrong, in order, each once.
  std::vector<std::string> rules() {
    std::vector<std::string> found;
    for (const Finding& finding : check(partition())) found.push_back(finding.rule);
    std::ranges::sort(found);
    const auto rest = std::ranges::unique(found);
    found.erase(rest.begin(), rest.end());
    return found;
  }
  // The second level is empty, and knows that; so are the caches above it. Then the partition can go.
  void forget_everything() {
    const LockGuard guard(partition().vmmem().lock);
    slat().reset();
    partition().processor(0).tlb().forget_all();
  }
  using Rules = std::vector<std::string>;

  TestHost host_;
  TestVm vm_;
  VirtualAddress base_;
  Gfn guest_frame_ = kNoGfn;
};

TEST_F(HvCheck, AnEntryThatLeadsElsewhere) {
  {
    const LockGuard guard(partition().vmmem().lock);
    slat().fill(guest_frame_, 1, slat().frame_of(guest_frame_) + 1_pages, {.write = false});
    partition().processor(0).tlb().forget_all();
  }
  EXPECT_EQ(rules(), Rules{"SL2-1"});
  forget_everything();
  EXPECT_EQ(vm_.check(), "");
}

TEST_F(HvCheck, AnEntryWithNothingBehindIt) {
  {
    const LockGuard guard(partition().vmmem().lock);
    slat().fill(Gfn(510) + partition().config().memory, 1, Pfn(1), {.write = false});
  }
  EXPECT_EQ(rules(), Rules{"SL2-1"});
  forget_everything();
}

TEST_F(HvCheck, AnEntryThatMayWriteWhatTheHostThinksClean) {
  // The host writes everything out; the guest reads its page again.
  partition().vmmem().empty_working_set(host_.cpu());
  ASSERT_TRUE(host_.manager().flush_modified(host_.cpu()));
  EXPECT_EQ(vm_.differences(base_, PageCount(32)), 0U);
  ASSERT_EQ(slat().entry(guest_frame_) & kWrite, 0U);
  ASSERT_NE(slat().entry(guest_frame_), 0U);
  EXPECT_EQ(rules(), Rules{});
  {
    const LockGuard guard(partition().vmmem().lock);
    slat().fill(guest_frame_, 1, slat().frame_of(guest_frame_), {.write = true});
  }
  EXPECT_EQ(rules(), Rules{"SL2-1"});
  forget_everything();
}

TEST_F(HvCheck, ATlbThatKnowsMoreThanTheSecondLevel) {
  {
    const LockGuard guard(partition().vmmem().lock);
    slat().clear(guest_frame_);
  }
  EXPECT_EQ(rules(), (Rules{"VP1", "VP2"}));
  Corruptor::nested_tlb(partition().processor(0))
      .invalidate_page(VirtualAddress(GuestPhysicalAddress(guest_frame_).value()), machine::kUntagged);
  EXPECT_EQ(rules(), Rules{"VP2"});
  forget_everything();
  EXPECT_EQ(rules(), Rules{});
}

TEST_F(HvCheck, TlbsThatMayWriteWhereTheSecondLevelMayNot) {
  {
    const LockGuard guard(partition().vmmem().lock);
    ASSERT_NE(slat().entry(guest_frame_) & kWrite, 0U);
    slat().fill(guest_frame_, 1, slat().frame_of(guest_frame_), {.write = false});
  }
  EXPECT_EQ(rules(), (Rules{"VP1", "VP2"}));
  forget_everything();
}

TEST_F(HvCheck, AFrameThatStaysPinned) {
  const machine::FrameView view = vm_.cpu().physical().bytes(to_guest_pfn(guest_frame_), machine::Access::kRead);
  EXPECT_EQ(rules(), Rules{"VP3"});
}

// --- The balloon ---

TEST_F(HvCheck, ABalloonWithSomethingBehindIt) {
  // In the balloon on paper alone: its page is where it was, and the second level leads there.
  Corruptor::ballooned(partition()).add(guest_frame_);
  ++partition().counts().inflated_pages;
  EXPECT_EQ(rules(), Rules{"BL1"});
  partition().vmmem().empty_working_set(host_.cpu());
  EXPECT_EQ(rules(), Rules{"BL1"}) << "modified";
  ASSERT_TRUE(host_.manager().flush_modified(host_.cpu()));
  host_.reuse_standby();
  EXPECT_EQ(rules(), Rules{"BL1"}) << "in a paging file";
  Corruptor::ballooned(partition()).remove(guest_frame_);
  ++partition().counts().deflated_pages;
  EXPECT_EQ(rules(), Rules{});
}

TEST_F(HvCheck, ABalloonedFrameThatIsNoMemory) {
  BalloonedFrames& balloon = Corruptor::ballooned(partition());
  balloon = BalloonedFrames(partition().config().memory + 8_pages);
  balloon.add(Gfn(static_cast<std::uint32_t>(partition().config().memory.value())));
  ++partition().counts().inflated_pages;
  EXPECT_EQ(rules(), Rules{"BL1"});
}

TEST_F(HvCheck, ABalloonThatLostAFrame) {
  ++partition().counts().inflated_pages;
  EXPECT_EQ(rules(), Rules{"BL2"});
  ++partition().counts().popped_pages;
  EXPECT_EQ(rules(), Rules{});
  ++partition().counts().balloon_voided;
  EXPECT_EQ(rules(), Rules{"BL2"});
}

// The one mistake that must never go unseen: the host takes a page, and a cache above it is not told.
TEST_F(HvCheck, AMissedInvalidation) {
  Corruptor::make_deaf(partition());
  EXPECT_EQ(rules(), Rules{});
  partition().vmmem().empty_working_set(host_.cpu());
  EXPECT_EQ(rules(), Rules{"SL2-1"});
  forget_everything();
  EXPECT_EQ(rules(), Rules{});
}

}  // namespace
}  // namespace pagoda::hv::testing
