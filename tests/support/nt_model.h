// The model of processes behind the native API: plain maps of handles, sections, regions and pages. It says what each
// call must answer, and what memory then holds.
//
// Left out: files and images (the model of mm has them), and what a call does beside private and paging-file memory
// (large pages, AWE, write watch, reset, placeholders, clones).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "pagoda/machine/access.h"
#include "pagoda/mm/pte/protection.h"
#include "pagoda/nt.h"
#include "pagoda/nt/objects.h"

namespace pagoda::nt::testing {

// Pages by number.
struct Pages {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  [[nodiscard]] std::uint64_t end() const { return first + count; }

  // That hold bytes of the range. Requires: it is not empty and does not wrap.
  static Pages covering(std::uint64_t base, std::uint64_t size);
};

// Where a new region may lie: pages, both inclusive.
struct Limits {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t alignment = 0;
  bool top_down = false;
};

using ModelBytes = std::array<std::uint8_t, kPageBytes>;
using ModelContents = std::map<std::uint64_t, ModelBytes>;  // By page; zeros where there is none.

struct ModelSection {
  bool reserve = false;
  bool no_change = false;
  bool no_cache = false;
  std::uint64_t pages = 0;
  mm::Protection protection = mm::Protection::kNone;
  std::u16string name;
  std::uint64_t number = 0;  // Of two, the newer one has the larger.
  ModelContents contents;
  std::set<std::uint64_t> committed;

  [[nodiscard]] bool is_committed(std::uint64_t page) const { return !reserve || committed.contains(page); }
};

struct ModelPage {
  mm::Protection protection = mm::Protection::kNone;  // kNone: reserved. A view's is as if it were committed.
  bool is_private = true;                             // A view's page is shared until a write has copied it.
  std::array<bool, 2> locked{};                       // In the working set, in memory.

  [[nodiscard]] bool is_locked() const { return locked[0] || locked[1]; }
};

struct ModelRegion {
  std::uint64_t count = 0;
  mm::Protection protection = mm::Protection::kNone;
  std::shared_ptr<ModelSection> section;  // What a view maps.
  std::uint64_t section_page = 0;
  bool no_change = false;

  [[nodiscard]] bool is_view() const { return section != nullptr; }
  // How it would fail to be changed to this one, if it does.
  [[nodiscard]] NTSTATUS may_protect(mm::Protection wanted) const;
  // The protection that a page of the region gets when asked for this one.
  [[nodiscard]] mm::Protection for_page(const ModelPage& page, mm::Protection wanted) const;
};

class ModelProcess;
using ProcessPointer = std::shared_ptr<ModelProcess>;

// What a handle names.
struct ModelEntry {
  ObjectType type = ObjectType::kProcess;
  AccessMask access = 0;
  ProcessPointer process;
  std::shared_ptr<ModelSection> section;
};

class ModelProcess {
 public:
  using RegionPlace = std::map<std::uint64_t, ModelRegion>::iterator;

  bool is_first = false;
  bool ended = false;
  bool may_lock = true;  // Holds SeLockMemory.
  std::uint64_t minimum = 0;
  std::uint64_t locked = 0;
  std::map<std::uint64_t, ModelEntry> handles;
  std::map<std::uint64_t, ModelRegion> regions;  // By first page.
  std::map<std::uint64_t, ModelPage> pages;      // Of all regions.
  ModelContents contents;                        // Of private pages.

  // --- Handles ---
  // By which `handles` knows it: the two lowest bits mean nothing.
  static std::uint64_t value_of(HANDLE handle);
  // Null: it names nothing.
  [[nodiscard]] const ModelEntry* find(HANDLE handle) const;
  NTSTATUS find(HANDLE handle, ObjectType type, AccessMask needed, ModelEntry& out) const;

  // --- Regions ---
  // regions.end(): none.
  RegionPlace region_at(std::uint64_t page);
  // The whole range in one.
  RegionPlace region_of(Pages range);
  [[nodiscard]] bool overlaps(Pages range) const;
  // First fit, reference/nt.md section 5.
  [[nodiscard]] std::optional<std::uint64_t> find_gap(std::uint64_t count, const Limits& limits) const;
  void forget_region(RegionPlace region);
  // Nothing is left of its memory.
  void forget_all_regions();

  // --- Pages ---
  // The page that a page of a view shows.
  static std::uint64_t section_page(RegionPlace region, std::uint64_t page) {
    return region->second.section_page + (page - region->first);
  }
  // What a page of the region may be used for now; kNone if it is not committed.
  mm::Protection rights(RegionPlace region, std::uint64_t page);
  void set_protection(ModelPage& page, mm::Protection protection);
  void set_locked(ModelPage& page, std::size_t kind, bool is_locked);
  // The page's promise ends.
  void forget(std::uint64_t page);
  // What an access gives; changes the page as the access does.
  NTSTATUS touch(std::uint64_t number, machine::Access access, bool from_outside, bool has_no_execute);
  // The page's bytes; null: zeros, unless `make`.
  ModelBytes* bytes_of_page(std::uint64_t number, bool make);
  // Of NtQueryVirtualMemory, in an address space that ends with `highest`.
  [[nodiscard]] MEMORY_BASIC_INFORMATION information(std::uint64_t page, std::uint64_t highest);
};

}  // namespace pagoda::nt::testing
