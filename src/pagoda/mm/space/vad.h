// A virtual address descriptor: one range of an address space and what was promised about it. NT: MMVAD.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "pagoda/base/units.h"
#include "pagoda/mm/pte/protection.h"

namespace pagoda::mm {

enum class VadType : std::uint8_t {  // NT's numbers (reference/nt.md 5).
  kNone = 0,
  kPhysical = 1,
  kImage = 2,
  kAwe = 3,
  kWriteWatch = 4,
  kLargePages = 5,
  kRotate = 6,
  kLargePageSection = 7,
};

enum class MemCommit : std::uint8_t { kNo, kYes };

// Where a page comes from whose entry does not say so itself: all that the fault handler asks about a region's kind.
enum class PageSource : std::uint8_t {
  kZeros,      // Private memory: zeroed by the first touch, then in its entry. Needs no virtual call.
  kPrototype,  // The prototype PTE of the segment's page.
  kKind,       // The region's kind brings it (RegionKind::fault).
  kMapped,     // Mapped as long as the region exists: the page never faults for being absent.
};

class ControlArea;
class RegionKind;
struct VadExtra;

// What a fork does with a view. NT's numbers: ViewShare, ViewUnmap.
enum class Inherit : std::uint8_t { kShare = 1, kUnmap = 2 };

// Owned by a VadTree, in whose links it stands. Searches of the tree read the first cache line of a node and no other.
struct alignas(64) Vad {
  VpnRange range;  // Changed by VadTree::shrink alone.

 private:
  friend class VadTree;
  friend struct VadTreePeer;  // Tests corrupt trees through it.
  friend struct Corruptor;    // Tests of mm::check.

  // Free pages between the VAD before and this one, from the first 64 KB border on; see vad_tree.h.
  [[nodiscard]] std::uint64_t gap() const { return gap_and_balance_ >> 8; }
  void set_gap(std::uint64_t pages) { gap_and_balance_ = pages << 8 | (gap_and_balance_ & 0xFF); }
  // The largest gap of this VAD and of all below it.
  [[nodiscard]] std::uint64_t largest_gap() const { return std::max({gap(), side_gap_[0], side_gap_[1]}); }
  // Height of the right subtree - height of the left one.
  [[nodiscard]] int balance() const { return static_cast<std::int8_t>(gap_and_balance_ & 0xFF); }
  void set_balance(int balance) {
    gap_and_balance_ = (gap_and_balance_ & ~std::uint64_t{0xFF}) | static_cast<std::uint8_t>(balance);
  }

  std::uint64_t gap_and_balance_ = 0;  // Balance in bits 0-7: in one word, links and gaps fill the line.
  // [0] is the lower side, [1] the upper one.
  std::array<std::uint64_t, 2> side_gap_{};  // The largest gap of each subtree.
  std::array<Vad*, 2> child_{};
  Vad* parent_ = nullptr;

 public:
  PageCount commit_charge;  // Pages promised: all of a committed range, those with entries of a reserved one, those
                            // of a view that are, or become when written, private.
  ControlArea* control_area = nullptr;  // Null: no view of a section.
  PageCount section_page;               // Where in the section a view begins.
  [[nodiscard]] PageCount section_page_of(Vpn page) const { return section_page + (page - range.first); }
  VadExtra* extra = nullptr;         // What few regions need; see region/vad_extra.h. Owned by the space.
  const RegionKind* kind = nullptr;  // What may be done with the region; immutable, and outlives the region.
  PageSource source = PageSource::kZeros;
  // What pages with a zero PTE allow; an image's view has its section's. To protect a whole region changes it.
  Protection protection = Protection::kNoAccess;
  Protection allocation_protection = Protection::kNoAccess;  // As the region was made: what queries tell.
  Protection large_protection = Protection::kNone;           // What the entries of large pages carry now.
  MemCommit mem_commit = MemCommit::kNo;                     // Zero PTEs mean demand zero; otherwise only reserved.
  VadType type = VadType::kNone;
  Inherit inherit = Inherit::kShare;
  bool is_private = true;
  bool no_change = false;         // Protect fails. NT: NoChange.
  bool placeholder = false;       // Holds addresses for a later region and has no pages.
  bool from_placeholder = false;  // Replaced one, and can become one again.
  bool extendable = false;        // A view that may exceed its section. NT: ExtendableFile.
  bool commits_on_touch = false;  // Reserved, and each page is committed by its first touch (process/requests.h).
  bool tables_on_demand = false;  // A view so large that its page tables are not charged before they are made.
};
static_assert(sizeof(Vad) == 2 * 64);

// Views of a file from this size on are not charged for their page tables: NT 5.2's rule, by which they would all be
// paid for at once, would refuse to map a large file of which little is used. A choice, in the direction of NT 8.1.
inline constexpr PageCount kTablesOnDemand = pages_of(1_GiB);

}  // namespace pagoda::mm
