#include "pagoda/hv/shadow_mmu.h"

#include <gtest/gtest.h>

#include "pagoda/hv/testing/raw_guest.h"

namespace pagoda::hv::testing {
namespace {

using machine::Access;
using machine::Asid;
using machine::Privilege;
using machine::PteFormat;
using namespace machine::pte_bits;

constexpr Asid kOne{1};
constexpr Asid kTwo{2};
constexpr VirtualAddress kVa{0x00400000};
constexpr VirtualAddress kNext{0x00401000};
constexpr VirtualAddress kFar{0x40000000};  // Another leaf table maps it, and in PAE another table above.

constexpr machine::RawPte kRights = RawGuest::kRights;

class ShadowMmus : public ::testing::TestWithParam<PteFormat> {
 protected:
  ShadowMmus() : g(host, {.paging = GetParam()}), root(g.new_root()) {}
  Gfn page(Gfn under, VirtualAddress va, std::uint64_t value, machine::RawPte bits = kRights) {
    return g.page(under, va, value, bits);
  }

  TestHost host;
  RawGuest g;
  const Gfn root;
};
INSTANTIATE_TEST_SUITE_P(Modes, ShadowMmus, ::testing::Values(PteFormat::kAmd64, PteFormat::kPae, PteFormat::kX86));

TEST_P(ShadowMmus, TheFirstTouchIsOneHiddenFault) {
  const Gfn frame = page(root, kVa, 7);
  g.load_root(root, kOne);
  const std::uint64_t exits = g.counts().exits;
  const Time before = g.cpu().now();
  EXPECT_EQ(g.value(kVa), 7U);
  EXPECT_EQ(g.counts().hidden_faults, 1U);
  EXPECT_EQ(g.counts().true_faults, 0U);
  EXPECT_EQ(g.counts().exits - exits, 1U);
  // A world switch, and the loads of a root without entries and of the four levels after it: 4200 + 5 * 12 cycles.
  EXPECT_EQ(g.cpu().now() - before, 1420_ns);
  EXPECT_EQ(g.value(kVa), 7U);
  EXPECT_EQ(g.counts().hidden_faults, 1U);
  EXPECT_EQ(g.shadow_entry(root, kVa)->guest, frame);
  EXPECT_EQ(g.check(), "");
}

TEST_P(ShadowMmus, AFaultThatTheGuestsTablesRaiseIsTheGuests) {
  page(root, kVa, 7, kUser);
  g.load_root(root, kOne);
  EXPECT_FALSE(g.read(kNext));
  EXPECT_FALSE(g.fault()->present);
  EXPECT_EQ(g.counts().true_faults, 1U);
  EXPECT_FALSE(g.write(kVa));
  EXPECT_TRUE(g.fault()->present);
  EXPECT_EQ(g.counts().true_faults, 2U);
  EXPECT_EQ(g.counts().hidden_faults, 0U);
  EXPECT_EQ(g.check(), "");
}

TEST_P(ShadowMmus, AccessedAndDirtyComeIntoTheGuestsEntryAtTheFirstUseOfEachKind) {
  page(root, kVa, 7);
  g.load_root(root, kOne);
  EXPECT_EQ(g.get(root, kVa) & (kAccessed | kDirty), 0U);
  EXPECT_TRUE(g.read(kVa));
  EXPECT_EQ(g.get(root, kVa) & (kAccessed | kDirty), kAccessed);
  EXPECT_FALSE(g.shadow_entry(root, kVa)->writable);
  EXPECT_TRUE(g.write(kVa, 8));
  EXPECT_EQ(g.get(root, kVa) & (kAccessed | kDirty), kAccessed | kDirty);
  EXPECT_TRUE(g.shadow_entry(root, kVa)->writable);
  EXPECT_EQ(g.counts().hidden_faults, 2U);
  EXPECT_EQ(g.check(), "");
}

TEST_P(ShadowMmus, APageThatIsDirtyForBothIsWritableFromItsFirstRead) {
  page(root, kVa, 7, kRights | kAccessed | kDirty);
  g.load_root(root, kOne);
  EXPECT_TRUE(g.read(kVa));
  EXPECT_TRUE(g.write(kVa, 8));
  EXPECT_EQ(g.counts().hidden_faults, 1U);
  EXPECT_EQ(g.check(), "");
}

TEST_P(ShadowMmus, ASwitchBackFindsTheTree) {
  const Gfn second = g.new_root();
  page(root, kVa, 1);
  page(second, kVa, 2);
  // Without tags, so that the processor's own TLB keeps nothing.
  g.load_root(root, machine::kUntagged);
  EXPECT_EQ(g.value(kVa), 1U);
  g.load_root(second, machine::kUntagged);
  EXPECT_EQ(g.value(kVa), 2U);
  EXPECT_EQ(g.counts().hidden_faults, 2U);
  EXPECT_EQ(g.counts().root_hits, 0U);
  for (int i = 0; i < 5; ++i) {
    g.load_root(root, machine::kUntagged);
    EXPECT_EQ(g.value(kVa), 1U);
    g.load_root(second, machine::kUntagged);
    EXPECT_EQ(g.value(kVa), 2U);
  }
  EXPECT_EQ(g.counts().hidden_faults, 2U);
  EXPECT_EQ(g.counts().root_hits, 10U);
  EXPECT_EQ(g.counts().root_loads, 12U);
  EXPECT_EQ(g.check(), "");
}

// Adams & Agesen's ptemod: an entry is rewritten, invalidated and used. Three exits, of which going out of sync saves
// the traced write.
TEST(ShadowMmu, RewritingAnEntryCostsThreeExitsAndTwoOutOfSync) {
  for (const bool unsync : {false, true}) {
    TestHost host;
    RawGuest g(host, {.unsync = unsync});
    const Gfn root = g.new_root();
    std::array<Gfn, 2> frames{g.take(), g.take()};
    for (const Gfn frame : frames) g.put_in_frame(frame, frame.value());
    g.map(root, kVa, frames[0]);
    g.load_root(root, kOne);
    EXPECT_EQ(g.value(kVa), frames[0].value());
    const auto rewrite = [&](Gfn frame) {
      g.map(root, kVa, frame);
      g.cpu().invalidate_page(kVa, kOne);
      EXPECT_EQ(g.value(kVa), frame.value());
    };
    rewrite(frames[1]);
    const std::uint64_t before = g.counts().exits;
    constexpr unsigned kTimes = 10;
    for (unsigned i = 0; i < kTimes; ++i) rewrite(frames[i % 2]);
    EXPECT_EQ(g.counts().exits - before, kTimes * (unsync ? 2U : 3U));
    EXPECT_EQ(g.counts().table_writes, unsync ? 1U : kTimes + 1U);
    EXPECT_EQ(g.counts().unsyncs, unsync ? 1U : 0U);
    EXPECT_EQ(g.check(), "");
  }
}

TEST_P(ShadowMmus, AnEntryOfAnUnsyncTableIsStaleUntilItIsInvalidated) {
  page(root, kVa, 1);
  page(root, kNext, 2);
  g.load_root(root, kOne);
  EXPECT_EQ(g.value(kVa), 1U);
  EXPECT_EQ(g.value(kNext), 2U);
  page(root, kVa, 11);
  page(root, kNext, 12);
  EXPECT_EQ(g.counts().unsyncs, 1U);
  EXPECT_EQ(g.counts().table_writes, 1U);
  g.cpu().forget_all();  // The processor's own TLB.
  EXPECT_EQ(g.value(kVa), 1U);
  g.cpu().invalidate_page(kVa, kOne);
  EXPECT_EQ(g.value(kVa), 11U);
  EXPECT_EQ(g.value(kNext), 2U);
  EXPECT_EQ(g.check(), "");
}

TEST_P(ShadowMmus, LoadingTheRootBringsItsTablesBackInSync) {
  page(root, kVa, 1);
  page(root, kNext, 2);
  g.load_root(root, kOne);
  EXPECT_TRUE(g.read(kVa));
  EXPECT_TRUE(g.read(kNext));
  page(root, kVa, 11);
  g.load_root(root, machine::kUntagged);
  EXPECT_EQ(g.counts().resyncs, 1U);
  EXPECT_EQ(g.value(kVa), 11U);
  EXPECT_EQ(g.counts().hidden_faults, 3U);
  EXPECT_EQ(g.value(kNext), 2U);  // Stayed.
  EXPECT_EQ(g.counts().hidden_faults, 3U);
  EXPECT_EQ(g.counts().table_writes, 1U);
  page(root, kVa, 21);  // Traced again.
  EXPECT_EQ(g.counts().table_writes, 2U);
  EXPECT_EQ(g.check(), "");
}

TEST_P(ShadowMmus, RightsThatAreTakenAwayAreGoneAfterTheLoad) {
  const auto at = [](std::uint64_t i) { return kVa + ByteCount(i * kPageBytes); };
  for (std::uint64_t i = 0; i < 6; ++i) page(root, at(i), i);
  g.load_root(root, machine::kUntagged);
  for (std::uint64_t i = 0; i < 6; ++i) EXPECT_TRUE(g.write(at(i), i));
  const auto take = [&](std::uint64_t i, machine::RawPte bits) { g.set(root, at(i), g.get(root, at(i)) & ~bits); };
  take(0, kWrite);
  take(1, kAccessed | kDirty);
  take(2, kDirty);
  take(3, kUser);
  take(4, kValid);
  g.load_root(root, machine::kUntagged);
  EXPECT_EQ(g.counts().resyncs, 1U);
  for (std::uint64_t i = 0; i < 5; ++i) EXPECT_FALSE(g.shadow_entry(root, at(i))) << i;
  EXPECT_TRUE(g.shadow_entry(root, at(5)));
  EXPECT_FALSE(g.write(at(0)));
  EXPECT_TRUE(g.fault()->present);
  EXPECT_EQ(g.value(at(0)), 0U);
  for (const std::uint64_t i : {1, 2}) {
    EXPECT_TRUE(g.read(at(i)));
    EXPECT_EQ(g.get(root, at(i)) & (kAccessed | kDirty), kAccessed);
    EXPECT_TRUE(g.write(at(i), i));
    EXPECT_EQ(g.get(root, at(i)) & (kAccessed | kDirty), kAccessed | kDirty);
  }
  EXPECT_FALSE(g.read(at(3)));
  EXPECT_FALSE(g.read(at(4)));
  EXPECT_EQ(g.value(at(5)), 5U);
  EXPECT_EQ(g.check(), "");
}

TEST_P(ShadowMmus, FlushesBringTablesInSync) {
  page(root, kVa, 1);
  g.load_root(root, kOne);
  std::uint64_t value = 1;
  const auto expect_flushed = [&](auto&& flush, bool expected) {
    EXPECT_EQ(g.value(kVa), value);
    page(root, kVa, value + 1);
    flush();
    g.cpu().forget_all();
    EXPECT_EQ(g.value(kVa), expected ? value + 1 : value);
    g.cpu().invalidate_all();
    ++value;
  };
  expect_flushed([&] { g.cpu().invalidate_asid(kOne); }, true);
  expect_flushed([&] { g.cpu().invalidate_asid(kTwo); }, false);
  expect_flushed([&] { g.cpu().invalidate_all(); }, true);
  expect_flushed([&] { g.cpu().invalidate_range({kVa.vpn(), 64_pages}, kOne); }, true);
  expect_flushed([&] { g.cpu().invalidate_page(kVa, kTwo); }, false);
  expect_flushed([&] { g.cpu().set_walk_rules({.write_protect = false}); }, true);
  expect_flushed([&] { g.cpu().set_walk_rules({}); }, true);
  EXPECT_EQ(g.check(), "");
}

TEST_P(ShadowMmus, AWriteAboveTheLeavesDropsWhatDerivesFromTheEntry) {
  page(root, kVa, 1);
  page(root, kFar, 2);
  const Gfn other = g.new_root();
  page(other, kVa, 11);
  g.load_root(root, kOne);
  EXPECT_EQ(g.value(kVa), 1U);
  EXPECT_EQ(g.value(kFar), 2U);
  g.set(root, kVa, g.get(other, kVa, 2), 2);
  EXPECT_EQ(g.counts().table_writes, 1U);
  EXPECT_EQ(g.counts().unsyncs, 0U);
  EXPECT_FALSE(g.shadow_entry(root, kVa));
  EXPECT_TRUE(g.shadow_entry(root, kFar));
  g.cpu().invalidate_page(kVa, kOne);
  EXPECT_EQ(g.value(kVa), 11U);
  EXPECT_EQ(g.check(), "");
}

TEST_P(ShadowMmus, AProgramMayWriteItsOwnLeafTable) {
  page(root, kVa, 1);
  const Gfn other = g.take();
  g.put_in_frame(other, 11);
  const Gfn table = g.table(root, kVa);
  g.map(root, kNext, table, kRights | kAccessed | kDirty);
  g.load_root(root, kOne);
  EXPECT_EQ(g.value(kVa), 1U);
  const VirtualAddress slot = kNext + ByteCount(g.entry(root, kVa).page_offset());
  EXPECT_TRUE(g.read(slot));
  EXPECT_FALSE(g.shadow_entry(root, kNext)->writable);  // Though it is dirty.
  EXPECT_EQ(g.check(), "");
  const std::uint64_t raw = GuestPhysicalAddress(other).value() | kValid | kRights;
  if (g.mode().entry_bytes == 8) {
    EXPECT_TRUE(g.cpu().store<std::uint64_t>(slot, raw));
  } else {
    EXPECT_TRUE(g.cpu().store<std::uint32_t>(slot, static_cast<std::uint32_t>(raw)));
  }
  EXPECT_EQ(g.counts().unsyncs, 1U);
  EXPECT_EQ(g.check(), "");
  g.cpu().invalidate_page(kVa, kOne);
  EXPECT_EQ(g.value(kVa), 11U);
  // In sync again: the page that is the table cannot be written unseen.
  g.load_root(root, kOne);
  EXPECT_FALSE(g.shadow_entry(root, kNext)->writable);
  EXPECT_TRUE(g.write(slot, raw));
  EXPECT_EQ(g.counts().unsyncs, 2U);
  EXPECT_EQ(g.check(), "");
}

TEST_P(ShadowMmus, AProgramMayWriteItsOwnRoot) {
  page(root, kVa, 1);
  g.map(root, kNext, root);
  g.load_root(root, kOne);
  EXPECT_EQ(g.value(kVa), 1U);
  const VirtualAddress end_of_root = kNext + ByteCount(kPageBytes - 8);
  for (std::uint64_t i = 1; i <= 3; ++i) {
    EXPECT_TRUE(g.write(end_of_root, 0));
    EXPECT_EQ(g.counts().unshadowed, i);
    EXPECT_FALSE(g.shadow_entry(root, kVa));
    EXPECT_EQ(g.check(), "");
    g.cpu().invalidate_page(kVa, kOne);
    EXPECT_EQ(g.value(kVa), 1U);  // The root is traced again.
    EXPECT_TRUE(g.shadow().traced().is_traced(root));
    EXPECT_EQ(g.check(), "");
  }
}

TEST_P(ShadowMmus, ATableFrameThatIsZeroedIsDataNow) {
  page(root, kVa, 1);
  page(root, kNext, 2);
  g.load_root(root, kOne);
  EXPECT_TRUE(g.read(kVa));
  EXPECT_TRUE(g.read(kNext));
  const Gfn table = g.table(root, kVa);
  g.zero(table);
  EXPECT_EQ(g.counts().unshadowed, 1U);
  EXPECT_FALSE(g.shadow().traced().is_traced(table));
  EXPECT_FALSE(g.shadow_entry(root, kVa));
  EXPECT_FALSE(g.shadow_entry(root, kNext));
  const std::uint64_t writes = g.counts().table_writes;
  g.put_in_frame(table, 0);
  EXPECT_EQ(g.counts().table_writes, writes);
  EXPECT_EQ(g.check(), "");
}

TEST_P(ShadowMmus, ATableAboveThatIsWrittenWithoutBeingUsedIsDataNow) {
  page(root, kVa, 1);
  page(root, kFar, 2);
  g.load_root(root, kOne);
  EXPECT_EQ(g.value(kFar), 2U);
  const unsigned level = std::min(g.mode().levels, 3U);
  const auto write = [&] { g.set(root, VirtualAddress(0x80000000), 0, level); };
  for (unsigned i = 1; i < ShadowMmu::kWriteFlood; ++i) write();
  EXPECT_EQ(g.value(kVa), 1U);  // Its use forgives them.
  for (unsigned i = 1; i < ShadowMmu::kWriteFlood; ++i) write();
  EXPECT_EQ(g.counts().unshadowed, 0U);
  EXPECT_TRUE(g.shadow_entry(root, kFar));
  write();
  EXPECT_EQ(g.counts().unshadowed, 1U);
  EXPECT_FALSE(g.shadow_entry(root, kFar));
  EXPECT_EQ(g.check(), "");
}

TEST_P(ShadowMmus, AnUnsyncLeafTableThatBecomesATableAboveComesBackInSync) {
  if (g.mode().levels < 3) GTEST_SKIP() << "the root is no leaf table of its own space";
  page(root, kVa, 1);
  g.load_root(root, kOne);
  EXPECT_TRUE(g.read(kVa));
  page(root, kVa, 2);
  const Gfn table = g.table(root, kVa);
  EXPECT_TRUE(g.shadow().traced().unsync().contains(table));
  // It stands on level 2 for another gigabyte, where its entries name tables.
  const Gfn leaf = g.new_table();
  g.set(root, kFar, GuestPhysicalAddress(table).value() | kValid | (g.mode().level[3].carries_rights ? kRights : 0), 3);
  g.set(root, kFar, GuestPhysicalAddress(leaf).value() | kValid | kRights, 2);
  page(root, kFar, 3);
  EXPECT_EQ(g.value(kFar), 3U);
  EXPECT_FALSE(g.shadow().traced().unsync().contains(table));
  EXPECT_TRUE(g.shadow().traced().is_traced(table));
  EXPECT_EQ(g.check(), "");
}

TEST_P(ShadowMmus, LargePagesAreShadowedInPiecesAndInvalidatedAsAWhole) {
  const PageCount pages = pages_of(g.mode().coverage(2));
  const Gfn first = g.take(pages);
  g.put_in_frame(first + 3_pages, 33);
  g.put_in_frame(first + 9_pages, 99);
  g.map(root, kVa, first, kRights, 2);
  g.load_root(root, kOne);
  const VirtualAddress third = kVa + bytes_of(3_pages);
  const VirtualAddress ninth = kVa + bytes_of(9_pages);
  EXPECT_EQ(g.value(third), 33U);
  EXPECT_EQ(g.value(ninth), 99U);
  EXPECT_TRUE(g.write(ninth, 98));
  EXPECT_EQ(g.shadow_entry(root, third)->guest_level, 2U);
  EXPECT_EQ(g.check(), "");
  g.cpu().invalidate_page(kVa, kOne);
  EXPECT_FALSE(g.shadow_entry(root, third));
  EXPECT_FALSE(g.shadow_entry(root, ninth));
  EXPECT_EQ(g.value(ninth), 98U);
  EXPECT_EQ(g.check(), "");
}

TEST_P(ShadowMmus, WithoutWriteProtectionASupervisorWritesWhatUsersMayOnlyRead) {
  page(root, kVa, 7, kUser);
  g.cpu().set_walk_rules({.write_protect = false});
  g.load_root(root, kOne);
  for (std::uint64_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(g.write(kVa, i, Privilege::kKernel));
    EXPECT_TRUE(g.shadow_entry(root, kVa)->writable);
    EXPECT_FALSE(g.shadow_entry(root, kVa)->user);
    EXPECT_EQ(g.check(), "");
    EXPECT_EQ(g.value(kVa), i);
    EXPECT_FALSE(g.shadow_entry(root, kVa)->writable);
    EXPECT_TRUE(g.shadow_entry(root, kVa)->user);
    EXPECT_FALSE(g.write(kVa));
    EXPECT_EQ(g.check(), "");
  }
  // Other rules, another tree.
  g.cpu().set_walk_rules({});
  EXPECT_FALSE(g.write(kVa, 9, Privilege::kKernel));
  EXPECT_EQ(g.value(kVa), 2U);
  EXPECT_EQ(g.shadow().trees().size(), 2U);
  EXPECT_EQ(g.check(), "");
}

TEST_P(ShadowMmus, ExecutingNeedsTheRight) {
  if (!g.mode().has_no_execute) GTEST_SKIP() << "x86 entries have no right to execute";
  page(root, kVa, 7, kRights | kNoExecute);
  page(root, kNext, 7);
  g.load_root(root, kOne);
  EXPECT_TRUE(g.read(kVa));
  EXPECT_FALSE(g.cpu().fetch(kVa));
  EXPECT_TRUE(g.cpu().fetch(kNext));
  g.cpu().set_walk_rules({.no_execute = false});
  EXPECT_FALSE(g.read(kVa));
  EXPECT_TRUE(g.fault()->reserved_bit);
  EXPECT_TRUE(g.cpu().fetch(kNext));
  EXPECT_EQ(g.check(), "");
}

TEST_P(ShadowMmus, GlobalEntriesAreInvalidatedUnderEveryTag) {
  const Gfn second = g.new_root();
  page(root, kVa, 1, kRights | kGlobal);
  g.set(second, kVa, g.get(root, kVa, 2), 2);  // One leaf table for both.
  g.load_root(root, kOne);
  EXPECT_EQ(g.value(kVa), 1U);
  g.load_root(second, kTwo);
  g.cpu().forget_all();
  EXPECT_EQ(g.value(kVa), 1U);
  page(root, kVa, 2, kRights | kGlobal);
  g.cpu().invalidate_page(kVa, kTwo);
  EXPECT_FALSE(g.shadow_entry(root, kVa));
  EXPECT_FALSE(g.shadow_entry(second, kVa));
  EXPECT_EQ(g.value(kVa), 2U);
  EXPECT_EQ(g.check(), "");
}

TEST_P(ShadowMmus, WhatTheHostTakesAwayHasNoEntry) {
  page(root, kVa, 1);
  g.load_root(root, kOne);
  EXPECT_TRUE(g.write(kVa, 2));
  g.page_out();
  EXPECT_FALSE(g.shadow_entry(root, kVa));
  EXPECT_EQ(g.check(), "");
  EXPECT_EQ(g.value(kVa), 2U);
  // The host's page is clean: its first write is an exit, though the guest's page is dirty.
  EXPECT_FALSE(g.shadow_entry(root, kVa)->writable);
  const std::uint64_t hidden = g.counts().hidden_faults;
  EXPECT_TRUE(g.write(kVa, 3));
  EXPECT_EQ(g.counts().hidden_faults, hidden + 1);
  g.page_out();
  EXPECT_EQ(g.value(kVa), 3U);
  EXPECT_EQ(g.check(), "");
}

TEST_P(ShadowMmus, AnUnsyncTableThatTheHostTookAwayLosesItsEntries) {
  page(root, kVa, 1);
  g.load_root(root, kOne);
  EXPECT_TRUE(g.read(kVa));
  page(root, kNext, 2);
  const Gfn table = g.table(root, kVa);
  g.page_out();
  EXPECT_EQ(g.partition().slat().entry(table), 0U);
  g.load_root(root, kOne);
  EXPECT_TRUE(g.shadow().traced().unsync().empty());
  EXPECT_EQ(g.value(kVa), 1U);
  EXPECT_EQ(g.value(kNext), 2U);
  EXPECT_EQ(g.check(), "");
}

TEST_P(ShadowMmus, UseThroughTheShadowIsToldToTheHostOnce) {
  const Gfn frame = page(root, kVa, 1);
  g.load_root(root, kOne);
  EXPECT_TRUE(g.read(kVa));
  const auto ask = [&] {
    const LockGuard guard(g.partition().vmmem().lock);
    return g.shadow().test_and_clear_accessed(frame);
  };
  EXPECT_TRUE(ask());
  EXPECT_FALSE(ask());
  g.cpu().forget_all();
  EXPECT_TRUE(g.read(kVa));
  EXPECT_EQ(g.counts().hidden_faults, 1U);
  EXPECT_TRUE(ask());
}

TEST_P(ShadowMmus, FramesWithNothingBehindThemHaveNoEntry) {
  g.map(root, kVa, Gfn(0x8000));
  g.load_root(root, kOne);
  EXPECT_EQ(g.value(kVa), ~std::uint64_t{0});
  EXPECT_FALSE(g.shadow_entry(root, kVa));
  EXPECT_TRUE(g.write(kVa));
}

TEST(ShadowMmu, TreesMakeRoomForEachOther) {
  TestHost host;
  RawGuest g(host, {.shadow_limit = PageCount(10)});
  std::vector<Gfn> roots;
  for (std::uint64_t i = 0; i < 4; ++i) {
    roots.push_back(g.new_root());
    g.page(roots.back(), kVa, i);
  }
  const auto visit = [&](std::size_t i) {
    g.load_root(roots[i], machine::kUntagged);
    EXPECT_EQ(g.value(kVa), i);
    EXPECT_LE(g.shadow().table_count(), PageCount(10));
    EXPECT_EQ(g.check(), "");
  };
  visit(0);
  visit(1);
  EXPECT_EQ(g.counts().shadow_evictions, 0U);
  visit(0);
  visit(2);  // In place of 1.
  EXPECT_EQ(g.counts().shadow_evictions, 1U);
  visit(0);
  EXPECT_EQ(g.counts().hidden_faults, 3U);
  visit(1);  // In place of 2.
  visit(3);
  visit(1);
  EXPECT_EQ(g.counts().shadow_evictions, 3U);
  EXPECT_EQ(g.counts().hidden_faults, 5U);
}

TEST(ShadowMmu, OneTreeMakesRoomForItself) {
  TestHost host;
  RawGuest g(host, {.shadow_limit = PageCount(4)});
  const Gfn root = g.new_root();
  std::vector<VirtualAddress> addresses;
  for (std::uint64_t i = 0; i < 6; ++i) {
    addresses.emplace_back(0x40000000 * i + 0x1000);
    g.page(root, addresses.back(), i);
  }
  g.load_root(root, kOne);
  for (int round = 0; round < 3; ++round) {
    for (std::uint64_t i = 0; i < 6; ++i) {
      EXPECT_EQ(g.value(addresses[i]), i);
      EXPECT_LE(g.shadow().table_count(), PageCount(4));
      g.cpu().forget_all();
    }
  }
  EXPECT_EQ(g.counts().hidden_faults, 18U);
  EXPECT_EQ(g.check(), "");
}

TEST(ShadowMmu, BothHalvesOfTheAddressSpaceAreShadowed) {
  TestHost host;
  RawGuest g(host);
  const Gfn root = g.new_root();
  const VirtualAddress high(0xFFFFF80000001000);
  for (const VirtualAddress va : {kVa, high}) {
    g.page(root, va, va.value());
  }
  g.load_root(root, kOne);
  EXPECT_EQ(g.value(kVa), kVa.value());
  EXPECT_EQ(g.value(high), high.value());
  EXPECT_EQ(g.check(), "");
  g.set(root, high, 0, 3);
  EXPECT_FALSE(g.shadow_entry(root, high));
  EXPECT_TRUE(g.shadow_entry(root, kVa));
  g.cpu().invalidate_page(high, kOne);
  EXPECT_FALSE(g.read(high));
  EXPECT_EQ(g.check(), "");
}

TEST(ShadowMmu, ProcessorsShareTheTreesOfTheirRoots) {
  TestHost host;
  RawGuest g(host, {.processors = 2});
  const Gfn root = g.new_root();
  g.page(root, kVa, 1);
  g.load_root(root, kOne, 0);
  g.load_root(root, kTwo, 1);
  EXPECT_EQ(*g.cpu(0).load<std::uint64_t>(kVa), 1U);
  EXPECT_EQ(*g.cpu(1).load<std::uint64_t>(kVa), 1U);
  EXPECT_EQ(g.counts().hidden_faults, 1U);
  // Either's tag names the tree. What the other processor remembers, it remembers as it would on hardware.
  g.page(root, kVa, 2);
  g.cpu(0).invalidate_page(kVa, kOne);
  EXPECT_EQ(*g.cpu(0).load<std::uint64_t>(kVa), 2U);
  EXPECT_EQ(*g.cpu(1).load<std::uint64_t>(kVa), 1U);
  g.cpu(1).invalidate_page(kVa, kTwo);
  EXPECT_EQ(*g.cpu(1).load<std::uint64_t>(kVa), 2U);
  EXPECT_EQ(g.check(), "");
}

TEST(ShadowMmu, WritesOfASoftwareManagedTlbAreExits) {
  TestHost host;
  TestVmConfig config;
  config.partition.mmu = MmuKind::kShadow;
  config.partition.refill = machine::TlbRefill::kSoftware;
  TestVm vm(host, config);
  const VirtualAddress base = vm.commit(PageCount(8));
  vm.fill(base, PageCount(8));
  EXPECT_EQ(vm.partition().counts().refill_exits, vm.cpu().counts().refills - 8);  // Eight ended in a fault first.
  EXPECT_EQ(vm.partition().counts().hidden_faults, 0U);
  EXPECT_TRUE(vm.partition().shadow()->trees().empty());
  EXPECT_EQ(vm.check(), "");
}

}  // namespace
}  // namespace pagoda::hv::testing
