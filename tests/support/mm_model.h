// The model of a memory manager: plain maps of regions, pages and words; segments of words that views share, and the
// private copies that views have of their pages. It says what each call must answer, and what memory then holds.
//
// What the model does not say: when pages move, and which.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "pagoda/machine/paging_mode.h"
#include "pagoda/mm/process/process_space.h"
#include "pagoda/mm/section/sections.h"

namespace pagoda::mm::testing {

inline constexpr std::uint64_t kGranule = kAllocationGranularity >> kPageShift;
inline constexpr std::uint64_t kUnlockable = 8;  // Pages of the minimum that cannot be locked (reference/nt.md 7.5).

// Eight words of a page, each in another cache line and none at the same place of its line.
inline constexpr unsigned kWords = 8;
inline constexpr std::uint64_t kWordStride = 520;
using Words = std::array<std::uint64_t, kWords>;

// The lowest `bytes` bytes of a word.
inline std::uint64_t low_bytes(unsigned bytes) {
  return bytes == 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << 8 * bytes) - 1;
}
// Pages that hold so many bytes.
inline std::uint64_t pages_in(std::uint64_t bytes) { return bytes / kPageBytes + (bytes % kPageBytes != 0 ? 1 : 0); }

// Pages by number.
struct Pages {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  [[nodiscard]] std::uint64_t end() const { return first + count; }

  // That hold bytes of the range; nothing if it is empty or wraps.
  static std::optional<Pages> covering(std::uint64_t address, std::uint64_t size);
};

struct ModelPage {
  Protection protection = Protection::kNone;  // kNone: reserved. A view's: as if it were committed.
  bool locked_in_ws = false;
  bool locked_in_memory = false;
  bool is_private = true;  // False for a view's page until a write has copied it.
  Words words{};
  // How many bytes of each word mean something. What a file's page shows behind the file's end does not.
  std::array<std::uint8_t, kWords> known{8, 8, 8, 8, 8, 8, 8, 8};

  [[nodiscard]] bool is_committed() const { return protection != Protection::kNone; }
  [[nodiscard]] bool is_locked() const { return locked_in_ws || locked_in_memory; }
  // Whether it counts for its view's charge.
  [[nodiscard]] bool is_charged() const { return is_private || is_write_copy(protection); }
};

// What views share.
struct ModelSegment {
  std::shared_ptr<FileStream> file;  // None: of the paging files.
  std::uint64_t file_size = 0;       // Bytes.
  std::uint64_t pages = 0;           // That views may show.
  std::uint64_t prototypes = 0;      // Pages of prototype PTEs that are charged.
  bool reserve = false;
  std::uint64_t sections = 0;  // Open ones.
  std::uint64_t views = 0;
  std::map<std::uint64_t, Words> words;  // Zero where there are none.
  std::map<std::uint64_t, bool> committed;

  [[nodiscard]] bool is_committed(std::uint64_t page) const {
    return page < pages && (!reserve || committed.contains(page));
  }
  [[nodiscard]] std::uint64_t charge() const {
    return file != nullptr ? 0 : prototypes + (reserve ? committed.size() : pages);
  }
  // How many bytes of the word mean something.
  [[nodiscard]] unsigned known(std::uint64_t page, std::uint64_t word) const;
  [[nodiscard]] std::uint64_t word(std::uint64_t page, std::uint64_t number) const;
  void resize(std::uint64_t size);
};

struct ModelSection {
  Section* section = nullptr;  // None: closed.
  std::shared_ptr<ModelSegment> segment;
  std::uint64_t size = 0;
  Protection protection = Protection::kNone;
};

struct ModelRegion {
  std::uint64_t count = 0;
  Protection protection = Protection::kNone;  // As reserved or mapped.
  std::shared_ptr<ModelSegment> segment;      // A view's.
  std::uint64_t section_page = 0;
  bool extendable = false;

  [[nodiscard]] bool is_view() const { return segment != nullptr; }
  // What it would fail to be changed to, if anything.
  [[nodiscard]] Status may_protect(Protection wanted) const;
  // The protection that a page of the region gets when asked for this one.
  [[nodiscard]] Protection for_page(const ModelPage& page, Protection wanted) const;
};

// Whether it says what a page may be used for.
bool is_page_protection(Protection protection);
bool is_allowed_on_private_page(Protection protection);

class ModelSpace {
 public:
  using RegionPlace = std::map<std::uint64_t, ModelRegion>::iterator;

  ProcessSpace* manager = nullptr;               // None: there was no commit for one.
  std::map<std::uint64_t, ModelRegion> regions;  // By first page.
  std::map<std::uint64_t, ModelPage> pages;      // The pages of all regions.
  std::uint64_t committed = 0;
  std::uint64_t tables = 0;  // That the regions span.
  std::uint64_t locked = 0;
  std::uint64_t minimum = 0;

  // regions.end(): none.
  RegionPlace region_at(std::uint64_t page);
  // The whole range in one.
  RegionPlace region_of(Pages range);
  [[nodiscard]] bool overlaps(Pages range);
  // What a page of the region may be used for now; kNone if it is not committed.
  Protection rights(RegionPlace region, std::uint64_t page);
  // The page that a page of a view shows.
  static std::uint64_t section_page(RegionPlace region, std::uint64_t page) {
    return region->second.section_page + (page - region->first);
  }
  std::uint64_t charge_of(Pages range) const;
  std::uint64_t charge_after_protect(const ModelRegion& region, Pages range, Protection wanted) const;

  void set_protection(ModelPage& page, Protection protection);
  void unlock(ModelPage& page);
  // The page's promise ends.
  void forget(ModelPage& page);
  void forget_region(RegionPlace region, const machine::PagingMode& mode);
  // What an access of a program gives; changes the page as the access does.
  Status access(std::uint64_t page, machine::Access access, bool has_no_execute);

  [[nodiscard]] std::uint64_t tables_spanned(const machine::PagingMode& mode) const;
  // With one region more.
  [[nodiscard]] std::uint64_t tables_spanned_with(Pages region, const machine::PagingMode& mode) const;
  // First fit in 64 KB steps (reference/nt.md section 5), from `lowest` to `highest`.
  [[nodiscard]] std::optional<std::uint64_t> find_gap(std::uint64_t count, bool top_down, std::uint64_t lowest,
                                                      std::uint64_t highest) const;
};

}  // namespace pagoda::mm::testing
