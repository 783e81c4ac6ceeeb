// A guest that tells its hypervisor what it does to its page tables; by a guest without a memory manager, which may
// tell anything.
#include "pagoda/hv/paravirtual_mmu.h"

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/hv/testing/raw_guest.h"

namespace pagoda::hv::testing {
namespace {

using machine::Access;
using machine::Asid;
using machine::PteFormat;
using machine::RawPte;
using namespace machine::pte_bits;

constexpr Asid kOne{1};
constexpr Asid kTwo{2};
constexpr VirtualAddress kVa{0x400000};
constexpr VirtualAddress kNext{0x401000};
constexpr VirtualAddress kOther{0x40000000};  // Another leaf table in each mode, and another directory in PAE's.

class ParavirtualMmus : public ::testing::TestWithParam<PteFormat> {
 protected:
  ParavirtualMmus() : g_(host_, {.paging = GetParam(), .processors = 2, .mmu = MmuKind::kParavirtual}) {}

  [[nodiscard]] const ValidatedTables& tables() { return g_.partition().paravirtual()->tables(); }
  [[nodiscard]] std::uint64_t refusals() { return g_.counts().table_refusals; }
  // A root with one page, which has been read.
  Gfn running_root(std::uint64_t value = 7) {
    const Gfn root = g_.new_root();
    g_.page(root, kVa, value);
    g_.load_root(root, kOne);
    EXPECT_EQ(g_.value(kVa), value);
    return root;
  }
  // A refused entry's fault: the guest's copy says that something is there, and nothing is.
  void expect_refused(VirtualAddress va) {
    EXPECT_FALSE(g_.read(va));
    EXPECT_TRUE(g_.fault()->present);
    EXPECT_TRUE(g_.fault()->reserved_bit);
  }
  static RawPte to(Gfn frame, RawPte bits = RawGuest::kRights) {
    return GuestPhysicalAddress(frame).value() | kValid | bits;
  }

