#include "pagoda/machine/page_walker.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <optional>
#include <string>

#include "pagoda/machine/sim/physical_memory.h"
#include "pagoda/machine/testing/page_tables.h"

namespace pagoda::machine {
namespace {

using namespace pte_bits;
using testing::PageTables;
using testing::ScatteredFrames;

constexpr std::uint32_t kFrames = 64;
constexpr Pfn kFirstFree{3};

// A page of every size of every mode, and where its walk ends.
struct Shape {
  const PagingMode* mode;
  unsigned leaf;  // The level of the entry that maps it.
  Pfn frame;      // The page's first.
  std::uint64_t loads;
};

const std::array kShapes{
    Shape{&kX86Paging, 1, Pfn(0xABCDE), 2},      Shape{&kX86Paging, 2, Pfn(0xABC00), 1},
    Shape{&kPaePaging, 1, Pfn(0x3ABCDEF), 3},    Shape{&kPaePaging, 2, Pfn(0x3ABCE00), 2},
    Shape{&kAmd64Paging, 1, Pfn(0x9ABCDEF0), 4}, Shape{&kAmd64Paging, 2, Pfn(0x9ABCDE00), 3},
    Shape{&kAmd64Paging, 3, Pfn(0x9AB40000), 2},
};

// Bits that must be zero (Intel SDM vol. 3A tables 4-4 to 4-6 for 32-bit paging with MAXPHYADDR 32, 4-8 to 4-11 for PAE
// with 38, 4-15 to 4-20 for 4-level paging with 44).
struct ReservedBits {
  const PagingMode* mode;
  unsigned level;
  bool large;
  RawPte bits;
};
constexpr RawPte kBits13To20 = 0x1FE000;
constexpr RawPte kBits13To21 = 0x3FE000;
constexpr RawPte kBits13To29 = 0x3FFFE000;
constexpr RawPte kBits38To62 = 0x7FFFFFC000000000;
constexpr RawPte kBits44To51 = 0x000FF00000000000;
const std::array kReserved{
    ReservedBits{&kX86Paging, 1, false, 0},
    ReservedBits{&kX86Paging, 2, false, 0},
    ReservedBits{&kX86Paging, 2, true, kBits13To21},
    ReservedBits{&kPaePaging, 1, false, kBits38To62},
    ReservedBits{&kPaePaging, 2, false, kBits38To62},
    ReservedBits{&kPaePaging, 2, true, kBits13To20 | kBits38To62},
    ReservedBits{&kPaePaging, 3, false, 0x1E6 | kBits38To62 | kNoExecute},
    ReservedBits{&kAmd64Paging, 1, false, kBits44To51},
    ReservedBits{&kAmd64Paging, 2, false, kBits44To51},
    ReservedBits{&kAmd64Paging, 2, true, kBits13To20 | kBits44To51},
    ReservedBits{&kAmd64Paging, 3, false, kBits44To51},
    ReservedBits{&kAmd64Paging, 3, true, kBits13To29 | kBits44To51},
    ReservedBits{&kAmd64Paging, 4, false, 0x80 | kBits44To51},
};

RawPte reserved_bits(const PagingMode& mode, unsigned level, bool large) {
  for (const ReservedBits& each : kReserved)
    if (each.mode == &mode && each.level == level && each.large == large) return each.bits;
  ADD_FAILURE() << "no row for " << mode.name << " level " << level;
  return 0;
}

class PageWalker : public ::testing::TestWithParam<Shape> {
 protected:
  [[nodiscard]] const PagingMode& mode() const { return *GetParam().mode; }
  [[nodiscard]] unsigned leaf() const { return GetParam().leaf; }
  [[nodiscard]] unsigned top() const { return mode().levels; }
  [[nodiscard]] RawPte get(unsigned level) { return tables_.get(va_, level); }
  void set(unsigned level, RawPte value) { tables_.set(va_, value, level); }
  [[nodiscard]] bool has_rights(unsigned level) const { return mode().level[level].carries_rights; }

  std::expected<Translation, PageFault> walk_at(VirtualAddress va, Access access, Privilege privilege) {
    loads_ = 0;
    return walk(memory_, mode(), tables_.root(), va, access, privilege, rules_, loads_);
  }
  std::expected<Translation, PageFault> walk_for(Access access, Privilege privilege = Privilege::kUser) {
    return walk_at(va_, access, privilege);
  }

