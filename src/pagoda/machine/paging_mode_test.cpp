#include "pagoda/machine/paging_mode.h"

#include <gtest/gtest.h>

#include <array>

namespace pagoda::machine {
namespace {

TEST(PagingMode, IndicesOfX86) {
  const VirtualAddress va(0xE4321ABC);
  EXPECT_EQ(kX86Paging.index(va, 2), 0x390U);
  EXPECT_EQ(kX86Paging.index(va, 1), 0x321U);
  EXPECT_EQ(kX86Paging.entry_address(Pfn(0x10), va, 2), PhysicalAddress(0x10E40));
  EXPECT_EQ(kX86Paging.entry_address(Pfn(0x11), va, 1), PhysicalAddress(0x11C84));
}

TEST(PagingMode, IndicesOfPae) {
  const VirtualAddress va(0xE4321ABC);
  EXPECT_EQ(kPaePaging.index(va, 3), 3U);
  EXPECT_EQ(kPaePaging.index(va, 2), 0x121U);
  EXPECT_EQ(kPaePaging.index(va, 1), 0x121U);
  EXPECT_EQ(kPaePaging.entry_address(Pfn(0x10), va, 3), PhysicalAddress(0x10018));
  EXPECT_EQ(kPaePaging.entry_address(Pfn(0x11), va, 2), PhysicalAddress(0x11908));
}

TEST(PagingMode, IndicesOfAmd64) {
  // The self-map's own entry: slot 0x1ED at every level (reference/nt.md 2.4).
  const VirtualAddress self(0xFFFFF6FB7DBEDF68);
  for (unsigned level = 1; level <= 4; ++level) EXPECT_EQ(kAmd64Paging.index(self, level), 0x1EDU) << level;
  const VirtualAddress va(0x7FF612345678);
  EXPECT_EQ(kAmd64Paging.index(va, 4), 0xFFU);
  EXPECT_EQ(kAmd64Paging.index(va, 3), 0x1D8U);
  EXPECT_EQ(kAmd64Paging.index(va, 2), 0x91U);
  EXPECT_EQ(kAmd64Paging.index(va, 1), 0x145U);
  EXPECT_EQ(kAmd64Paging.entry_address(Pfn(0x10), va, 4), PhysicalAddress(0x107F8));
}

// The self-map's arithmetic agrees with the indices: an entry's place in the map is its table's index and its own.
TEST(PagingMode, IndicesAgreeWithTheSelfMap) {
  struct Golden {
    const PagingMode& mode;
    std::uint64_t va;
    std::uint64_t pte;  // reference/nt.md 2.4
    std::uint64_t pde;
  };
  const std::array goldens{Golden{kX86Paging, 0xE4321000, 0xC0390C84, 0xC0300E40},
                           Golden{kPaePaging, 0xE4321000, 0xC0721908, 0xC0603908},
                           Golden{kAmd64Paging, 0x7FF612345000, 0xFFFFF6BFFB091A28, 0xFFFFF6FB5FFD8488}};
  for (const Golden& golden : goldens) {
    const VirtualAddress va(golden.va);
    EXPECT_EQ(golden.pte & kPageOffsetMask, golden.mode.index(va, 1) * golden.mode.entry_bytes);
    EXPECT_EQ(golden.pde & kPageOffsetMask, golden.mode.index(va, 2) * golden.mode.entry_bytes);
    EXPECT_EQ(golden.mode.index(VirtualAddress(golden.pte), 1), golden.mode.index(va, 2));
  }
}

TEST(PagingMode, CoverageAndEntries) {
  EXPECT_EQ(kX86Paging.coverage(1), 4_KiB);
  EXPECT_EQ(kX86Paging.coverage(2), 4_MiB);
  EXPECT_EQ(kX86Paging.entries(2), 1024U);
  EXPECT_EQ(kPaePaging.coverage(2), 2_MiB);
  EXPECT_EQ(kPaePaging.coverage(3), 1_GiB);
  EXPECT_EQ(kPaePaging.entries(3), 4U);
  EXPECT_EQ(kAmd64Paging.coverage(3), 1_GiB);
  EXPECT_EQ(kAmd64Paging.coverage(4), 512_GiB);
  EXPECT_EQ(kAmd64Paging.entries(4), 512U);
}

// The levels cut the whole address, without gap or overlap.
TEST(PagingMode, LevelsCoverTheAddress) {
  for (const PagingMode* mode : {&kX86Paging, &kPaePaging, &kAmd64Paging}) {
    unsigned shift = kPageShift;
    for (unsigned level = 1; level <= mode->levels; ++level) {
      EXPECT_EQ(mode->level[level].shift, shift) << mode->name;
      shift += mode->level[level].index_bits;
      EXPECT_LE(mode->entries(level) * mode->entry_bytes, kPageBytes) << mode->name;
    }
    EXPECT_EQ(shift, mode->virtual_bits) << mode->name;
    EXPECT_EQ(&paging_mode(mode->format), mode);
  }
}

TEST(PagingMode, FrameField) {
  EXPECT_EQ(kX86Paging.frame(0x12345FFF), Pfn(0x12345));
  EXPECT_EQ(kPaePaging.frame(0x8000003FFFFFF867), Pfn(0x3FFFFFF));
  EXPECT_EQ(kAmd64Paging.frame(0x8000000001234867), Pfn(0x1234));  // reference/nt.md 2.3, golden vector
  EXPECT_EQ(kX86Paging.max_frames(), pages_of(4_GiB));
  EXPECT_EQ(kPaePaging.max_frames(), pages_of(256_GiB));
  EXPECT_EQ(kAmd64Paging.max_frames(), pages_of(16_TiB));
}

TEST(PagingMode, CanonicalAddresses) {
  for (const PagingMode* mode : {&kX86Paging, &kPaePaging}) {
    EXPECT_TRUE(mode->is_canonical(VirtualAddress(0)));
    EXPECT_TRUE(mode->is_canonical(VirtualAddress(0xFFFFFFFF)));
    EXPECT_FALSE(mode->is_canonical(VirtualAddress(0x100000000)));
    EXPECT_FALSE(mode->is_canonical(VirtualAddress(0xFFFFFFFFFFFFFFFF)));
  }
  EXPECT_TRUE(kAmd64Paging.is_canonical(VirtualAddress(0x00007FFFFFFFFFFF)));
  EXPECT_FALSE(kAmd64Paging.is_canonical(VirtualAddress(0x0000800000000000)));
  EXPECT_FALSE(kAmd64Paging.is_canonical(VirtualAddress(0xFFFF7FFFFFFFFFFF)));
  EXPECT_TRUE(kAmd64Paging.is_canonical(VirtualAddress(0xFFFF800000000000)));
  EXPECT_TRUE(kAmd64Paging.is_canonical(VirtualAddress(0xFFFFFFFFFFFFFFFF)));
}

TEST(PagingMode, UserSpaceEndsWhereNtSays) {
  EXPECT_EQ(kX86Paging.highest_user, VirtualAddress(0x7FFEFFFF));
  EXPECT_EQ(kPaePaging.highest_user, VirtualAddress(0x7FFEFFFF));
  EXPECT_EQ(kAmd64Paging.highest_user, VirtualAddress(0x7FFFFFEFFFF));
}

}  // namespace
}  // namespace pagoda::machine
