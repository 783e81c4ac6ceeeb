// Page-table entries in all their forms, in each paging mode's own encoding.
//
// A PTE says where the page is, in every state. Bit 0 decides between the hardware's form and the software's; then bit
// 10 says prototype, else bit 11 transition, else it is a page-file entry, whose slot 0 means demand zero. An entry of
// all zeros says nothing: ask the VAD.
//
//   form        x86                               PAE                          AMD64
//   page file   file 1-4, prot 5-9, slot 12-31    slot 32-63                   slot 32-63 (12-21 free for a use count)
//   transition  bit 11, prot 5-9, PFN 12-31       PFN 12-37                    PFN 12-47
//   prototype   bit 10, address in pieces         prot 11-15, addr 32-63       prot 11-15, addr 16-63, signed
//   subsection  bit 10, address in pieces         prot 5-9, addr 32-63         prot 5-9, addr 16-63, signed
//
// The last two look alike and differ by where they lie: a page table's entry points to a prototype PTE, a prototype PTE
// to its subsection. Readers of a prototype PTE say so (PteHome::kSegment).
//
// A valid PTE keeps Write (bit 1) clear until the page is dirty; bit 11 says that software allows the write, bit 9 that
// a write copies. Source: reference/nt.md 2.1 to 2.3, whose golden vectors the tests check.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pagoda/base/units.h"
#include "pagoda/machine/paging_mode.h"
#include "pagoda/mm/pte/protection.h"

namespace pagoda::mm {

using machine::RawPte;

enum class PteKind : std::uint8_t {
  kZero,        // Ask the VAD.
  kValid,       // The hardware's.
  kTransition,  // In memory, on standby or modified, or I/O under way.
  kPageFile,
  kDemandZero,
  kDecommitted,  // A hole in a committed range.
  kPrototype,    // Ask the prototype PTE that it points to; or `is_lookup_needed`: the VAD knows which.
  kSubsection,   // Only in a prototype PTE: the file knows.
};
std::string_view name(PteKind kind);

// Where an entry lies, which decides what bit 10 of an invalid one means.
enum class PteHome : std::uint8_t { kPageTable, kSegment };  // kSegment: the entry is a prototype PTE.

// The software bits of a valid PTE.
namespace soft_bits {
inline constexpr RawPte kCopyOnWrite = 1U << 9;
inline constexpr RawPte kPrototype = 1U << 10;   // Informational in a valid PTE; the form in an invalid one.
inline constexpr RawPte kWritable = 1U << 11;    // Valid PTE: logically writable.
inline constexpr RawPte kTransition = 1U << 11;  // Invalid PTE.
}  // namespace soft_bits

// How a valid PTE says WRITECOMBINE. A choice that no public primary source confirms (reference/nt.md 2.1, 15): Write
// Through selects PAT entry 1, which NT programs as write-combining on every processor that has a PAT.
inline constexpr RawPte kWriteCombineBits = machine::pte_bits::kWriteThrough;

// Where the pools lie whose addresses x86 PTEs abbreviate (reference/nt.md 2.3 and 2.5).
struct PoolBases {
  std::uint64_t paged_pool_start = 0xE1000000;
  std::uint64_t nonpaged_pool_start = 0x81000000;
  std::uint64_t nonpaged_pool_end = 0xFFBE0000;
};

class PteCodec {
 public:
  explicit PteCodec(const machine::PagingMode& mode, const PoolBases& pools = {})
      : mode_(&mode),
        frame_mask_(mode.frame_mask),
        slot_shift_(mode.format == machine::PteFormat::kX86 ? 12 : 32),
        pools_(pools) {}

