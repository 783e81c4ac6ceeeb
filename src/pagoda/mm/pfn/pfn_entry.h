// The PFN database's entry: who owns a frame and what state it is in. NT: MMPFN.
//
//            take                    last unmap                      write done
//   Zeroed -----------> Active ---------------------> Modified ---------------------> Standby
//   Free                  ^  |                           ^  | write started             |
//   Standby (repurposed)  |  | delete                    |  v                           |
//                         |  +------> Free           Transition (write under way)       |
//                         +------------------ soft fault --+---------------------------+
//   Free -> Transition (read under way) -> Standby (read done) -> Active (the faulter comes back)
//
// A frame has one owner and one state. The free path, the standby path and the modified path are the only ways out of
// Active. Share count: valid PTEs that map the frame (a page table: 1 + its valid and transition entries). Reference
// count: 1 while the share count is above zero, plus 1 for each transfer and pin. The functions of PfnDatabase say more
// than the state with these words:
//   taken    in Transition without a reference: on no list, owned by no PTE yet
//   pinned   in Transition with references of transfers or pins alone: no valid PTE maps it
//   listed   Zeroed, Free, Standby, Modified, ModifiedNoWrite, Bad
//   deleted  pinned, and its PTE names it no more: free after the last reference
// Source: reference/nt.md section 3.
#pragma once

#include <cstdint>
#include <string_view>

#include "pagoda/base/check.h"
#include "pagoda/base/units.h"
#include "pagoda/machine/paging_mode.h"
#include "pagoda/mm/pte/protection.h"

namespace pagoda::mm {

enum class PageState : std::uint8_t {  // NT's numbers: MMLISTS / PageLocation.
  kZeroed = 0,
  kFree = 1,
  kStandby = 2,
  kModified = 3,
  kModifiedNoWrite = 4,
  kBad = 5,
  kActive = 6,
  kTransition = 7,
};
inline constexpr std::size_t kPageStates = 8;
std::string_view name(PageState state);
constexpr bool is_listed(PageState state) { return state < PageState::kActive; }
constexpr bool is_available(PageState state) { return state <= PageState::kStandby; }

enum class Contents : std::uint8_t { kZeroed, kAny };

// Standby pages have one; the lowest are repurposed first (reference/nt.md section 3, Vista and later).
using PagePriority = std::uint8_t;
inline constexpr std::size_t kPagePriorities = 8;
inline constexpr PagePriority kNormalPriority = 5;

struct PfnEntry {
  // A frame's number has 32 bits, an address within it 12.
  static constexpr unsigned kPhysicalBits = 32 + kPageShift;
  // What a count of references or of PTEs goes to: a caller who wants one more is refused (kInsufficientResources).
  static constexpr std::uint32_t kMostCounted = ~std::uint32_t{0} - 1;

  // While listed: links. While active: where the working set keeps it, and how many PTEs map it.
  union {
    struct {
      std::uint32_t flink;
      std::uint32_t blink;
    };
    struct {
      union {
        // kNoWsIndex: in none. Of a page of prototype PTEs without a resident entry: where it is among those.
        std::uint32_t ws_index;
        // Of a page table, and of a page of prototype PTEs that has one: entries that keep it in memory. Guarded by the PFN
        // lock.
        std::uint32_t kept_entries;
      };
      std::uint32_t share_count;
    };
    std::uint64_t io_completes;  // Being read: when the bytes will be there.
  };
  // The PTE that owns the frame, by its physical address, which also names the page-table page that contains it. A root
  // and a page of prototype PTEs have their own address here.
  std::uint64_t pte_address : kPhysicalBits;
  PageState state : 3;
  std::uint8_t nonpaged : 1;  // The manager's own: owned by no PTE, in no working set.
  std::uint8_t priority : 3;
  std::uint8_t modified : 1;  // Contents differ from what original_pte names.
  std::uint8_t read_in_progress : 1;
  std::uint8_t write_in_progress : 1;
  std::uint8_t deleted : 1;        // NT: bit 0 of PteAddress.
  std::uint8_t prototype_pte : 1;  // pte_address is a prototype PTE's; a page table with it holds prototype PTEs.
  std::uint8_t page_table : 1;
  std::uint8_t awaited : 1;      // Read for a fault that has not come back yet.
  std::uint8_t reset : 1;        // Its owner does not want the contents: clean, no slot, and not zeros.
  CacheAttribute cache : 2;      // That of the valid PTEs that map it. NT: CacheAttribute.
  std::uint8_t awe : 1;          // A program's own (region/user_pages.h). NT: u4.AweAllocation.
  std::uint8_t kept_charge : 1;  // A kept table that is charged to commit for as long as it is kept.
  machine::RawPte original_pte;  // What the PTE becomes when the frame is repurposed: demand zero or a page-file slot,
                                 // and the protection.
  std::uint32_t reference_count;
  union {
    // A page table's entries that are not zero, guarded by the lock of its space; the number that a page of prototype
    // PTEs has in their pool.
    std::uint32_t used_entries;
    std::uint32_t awe_index;  // Where its space's list has an AWE frame. Guarded by the lock of the space.
  };

  static constexpr std::uint32_t kNoWsIndex = ~std::uint32_t{0};
  [[nodiscard]] PhysicalAddress pte() const { return PhysicalAddress(pte_address); }
  void set_pte(PhysicalAddress pte) {
    PAGODA_DCHECK_EQ(pte.value() >> kPhysicalBits, 0U);
    pte_address = pte.value() & ((std::uint64_t{1} << kPhysicalBits) - 1);
  }
  [[nodiscard]] Pfn containing_page() const { return pte().pfn(); }
  // On no list, and not made anything yet.
  [[nodiscard]] bool is_taken() const { return state == PageState::kTransition && reference_count == 0; }
  // Its contents come from a file and go back there: the original PTE is a subsection's.
  [[nodiscard]] bool maps_file() const { return (original_pte & kSubsectionForm) != 0; }

 private:
  static constexpr machine::RawPte kSubsectionForm = 1U << 10;  // No other original PTE has the bit: pte_codec.h.
};
static_assert(sizeof(PfnEntry) == 32);

}  // namespace pagoda::mm
