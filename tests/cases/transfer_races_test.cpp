// What another thread does while a disk transfer is under way must not reach what the transfer uses: its slots, its
// frames and its entries are the transfer's until it ends.
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <utility>

#include "pagoda/mm/testing/test_machine.h"
#include "tests/support/in_child.h"

namespace pagoda::mm::testing {
namespace {

using machine::testing::in_another_thread;

// Two processes, each on a processor of its own, and a paging file of 255 slots.
class TransferRaces : public ::testing::Test {
 protected:
  static constexpr unsigned kFirst = 0;  // Processors.
  static constexpr unsigned kSecond = 1;

  explicit TransferRaces(PageCount frames = PageCount(1024))
      : t_({.frames = frames,
            .processors = 2,
            .paging_files = {{.name = "pagefile.sys", .disk = 0, .minimum = 1_MiB, .maximum = 1_MiB}}}),
        other_(t_.add_space()) {
    t_.manager().attach(t_.cpu(kSecond), other_);
  }

  static VirtualAddress commit(ProcessSpace& space, PageCount pages) {
    return VirtualAddress(space.reserve({.size = bytes_of(pages), .commit = MemCommit::kYes})->first);
  }
  void finish_io() {
    t_.finish_io(kFirst);
    t_.finish_io(kSecond);
  }
  // Pages fill the paging file but for one slot.
  void leave_one_slot() {
    const PageCount fillers(254);
    t_.fill(t_.commit(fillers), fillers);
    t_.push_out();
    ASSERT_EQ(t_.slots_used(), fillers);
  }

  TestMachine t_;
  ProcessSpace& other_;
};

// A page of the first process and one of the second, and a single free slot, which the first page's write takes.
class SlotRaces : public TransferRaces {
 protected:
  static constexpr std::uint64_t kOthersValue = 0xBBBB;

  void SetUp() override {
    leave_one_slot();
    mine_ = t_.commit(PageCount(1));
    others_ = commit(other_, PageCount(1));
    t_.must_put(mine_, 0, 0xAAAA, kFirst);
    t_.must_put(others_, 0, kOthersValue, kSecond);
    t_.space().empty_working_set(t_.cpu(kFirst));
  }
  // The second process's page is modified, and a writer looks for a slot for it: the only one is a transfer's still.
  void write_others_page() {
    other_.empty_working_set(t_.cpu(kSecond));
    EXPECT_FALSE(t_.manager().modified_writer().write_cluster(t_.cpu(kSecond)));
  }
  // The first page is written, while `meanwhile` happens on the second processor; then both pages leave memory.
  void write_while(std::function<void()> meanwhile) {
    t_.hooks().during_write = [meanwhile = std::move(meanwhile)] { in_another_thread(meanwhile); };
    ASSERT_TRUE(t_.manager().modified_writer().write_cluster(t_.cpu(kFirst)));
    finish_io();
    t_.reuse_standby();
  }

