#include "pagoda/mm/process/stacks.h"

#include <gtest/gtest.h>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using machine::PteFormat;
using testing::TestMachine;

Status status_of(const auto& result) { return result ? Status::kSuccess : result.error(); }

constexpr Protection kGuard = with_modifier(Protection::kReadWrite, kProtectionGuard);
constexpr std::uint64_t kPages = 16;

// A stack of 16 reserved pages, the highest two of which are committed, the lower one as the guard.
class StackGrowth : public ::testing::TestWithParam<PteFormat> {
 public:
  static std::string name_of(const ::testing::TestParamInfo<PteFormat>& info) {
    return std::string(machine::paging_mode(info.param).name);
  }

 protected:
  StackGrowth() {
    PAGODA_CHECK(t_.space().commit(t_.cpu(), at(kPages - 1), kPageSize, Protection::kReadWrite));
    PAGODA_CHECK(t_.space().commit(t_.cpu(), at(kPages - 2), kPageSize, kGuard));
  }

  TestMachine t_{{.frames = PageCount(256), .paging = GetParam()}};
  const VirtualAddress base_ = t_.reserve(PageCount(kPages));

  [[nodiscard]] VirtualAddress at(std::uint64_t page) const { return TestMachine::page(base_, page); }
  Status add(ByteCount guarantee = {}) {
    return status_of(t_.space().add_stack(base_, at(kPages - 1), at(kPages), guarantee));
  }
  [[nodiscard]] PageCount charge() { return t_.space().statistics().commit; }
  [[nodiscard]] Protection protection(std::uint64_t page) { return t_.space().query(t_.cpu(), at(page))->protection; }
};

TEST_P(StackGrowth, GoesDownPageByPageAndOverflowsAboveTheLastPage) {
  EXPECT_EQ(add(), Status::kSuccess);
  EXPECT_EQ(t_.space().stack_limit(base_), at(15));
  for (std::uint64_t page = 15; page >= 2; --page) {
    EXPECT_EQ(t_.put(base_, page, page), Status::kSuccess) << page;
    EXPECT_EQ(t_.space().stack_limit(base_), at(page));
    EXPECT_EQ(protection(page - 1), kGuard);
    EXPECT_EQ(charge(), PageCount(kPages - page + 1));
  }
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(t_.put(base_, 1, 1), Status::kStackOverflow);
  EXPECT_EQ(t_.put(base_, 1, 1), Status::kSuccess);  // It stays usable.
  EXPECT_EQ(t_.space().stack_limit(base_), at(1));
  EXPECT_EQ(t_.put(base_, 0, 1), Status::kAccessViolation);
  EXPECT_EQ(charge(), PageCount(kPages - 1));
  EXPECT_EQ(t_.faults(FaultKind::kGuard), 14U);
  EXPECT_EQ(t_.check(), "");
  t_.push_out();
  EXPECT_EQ(t_.differences(at(1), PageCount(kPages - 1), 1), 0U);
}

