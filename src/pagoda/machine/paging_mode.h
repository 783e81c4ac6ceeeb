// The processor's paging modes: how a virtual address splits into indices, and what the bits of an entry mean to the
// hardware.
//
//   x86    2 levels of 1024 4-byte entries, 4 MB pages, no NX
//   PAE    4 + 512 + 512 8-byte entries, 2 MB pages, NX
//   AMD64  4 levels of 512 8-byte entries, 2 MB and 1 GB pages, NX
//
// Levels count from the leaf: level 1 is the page table, `levels` the root. What software keeps in an entry that is not
// present is the memory manager's business (mm/pte). Sources: reference/nt.md 2.1; Intel SDM vol. 3A ch. 4; AMD APM
// vol. 2 ch. 5.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "pagoda/base/units.h"

namespace pagoda::machine {

enum class PteFormat : std::uint8_t { kX86, kPae, kAmd64 };

// A page-table entry as it lies in memory; x86 uses the low half.
using RawPte = std::uint64_t;

// The hardware's bits, the same in all three modes.
namespace pte_bits {
inline constexpr RawPte kValid = 1U << 0;
inline constexpr RawPte kWrite = 1U << 1;
inline constexpr RawPte kUser = 1U << 2;  // NT: Owner.
inline constexpr RawPte kWriteThrough = 1U << 3;
inline constexpr RawPte kCacheDisable = 1U << 4;
inline constexpr RawPte kAccessed = 1U << 5;
inline constexpr RawPte kDirty = 1U << 6;
inline constexpr RawPte kLarge = 1U << 7;  // In levels 2 and 3; PAT in level 1.
inline constexpr RawPte kGlobal = 1U << 8;
inline constexpr RawPte kLargePat = 1U << 12;
inline constexpr RawPte kNoExecute = RawPte{1} << 63;
}  // namespace pte_bits

inline constexpr unsigned kMaxPagingLevels = 4;
// What a table of 8-byte entries has, and what one entry of level 2 maps: PAE, AMD64 and the second level (EPT, NPT).
// For a mode that is not known in advance (x86 has 1024 of each) ask `entries` and `coverage`.
inline constexpr unsigned kEntriesPerTable = 512;
inline constexpr PageCount kPagesPerLargePage{kEntriesPerTable};

struct PagingLevel {
  unsigned shift = 0;  // Where the part of the address that indexes this level begins.
  unsigned index_bits = 0;
  bool may_be_large = false;   // An entry may map memory itself.
  bool carries_rights = true;  // PAE's directory pointers have no write, user, accessed and NX bits.
  RawPte reserved = 0;         // Must be zero in a present entry that points to a table.
  RawPte reserved_large = 0;   // Must be zero in a present entry that maps a large page.
};

struct PagingMode {
  PteFormat format;
  std::string_view name;
  unsigned levels;
  unsigned entry_bytes;
  unsigned virtual_bits;   // AMD64 addresses are the sign extension of 48 bits.
  unsigned physical_bits;  // MAXPHYADDR.
  unsigned root_bits;      // Of a root's address: CR3 has 32 outside long mode (Intel SDM vol. 3A 4.3, 4.4.1).
  bool has_no_execute;
  RawPte frame_mask;                                    // The bits of a level-1 entry that hold the frame's address.
  VirtualAddress highest_user;                          // NT: MmHighestUserAddress (reference/nt.md section 1).
  std::array<PagingLevel, kMaxPagingLevels + 1> level;  // [1] is the page table; [0] unused.

  [[nodiscard]] std::uint64_t index(VirtualAddress va, unsigned at_level) const {
    const PagingLevel& l = level[at_level];
    return (va.value() >> l.shift) & ((std::uint64_t{1} << l.index_bits) - 1);
  }
  // The entry that translates `va` in the table held by `table`.
  [[nodiscard]] PhysicalAddress entry_address(Pfn table, VirtualAddress va, unsigned at_level) const {
    return PhysicalAddress(PhysicalAddress(table).value() + index(va, at_level) * entry_bytes);
  }
  [[nodiscard]] std::uint64_t entries(unsigned at_level) const {
    return std::uint64_t{1} << level[at_level].index_bits;
  }
  // Memory that one entry of the level covers.
  [[nodiscard]] ByteCount coverage(unsigned at_level) const {
    return ByteCount(std::uint64_t{1} << level[at_level].shift);
  }
  [[nodiscard]] Pfn frame(RawPte entry) const { return PhysicalAddress(entry & frame_mask).pfn(); }
  [[nodiscard]] PageCount max_frames() const { return PageCount(std::uint64_t{1} << (physical_bits - kPageShift)); }
  // A root's frame is one of so many from 0 on.
  [[nodiscard]] PageCount root_frames() const { return PageCount(std::uint64_t{1} << (root_bits - kPageShift)); }
  // Whether the hardware accepts the address at all.
  [[nodiscard]] bool is_canonical(VirtualAddress va) const {
    if (format != PteFormat::kAmd64) return (va.value() >> virtual_bits) == 0;
    const auto value = static_cast<std::int64_t>(va.value());
    return (value << (64 - virtual_bits)) >> (64 - virtual_bits) == value;
  }
};

extern const PagingMode kX86Paging;
extern const PagingMode kPaePaging;
extern const PagingMode kAmd64Paging;

const PagingMode& paging_mode(PteFormat format);

}  // namespace pagoda::machine
