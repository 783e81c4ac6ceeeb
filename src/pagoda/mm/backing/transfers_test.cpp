#include "pagoda/mm/backing/transfers.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using Kind = Transfers::Kind;
using testing::TestMachine;

// Frames that are read, so that the order in which reads end shows on the standby list.
class TransfersTest : public ::testing::Test {
 protected:
  TransfersTest() {
    base_ = t_.commit(PageCount(8));
    t_.fill(base_, PageCount(8));
    t_.push_out();
  }
  // Begins to read the page as the fault path does.
  Pfn begin(std::uint64_t page) {
    const VirtualAddress va = TestMachine::page(base_, page);
    const RawPte raw = t_.pte(va);
    const LockGuard space_guard(t_.space().lock);
    const PhysicalAddress pte = t_.space().tables().find(t_.cpu(), va.vpn());
    const LockGuard guard(t_.core().pfns.lock);
    const Pfn frame = t_.core().pfns.take(t_.cpu(), Contents::kAny)->frame;
    t_.core().pfns.begin_read(frame, pte, raw);
    t_.space().tables().replace(t_.cpu(), pte, t_.core().codec.transition(frame, Protection::kReadWrite));
    const FileOffset at(bytes_of(PageCount(t_.core().codec.slot(raw).value())).value());
    EXPECT_EQ(t_.core().paging_files[0].file().read(t_.cpu(), at, std::span(&frame, 1)).status, Status::kSuccess);
    return frame;
  }
  std::vector<Pfn> standby() {
    const LockGuard guard(t_.core().pfns.lock);
    std::vector<Pfn> frames;
    for (std::uint32_t at = t_.core().pfns.lists().head(PageState::kStandby, kNormalPriority).flink;
         at != kNoPfn.value(); at = t_.core().pfns.entry(Pfn(at)).flink)
      frames.emplace_back(at);
    return frames;
  }
  // A transfer of the frames, whose bytes are there from the time on.
  void read(Time completes, std::span<const Pfn> frames) {
    const LockGuard guard(t_.core().pfns.lock);
    for (const Pfn frame : frames) t_.core().pfns.set_read_completes(frame, completes);
    transfers_.answered(transfers_.begin(Kind::kRead, frames, SlotName{}), completes);
  }
  void complete(Time now) {
    const LockGuard guard(t_.core().pfns.lock);
    transfers_.complete(now, t_.core().pfns);
  }

  TestMachine t_;
  VirtualAddress base_;
  Transfers transfers_;
};

TEST_F(TransfersTest, NothingIsUnderWayAtFirst) {
  EXPECT_EQ(transfers_.next(), kNever);
  EXPECT_FALSE(transfers_.any());
  complete(Time(1'000'000));
}

TEST_F(TransfersTest, TransfersEndInTheOrderOfTheirTimes) {
  const std::array frames{begin(0), begin(2), begin(4)};
  read(Time(300), std::span(frames).subspan(0, 1));
  read(Time(100), std::span(frames).subspan(1, 1));
  read(Time(200), std::span(frames).subspan(2, 1));
  EXPECT_EQ(transfers_.next(), Time(100));
  complete(Time(99));
  EXPECT_TRUE(standby().empty());
  complete(Time(200));
  EXPECT_EQ(standby(), (std::vector{frames[1], frames[2]}));
  EXPECT_EQ(transfers_.next(), Time(300));
  complete(Time(1000));
  EXPECT_EQ(standby(), (std::vector{frames[1], frames[2], frames[0]}));
  EXPECT_EQ(transfers_.next(), kNever);
  EXPECT_EQ(t_.check(), "");
}

TEST_F(TransfersTest, TransfersOfTheSameTimeEndInTheOrderInWhichTheyBegan) {
  std::vector<Pfn> frames;
  for (const std::uint64_t page : {6U, 0U, 4U, 2U}) {
    frames.push_back(begin(page));
    read(Time(500), std::span(&frames.back(), 1));
  }
  complete(Time(500));
  EXPECT_EQ(standby(), frames);
  EXPECT_EQ(t_.check(), "");
}

TEST_F(TransfersTest, AllFramesOfATransferEndTogether) {
  const std::array frames{begin(1), begin(2), begin(3)};
  read(Time(500), frames);
  complete(Time(500));
  EXPECT_EQ(standby(), (std::vector<Pfn>(frames.begin(), frames.end())));
  EXPECT_EQ(t_.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