  [[nodiscard]] PteKind kind(RawPte pte, PteHome home = PteHome::kPageTable) const {
    if (is_valid(pte)) return PteKind::kValid;
    if (pte == 0) return PteKind::kZero;
    if ((pte & soft_bits::kPrototype) != 0) {
      return home == PteHome::kPageTable ? PteKind::kPrototype : PteKind::kSubsection;
    }
    if ((pte & soft_bits::kTransition) != 0) return PteKind::kTransition;
    if (pte >> slot_shift_ != 0) return PteKind::kPageFile;
    return low_protection(pte) == Protection::kDecommitted ? PteKind::kDecommitted : PteKind::kDemandZero;
  }
  static constexpr bool is_valid(RawPte pte) { return (pte & machine::pte_bits::kValid) != 0; }
  static constexpr bool is_transition(RawPte pte) {
    return (pte & (machine::pte_bits::kValid | soft_bits::kPrototype | soft_bits::kTransition)) ==
           soft_bits::kTransition;
  }

  // --- Valid ---
  enum class Owner : std::uint8_t { kUser, kKernel };
  enum class Dirty : std::uint8_t { kNo, kYes };
  // Maps the frame with the rights, which must be mappable. Accessed is set: a mapping is made because of an access. A
  // dirty page of writable protection gets Write and Dirty at once; one of another protection keeps Dirty alone, so
  // that the change is not lost when it is unmapped. Kernel pages are global; session, hyperspace and the self-map
  // clear that bit.
  [[nodiscard]] RawPte valid(Pfn frame, Protection protection, Owner owner, Dirty dirty) const {
    PAGODA_DCHECK(is_mappable(protection));
    RawPte pte = frame_bits(frame) | valid_rights(protection) | machine::pte_bits::kValid |
                 machine::pte_bits::kAccessed |
                 (owner == Owner::kUser ? machine::pte_bits::kUser : machine::pte_bits::kGlobal);
    if (dirty == Dirty::kYes) {
      pte |= machine::pte_bits::kDirty | (is_writable(protection) ? machine::pte_bits::kWrite : 0);
    }
    return pte;
  }
  // Points to the table below; `level` is that of the entry. Dirty and writable in full: the self-map reads it as the
  // PTE of that table. (PAE's directory pointers have neither rights nor accessed.)
  [[nodiscard]] RawPte table(Pfn frame, unsigned level, Owner owner) const;
  [[nodiscard]] RawPte with_dirty(RawPte valid) const {
    return valid | machine::pte_bits::kWrite | machine::pte_bits::kDirty;
  }
  // Maps a large page, in a page directory; `first` is a multiple of its size. Never paged, so dirty from the start.
  [[nodiscard]] RawPte large(Pfn first, Protection protection, Owner owner) const {
    return valid(first, protection, owner, Dirty::kYes) | machine::pte_bits::kLarge;
  }
  static constexpr bool is_dirty(RawPte valid) { return (valid & machine::pte_bits::kDirty) != 0; }
  static constexpr Dirty dirty_of(RawPte valid) { return is_dirty(valid) ? Dirty::kYes : Dirty::kNo; }
  static constexpr bool is_accessed(RawPte valid) { return (valid & machine::pte_bits::kAccessed) != 0; }
  static constexpr bool is_software_writable(RawPte valid) { return (valid & soft_bits::kWritable) != 0; }
  // Whether a prototype PTE owns the page.
  static constexpr bool is_shared(RawPte valid) { return (valid & soft_bits::kPrototype) != 0; }
  static constexpr bool is_copy_on_write(RawPte valid) { return (valid & soft_bits::kCopyOnWrite) != 0; }

  static constexpr CacheAttribute cache_attribute(RawPte valid) {
    if ((valid & machine::pte_bits::kCacheDisable) != 0) return CacheAttribute::kNotCached;
    return (valid & kWriteCombineBits) != 0 ? CacheAttribute::kWriteCombined : CacheAttribute::kCached;
  }

  // --- Valid and transition ---
  [[nodiscard]] Pfn frame(RawPte pte) const { return PhysicalAddress(pte & frame_mask_).pfn(); }

