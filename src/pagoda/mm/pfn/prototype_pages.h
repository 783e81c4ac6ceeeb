// Which frames hold prototype PTEs, and who owns those: what the PFN database keeps about them.
//
// The pool of prototype PTEs (prototype_pool.h) is a range of system addresses; its pages have numbers. A page that is
// in use has a frame, whose PFN entry has the number and, in place of an original PTE, the owner word: the number of a
// PrototypeOwner, or kClone and the number of a page of clone entries.
//
// Locking: the PFN lock, throughout.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include "pagoda/base/sparse_array.h"
#include "pagoda/base/units.h"
#include "pagoda/machine/paging_mode.h"
#include "pagoda/mm/pfn/prototype_owner.h"

namespace pagoda::mm {

class PrototypePages {
 public:
  static constexpr std::uint64_t kClone = std::uint64_t{1} << 63;  // In an owner word.

  explicit PrototypePages(const machine::PagingMode& mode);

  // --- Addresses ---
  [[nodiscard]] PageCount size() const { return size_; }  // The range's.
  [[nodiscard]] bool contains(VirtualAddress prototype) const {
    return prototype >= base_ && prototype - base_ < bytes_of(size_);
  }
  [[nodiscard]] VirtualAddress address_of(std::uint32_t page) const { return base_ + bytes_of(PageCount(page)); }
  [[nodiscard]] std::uint32_t number_of(VirtualAddress prototype) const {
    return static_cast<std::uint32_t>((prototype - base_) / kPageSize);
  }

  // --- Frames ---
  // kNoPfn: the page does not exist.
  [[nodiscard]] Pfn frame(std::uint32_t page) const {
    const std::uint32_t frame = frames_[page];
    return frame == 0 ? kNoPfn : Pfn(frame);
  }
  [[nodiscard]] PageCount count() const { return count_; }  // Pages that exist.
  void add(std::uint32_t page, Pfn frame);
  void remove(std::uint32_t page);

  // --- Owners ---
  void add_owner(PrototypeOwner& owner) { owners_.emplace(owner.number(), &owner); }
  void remove_owner(const PrototypeOwner& owner) { owners_.erase(owner.number()); }
  // Null: a page of clone entries.
  [[nodiscard]] PrototypeOwner* owner(std::uint64_t owner_word) const;
  [[nodiscard]] bool is_file_data(std::uint64_t owner_word) const;
  // Owners that are not used and whose last page left memory, in the order in which that happened; forgets them.
  [[nodiscard]] std::vector<std::uint32_t> take_emptied() { return std::exchange(emptied_, {}); }
  [[nodiscard]] bool any_emptied() const { return !emptied_.empty(); }

  // --- For PfnDatabase ---
  // An entry of the owner's page became valid or transition; or was, and is neither any more.
  void entry_resident(std::uint64_t owner_word) const;
  void entry_left(std::uint64_t owner_word);

 private:
  friend struct Corruptor;

  const VirtualAddress base_;
  const PageCount size_;
  SparseArray<std::uint32_t> frames_;  // By page; 0: none.
  PageCount count_;
  std::unordered_map<std::uint32_t, PrototypeOwner*> owners_;  // By number; nothing walks them.
  std::vector<std::uint32_t> emptied_;
};

}  // namespace pagoda::mm