TEST_P(StackGrowth, LeavesTheGuaranteeAlone) {
  EXPECT_EQ(add(bytes_of(3_pages) - ByteCount(1)), Status::kSuccess);
  for (std::uint64_t page = 15; page >= 5; --page) EXPECT_EQ(t_.put(base_, page, page), Status::kSuccess) << page;
  EXPECT_EQ(t_.put(base_, 4, 1), Status::kStackOverflow);
  EXPECT_EQ(t_.put(base_, 4, 1), Status::kSuccess);
  EXPECT_EQ(t_.put(base_, 3, 1), Status::kAccessViolation);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(StackGrowth, NeedsTheGuardToBeHit) {
  EXPECT_EQ(add(), Status::kSuccess);
  EXPECT_EQ(t_.put(base_, 13, 1), Status::kAccessViolation);  // Jumped over it.
  EXPECT_EQ(t_.touch(at(14)), Status::kSuccess);              // Reading grows it too.
  EXPECT_EQ(t_.space().stack_limit(base_), at(14));
  EXPECT_EQ(t_.check(), "");
}

TEST_P(StackGrowth, OverflowsWithoutCommitChargeAndThePageHitStaysUsable) {
  EXPECT_EQ(add(), Status::kSuccess);
  // Everything else is promised to somebody: the rest of the limit, page by page.
  const VirtualAddress big = t_.reserve(PageCount(4096));
  std::uint64_t promised = 0;
  for (std::uint64_t step = 1024; step > 0; step /= 2) {
    while (t_.space().commit(t_.cpu(), TestMachine::page(big, promised), bytes_of(PageCount(step)),
                             Protection::kReadWrite))
      promised += step;
  }
  EXPECT_EQ(t_.put(base_, 14, 14), Status::kStackOverflow);
  EXPECT_EQ(t_.put(base_, 14, 14), Status::kSuccess);
  EXPECT_EQ(t_.put(base_, 13, 13), Status::kAccessViolation);
  EXPECT_EQ(t_.space().stack_limit(base_), at(14));
  EXPECT_EQ(t_.check(), "");
}

TEST_P(StackGrowth, ElsewhereAGuardIsAViolationOnce) {
  EXPECT_EQ(t_.put(base_, 14, 1), Status::kGuardPageViolation);  // Nobody said that it is a stack.
  EXPECT_EQ(t_.put(base_, 14, 1), Status::kSuccess);
  EXPECT_EQ(charge(), 2_pages);
  EXPECT_EQ(add(), Status::kSuccess);
  const VirtualAddress other = t_.commit(1_pages, kGuard);
  EXPECT_EQ(t_.put(other, 0, 1), Status::kGuardPageViolation);
  ASSERT_TRUE(t_.space().commit(t_.cpu(), at(13), kPageSize, kGuard));
  ASSERT_TRUE(t_.space().remove_stack(base_));
  EXPECT_EQ(t_.put(base_, 13, 1), Status::kGuardPageViolation);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(StackGrowth, TakesAPageThatIsCommittedAlready) {
  ASSERT_TRUE(t_.space().commit(t_.cpu(), at(13), kPageSize, Protection::kReadWrite));
  t_.must_put(base_, 13, 13);
  EXPECT_EQ(add(), Status::kSuccess);
  EXPECT_EQ(t_.put(base_, 14, 14), Status::kSuccess);
  EXPECT_EQ(charge(), 3_pages);
  EXPECT_EQ(protection(13), kGuard);
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(t_.get(base_, 13), 13U);
  EXPECT_EQ(protection(12), kGuard);
}

TEST_P(StackGrowth, MistakesHaveTheirStatus) {
  const auto error = [&](VirtualAddress base, VirtualAddress limit, VirtualAddress top) {
    return status_of(t_.space().add_stack(base, limit, top, {}));
  };
  EXPECT_EQ(error(base_ + ByteCount(1), at(15), at(16)), Status::kInvalidParameter);
  EXPECT_EQ(error(base_, base_, at(16)), Status::kInvalidParameter);
  EXPECT_EQ(error(base_, at(16), at(15)), Status::kInvalidParameter);
  EXPECT_EQ(error(base_, at(15), at(17)), Status::kConflictingAddresses);
  EXPECT_EQ(error(at(4), at(6), at(8)), Status::kSuccess);
  EXPECT_EQ(error(at(7), at(9), at(10)), Status::kConflictingAddresses);
  EXPECT_EQ(error(at(2), at(4), at(5)), Status::kConflictingAddresses);
  EXPECT_EQ(error(at(2), at(3), at(12)), Status::kConflictingAddresses);
  EXPECT_EQ(error(at(2), at(3), at(4)), Status::kSuccess);
  EXPECT_EQ(t_.space().stack_limit(at(5)), fail(Status::kInvalidParameter));
  EXPECT_EQ(status_of(t_.space().remove_stack(at(5))), Status::kInvalidParameter);
}

INSTANTIATE_TEST_SUITE_P(Modes, StackGrowth, ::testing::Values(PteFormat::kX86, PteFormat::kPae, PteFormat::kAmd64),
                         StackGrowth::name_of);

}  // namespace
}  // namespace pagoda::mm