  // --- Invalid ---
  // The caching bits (3 and 4) follow from the protection; Write and Owner, which the table keeps from the valid form
  // too, stay clear, as the golden vector has them.
  [[nodiscard]] RawPte transition(Pfn frame, Protection protection) const {
    return frame_bits(frame) | soft_bits::kTransition | demand_zero(protection) | cache_bits(protection);
  }
  // The file is 0 to 15; the slot is not 0 and has 20 bits on x86.
  [[nodiscard]] RawPte page_file(unsigned file, PageFileSlot slot, Protection protection) const {
    PAGODA_DCHECK_LT(file, 16U);
    PAGODA_DCHECK_NE(slot.value(), 0U);
    PAGODA_DCHECK(!is_x86() || slot.value() < 1U << 20);
    return RawPte{slot.value()} << slot_shift_ | demand_zero(protection) | RawPte{file} << 1;
  }
  [[nodiscard]] RawPte demand_zero(Protection protection) const { return RawPte{bits(protection)} << kProtectionShift; }
  [[nodiscard]] RawPte decommitted() const { return demand_zero(Protection::kDecommitted); }
  // What any invalid form but zero carries. An x86 pointer to a prototype PTE has no room for one: kNone, the
  // prototype's own holds.
  [[nodiscard]] Protection protection(RawPte pte, PteHome home = PteHome::kPageTable) const {
    if ((pte & soft_bits::kPrototype) != 0 && home == PteHome::kPageTable) [[unlikely]]
      return pointer_protection(pte);
    return low_protection(pte);
  }
  // An x86 pointer to a prototype PTE becomes the lookup-needed form: only the VAD leads to the page now.
  [[nodiscard]] RawPte with_protection(RawPte pte, Protection protection, PteHome home = PteHome::kPageTable) const;
  [[nodiscard]] unsigned file(RawPte pte) const { return static_cast<unsigned>(pte >> 1 & 0xF); }
  [[nodiscard]] PageFileSlot slot(RawPte pte) const {
    return PageFileSlot(static_cast<std::uint32_t>(pte >> slot_shift_));
  }
  // An entry above level 1 whose table is out of memory also carries how many entries of the table are not zero, in bits
  // 12-21 of either form; x86 and PAE have no room for it (space/page_tables.h). NT: UsedPageTableEntries.
  [[nodiscard]] bool has_use_count() const { return mode_->format == machine::PteFormat::kAmd64; }
  [[nodiscard]] RawPte with_use_count(RawPte pte, std::uint32_t used) const {
    PAGODA_DCHECK(has_use_count() && used <= kMostUseCount);
    return (pte & ~(RawPte{kMostUseCount} << kUseCountShift)) | RawPte{used} << kUseCountShift;
  }
  [[nodiscard]] std::uint32_t use_count(RawPte pte) const {
    return has_use_count() ? static_cast<std::uint32_t>(pte >> kUseCountShift & kMostUseCount) : 0;
  }
  // An entry in demand-zero or page-file form as it is when its page is in the slot.
  [[nodiscard]] RawPte in_slot(RawPte pte, unsigned file, PageFileSlot slot) const {
    const RawPte placed = page_file(file, slot, low_protection(pte));
    return has_use_count() ? with_use_count(placed, use_count(pte)) : placed;
  }
  // The same entry when no slot has its page.
  [[nodiscard]] RawPte without_slot(RawPte pte) const {
    const RawPte placeless = demand_zero(low_protection(pte));
    return has_use_count() ? with_use_count(placeless, use_count(pte)) : placeless;
  }
  // Page-file form with a slot; demand zero has none.
  [[nodiscard]] bool has_slot(RawPte pte) const {
    return (pte & (machine::pte_bits::kValid | soft_bits::kPrototype | soft_bits::kTransition)) == 0 &&
           pte >> slot_shift_ != 0;
  }