  // The walk succeeds, and is undone.
  void expect_allowed(Access access, Privilege privilege) {
    const auto before = snapshot();
    EXPECT_TRUE(walk_for(access, privilege)) << name(access);
    restore(before);
  }
  // The walk raises this fault, names the access in it, and changes nothing.
  void expect_fault(Access access, Privilege privilege, bool present, bool reserved) {
    const auto before = snapshot();
    const auto result = walk_for(access, privilege);
    ASSERT_FALSE(result) << name(access);
    EXPECT_EQ(result.error().address, va_);
    EXPECT_EQ(result.error().access, access);
    EXPECT_EQ(result.error().privilege, privilege);
    EXPECT_EQ(result.error().present, present);
    EXPECT_EQ(result.error().reserved_bit, reserved);
    EXPECT_EQ(snapshot(), before);
  }

  std::array<RawPte, kMaxPagingLevels + 1> snapshot() {
    std::array<RawPte, kMaxPagingLevels + 1> entries{};
    for (unsigned level = top(); level >= leaf(); --level) entries[level] = load_entry(memory_, mode(), places_[level]);
    return entries;
  }
  void restore(const std::array<RawPte, kMaxPagingLevels + 1>& entries) {
    for (unsigned level = top(); level >= leaf(); --level) store_entry(memory_, mode(), places_[level], entries[level]);
  }

  void SetUp() override {
    tables_.map(va_, GetParam().frame, kWrite | kUser, leaf());
    for (unsigned level = top(); level >= leaf(); --level) places_[level] = tables_.entry(va_, level);
  }

