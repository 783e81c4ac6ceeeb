#include <gtest/gtest.h>

#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using machine::PteFormat;
using testing::TestMachine;

Status status_of(const auto& result) { return result ? Status::kSuccess : result.error(); }

class Reset : public ::testing::TestWithParam<PteFormat> {
 public:
  static std::string name_of(const ::testing::TestParamInfo<PteFormat>& info) {
    return std::string(machine::paging_mode(info.param).name);
  }

 protected:
  TestMachine t_{{.frames = PageCount(256), .paging = GetParam()}};
  const VirtualAddress base_ = t_.commit(16_pages);

  [[nodiscard]] VirtualAddress at(std::uint64_t page) const { return TestMachine::page(base_, page); }
  Status reset(std::uint64_t first, std::uint64_t count) {
    return status_of(t_.space().reset(t_.cpu(), at(first), bytes_of(PageCount(count))));
  }
  Status undo(std::uint64_t first, std::uint64_t count) {
    return status_of(t_.space().undo_reset(t_.cpu(), at(first), bytes_of(PageCount(count))));
  }
};

TEST_P(Reset, DirtyPagesAreOldUntilRepurposedAndThenZero) {
  t_.fill(base_, 16_pages);
  EXPECT_EQ(reset(0, 16), Status::kSuccess);
  EXPECT_EQ(t_.resident(), 16_pages);
  EXPECT_EQ(t_.differences(base_, 16_pages), 0U);
  EXPECT_EQ(t_.check(), "");
  t_.space().empty_working_set(t_.cpu());
  EXPECT_EQ(t_.count(PageState::kModified), 0_pages);  // There is nothing to write.
  EXPECT_EQ(t_.differences(base_, 8_pages), 0U);
  t_.space().empty_working_set(t_.cpu());
  EXPECT_EQ(t_.check(), "");
  t_.reuse_standby();
  EXPECT_EQ(t_.check(), "");
  for (std::uint64_t i = 0; i < 16; ++i) EXPECT_EQ(t_.get(base_, i), 0U);
  EXPECT_EQ(t_.slots_used(), 0_pages);
  EXPECT_EQ(t_.manager().counters().page_file_writes, 0U);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(Reset, PagesInThePagingFileAreZeroAtOnce) {
  t_.fill(base_, 16_pages);
  t_.push_out();
  EXPECT_EQ(t_.slots_used(), 16_pages);
  EXPECT_EQ(reset(0, 16), Status::kSuccess);
  EXPECT_EQ(t_.slots_used(), 0_pages);
  EXPECT_EQ(t_.get(base_, 3), 0U);
  EXPECT_EQ(undo(0, 16), kResetContentsLost);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(Reset, StandbyAndModifiedPagesLoseSlotAndDirtyState) {
  t_.fill(base_, 16_pages);
  t_.page_out();
  t_.fill(at(8), 8_pages, 9);
  t_.space().empty_working_set(t_.cpu());
  EXPECT_EQ(t_.count(PageState::kModified), 8_pages);
  EXPECT_EQ(reset(0, 16), Status::kSuccess);
  EXPECT_EQ(t_.count(PageState::kModified), 0_pages);
  EXPECT_EQ(t_.slots_used(), 0_pages);
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(t_.differences(base_, 16_pages), 0U);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(Reset, APageWrittenAgainIsAnOrdinaryOne) {
  t_.fill(base_, 16_pages);
  EXPECT_EQ(reset(0, 16), Status::kSuccess);
  t_.fill(base_, 8_pages, 100);
  EXPECT_EQ(t_.check(), "");
  t_.push_out();
  EXPECT_EQ(t_.differences(base_, 8_pages, 100), 0U);
  for (std::uint64_t i = 8; i < 16; ++i) EXPECT_EQ(t_.get(base_, i), 0U);
  // Also one that is rescued by a write.
  EXPECT_EQ(reset(0, 8), Status::kSuccess);
  t_.space().empty_working_set(t_.cpu());
  t_.fill(base_, 8_pages, 200);
  t_.push_out();
  EXPECT_EQ(t_.differences(base_, 8_pages, 200), 0U);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(Reset, UndoKeepsWhatIsThere) {
  t_.fill(base_, 16_pages);
  EXPECT_EQ(reset(0, 16), Status::kSuccess);
  EXPECT_EQ(undo(0, 16), Status::kSuccess);
  EXPECT_EQ(t_.check(), "");
  t_.push_out();
  EXPECT_EQ(t_.differences(base_, 16_pages), 0U);
  // On standby.
  EXPECT_EQ(reset(0, 16), Status::kSuccess);
  t_.space().empty_working_set(t_.cpu());
  EXPECT_EQ(undo(0, 16), Status::kSuccess);
  EXPECT_EQ(t_.count(PageState::kModified), 16_pages);
  EXPECT_EQ(t_.check(), "");
  t_.push_out();
  // Pages in the paging file were not reset since, and are there.
  EXPECT_EQ(undo(0, 16), Status::kSuccess);
  EXPECT_EQ(t_.differences(base_, 16_pages), 0U);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(Reset, UndoFailsAsAWholeWhenAPageIsLost) {
  t_.fill(base_, 16_pages);
  t_.push_out();
  EXPECT_EQ(reset(15, 1), Status::kSuccess);
  t_.fill(base_, 15_pages);
  EXPECT_EQ(reset(0, 16), Status::kSuccess);
  EXPECT_EQ(undo(0, 16), kResetContentsLost);
  EXPECT_EQ(t_.entry(at(0)).reset, 1U);
  EXPECT_EQ(undo(0, 15), Status::kSuccess);
  EXPECT_EQ(t_.entry(at(0)).reset, 0U);
  t_.push_out();
  EXPECT_EQ(t_.differences(base_, 15_pages), 0U);
  EXPECT_EQ(t_.get(base_, 15), 0U);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(Reset, WhileBeingWritten) {
  t_.fill(base_, 16_pages);
  t_.space().empty_working_set(t_.cpu());
  EXPECT_TRUE(t_.manager().modified_writer().write_cluster(t_.cpu()));
  EXPECT_EQ(t_.state(at(0)), PageState::kTransition);
  EXPECT_EQ(reset(0, 16), Status::kSuccess);
  EXPECT_EQ(t_.slots_used(), 16_pages) << "the transfer's";
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(undo(4, 4), Status::kSuccess);
  t_.finish_io();
  EXPECT_EQ(t_.slots_used(), 0_pages);
  EXPECT_EQ(t_.state(at(0)), PageState::kStandby);
  EXPECT_EQ(t_.state(at(4)), PageState::kModified);
  EXPECT_EQ(t_.check(), "");
  t_.push_out();
  EXPECT_EQ(t_.differences(at(4), 4_pages, 5), 0U);
  EXPECT_EQ(t_.get(base_, 0), 0U);
}

TEST_P(Reset, WhileBeingRead) {
  t_.fill(base_, 4_pages);
  t_.push_out();
  t_.cpu().set_waiting(machine::Processor::Waiting::kYields);
  EXPECT_EQ(t_.touch(at(0)), Status::kPending);
  EXPECT_EQ(reset(0, 2), Status::kSuccess);
  EXPECT_EQ(undo(1, 1), Status::kSuccess);
  EXPECT_EQ(t_.check(), "");
  t_.finish_io();
  t_.cpu().set_waiting(machine::Processor::Waiting::kAdvancesClock);
  static_cast<void>(t_.cpu().take_blocked_until());
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(t_.differences(base_, 4_pages), 0U);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(Reset, StateAndProtectionStay) {
  t_.fill(base_, 16_pages);
  ASSERT_TRUE(t_.space().protect(t_.cpu(), at(2), kPageSize, Protection::kReadOnly));
  t_.push_out();
  ASSERT_TRUE(t_.space().decommit(t_.cpu(), at(3), kPageSize));
  const PageCount charge = t_.space().statistics().commit;
  EXPECT_EQ(reset(0, 16), Status::kSuccess);
  EXPECT_EQ(t_.space().statistics().commit, charge);
  EXPECT_EQ(t_.put(base_, 2, 1), Status::kAccessViolation);
  EXPECT_EQ(t_.get(base_, 2), 0U);
  EXPECT_EQ(t_.get(base_, 3), fail(Status::kAccessViolation));
  EXPECT_EQ(t_.check(), "");
}

TEST_P(Reset, MistakesHaveTheirStatus) {
  EXPECT_EQ(reset(0, 0), Status::kInvalidParameter4);
  EXPECT_EQ(reset(0, 17), Status::kConflictingAddresses);
  EXPECT_EQ(undo(0, 17), Status::kConflictingAddresses);
  EXPECT_EQ(reset(64, 1), Status::kConflictingAddresses);
  const VirtualAddress top = t_.space().highest_user();
  EXPECT_EQ(status_of(t_.space().reset(t_.cpu(), top, kPageSize)), Status::kInvalidParameter2);
  EXPECT_EQ(status_of(t_.space().undo_reset(t_.cpu(), top, kPageSize)), Status::kInvalidParameter2);
  EXPECT_EQ(undo(0, 0), Status::kInvalidParameter4);
  const VirtualAddress reserved = t_.reserve(4_pages);
  EXPECT_EQ(status_of(t_.space().reset(t_.cpu(), reserved, bytes_of(4_pages))), Status::kSuccess);
  EXPECT_EQ(t_.check(), "");
}

// Each page holds what was written last; or, reset since, that or zero, and zero for good once it was seen.
TEST_P(Reset, AgreesWithAModelOverManyOperations) {
  constexpr std::uint64_t kPages = 48;
  struct Expected {
    std::uint64_t value = 0;
    bool may_be_zero = true;
  };
  TestMachine t({.frames = PageCount(96), .paging = GetParam()});
  const VirtualAddress base = t.commit(PageCount(kPages));
  const VirtualAddress other = t.commit(PageCount(64));
  std::vector<Expected> model(kPages);
  Random random(7);
  std::uint64_t next_value = 1;
  for (int n = 0; n < 30'000; ++n) {
    const std::uint64_t page = random.below(kPages);
    const std::uint64_t count = 1 + random.below(std::min<std::uint64_t>(kPages - page, 8));
    const ByteCount size = bytes_of(PageCount(count));
    switch (random.below(9)) {
      case 0:
      case 1:
        model[page] = {.value = next_value, .may_be_zero = false};
        t.must_put(base, page, next_value++);
        break;
      case 2:
      case 3: {
        const auto value = t.get(base, page);
        ASSERT_TRUE(value);
        Expected& expected = model[page];
        if (*value != expected.value) {
          ASSERT_TRUE(*value == 0 && expected.may_be_zero) << "operation " << n;
          expected.value = 0;
        }
        break;
      }
      case 4:
        ASSERT_TRUE(t.space().reset(t.cpu(), TestMachine::page(base, page), size));
        for (std::uint64_t i = page; i < page + count; ++i) model[i].may_be_zero = true;
        break;
      case 5:
        if (t.space().undo_reset(t.cpu(), TestMachine::page(base, page), size)) {
          for (std::uint64_t i = page; i < page + count; ++i) {
            const auto value = t.get(base, i);
            ASSERT_TRUE(value);
            if (*value == 0) model[i].value = 0;  // Lost, touched again before this undo.
            model[i].may_be_zero = false;
            ASSERT_EQ(*value, model[i].value) << "operation " << n;
          }
        }
        break;
      case 6:
        t.space().empty_working_set(t.cpu());
        break;
      case 7:
        static_cast<void>(t.manager().modified_writer().write_cluster(t.cpu()));
        if (random.below(2) == 0) t.finish_io();
        break;
      default:
        for (std::uint64_t i = 0; i < 8; ++i) t.must_put(other, random.below(64), 1);
        break;
    }
    if (n % 64 == 0) {
      ASSERT_EQ(t.check(), "") << "operation " << n;
    }
  }
  EXPECT_GT(t.manager().counters().pages_repurposed, 1000U);
  EXPECT_EQ(t.check(), "");
}

INSTANTIATE_TEST_SUITE_P(Modes, Reset, ::testing::Values(PteFormat::kX86, PteFormat::kPae, PteFormat::kAmd64),
                         Reset::name_of);

}  // namespace
}  // namespace pagoda::mm