  // --- Pointers to prototype PTEs and subsections (virtual addresses of pools) ---
  enum class ReadOnly : std::uint8_t { kNo, kYes };
  // The address is aligned to an entry, on x86 within 1 GB from the start of paged pool. x86 drops the protection.
  [[nodiscard]] RawPte prototype(VirtualAddress prototype_pte, Protection protection, ReadOnly read_only) const;
  [[nodiscard]] VirtualAddress prototype_address(RawPte pte) const;
  // The page belongs to a view whose protection differs from the prototype's: find the prototype through the VAD.
  [[nodiscard]] RawPte lookup_needed(Protection protection) const;
  [[nodiscard]] bool is_lookup_needed(RawPte pte) const {
    return (pte & (machine::pte_bits::kValid | soft_bits::kPrototype)) == soft_bits::kPrototype &&
           pte >> slot_shift_ == (is_x86() ? 0xFFFFF : 0xFFFFFFFF);
  }
  // Whether the entry, a process's, has a `prototype_address`.
  [[nodiscard]] bool points_to_prototype(RawPte pte) const {
    return kind(pte) == PteKind::kPrototype && !is_lookup_needed(pte);
  }
  // The address is a multiple of 8, on x86 less than 128 MB above the start of nonpaged pool or up to 128 MB below its
  // end.
  [[nodiscard]] RawPte subsection(VirtualAddress subsection, Protection protection) const;
  [[nodiscard]] VirtualAddress subsection_address(RawPte pte) const;

  // --- Free system PTEs: a run's first entry names the next run ---
  enum class OneEntry : std::uint8_t { kNo, kYes };
  [[nodiscard]] RawPte free_system(std::uint32_t next, OneEntry one_entry) const;

  // The form in words: "valid pfn:0x1234 ---DA--UW-V", "page file 1 slot:0x123 RW". The letters are the debugger's
  // (reference/nt.md 14): C copy-on-write, G global, L large, D dirty, A accessed, N not cached, T write through, U
  // user or K kernel, W writable (software's say) or R, E executable, V valid.
  [[nodiscard]] std::string describe(RawPte pte, PteHome home = PteHome::kPageTable) const;

  [[nodiscard]] const machine::PagingMode& mode() const { return *mode_; }

 private:
  static constexpr unsigned kProtectionShift = 5;
  static constexpr unsigned kUseCountShift = 12;
  static constexpr std::uint32_t kMostUseCount = 0x3FF;
  static constexpr unsigned kProtoProtectionShift = 11;  // PAE and AMD64 pointers to prototype PTEs.
  static constexpr RawPte kProtectionMask = 0x1F;

  static constexpr Protection low_protection(RawPte pte) {
    return protection_from_bits(static_cast<unsigned>(pte >> kProtectionShift & kProtectionMask));
  }
  static constexpr RawPte cache_bits(Protection p) {
    if (is_no_cache(p)) return machine::pte_bits::kCacheDisable;
    return is_write_combine(p) ? kWriteCombineBits : 0;
  }
  [[nodiscard]] RawPte valid_rights(Protection p) const {
    return cache_bits(p) | (is_writable(p) ? soft_bits::kWritable : 0) |
           (is_write_copy(p) ? soft_bits::kCopyOnWrite : 0) |
           (mode_->has_no_execute && !is_executable(p) ? machine::pte_bits::kNoExecute : 0);
  }
  [[nodiscard]] RawPte frame_bits(Pfn frame) const {
    const RawPte address = PhysicalAddress(frame).value();
    PAGODA_DCHECK_EQ(address & ~frame_mask_, RawPte{0});
    return address;
  }
  [[nodiscard]] Protection pointer_protection(RawPte pte) const;
  [[nodiscard]] bool is_x86() const { return slot_shift_ == 12; }

  const machine::PagingMode* mode_;
  RawPte frame_mask_;    // The mode's.
  unsigned slot_shift_;  // Where the slot of a page-file entry begins: 12 on x86, else 32.
  PoolBases pools_;
};

}  // namespace pagoda::mm
