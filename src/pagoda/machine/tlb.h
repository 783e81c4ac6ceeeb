// A translation look-aside buffer: what a processor remembers of its walks, right or stale, until it is told to
// forget it.
//
// Two geometries. *Large* is one direct-mapped array of 8192 entries with the look-up inlined: for speed. *Realistic*
// is a first level of 64 4 KB and 32 large entries, 4-way, before a second level of 1536 entries, 12-way, with true
// LRU: for counting misses (Intel's Haswell and Skylake server parts; Intel optimization manual, table of TLB
// parameters). Which one is chosen never changes what a program reads. Entries carry the address space's tag (Asid) or
// are global.
//
// In an entry a number stands for the space's tag. In the large geometry a space, or everything, is forgotten by giving
// the number up: nobody looks for its entries any more, they are dead, and none is searched for. When the numbers have
// run out, all entries are cleared and the numbers begin anew.
//
// Invariants:
//   [T1] An entry allows only what some walk since the last invalidation of its page allowed.
//   [T2] A writable entry was made by a walk that left dirty set; a first write always walks.
//   [T3] Large pages: invalidating any address of the page invalidates all of it.
//   [T4] An entry's number was never another space's.
// Not synchronised: a TLB belongs to the thread that drives its processor, or to who holds that processor's lock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/machine/access.h"
#include "pagoda/machine/page_walker.h"

namespace pagoda::machine {

enum class TlbGeometry : std::uint8_t { kLarge, kRealistic };

// Whether `user_read` and `user_write` ever hit. kNever: every access has to ask `find`, which its processor does with a lock held.
enum class ShortestWay : std::uint8_t { kHits, kNever };

class Tlb {
 public:
  // What stands for a space in entries.
  enum class Tag : std::uint16_t {};

  // One page: its tag (page address and Tag), and what to add to an address of the page to get the host address of its
  // bytes, with the rights in the low 12 bits.
  struct Entry {
    std::uint64_t tag = kEmpty;
    std::uint64_t addend_and_rights = 0;

    [[nodiscard]] bool allows(std::uint64_t right) const { return (addend_and_rights & right) != 0; }
    [[nodiscard]] std::byte* host(VirtualAddress va) const {
      return reinterpret_cast<std::byte*>((addend_and_rights & ~kPageOffsetMask) + va.value());
    }
  };

  explicit Tlb(TlbGeometry geometry, ShortestWay shortest_way = ShortestWay::kHits);
  Tlb(const Tlb&) = delete;
  Tlb& operator=(const Tlb&) = delete;

  // The shortest way, for loads and stores of a program in user mode: the space's own entry in the large geometry, if
  // it allows that. A miss says nothing; ask `find`.
  struct Hit {
    std::uint64_t tag = kEmpty;
    std::uint64_t addend = 0;

    // Whether it translates all of the bytes from `va` on, when it was found by `va`. It is the last byte's page that
    // is compared: the page after that of `va` has another place in the array, so bytes on two pages never match.
    template <std::size_t Bytes>
    [[nodiscard]] bool covers(VirtualAddress va, Tag space) const {
      static_assert(Bytes > 0 && Bytes <= kPageBytes);
      return tag == (((va.value() + (Bytes - 1)) & ~kPageOffsetMask) | static_cast<std::uint64_t>(space));
    }
    [[nodiscard]] std::byte* host(VirtualAddress va) const { return reinterpret_cast<std::byte*>(addend + va.value()); }
  };
  [[nodiscard]] const Hit& user_read(VirtualAddress va) const { return read_hits_[direct_index(va)]; }
  [[nodiscard]] const Hit& user_write(VirtualAddress va) const { return write_hits_[direct_index(va)]; }
  // Of the space that is loaded; another after each insertion and invalidation.
  [[nodiscard]] Tag loaded_tag() const { return loaded_tag_; }

  // The space whose translations are wanted from now on; at first kUntagged.
  void load_space(Asid asid) {
    loaded_ = asid;
    loaded_tag_ = tag_of(asid);
  }
  // The entry that translates `va` for the loaded space, or null. In the realistic geometry a hit counts as a use.
  const Entry* find(VirtualAddress va) { return find(va, loaded_tag_); }
  // The same for any space.
  const Entry* find(VirtualAddress va, Asid asid) { return find(va, tag_of(asid)); }

  // Whether some entry translates `va` for the space, or may; not counted as a use.
  [[nodiscard]] bool holds(VirtualAddress va, Asid asid) const;
  // Keeps a walk's result. `host` is where the page's bytes are, in order with those around it or not; `write_protect`
  // as in WalkRules.
  const Entry& insert(VirtualAddress va, Asid asid, const Translation& translation, std::byte* host, bool write_protect,
                      FrameOrder order = FrameOrder::kContiguous);

  void invalidate_page(VirtualAddress va, Asid asid);  // And a global entry for the page. x86: INVLPG.
  void invalidate_asid(Asid asid);                     // Global entries stay. x86: MOV CR3, INVPCID type 1.
  void invalidate_all();                               // Global entries too.
  // One flush in place of many of a page: the whole space, and the global entries of these pages.
  void invalidate_range(VpnRange pages, Asid asid);