  PhysicalMemory owner_ = *PhysicalMemory::create(PageCount(kFrames));
  PhysicalView memory_ = owner_.view();
  PageTables tables_{memory_, mode(), kFirstFree};
  VirtualAddress va_{GetParam().mode == &kAmd64Paging ? 0xFFFFF6FB7DBEDF68 : 0xE4321ABC};
  std::array<PhysicalAddress, kMaxPagingLevels + 1> places_;
  WalkRules rules_;
  std::uint64_t loads_ = 0;
};

constexpr std::array kAccesses{Access::kRead, Access::kWrite, Access::kExecute};
constexpr std::array kPrivileges{Privilege::kUser, Privilege::kKernel};

INSTANTIATE_TEST_SUITE_P(AllPages, PageWalker, ::testing::ValuesIn(kShapes), [](const auto& shape) {
  return std::string(shape.param.mode->name) + "Level" + std::to_string(shape.param.leaf);
});

TEST_P(PageWalker, FindsTheFrameOfEveryAddressOfThePage) {
  const std::uint64_t size = mode().coverage(leaf()).value();
  const std::uint64_t base = va_.value() & ~(size - 1);
  for (const std::uint64_t offset : {std::uint64_t{0}, size / 2 + 0x123, size - 1}) {
    const auto found = walk_at(VirtualAddress(base + offset), Access::kRead, Privilege::kUser);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->frame, GetParam().frame + PageCount(offset / kPageBytes));
    EXPECT_EQ(found->level, leaf());
    EXPECT_EQ(found->entry, places_[leaf()]);
    EXPECT_TRUE(found->user && found->writable && found->executable);
    EXPECT_FALSE(found->dirty || found->global || found->cache_disable || found->write_through);
    EXPECT_EQ(loads_, GetParam().loads);
  }
}

TEST_P(PageWalker, NotPresentAtAnyLevel) {
  for (unsigned level = top(); level >= leaf(); --level) {
    const auto before = snapshot();
    // What software keeps in an entry that is not valid is none of the hardware's business.
    for (const RawPte software : {RawPte{0}, (mode().entry_bytes == 4 ? RawPte{0xFFFFFFFF} : ~RawPte{0}) & ~kValid}) {
      set(level, software);
      for (const Access access : kAccesses)
        for (const Privilege privilege : kPrivileges) expect_fault(access, privilege, false, false);
      EXPECT_EQ(loads_, top() - level + 1);
    }
    restore(before);
  }
}

TEST_P(PageWalker, UserNeedsTheUserBitAtEveryLevel) {
  for (unsigned level = top(); level >= leaf(); --level) {
    if (!has_rights(level)) continue;
    const auto before = snapshot();
    set(level, get(level) & ~kUser);
    for (const Access access : kAccesses) {
      expect_fault(access, Privilege::kUser, true, false);
      expect_allowed(access, Privilege::kKernel);
    }
    EXPECT_FALSE(walk_for(Access::kRead, Privilege::kKernel)->user);
    restore(before);
  }
}

TEST_P(PageWalker, WritingNeedsTheWriteBitAtEveryLevel) {
  for (unsigned level = top(); level >= leaf(); --level) {
    if (!has_rights(level)) continue;
    const auto before = snapshot();
    set(level, get(level) & ~kWrite);
    for (const Privilege privilege : kPrivileges) {
      expect_fault(Access::kWrite, privilege, true, false);
      expect_allowed(Access::kRead, privilege);
      expect_allowed(Access::kExecute, privilege);
    }
    rules_.write_protect = false;
    expect_fault(Access::kWrite, Privilege::kUser, true, false);
    const auto written = walk_for(Access::kWrite, Privilege::kKernel);
    ASSERT_TRUE(written);
    EXPECT_TRUE(written->dirty);
    EXPECT_FALSE(written->writable);  // By the entries' rights.
    rules_.write_protect = true;
    restore(before);
  }
}

TEST_P(PageWalker, NoExecuteAtAnyLevelForbidsFetching) {
  if (!mode().has_no_execute) return;  // x86 has no such bit
  for (unsigned level = top(); level >= leaf(); --level) {
    if (!has_rights(level)) continue;
    const auto before = snapshot();
    set(level, get(level) | kNoExecute);
    for (const Privilege privilege : kPrivileges) {
      expect_fault(Access::kExecute, privilege, true, false);
      expect_allowed(Access::kRead, privilege);
      expect_allowed(Access::kWrite, privilege);
    }
    EXPECT_FALSE(walk_for(Access::kRead)->executable);
    restore(before);
  }
}

TEST_P(PageWalker, NoExecuteIsReservedWhileItIsOff) {
  if (!mode().has_no_execute) return;  // x86 has no such bit
  rules_.no_execute = false;
  for (const Access access : kAccesses) expect_allowed(access, Privilege::kUser);
  for (unsigned level = top(); level >= leaf(); --level) {
    const auto before = snapshot();
    set(level, get(level) | kNoExecute);
    for (const Access access : kAccesses)
      for (const Privilege privilege : kPrivileges) expect_fault(access, privilege, true, true);
    restore(before);
  }
}

TEST_P(PageWalker, EachReservedBitAloneFaultsAndNoOtherDoes) {
  const unsigned width = mode().entry_bytes * 8;
  for (unsigned level = top(); level >= leaf(); --level) {
    const bool large = level == leaf() && level > 1;
    const RawPte reserved = reserved_bits(mode(), level, large);
    for (unsigned bit = 0; bit < width; ++bit) {
      const RawPte mask = RawPte{1} << bit;
      const auto before = snapshot();
      if ((reserved & mask) != 0) {
        set(level, get(level) | mask);
        for (const Access access : kAccesses)
          for (const Privilege privilege : kPrivileges) expect_fault(access, privilege, true, true);
        EXPECT_EQ(loads_, top() - level + 1) << "the walk goes no deeper";
      } else if (level == leaf() ||
                 (mode().frame_mask & mask) == 0) {  // Else the walk would go on in some other table.
        if (mask == kLarge && level > leaf()) continue;
        set(level, get(level) | mask);
        expect_allowed(Access::kRead, Privilege::kKernel);
      }
      restore(before);
    }
  }
}

TEST_P(PageWalker, ReservedBitsOutrankRights) {
  const RawPte reserved = reserved_bits(mode(), leaf(), leaf() > 1);
  if (reserved == 0) return;  // every bit means something
  set(leaf(), (get(leaf()) | reserved) & ~(kWrite | kUser));
  expect_fault(Access::kWrite, Privilege::kUser, true, true);
}

TEST_P(PageWalker, PatBitOfALargePageIsNoFrameBit) {
  if (leaf() == 1) return;  // bit 12 is the frame's
  set(leaf(), get(leaf()) | kLargePat);
  const auto found = walk_for(Access::kRead);
  ASSERT_TRUE(found);
  const std::uint64_t within = (va_.value() & (mode().coverage(leaf()).value() - 1)) / kPageBytes;
  EXPECT_EQ(found->frame, GetParam().frame + PageCount(within));
}

TEST_P(PageWalker, ReadsSetAccessedEverywhereAndDirtyNowhere) {
  for (const Access access : {Access::kRead, Access::kExecute}) {
    const auto before = snapshot();
    const auto found = walk_for(access);
    ASSERT_TRUE(found);
    EXPECT_FALSE(found->dirty);
    for (unsigned level = top(); level >= leaf(); --level)
      EXPECT_EQ(get(level), before[level] | (has_rights(level) ? kAccessed : 0)) << level;
    restore(before);
  }
}

TEST_P(PageWalker, WritesSetDirtyInTheLeafAlone) {
  const auto before = snapshot();
  const auto found = walk_for(Access::kWrite);
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->dirty);
  for (unsigned level = top(); level >= leaf(); --level) {
    const RawPte accessed = has_rights(level) ? kAccessed : 0;
    EXPECT_EQ(get(level), before[level] | accessed | (level == leaf() ? kDirty : 0)) << level;
  }
  const auto after = snapshot();
  EXPECT_TRUE(walk_for(Access::kRead)->dirty);  // It stays.
  EXPECT_EQ(snapshot(), after);
}