  TestHost host_;
  RawGuest g_;
};

INSTANTIATE_TEST_SUITE_P(Modes, ParavirtualMmus, ::testing::Values(PteFormat::kAmd64, PteFormat::kPae, PteFormat::kX86),
                         [](const auto& test) { return std::string(machine::paging_mode(test.param).name); });

// --- What it costs ---

TEST_P(ParavirtualMmus, NothingIsTracedAndNothingWalkedTwice) {
  running_root();
  const PartitionCounts before = g_.counts();
  const std::uint64_t loads = g_.cpu().counts().walk_loads;
  g_.cpu().invalidate_page(kVa, kOne);
  EXPECT_EQ(g_.value(kVa), 7U);
  EXPECT_EQ(g_.cpu().counts().walk_loads - loads, g_.mode().levels) << "one level of translation";
  EXPECT_EQ(g_.counts().exits - before.exits, 1U) << "the hypercall with the invalidation";
  EXPECT_EQ(g_.counts().hidden_faults + g_.counts().table_writes + g_.counts().slat_loads, 0U);
  EXPECT_EQ(g_.check(), "");
}

TEST_P(ParavirtualMmus, ChangesAreToldInOneHypercall) {
  const Gfn root = running_root();
  const PartitionCounts before = g_.counts();
  for (unsigned i = 1; i <= 50; ++i) g_.page(root, kVa + ByteCount(i * kPageBytes), i);
  EXPECT_EQ(g_.counts().table_batches, before.table_batches) << "nothing needs them yet";
  for (unsigned i = 1; i <= 50; ++i) EXPECT_EQ(g_.value(kVa + ByteCount(i * kPageBytes)), i);
  EXPECT_EQ(g_.counts().table_batches - before.table_batches, 1U);
  EXPECT_EQ(g_.counts().table_updates - before.table_updates, 50U);
  EXPECT_EQ(g_.counts().true_faults, before.true_faults);
  EXPECT_EQ(g_.check(), "");
}

TEST_P(ParavirtualMmus, AFullBatchIsToldAtOnce) {
  const Gfn root = running_root();
  const PartitionCounts before = g_.counts();
  for (std::size_t i = 0; i < ParavirtualMmu::kMostChanges; ++i) g_.set(root, kNext, 0);
  EXPECT_EQ(g_.counts().table_batches - before.table_batches, 1U);
}

TEST_P(ParavirtualMmus, AChangeCostsItsValidation) {
  const Gfn root = running_root();
  const auto time_of = [&](unsigned changes) {
    for (unsigned i = 0; i < changes; ++i) g_.set(root, kVa + ByteCount((i + 1) * kPageBytes), 0);
    const Time before = g_.cpu().now();
    g_.cpu().invalidate_page(kVa, kOne);
    g_.read(kVa);
    return g_.cpu().now() - before;
  };
  time_of(1);
  const Duration few = time_of(1);
  const Duration many = time_of(100);
  const machine::CostModel& costs = host_.machine().costs();
  const double cycles = static_cast<double>((many - few).value()) * static_cast<double>(costs.cycles_per_us) / 1000;
  EXPECT_NEAR(cycles, 99.0 * static_cast<double>(costs.table_update.value()), 4);
}

TEST_P(ParavirtualMmus, ASwitchBackValidatesNothing) {
  const Gfn one = running_root(1);
  const Gfn two = g_.new_root();
  g_.page(two, kVa, 2);
  g_.load_root(two, kTwo);
  EXPECT_EQ(g_.value(kVa), 2U);
  const PartitionCounts before = g_.counts();
  g_.load_root(one, kOne, 0);
  g_.cpu().invalidate_page(kVa, kOne);
  EXPECT_EQ(g_.value(kVa), 1U);
  EXPECT_EQ(g_.counts().table_updates, before.table_updates);
  EXPECT_EQ(g_.counts().root_loads - before.root_loads, 1U);
  EXPECT_EQ(g_.check(), "");
}

TEST_P(ParavirtualMmus, AFaultOfTheGuestsGoesThroughTheHypervisor) {
  running_root();
  const std::uint64_t exits = g_.counts().exits;
  EXPECT_FALSE(g_.read(kNext));
  EXPECT_FALSE(g_.fault()->present);
  EXPECT_FALSE(g_.fault()->reserved_bit);
  EXPECT_EQ(g_.counts().true_faults, 1U);
  EXPECT_EQ(g_.counts().exits - exits, 1U);
}

// --- What the guest sees ---

TEST_P(ParavirtualMmus, AccessedAndDirtyAreInTheGuestsCopy) {
  const Gfn root = running_root();
  EXPECT_EQ(g_.get(root, kVa) & (kAccessed | kDirty), kAccessed);
  EXPECT_TRUE(g_.write(kVa));
  EXPECT_EQ(g_.get(root, kVa) & (kAccessed | kDirty), kAccessed | kDirty);
  EXPECT_NE(g_.get(root, kVa, 2) & kAccessed, 0U);
  // The guest clears accessed; the next walk sets it again.
  machine::clear_entry_bits(g_.cpu().physical(), g_.mode(), g_.entry(root, kVa), kAccessed | kDirty);
  g_.cpu().invalidate_page(kVa, kOne);
  EXPECT_EQ(g_.value(kVa), 1U);
  EXPECT_EQ(g_.get(root, kVa) & (kAccessed | kDirty), kAccessed);
  EXPECT_EQ(refusals(), 0U);
  EXPECT_EQ(g_.check(), "");
}

TEST_P(ParavirtualMmus, RightsAreThoseOfTheEntries) {
  const Gfn root = running_root();
  g_.page(root, kNext, 3, kUser);
  EXPECT_EQ(g_.value(kNext), 3U);
  EXPECT_FALSE(g_.write(kNext));
  EXPECT_TRUE(g_.fault()->present);
  EXPECT_FALSE(g_.fault()->reserved_bit);
  g_.page(root, kOther, 4, kWrite);
  EXPECT_FALSE(g_.read(kOther));
  EXPECT_TRUE(g_.read(kOther, machine::Privilege::kKernel));
  EXPECT_EQ(g_.check(), "");
}

TEST_P(ParavirtualMmus, LargePagesAreMappedWhole) {
  const Gfn root = running_root();
  const ByteCount coverage = g_.mode().coverage(2);
  const Gfn first = g_.take(pages_of(coverage));
  const VirtualAddress large(2 * coverage.value());
  g_.put_in_frame(first + 5_pages, 55);
  g_.map(root, large, first, RawGuest::kRights, 2);
  EXPECT_EQ(g_.value(large + kPageSize * 5), 55U);
  EXPECT_EQ(tables().writers(first + 5_pages), 1U);
  // No frame of it becomes a table while it is mapped so.
  g_.set(root, kOther, to(first + 5_pages), 2);
  expect_refused(kOther);
  g_.set(root, large, 0, 2);
  g_.cpu().invalidate_page(large, kOne);
  EXPECT_FALSE(g_.read(large));
  EXPECT_EQ(tables().writers(first + 5_pages), 0U);
  EXPECT_EQ(g_.check(), "");
}

TEST_P(ParavirtualMmus, WhatTheHostPagesOutComesBack) {
  const Gfn root = running_root();
  for (unsigned i = 1; i <= 50; ++i) g_.page(root, kVa + ByteCount(i * kPageBytes), i);
  for (unsigned i = 1; i <= 50; ++i) EXPECT_TRUE(g_.read(kVa + ByteCount(i * kPageBytes)));
  g_.page_out();
  host_.reuse_standby();
  for (unsigned i = 1; i <= 50; ++i) EXPECT_EQ(g_.value(kVa + ByteCount(i * kPageBytes)), i);
  EXPECT_GT(g_.counts().page_ins, 0U);
  EXPECT_EQ(g_.check(), "");
}

TEST_P(ParavirtualMmus, ProcessorsSeeEachOthersChanges) {
  const Gfn root = running_root();
  g_.load_root(root, kOne, 1);
  EXPECT_EQ(*g_.cpu(1).load<std::uint64_t>(kVa), 7U);
  g_.page(root, kNext, 9);  // By processor 0, which tells nothing yet.
  EXPECT_EQ(*g_.cpu(1).load<std::uint64_t>(kNext), 9U);
  EXPECT_EQ(g_.check(), "");
}

// --- Frames change their use ---

TEST_P(ParavirtualMmus, ATableThatIsUnlinkedIsData) {
  const Gfn root = running_root();
  const Gfn leaf = g_.table(root, kVa);
  EXPECT_TRUE(tables().is_table(leaf));
  g_.set(root, kVa, 0, 2);
  g_.zero(leaf);
  EXPECT_FALSE(tables().is_table(leaf));
  g_.map(root, kOther, leaf);
  EXPECT_TRUE(g_.write(kOther));
  EXPECT_EQ(refusals(), 0U);
  EXPECT_EQ(g_.check(), "");
}

TEST_P(ParavirtualMmus, DataThatAreUnmappedBecomeATable) {
  const Gfn root = running_root();
  const Gfn frame = g_.page(root, kNext, 1);
  EXPECT_TRUE(g_.write(kNext));
  g_.set(root, kNext, 0);
  g_.cpu().invalidate_page(kNext, kOne);
  g_.zero(frame);
  g_.set(root, kOther, to(frame), 2);
  g_.page(root, kOther, 3);
  EXPECT_EQ(g_.value(kOther), 3U);
  EXPECT_TRUE(tables().is_table(frame));
  EXPECT_EQ(refusals(), 0U);
  EXPECT_EQ(g_.check(), "");
}

// A batch is judged by what it leaves behind, whatever the order.
TEST_P(ParavirtualMmus, TheOrderInABatchDoesNotMatter) {
  const Gfn root = running_root();
  g_.page(root, kOther, 1);
  EXPECT_TRUE(g_.read(kOther));
  const Gfn leaf = g_.table(root, kVa);
  // Mapped writably while it is a table still, which it is no more at the end.
  g_.map(root, kOther, leaf);
  g_.set(root, kVa, 0, 2);
  g_.cpu().invalidate_all();
  EXPECT_TRUE(g_.write(kOther));
  EXPECT_EQ(refusals(), 0U);
  EXPECT_EQ(g_.check(), "");
}

TEST_P(ParavirtualMmus, ARootThatIsNotLoadedCanBeAnything) {
  const auto with_old_root = [&](const std::function<void(Gfn old, Gfn root)>& use) {
    const Gfn old = g_.new_root();
    g_.page(old, kVa, 1);
    g_.load_root(old, kOne);
    EXPECT_TRUE(g_.read(kVa));
    const Gfn root = g_.new_root();
    g_.page(root, kVa, 2);
    g_.load_root(root, kTwo);
    EXPECT_EQ(g_.value(kVa), 2U);
    EXPECT_TRUE(tables().is_table(old)) << "pinned";
    use(old, root);
    EXPECT_EQ(refusals(), 0U);
    EXPECT_EQ(g_.check(), "");
  };
  with_old_root([&](Gfn old, Gfn) {
    g_.zero(old);
    EXPECT_FALSE(tables().is_table(old));
  });
  with_old_root([&](Gfn old, Gfn root) {
    g_.map(root, kNext, old);
    EXPECT_TRUE(g_.write(kNext));
    EXPECT_FALSE(tables().is_table(old));
  });
  with_old_root([&](Gfn old, Gfn) {
    const PfnRange frames{to_guest_pfn(old), 1_pages};
    EXPECT_TRUE(g_.partition().machine().hypercalls()->heat_hint(g_.cpu(), machine::HeatHint::kColdDiscard,
                                                                 std::span(&frames, 1)));
    EXPECT_FALSE(tables().is_table(old));
  });
}

TEST_P(ParavirtualMmus, ARootThatIsNotLoadedCanBeALowerTable) {
  const Gfn old = g_.new_root();
  g_.load_root(old, kOne);
  EXPECT_FALSE(g_.read(kVa));
  const Gfn root = running_root();
  EXPECT_EQ(tables().all().at(old)->level, g_.mode().levels);
  g_.set(root, kOther, to(old), 2);
  EXPECT_FALSE(g_.read(kOther));
  EXPECT_EQ(tables().all().at(old)->level, 1U);
  g_.page(root, kOther, 5);
  EXPECT_EQ(g_.value(kOther), 5U);
  EXPECT_EQ(refusals(), 0U);
  EXPECT_EQ(g_.check(), "");
}

TEST_P(ParavirtualMmus, ATableWhoseContentsAreGivenAwayIsEmpty) {
  const Gfn root = running_root();
  const PfnRange frames{to_guest_pfn(g_.table(root, kVa)), 1_pages};
  EXPECT_TRUE(g_.partition().machine().hypercalls()->heat_hint(g_.cpu(), machine::HeatHint::kColdDiscard,
                                                               std::span(&frames, 1)));
  EXPECT_EQ(g_.check(), "");
  g_.cpu().invalidate_all();
  EXPECT_FALSE(g_.read(kVa));
  EXPECT_EQ(g_.get(root, kVa), 0U);
}

// --- Hostile guests ---

TEST_P(ParavirtualMmus, NoTableIsMappedWritably) {
  const Gfn root = running_root();
  for (unsigned level = 1; level <= g_.mode().levels; ++level) {
    const Gfn table = level == g_.mode().levels ? root : g_.table(root, kVa, level);
    g_.map(root, kNext, table);
    expect_refused(kNext);
    EXPECT_EQ(refusals(), level);
    g_.map(root, kNext, table, kUser);
    EXPECT_TRUE(g_.read(kNext)) << "to read it is no harm";
    EXPECT_FALSE(g_.write(kNext));
    g_.set(root, kNext, 0);
    g_.cpu().invalidate_page(kNext, kOne);
  }
  EXPECT_EQ(g_.value(kVa), 7U);
  EXPECT_EQ(g_.check(), "");
}

TEST_P(ParavirtualMmus, NothingMappedWritablyBecomesATable) {
  const Gfn root = running_root();
  const Gfn frame = g_.page(root, kNext, to(Gfn(0)));
  EXPECT_TRUE(g_.write(kNext, to(Gfn(0))));
  g_.set(root, kOther, to(frame), 2);
  expect_refused(kOther);
  EXPECT_EQ(g_.check(), "");
}

// It is unmapped, but for the TLB.
TEST_P(ParavirtualMmus, ATlbThatWasNotFlushedWritesNoTable) {
  const Gfn root = running_root();
  const Gfn frame = g_.page(root, kNext, 0);
  EXPECT_TRUE(g_.write(kNext, 0));
  g_.set(root, kNext, 0);
  g_.set(root, kOther, to(frame), 2);
  EXPECT_FALSE(g_.read(kOther));  // Tells.
  EXPECT_TRUE(tables().is_table(frame));
  EXPECT_FALSE(g_.write(kNext, to(Gfn(0))));
  EXPECT_EQ(g_.check(), "");
}

TEST_P(ParavirtualMmus, ATableHasOneLevel) {
  const Gfn root = running_root();
  g_.set(root, kOther, to(root), 2);  // A root among the leaf tables; in x86 it names itself.
  expect_refused(kOther);
  if (g_.mode().levels > 2) {
    g_.set(root, kOther, to(g_.table(root, kVa, 2)), 2);
    expect_refused(kOther);
  }
  g_.load_root(g_.table(root, kVa), kTwo);
  EXPECT_FALSE(g_.read(kVa));
  EXPECT_TRUE(g_.fault()->reserved_bit);
  g_.load_root(root, kOne);
  EXPECT_EQ(g_.value(kVa), 7U);
  EXPECT_EQ(g_.check(), "");
}

TEST_P(ParavirtualMmus, ARootThatMapsItselfLosesItsPlaceAlone) {
  // Not loaded any more, so that it could be unpinned for the writable mapping that it holds itself.
  const Gfn old = running_root();
  const Gfn root = g_.new_root();
  g_.page(root, kVa, 2);
  g_.load_root(root, kTwo);
  EXPECT_EQ(g_.value(kVa), 2U);
  if (g_.mode().level[g_.mode().levels].may_be_large) {
    g_.set(old, VirtualAddress(0), to(Gfn(0), RawGuest::kRights | kLarge), g_.mode().levels);
  } else {
    g_.map(old, kNext, old);
  }
  g_.cpu().invalidate_all();
  EXPECT_EQ(g_.value(kVa), 2U);
  EXPECT_EQ(g_.check(), "");
  g_.load_root(old, kOne);
  g_.read(kVa);
  EXPECT_EQ(g_.check(), "");
}

TEST_P(ParavirtualMmus, NothingBehindAFrameIsNotMapped) {
  const Gfn root = running_root();
  const Gfn beyond(static_cast<std::uint32_t>(pages_of(8_MiB).value()));
  g_.map(root, kNext, beyond);
  expect_refused(kNext);
  g_.map(root, kNext, Gfn(0xFFFFF), kUser);
  expect_refused(kNext);
  g_.set(root, kOther, to(beyond), 2);
  expect_refused(kOther);
  g_.set(root, kOther, to(beyond, RawGuest::kRights | kLarge), 2);
  expect_refused(kOther);
  g_.load_root(beyond, kTwo);
  EXPECT_FALSE(g_.read(kVa));
  EXPECT_EQ(g_.counts().wild_accesses, 0U);
  EXPECT_EQ(g_.check(), "");
}

TEST_P(ParavirtualMmus, WhatIsWrongInABatchIsRefusedAlone) {
  const Gfn root = running_root();
  std::vector<Gfn> frames;
  for (unsigned i = 1; i <= 40; ++i) {
    const VirtualAddress va = kVa + ByteCount(i * kPageBytes);
    if (i == 20) {
      g_.map(root, va, g_.table(root, va));
    } else {
      g_.page(root, va, i);
    }
  }
  for (unsigned i = 1; i <= 40; ++i)
    EXPECT_EQ(g_.value(kVa + ByteCount(i * kPageBytes)), i == 20 ? std::nullopt : std::optional<std::uint64_t>(i));
  EXPECT_EQ(refusals(), 1U);
  EXPECT_EQ(g_.check(), "");
}

// What gets into a table's frame without being told is in no walk.
TEST_P(ParavirtualMmus, WhatIsNotToldIsNotWalked) {
  const Gfn root = running_root();
  const machine::PhysicalView unseen = g_.partition().processor(0).hypervisor_view();
  machine::store_entry(unseen, g_.mode(), g_.entry(root, kVa), to(root));
  g_.cpu().invalidate_all();
  EXPECT_EQ(g_.value(kVa), 7U);
  machine::store_entry(unseen, g_.mode(), g_.entry(root, kNext), to(root));
  expect_refused(kNext);
  EXPECT_EQ(g_.check(), "");
}

// Anything into any frame, as root whatever there is; the neighbour and the host notice nothing.
TEST_P(ParavirtualMmus, RandomTablesHarmTheGuestAlone) {
  TestVm neighbour(host_, {.partition = {.memory = pages_of(2_MiB), .mmu = MmuKind::kParavirtual, .disks = {{}}}});
  const VirtualAddress base = neighbour.commit(PageCount(64));
  neighbour.fill(base, PageCount(64));
  Random random(static_cast<std::uint64_t>(GetParam()) + 11);
  // Few frames, so that each is all things in turn.
  const auto frame = [&] { return Gfn(static_cast<std::uint32_t>(1 + random.below(16))); };
  const auto address = [&] {
    return VirtualAddress(random.below(2) * kOther.value() + random.below(2) * g_.mode().coverage(2).value() +
                          random.below(4) * kPageBytes);
  };
  // A way to some page, over whatever frames.
  const auto build = [&] {
    Gfn table = to_gfn(g_.cpu().root());
    const VirtualAddress va = address();
    for (unsigned level = g_.mode().levels; level > 0 && table != kNoGfn; --level) {
      const Gfn below = frame();
      machine::store_entry(g_.cpu().physical(), g_.mode(), g_.mode().entry_address(to_guest_pfn(table), va, level),
                           to(below, g_.mode().level[level].carries_rights ? RawGuest::kRights : 0));
      table = below;
    }
  };
  std::uint64_t reached = 0;
  for (int step = 0; step < 6000; ++step) {
    const machine::PhysicalView& physical = g_.cpu().physical();
    switch (random.below(13)) {
      case 0:
        g_.load_root(frame(), Asid{static_cast<std::uint16_t>(random.below(3))},
                     static_cast<unsigned>(random.below(2)));
        break;
      case 1:
        g_.zero(frame());
        break;
      case 2:
        g_.cpu(static_cast<unsigned>(random.below(2))).invalidate_page(address(), kOne);
        break;
      case 3:
        g_.cpu().invalidate_all();
        break;
      case 4:
        g_.write(address(), to(frame()));
        break;
      case 5:
        physical.copy(to_guest_pfn(frame()), to_guest_pfn(frame()));
        break;
      case 6:
        if (random.below(20) == 0) g_.page_out();
        break;
      case 7:
        build();
        break;
      case 8:
      case 9:
        reached += g_.read(address()) ? 1 : 0;
        break;
      default: {
        const bool outside = random.below(30) == 0;
        const RawPte entry = GuestPhysicalAddress(outside ? Gfn(0x90000) : frame()).value() | (random.next() & 0xFE7) |
                             (random.below(4) == 0 ? 0 : kValid | kWrite | kUser);
        // Where walks of the addresses above pass.
        const unsigned level = 1 + static_cast<unsigned>(random.below(g_.mode().levels));
        machine::store_entry(physical, g_.mode(), g_.mode().entry_address(to_guest_pfn(frame()), address(), level),
                             random.below(3) == 0 ? entry : entry & ~(kLarge | kGlobal | RawPte{0xE00} | RawPte{0x18}));
      }
    }
    if (step % 100 == 0) {
      ASSERT_EQ(g_.check(), "") << "step " << step;
    }
  }
  EXPECT_GT(reached, 5U);
  EXPECT_GT(refusals(), 100U);
  EXPECT_EQ(neighbour.differences(base, PageCount(64)), 0U);
  EXPECT_EQ(g_.check() + neighbour.check(), "");
}

TEST(ParavirtualMmu, NeedsHardwareThatWalks) {
  TestHost host;
  const auto refused = Partition::create(host.manager(), host.cpu(),
                                         {.refill = machine::TlbRefill::kSoftware, .mmu = MmuKind::kParavirtual});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), Status::kInvalidParameter);
  EXPECT_EQ(host.check(), "");
}

}  // namespace
}  // namespace pagoda::hv::testing