  VirtualAddress mine_;
  VirtualAddress others_;
};

TEST_F(SlotRaces, ASlotIsNotReusedWhileItsPageIsWrittenAndDirtiedAgain) {
  write_while([this] {
    // The program stores into the page again, which is in transition.
    t_.manager().attach(t_.cpu(kSecond), t_.space());
    t_.must_put(mine_, 0, 0xA2A2, kSecond);
    t_.manager().attach(t_.cpu(kSecond), other_);
    write_others_page();
  });
  EXPECT_EQ(t_.get(others_, 0, kSecond), kOthersValue);
  EXPECT_EQ(t_.get(mine_, 0, kFirst), 0xA2A2U);
  EXPECT_EQ(t_.check(), "");
}

TEST_F(SlotRaces, ASlotIsNotReusedWhileItsPageIsWrittenAndReleased) {
  write_while([this] {
    ASSERT_TRUE(t_.space().release(t_.cpu(kSecond), mine_, ByteCount()));
    write_others_page();
  });
  EXPECT_EQ(t_.get(others_, 0, kSecond), kOthersValue);
  EXPECT_EQ(t_.check(), "");
}

TEST_F(TransferRaces, AFailedClusterReadLeavesPagesAloneThatWereFreedMeanwhile) {
  const VirtualAddress base = t_.commit(PageCount(8));
  t_.fill(base, PageCount(8));
  ProcessSpace& child = **t_.manager().clone_space(t_.cpu(kFirst), t_.space());
  t_.push_out();
  ASSERT_TRUE(child.decommit(t_.cpu(kSecond), TestMachine::page(base, 1), kPageSize));
  t_.manager().attach(t_.cpu(kSecond), child);

  // The child reads a cluster. Meanwhile the last reference to its second page ends, and then the disk fails. (In a
  // process of its own, since that may end in a failed assertion.)
  const std::string difference = pagoda::testing::in_child([&] {
    t_.injection().read_error_rate = 1;
    t_.hooks().during_read = [&] {
      in_another_thread(
          [&] { EXPECT_TRUE(t_.space().decommit(t_.cpu(kFirst), TestMachine::page(base, 1), kPageSize)); });
    };
    if (t_.get(base, 0, kSecond)) return std::string("the disk was to fail");
    t_.injection().read_error_rate = 0;
    finish_io();
    if (t_.get(base, 0, kSecond) != 1U) return std::string("the page has other contents");
    return t_.check();
  });
  EXPECT_EQ(difference, "");
}

class ShortRaces : public TransferRaces {
 protected:
  ShortRaces() : TransferRaces(PageCount(256)) {}
};

TEST_F(ShortRaces, AFaultWaitsForAWriteThatIsAboutToFreeMemory) {
  const VirtualAddress written = t_.commit(PageCount(16));
  const VirtualAddress wanted = commit(other_, PageCount(1));
  t_.fill(written, PageCount(16));
  t_.while_only(PageCount(4), [&] {
    t_.space().empty_working_set(t_.cpu(kFirst));
    std::future<Status> fault;
    t_.hooks().during_write = [&] {
      fault = std::async(std::launch::async, [&] { return t_.put(wanted, 0, 1, kSecond); });
      std::this_thread::sleep_for(std::chrono::milliseconds(20));  // It finds the write under way, or at its end.
    };
    ASSERT_TRUE(t_.manager().modified_writer().write_cluster(t_.cpu(kFirst)));
    EXPECT_EQ(fault.get(), Status::kSuccess) << "16 pages were on their way to the disk";
    finish_io();
  });
  EXPECT_EQ(t_.check(), "");
}

TEST_F(TransferRaces, SharersOfAPageThatIsBeingReadWait) {
  Section& section = **t_.manager().sections().create(t_.cpu(kFirst), {.size = 64_KiB});
  const VirtualAddress mine(t_.space().map_view(t_.cpu(kFirst), section, {})->first);
  const VirtualAddress others(other_.map_view(t_.cpu(kSecond), section, {})->first);
  t_.must_put(mine, 0, 7, kFirst);
  t_.push_out();

  const std::uint64_t before = t_.cpu(kSecond).counts().faults;
  std::future<Result<std::uint64_t>> sharer;
  t_.hooks().during_read = [&] {
    sharer = std::async(std::launch::async, [&] { return t_.get(others, 0, kSecond); });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // Long enough for a thread that spins to show it.
  };
  EXPECT_EQ(t_.get(mine, 0, kFirst), 7U);
  EXPECT_EQ(sharer.get(), 7U);
  EXPECT_LT(t_.cpu(kSecond).counts().faults - before, 10U) << "20 ms of faults on one page";
}

// While the disk reads a page of a process, nothing else of the process waits for it. (A thread that does not wait is
// done at once; the patience is for one that does.)
class LocksDuringTransfers : public TransferRaces {
 protected:
  static constexpr std::chrono::milliseconds kPatience{300};

  void SetUp() override {
    base_ = t_.commit(PageCount(8));
    t_.fill(base_, PageCount(8));
    t_.push_out();
  }
  // Whether `other`, begun while the disk reads, ends before the read does.
  bool ends_during_read(const std::function<void()>& other) {
    std::future<void> future;
    bool ended = false;
    t_.hooks().during_read = [&] {
      future = std::async(std::launch::async, other);
      ended = future.wait_for(kPatience) == std::future_status::ready;
    };
    EXPECT_EQ(t_.get(base_, 0, kFirst), 1U);
    future.wait();
    return ended;
  }

  VirtualAddress base_;
};

TEST_F(LocksDuringTransfers, AQueryOfTheProcessDoesNotWaitForItsDisk) {
  EXPECT_TRUE(
      ends_during_read([this] { static_cast<void>(t_.space().query(t_.cpu(kSecond), TestMachine::page(base_, 5))); }));
}

TEST_F(LocksDuringTransfers, TheBalanceSetManagerDoesNotWaitForAProcesssDisk) {
  EXPECT_TRUE(ends_during_read(
      [this] { static_cast<void>(t_.manager().balance_set_manager().trim(t_.cpu(kSecond), PageCount(2000))); }));
}

TEST_F(LocksDuringTransfers, NothingElseWaitsBehindTheBalanceSetManager) {
  std::future<void> trimmer;
  EXPECT_TRUE(ends_during_read([&] {
    trimmer = std::async(std::launch::async, [this] {
      static_cast<void>(t_.manager().balance_set_manager().trim(t_.cpu(kSecond), PageCount(2000)));
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // It has the list of spaces by then.
    static_cast<void>(t_.manager().counters());
  }));
  trimmer.wait();
}

}  // namespace
}  // namespace pagoda::mm::testing