TEST_P(PageWalker, GlobalAndCacheBitsAreTheLeafs) {
  for (unsigned level = top(); level > leaf(); --level)
    set(level, get(level) | kWriteThrough | kCacheDisable | (has_rights(level) ? kGlobal : 0));
  auto found = walk_for(Access::kRead);
  ASSERT_TRUE(found);
  EXPECT_FALSE(found->global || found->cache_disable || found->write_through);
  const RawPte leaf_entry = get(leaf());
  set(leaf(), leaf_entry | kGlobal);
  EXPECT_TRUE(walk_for(Access::kRead)->global);
  set(leaf(), leaf_entry | kCacheDisable);
  EXPECT_TRUE(walk_for(Access::kRead)->cache_disable);
  set(leaf(), leaf_entry | kWriteThrough);
  EXPECT_TRUE(walk_for(Access::kRead)->write_through);
}

TEST_P(PageWalker, TheSameThroughFramesThatLieElsewhere) {
  ScatteredFrames reach(kFrames);
  const PhysicalView scattered(reach);
  PageTables copies(scattered, mode(), kFirstFree);
  copies.map(va_, GetParam().frame, kWrite | kUser, leaf());
  for (const Access access : {Access::kRead, Access::kWrite}) {
    const auto here = walk_for(access);
    std::uint64_t loads = 0;
    const auto there = walk(scattered, mode(), copies.root(), va_, access, Privilege::kUser, rules_, loads);
    ASSERT_TRUE(here && there);
    EXPECT_EQ(there->frame, here->frame);
    EXPECT_EQ(there->entry, here->entry);
    EXPECT_EQ(there->dirty, here->dirty);
    EXPECT_EQ(loads, loads_);
    for (unsigned level = top(); level >= leaf(); --level) EXPECT_EQ(copies.get(va_, level), get(level));
  }
  copies.set(va_, 0, leaf());
  std::uint64_t loads = 0;
  EXPECT_FALSE(walk(scattered, mode(), copies.root(), va_, Access::kRead, Privilege::kUser, rules_, loads));
  EXPECT_GT(reach.holds(), 0U);
  EXPECT_TRUE(reach.balanced());
}

// The hardware sets its bits only in the entry that it read: between its reading and its writing another processor may
// have taken the page away, and what is there now is software's.
TEST_P(PageWalker, WalksAgainWhenTheEntryChangedUnderIt) {
  ScatteredFrames reach(kFrames);
  const PhysicalView scattered(reach);
  PageTables tables(scattered, mode(), kFirstFree);
  tables.map(va_, GetParam().frame, kWrite | kUser, leaf());
  for (unsigned level = top(); level > leaf(); --level)
    if (has_rights(level)) tables.set(va_, tables.get(va_, level) | kAccessed, level);
  const PhysicalAddress entry = tables.entry(va_, leaf());
  const RawPte software = 0xABC880;  // A transition PTE (reference/nt.md 2.3, golden vector).
  reach.before_hold = [&](Pfn frame, Access use) {
    if (use != Access::kWrite || frame != entry.pfn()) return;
    std::memcpy(reach.place(frame) + entry.page_offset(), &software, mode().entry_bytes);
  };
  std::uint64_t loads = 0;
  const auto result = walk(scattered, mode(), tables.root(), va_, Access::kWrite, Privilege::kUser, rules_, loads);
  ASSERT_FALSE(result);
  EXPECT_FALSE(result.error().present);
  EXPECT_EQ(tables.get(va_, leaf()), software);
  EXPECT_EQ(loads, 2 * GetParam().loads);
}

