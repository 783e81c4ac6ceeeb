// What callers ask of a process's space, and what it tells them.
#pragma once

#include <cstdint>
#include <optional>

#include "pagoda/base/units.h"
#include "pagoda/mm/pfn/pfn_entry.h"
#include "pagoda/mm/process/placement.h"
#include "pagoda/mm/pte/protection.h"
#include "pagoda/mm/region/region_kind.h"
#include "pagoda/mm/space/vad.h"
#include "pagoda/mm/space/vad_tree.h"

namespace pagoda::mm {

// What a reservation has to do with placeholders (region/placeholder.h).
enum class Placeholder : std::uint8_t {
  kNo,
  kReserve,  // The new region is one: no rights, nothing committed.
  kReplace,  // The new region takes the place of one with the same bounds.
};

enum class ReleaseMode : std::uint8_t {
  kFree,
  kPreservePlaceholder,   // The pages become a placeholder: one split off another, or again after a replacement.
  kCoalescePlaceholders,  // The pages, exactly those of two or more placeholders side by side, become one.
};

// What the first touch of a page does that is reserved only.
//
// A region that commits on touch is a reserved one whose pages are committed by the fault that first touches them, in
// place of raising an access violation. So its charge is that of the pages with an entry, as of any reserved region
// ([AS2]), and a query says of the others that they are reserved. Without commit charge left the fault fails with
// kCommitmentLimit and has changed nothing: the program may wait and repeat it, or give up. What is decommitted or
// discarded gives its charge back, and its next touch takes it again; to protect or to lock pages, they have to be
// there. Charge for page tables is taken when the region is made, as always.
// Source: reference/virtualization.md section 5 ("Host reaction", "EnableDeferredCommit": charged at first touch). What
// a fault without charge does is a choice; Windows stops the virtual machine.
enum class OnTouch : std::uint8_t { kRaise, kCommit };

struct ReserveRequest {
  std::optional<VirtualAddress> base;  // Rounded down to 64 KB; none: the manager chooses.
  ByteCount size;
  Protection protection = Protection::kReadWrite;
  MemCommit commit = MemCommit::kNo;   // Committed as a whole, now.
  OnTouch on_touch = OnTouch::kRaise;  // kCommit: each page by its first touch, which the rest then is not.
  Direction direction = Direction::kBottomUp;
  VadType type = VadType::kNone;  // Or kWriteWatch, kAwe, kLargePages.
  PlacementWishes wishes{};       // Only without a base.
  Placeholder placeholder = Placeholder::kNo;
};

// A view of a section. NT: NtMapViewOfSection's parameters.
struct ViewRequest {
  std::optional<VirtualAddress> base;  // 64 KB aligned; none: the manager chooses.
  bool base_on_page = false;           // MEM_DOS_LIM: the base is rounded down to a page, which is alignment enough.
  PlacementWishes wishes;              // For a view that the manager places; those of based sections have their place.
  ByteCount offset;                    // Into the section; 64 KB aligned, or 4 KB where it replaces a placeholder.
  ByteCount size;                      // Zero: to the end of the section.
  ByteCount commit;                    // A SEC_RESERVE section commits so much of the view's start.
  Protection protection = Protection::kReadWrite;
  Direction direction = Direction::kBottomUp;
  Inherit inherit = Inherit::kUnmap;
  bool no_change = false;             // SEC_NO_CHANGE: protect fails from now on.
  bool extendable = false;            // MEM_RESERVE: may exceed the section, which may grow into it.
  bool replaces_placeholder = false;  // MEM_REPLACE_PLACEHOLDER: exactly one placeholder, which it replaces.
};

// Device frames in a row (region/device_frames.h).
struct FramesRequest {
  Pfn first;
  PageCount count;
  std::optional<VirtualAddress> base;  // 64 KB aligned; none: the manager chooses.
  PlacementWishes wishes;              // Only without a base.
  Protection protection = Protection::kReadOnly;
  Direction direction = Direction::kBottomUp;
  Inherit inherit = Inherit::kShare;
  bool no_change = false;  // Protect fails from now on.
};

// A region of an embedder's kind, which brings its pages itself (PageSource::kKind).
struct KindRequest {
  std::optional<VirtualAddress> base;  // 64 KB aligned; none: the manager chooses.
  ByteCount size;
  Protection protection = Protection::kReadWrite;
  Direction direction = Direction::kBottomUp;
};

enum class MemoryState : std::uint8_t { kFree, kReserved, kCommitted };

// A run of pages with equal state and protection. NT: MEMORY_BASIC_INFORMATION.
struct RegionInfo {
  VirtualAddress base;
  ByteCount size;
  MemoryState state = MemoryState::kFree;
  Protection protection = Protection::kNoAccess;  // What committed pages allow.
  VirtualAddress allocation_base;                 // The region's; free pages have none.
  Protection allocation_protection = Protection::kNone;
  MemoryType type = MemoryType::kPrivate;
};

// Where a page is now. A look takes no page in and changes nothing.
enum class PagePlace : std::uint8_t {
  kNowhere,     // Never touched, demand zero, decommitted, or in no region.
  kWorkingSet,  // Mapped, as a page of its own or of a large one.
  kStandby,     // In memory, clean, and not mapped here.
  kModified,    // In memory, not mapped here, and to be written.
  kTransfer,    // In memory, being read or written.
  kCompressed,
  kPagingFile,
  kShared,  // Its prototype PTE knows: it is not mapped here.
};

// One page of a space. For upper floors, the inspector, reports.
struct PageInfo {
  PagePlace place = PagePlace::kNowhere;
  Pfn frame = kNoPfn;                         // kNoPfn: not in memory.
  bool shared = false;                        // Mapped, or to be mapped, through a prototype PTE.
  bool original = false;                      // A view's page as the section has it: nothing was copied.
  bool large = false;                         // Mapped by a large page.
  bool device = false;                        // The frame is not the PFN database's.
  bool locked = false;                        // In the working set.
  bool dirty = false;                         // The entry says that the page was written, or its frame is modified.
  Protection protection = Protection::kNone;  // What the mapping allows; kNone if the page is not mapped.
  PagePriority priority = 0;                  // The frame's, if it is in memory.
  std::uint32_t share_count = 0;              // Entries that map the frame.
  PhysicalAddress pte;                        // The level-1 entry; kNone if its table does not exist.
};

// How many pages of a range are where.
struct Residency {
  PageCount working_set;
  PageCount standby;
  PageCount modified;  // Being read or written included.
  PageCount compressed;
  PageCount paging_file;
};

}  // namespace pagoda::mm