  [[nodiscard]] TlbGeometry geometry() const { return geometry_; }
  // Entries in use; for tests and for `mm::check`, which compares each with the tables.
  [[nodiscard]] std::vector<CachedTranslation> held() const;

 private:
  static constexpr std::uint64_t kTagMask = kPageOffsetMask;
  static constexpr Tag kNoTag{0};                     // The space has no entries.
  static constexpr std::uint64_t kTagEnd = kTagMask;  // One past the last number.
  // In no mode an address, since it is not canonical, and of no space's number.
  static constexpr std::uint64_t kEmpty = std::uint64_t{1} << 63 | kTagEnd;
  static constexpr std::size_t kDirectEntries = 8192;
  static constexpr std::uint64_t kLargePage = 1U << 11;  // In addend_and_rights: part of a large page.
  static constexpr std::uint64_t kPiece = 1U << 10;      // In addend_and_rights: a 2 MB piece (realistic geometry).
  static constexpr unsigned kPieceShift = 21;

  // A set-associative array with true LRU inside a set.
  struct Array {
    struct Slot {
      Entry entry;  // Its tag names a 4 KB page, or a 2 MB piece.
      std::uint64_t used = 0;
    };
    Array(std::size_t set_count, std::size_t way_count)
        : sets(set_count), ways(way_count), slots(set_count * way_count) {}
    Slot* find(std::uint64_t number, std::uint64_t tag, std::uint64_t global_tag);
    [[nodiscard]] bool has(std::uint64_t number, const std::array<std::uint64_t, 2>& tags) const;
    Slot& victim(std::uint64_t number, std::uint64_t tag);
    void forget(std::uint64_t number, std::uint64_t tag, std::uint64_t global_tag);

    std::size_t sets;
    std::size_t ways;
    std::vector<Slot> slots;
  };
  struct Realistic {
    Array small{16, 4};     // 4 KB pages.
    Array large{8, 4};      // Larger pages, by 2 MB pieces.
    Array second{128, 12};  // Both.
    std::uint64_t clock = 0;
    Entry result;  // What the last hit on a 2 MB piece means for its 4 KB page.
  };

  static std::size_t direct_index(VirtualAddress va) { return (va.value() >> kPageShift) & (kDirectEntries - 1); }
  static std::uint64_t key(std::uint64_t page, Tag tag) { return page | static_cast<std::uint64_t>(tag); }
  static Tag tag_in(const Entry& entry) { return Tag{static_cast<std::uint16_t>(entry.tag & kTagMask)}; }

  [[nodiscard]] Tag tag_of(Asid asid) const { return tags_[static_cast<std::size_t>(asid)]; }
  // The same; a space that has none gets one.
  Tag make_tag(Asid asid) {
    const Tag tag = tag_of(asid);
    return tag != kNoTag ? tag : make_new_tag(asid);
  }
  Tag make_new_tag(Asid asid);
  void set_tag(Asid asid, Tag tag);
  void forget_all_tags();

  const Entry* find(VirtualAddress va, Tag tag) {
    if (geometry_ == TlbGeometry::kRealistic) return find_realistic(va, tag);
    const std::uint64_t page = va.value() & ~kPageOffsetMask;
    const Entry& entry = direct_[direct_index(va)];
    if (entry.tag == key(page, tag)) return &entry;
    return entry.tag == key(page, global_tag_) ? &entry : nullptr;
  }
  const Entry* find_realistic(VirtualAddress va, Tag tag);
  enum class Size : std::uint8_t { kPage, kPiece };
  const Entry* insert_realistic(VirtualAddress va, Size size, const Entry& entry);
  const Entry* piece_of(const Entry& piece, VirtualAddress va);
  void forget_realistic(VirtualAddress va, Asid asid);
  // Visits every entry, which the visitor may clear.
  template <class Visit>
  void for_each(Visit&& visit);
  // The only way to change a direct-mapped entry: the shortest way follows.
  void set_direct(std::size_t index, const Entry& entry);

  TlbGeometry geometry_;
  ShortestWay shortest_way_;
  bool any_large_ = false;  // Since the last full flush: [T3] then needs a search.
  Asid loaded_ = kUntagged;
  Tag loaded_tag_ = kNoTag;  // Of `loaded_`, and that of global entries: as `tags_` has them.
  Tag global_tag_ = kNoTag;
  std::uint64_t next_tag_ = 1;
  std::array<Tag, kAsidCount + 1> tags_{};  // By Asid, kGlobalAsid too.
  std::vector<Entry> direct_;               // This and what follows from it stay empty in the realistic geometry.
  std::vector<Hit> user_reads_;             // And with ShortestWay::kNever.
  std::vector<Hit> user_writes_;
  const Hit* read_hits_;  // As many as the array has entries: these vectors', or nobody's.
  const Hit* write_hits_;
  std::unique_ptr<Realistic> realistic_;
};

}  // namespace pagoda::machine
