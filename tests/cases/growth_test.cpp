// Costs that do not grow with what they should not depend on. Where a count says it, the count is tested; elsewhere the
// cost at 16 times the size, which may be twice the cost at the small size (tests/support/growth.h).
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "pagoda/mm/testing/test_machine.h"
#include "tests/support/growth.h"

namespace pagoda::mm::testing {
namespace {

using pagoda::testing::cost_of;
using pagoda::testing::does_not_grow;
using pagoda::testing::empty_caches;

constexpr PageCount kPagesOfALargePage{512};

// A machine with a real one's tunables; its space may use all memory.
TestMachineConfig machine_of(PageCount frames, ByteCount paging_file = 16_GiB) {
  return {.frames = frames,
          .tunables = Tunables::for_memory(frames),
          .paging_files = {{.name = "pagefile.sys", .disk = 0, .minimum = paging_file, .maximum = paging_file}},
          .limits = WorkingSet::Limits{.minimum = PageCount(50), .maximum = frames}};
}

// Processes with 16 pages each, which they have touched; the processor runs in the last of them.
std::vector<ProcessSpace*> add_processes(TestMachine& t, std::uint64_t count) {
  std::vector<ProcessSpace*> spaces;
  for (std::uint64_t i = 0; i < count; ++i) {
    ProcessSpace& space = t.add_space();
    for (Processor* cpu : t.machine().processors()) t.manager().attach(*cpu, space);
    const VirtualAddress base(space.reserve({.size = 64_KiB, .commit = MemCommit::kYes})->first);
    t.fill(base, PageCount(16));
    spaces.push_back(&space);
  }
  return spaces;
}

// A cost as a function of a size, at two sizes.
template <class Cost>
::testing::AssertionResult does_not_grow_from(std::uint64_t small, std::uint64_t large, const Cost& cost,
                                              double factor = 2) {
  return does_not_grow([&] { return cost(small); }, [&] { return cost(large); }, factor);
}

// --- Frames ---

// Every frame was used once. Below `end` the last frame of each 2 MB stays in use.
void fragment(TestMachine& t, PageCount end) {
  PfnDatabase& pfns = t.core().pfns;
  const LockGuard guard(pfns.lock);
  std::vector<Pfn> taken;
  for (auto frame = pfns.take(t.cpu(), Contents::kZeroed); frame; frame = pfns.take(t.cpu(), Contents::kZeroed))
    taken.push_back(frame->frame);
  for (const Pfn frame : taken) {
    if (frame.value() < end.value() && frame.value() % kPagesOfALargePage.value() == kPagesOfALargePage.value() - 1)
      pfns.make_nonpaged(frame);
    else
      pfns.give_back(frame, Contents::kZeroed);
  }
}

Result<VpnRange> reserve_large_pages(TestMachine& t, std::uint64_t count) {
  return t.space().reserve(t.cpu(), {.size = bytes_of(PageCount(count * kPagesOfALargePage.value())),
                                     .commit = MemCommit::kYes,
                                     .type = VadType::kLargePages});
}

TEST(Growth, ARunOfFramesIsRefusedAsFastOnALargerMachine) {
  EXPECT_TRUE(does_not_grow_from(1, 16, [](std::uint64_t gibibytes) {
    const PageCount frames = pages_of(ByteCount(gibibytes << 30));
    TestMachine t(machine_of(frames, 1_GiB));
    fragment(t, frames);
    return cost_of(100, [&] {
      for (int i = 0; i < 100; ++i) EXPECT_FALSE(reserve_large_pages(t, 1));
    });
  }));
}

TEST(Growth, LargePagesAreFoundAsFastBehindMoreFragments) {
  EXPECT_TRUE(does_not_grow_from(64, 1024, [](std::uint64_t fragmented) {
    const PageCount half(fragmented * kPagesOfALargePage.value());
    TestMachine t(machine_of(half + half + pages_of(32_MiB), 1_GiB));
    fragment(t, half);
    const std::uint64_t wanted = fragmented * 3 / 4;
    return cost_of(wanted, [&] { EXPECT_TRUE(reserve_large_pages(t, wanted)); });
  }));
}

// --- Pools ---

// The paging file is full but for single slots, one in 64, and a cluster of 16 is wanted.
TEST(Growth, SlotsAreFoundAsFastInALargerPagingFile) {
  EXPECT_TRUE(does_not_grow_from(64, 1024, [](std::uint64_t mebibytes) {
    const ByteCount size(mebibytes << 20);
    TestMachine t(machine_of(pages_of(512_MiB), size));
    auto& files = t.core().paging_files;
    const LockGuard guard(t.core().pfns.lock);
    for (std::uint64_t i = 0; i < pages_of(size).value() / 16; ++i) static_cast<void>(files.allocate(PageCount(16)));
    while (!files.free_slots().is_zero()) static_cast<void>(files.allocate(PageCount(1)));
    for (std::uint64_t slot = 64; slot < pages_of(size).value(); slot += 64)
      files[0].free(PageFileSlot(static_cast<std::uint32_t>(slot)));
    empty_caches();
    return cost_of(200, [&] {
      for (int i = 0; i < 200; ++i) EXPECT_EQ(files.allocate(PageCount(16)).count, PageCount(1));
    });
  }));
}

TEST(Growth, PrototypesAreFoundAsFastAmongMoreHoles) {
  EXPECT_TRUE(does_not_grow_from(500, 8000, [](std::uint64_t holes) {
    TestMachine t(machine_of(PageCount(600'000), 64_GiB));
    Sections& sections = t.manager().sections();
    std::vector<Section*> small;  // A page of prototypes each.
    for (std::uint64_t i = 0; i < 2 * holes; ++i) small.push_back(*sections.create(t.cpu(), {.size = 64_KiB}));
    for (std::uint64_t i = 0; i < small.size(); i += 2) sections.dereference(t.cpu(), *small[i]);
    empty_caches();
    return cost_of(64, [&] {
      for (int i = 0; i < 64; ++i) EXPECT_TRUE(sections.create(t.cpu(), {.size = 4_MiB}));  // Two pages.
    });
  }));
}

// 100 that were opened one after the other, amid those that are open; then the next 100. What is compared is not how much
// of it is in the caches: a section is little work on what lies in many places.
TEST(Growth, ASectionIsClosedAsFastAmongMore) {
  EXPECT_TRUE(does_not_grow_from(1000, 16'000, [](std::uint64_t count) {
    TestMachine t(machine_of(PageCount(300'000)));
    Sections& sections = t.manager().sections();
    const auto opened = [&] { return *sections.create(t.cpu(), {.size = 64_KiB}); };
    std::vector<Section*> open;
    while (open.size() < count) open.push_back(opened());
    constexpr std::uint64_t kClosed = 100;
    constexpr std::uint64_t kTurns = 8;
    double least = std::numeric_limits<double>::max();
    for (std::uint64_t turn = 0; turn < kTurns; ++turn) {
      Section** const first = &open[(count - kTurns * kClosed) / 2 + turn * kClosed];
      empty_caches();
      least = std::min(least, cost_of(kClosed, [&] {
                         for (std::uint64_t i = 0; i < kClosed; ++i)
                           sections.dereference(t.cpu(), *first[i * 37 % kClosed]);
                       }));
      for (std::uint64_t i = 0; i < kClosed; ++i) EXPECT_NE(opened(), nullptr);
    }
    return least;
  }));
}

// --- Regions ---

// Every other page is protected otherwise. The cost of a query, of so many from the page `first` on.
double cost_of_a_query(TestMachine& t, VirtualAddress base, std::uint64_t runs, std::uint64_t first,
                       std::uint64_t queries) {
  for (std::uint64_t i = 0; i < runs; i += 2)
    EXPECT_TRUE(t.space().protect(t.cpu(), TestMachine::page(base, i), kPageSize, Protection::kReadOnly));
  empty_caches();
  return cost_of(queries, [&] {
    for (std::uint64_t i = first; i < first + queries; ++i)
      EXPECT_EQ(t.space().query(t.cpu(), TestMachine::page(base, i))->size, kPageSize);
  });
}

// In the middle, as far from either end as can be.
TEST(Growth, AQueryIsAsFastInARegionOfMoreRuns) {
  EXPECT_TRUE(does_not_grow_from(4096, 65'536, [](std::uint64_t runs) {
    TestMachine t(machine_of(PageCount(600'000)));
    return cost_of_a_query(t, t.commit(PageCount(runs)), runs, runs / 2, 512);
  }));
}

TEST(Growth, AWalkOverAllRunsIsLinear) {
  EXPECT_TRUE(does_not_grow_from(4096, 65'536, [](std::uint64_t runs) {
    TestMachine t(machine_of(PageCount(600'000)));
    return cost_of_a_query(t, t.commit(PageCount(runs)), runs, 0, runs);
  }));
}

// Their section is asked for the pages that nobody touched.
TEST(Growth, AWalkOverAllRunsOfAReservedSectionsViewIsLinear) {
  EXPECT_TRUE(does_not_grow_from(2048, 32'768, [](std::uint64_t runs) {
    TestMachine t(machine_of(PageCount(600'000)));
    Section& section =
        **t.manager().sections().create(t.cpu(), {.size = bytes_of(PageCount(runs)), .flags = {.reserve = true}});
    const VirtualAddress base(
        t.space()
            .map_view(t.cpu(), section, {.commit = bytes_of(PageCount(runs)), .protection = Protection::kReadWrite})
            ->first);
    return cost_of_a_query(t, base, runs, 0, runs);
  }));
}

// Something is done to 64 KB at the end of a region of pages that were all written, 64 times.
template <class Change>
::testing::AssertionResult end_changes_as_fast(const Change& change) {
  return does_not_grow_from(4096, 65'536, [&](std::uint64_t pages) {
    TestMachine t(machine_of(PageCount(600'000)));
    const VirtualAddress base = t.commit(PageCount(pages));
    t.fill(base, PageCount(pages));
    return cost_of(64, [&] {
      for (std::uint64_t i = 1; i <= 64; ++i) EXPECT_TRUE(change(t, TestMachine::page(base, pages - 16 * i)));
    });
  });
}

TEST(Growth, ARegionsEndIsReleasedAsFastWhereItIsLarger) {
  EXPECT_TRUE(end_changes_as_fast(
      [](TestMachine& t, VirtualAddress at) { return t.space().release(t.cpu(), at, 64_KiB).has_value(); }));
}

TEST(Growth, ARegionsEndIsDecommittedAsFastWhereItIsLarger) {
  EXPECT_TRUE(end_changes_as_fast(
      [](TestMachine& t, VirtualAddress at) { return t.space().decommit(t.cpu(), at, 64_KiB).has_value(); }));
}

TEST(Growth, ARegionsEndIsDiscardedAsFastWhereItIsLarger) {
  EXPECT_TRUE(end_changes_as_fast([](TestMachine& t, VirtualAddress at) {
    return t.space().discard(t.cpu(), {at.vpn(), pages_of(64_KiB)}).has_value();
  }));
}

// --- Views of which nothing was touched ---

class UntouchedView {
 public:
  explicit UntouchedView(std::uint64_t gibibytes)
      : size_(gibibytes << 30),
        t_({.frames = pages_of(1_GiB),
            .tunables = Tunables::for_memory(pages_of(1_GiB)),
            .disks = {{.capacity = ByteCount(std::uint64_t{1} << 43)}},
            .paging_files = {{.name = "pagefile.sys", .disk = 0, .minimum = 1_GiB, .maximum = 1_GiB}}}),
        base_(map()) {}

  Result<Protection> protect() { return t_.space().protect(t_.cpu(), base_, size_, Protection::kReadOnly); }
  Result<> lock() { return t_.space().lock_pages(t_.cpu(), base_, size_, LockKind::kInWorkingSet); }
  std::uint64_t page_tables() { return t_.manager().counters().page_tables_made; }

 private:
  VirtualAddress map() {
    Section& section =
        **t_.manager().sections().create(t_.cpu(), {.file = t_.add_file(pages_of(size_)), .kind = SectionKind::kData});
    return VirtualAddress(t_.space().map_view(t_.cpu(), section, {.protection = Protection::kReadWrite})->first);
  }

  ByteCount size_;
  TestMachine t_;
  VirtualAddress base_;
};

TEST(Growth, ProtectingAnUntouchedViewMakesNoPageTables) {
  UntouchedView view(256);
  const std::uint64_t before = view.page_tables();
  ASSERT_TRUE(view.protect());
  EXPECT_EQ(view.page_tables(), before);
}

TEST(Growth, ProtectingAnUntouchedViewIsAsFastWhereItIsLarger) {
  EXPECT_TRUE(does_not_grow_from(16, 256, [](std::uint64_t gibibytes) {
    UntouchedView view(gibibytes);
    return cost_of(1, [&] { EXPECT_TRUE(view.protect()); });
  }));
}

TEST(Growth, ProtectingUntouchedPrivateMemoryMakesNoPageTables) {
  TestMachine t(machine_of(PageCount(600'000), 128_GiB));
  const VirtualAddress base = t.commit(pages_of(64_GiB));
  const std::uint64_t before = t.manager().counters().page_tables_made;
  EXPECT_EQ(t.space().protect(t.cpu(), base, 64_GiB, Protection::kReadOnly), Protection::kReadWrite);
  EXPECT_EQ(t.manager().counters().page_tables_made, before);
  EXPECT_EQ(t.put(base, 5, 1), Status::kAccessViolation);
  EXPECT_EQ(t.check(), "");
}

TEST(Growth, ProtectingUntouchedPrivateMemoryIsAsFastWhereItIsLarger) {
  EXPECT_TRUE(does_not_grow_from(4, 64, [](std::uint64_t gibibytes) {
    TestMachine t(machine_of(PageCount(600'000), 128_GiB));
    const ByteCount size(gibibytes << 30);
    const VirtualAddress base = t.commit(pages_of(size));
    return cost_of(100, [&] {
      for (int i = 0; i < 100; ++i)
        EXPECT_TRUE(
            t.space().protect(t.cpu(), base, size, i % 2 == 0 ? Protection::kReadOnly : Protection::kReadWrite));
    });
  }));
}

// It is refused: the view is larger than memory.
TEST(Growth, LockingAnUntouchedViewIsRefusedAsFastWhereItIsLarger) {
  EXPECT_TRUE(does_not_grow_from(16, 256, [](std::uint64_t gibibytes) {
    UntouchedView view(gibibytes);
    return cost_of(1, [&] { EXPECT_FALSE(view.lock()); });
  }));
}

// --- Processes ---

TEST(Growth, AShortageWithNothingToTrimIsAsFastBesideMoreProcesses) {
  EXPECT_TRUE(does_not_grow_from(100, 1600, [](std::uint64_t processes) {
    TestMachine t(machine_of(PageCount(200'000)));
    add_processes(t, processes);
    return cost_of(1000, [&] {
      for (int i = 0; i < 1000; ++i) static_cast<void>(t.manager().balance_set_manager().trim(t.cpu(), PageCount(1)));
    });
  }));
}

// All processes are trimmed to their last page, and more is wanted.
TEST(Growth, AShortageIsAsFastBesideMoreProcessesWithoutAPage) {
  EXPECT_TRUE(does_not_grow_from(100, 1600, [](std::uint64_t processes) {
    TestMachine t(machine_of(PageCount(200'000)));
    add_processes(t, processes);
    BalanceSetManager& balance = t.manager().balance_set_manager();
    const PageCount all(200'000);
    while (!balance.trim(t.cpu(), all).is_zero()) {
    }
    return cost_of(1000, [&] {
      for (int i = 0; i < 1000; ++i) EXPECT_EQ(balance.trim(t.cpu(), all), 0_pages);
    });
  }));
}

// One process writes twice as many pages as there is memory for, in order, twice; the others sleep at their minimum, with
// 16 pages and four page tables each. There is as much memory for the one beside many as beside few.
TEST(Growth, ThrashingIsAsFastBesideMoreIdleProcesses) {
  const auto cost = [](std::uint64_t idle) {
    constexpr PageCount kPages{16'384};
    TestMachine t(machine_of(PageCount(8192 + idle * 20)));
    add_processes(t, idle);
    t.manager().attach(t.cpu(), t.space());
    const VirtualAddress base = t.commit(kPages);
    t.fill(base, kPages);
    return cost_of(kPages.value(), [&] { t.fill(base, kPages); });
  };
  EXPECT_TRUE(does_not_grow_from(1, 1000, cost, 1.2));
}

TestMachineConfig machine_with(unsigned processors) {
  TestMachineConfig config = machine_of(PageCount(200'000));
  config.processors = processors;
  return config;
}

// The balance set manager ages 200 processes, each of which ran on every processor once.
TEST(Growth, AgingIsAsFastOnMoreProcessors) {
  EXPECT_TRUE(does_not_grow_from(2, 32, [](std::uint64_t processors) {
    TestMachine t(machine_with(static_cast<unsigned>(processors)));
    add_processes(t, 200);
    t.cpu().advance_to(t.cpu().now() + 1_s);
    return cost_of(1, [&] { t.manager().balance_set_manager().run(t.cpu()); });
  }));
}

TEST(Growth, AgingInterruptsNoProcessorForSpacesThatLeftIt) {
  TestMachine t(machine_with(2));
  add_processes(t, 200);
  t.manager().attach(t.cpu(1), t.add_space());
  const std::uint64_t before = t.cpu(1).counts().shootdowns_received;
  t.cpu().advance_to(t.cpu().now() + 1_s);
  t.manager().balance_set_manager().run(t.cpu());
  EXPECT_EQ(t.cpu(1).counts().shootdowns_received, before);
}

// --- Forks ---

class ManyForks : public ::testing::Test {
 protected:
  static constexpr PageCount kPages{64};
  static constexpr std::uint64_t kForks = 500;

  // One page is written before each fork.
  void SetUp() override {
    base_ = t_.commit(kPages);
    t_.fill(base_, kPages);
    for (std::uint64_t i = 0; i < kForks; ++i) {
      t_.must_put(base_, i % kPages.value(), i);
      children_.push_back(*t_.manager().clone_space(t_.cpu(), t_.space()));
    }
  }

  TestMachine t_{machine_of(PageCount(40'000), 256_MiB)};
  VirtualAddress base_;
  std::vector<ProcessSpace*> children_;
};

TEST_F(ManyForks, TakeAPageOfPrototypesForEightDirtyPagesAtMost) {
  EXPECT_LE(t_.manager().frame_counts().prototypes.value(), (kPages.value() + kForks) / 8);
  EXPECT_EQ(t_.check(), "");
}

TEST_F(ManyForks, LeaveTheirParentASoleOwnerThatCopiesNothing) {
  for (ProcessSpace* child : children_) t_.manager().destroy_space(t_.cpu(), *child);
  const std::uint64_t before = t_.faults(FaultKind::kCopyOnWrite);
  t_.fill(base_, kPages);
  EXPECT_EQ(t_.faults(FaultKind::kCopyOnWrite), before);
  EXPECT_EQ(t_.check(), "");
}

}  // namespace
}  // namespace pagoda::mm::testing