TEST(PageFault, ErrorCodes) {
  struct Row {
    Access access;
    Privilege privilege;
    bool present;
    bool reserved;
    bool no_execute;
    std::uint32_t code;
  };
  // Intel SDM vol. 3A 4.7; reference/nt.md 2.1.
  for (const Row& row : {Row{Access::kRead, Privilege::kKernel, false, false, true, 0x00},
                         Row{Access::kRead, Privilege::kUser, false, false, true, 0x04},
                         Row{Access::kWrite, Privilege::kUser, false, false, true, 0x06},
                         Row{Access::kWrite, Privilege::kUser, true, false, true, 0x07},
                         Row{Access::kWrite, Privilege::kKernel, true, false, true, 0x03},
                         Row{Access::kRead, Privilege::kKernel, true, true, true, 0x09},
                         Row{Access::kWrite, Privilege::kUser, true, true, true, 0x0F},
                         Row{Access::kExecute, Privilege::kUser, true, false, true, 0x15},
                         Row{Access::kExecute, Privilege::kUser, false, false, true, 0x14},
                         Row{Access::kExecute, Privilege::kUser, false, false, false, 0x04}}) {
    const PageFault fault{VirtualAddress(0), row.access, row.privilege, row.present, row.reserved};
    EXPECT_EQ(fault.error_code(row.no_execute), row.code);
  }
}

// Whatever lies in the tables: the walk ends in the mode's number of loads, and a fault leaves every byte as it was.
RC_GTEST_PROP(PageWalkerRandom, AnyEntriesEndInATranslationOrAFault, ()) {
  const PagingMode& mode = paging_mode(*rc::gen::element(PteFormat::kX86, PteFormat::kPae, PteFormat::kAmd64));
  auto owner = PhysicalMemory::create(PageCount(kFrames));
  const PhysicalView memory = owner->view();
  PageTables tables(memory, mode, kFirstFree);
  const VirtualAddress va(0x7654321 * kPageBytes >> (mode.levels < 4 ? 4 : 0));
  std::array<PhysicalAddress, kMaxPagingLevels + 1> places;
  for (unsigned level = mode.levels; level > 0; --level) places[level] = tables.entry(va, level);
  // Right entries with a few wrong bits: all wrong ones would end at the root.
  std::array<RawPte, kMaxPagingLevels + 1> before{};
  for (unsigned level = mode.levels; level > 0; --level) {
    const auto flips = *rc::gen::container<std::vector<unsigned>>(rc::gen::inRange(0U, mode.entry_bytes * 8));
    before[level] = load_entry(memory, mode, places[level]) | (level == 1 ? kValid | kUser : 0);
    for (const unsigned bit : flips)
      if (level == 1 || (mode.frame_mask >> bit & 1) == 0) before[level] ^= RawPte{1} << bit;
    store_entry(memory, mode, places[level], before[level]);
  }
  const Access access = *rc::gen::elementOf(kAccesses);
  const Privilege privilege = *rc::gen::elementOf(kPrivileges);
  const WalkRules rules{*rc::gen::arbitrary<bool>(), *rc::gen::arbitrary<bool>()};

  std::uint64_t loads = 0;
  const auto result = walk(memory, mode, tables.root(), va, access, privilege, rules, loads);
  RC_ASSERT(loads >= 1 && loads <= mode.levels);
  for (unsigned level = mode.levels; level > 0; --level) {
    const RawPte now = load_entry(memory, mode, places[level]);
    const bool used = result && level >= result->level;
    const RawPte may = used && mode.level[level].carries_rights ? kAccessed : 0;
    const RawPte dirty = result && level == result->level && access == Access::kWrite ? kDirty : 0;
    RC_ASSERT(now == (before[level] | may | dirty));
  }
  if (!result) return;
  if (privilege == Privilege::kUser) RC_ASSERT(result->user);
  if (access == Access::kWrite)
    RC_ASSERT(result->writable || (privilege == Privilege::kKernel && !rules.write_protect));
  if (access == Access::kExecute) RC_ASSERT(result->executable);
}

}  // namespace
}  // namespace pagoda::machine
