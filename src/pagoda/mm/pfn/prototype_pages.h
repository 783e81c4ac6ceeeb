// Which frames hold prototype PTEs, and who owns those: what the PFN database keeps about them.
//
// The pool of prototype PTEs (prototype_pool.h) is a range of system addresses; its pages have numbers. A page that is
// in use has a frame, whose PFN entry has the number and, in place of an original PTE, the owner word: the number of a
// PrototypeOwner, or kClone and the number of a page of clone entries.
//
// A page of the pool can be out of memory, as a page table can (space/page_tables.h). Its place is then said by an entry
// of a *pool table*: a frame with the entries of the pool's pages side by side, as the system's page tables have them,
// made when the first of them goes out. That entry owns the frame in which the page is on its way. What is given up of
// a page while it is out stays until it is back: the page is *given up*, and the segment reaper brings it in.
//
// Locking: the PFN lock, throughout.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
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
  static constexpr std::uint64_t kNobody = 0;  // The owner word of a page whose owner went while it was out.

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
  [[nodiscard]] PageCount count() const { return count_; }  // Pages in memory.
  void add(std::uint32_t page, Pfn frame);
  void remove(std::uint32_t page);

  // --- Pages in memory of which no entry is resident ---
  [[nodiscard]] std::span<const std::uint32_t> idle() const { return idle_; }
  // Returns the page's place among them.
  std::uint32_t add_idle(std::uint32_t page);
  // Requires: that place. The last page takes it, and is returned.
  std::uint32_t remove_idle(std::uint32_t page, std::uint32_t place);

  // --- Pages that are out ---
  [[nodiscard]] bool is_out(std::uint32_t page) const { return out_.contains(page); }
  // By page: the owner word.
  [[nodiscard]] const std::map<std::uint32_t, std::uint64_t>& out() const { return out_; }
  [[nodiscard]] std::uint64_t owner_of_out(std::uint32_t page) const { return out_.at(page); }
  void add_out(std::uint32_t page, std::uint64_t owner) { out_.emplace(page, owner); }
  void remove_out(std::uint32_t page) { out_.erase(page); }
  // The page that is out has lost its owner, and with it all that its entries name.
  void disown(std::uint32_t page) {
    out_.at(page) = kNobody;
    given_up_.insert(page);
  }
  [[nodiscard]] std::set<std::uint32_t>& given_up() { return given_up_; }
  [[nodiscard]] const std::set<std::uint32_t>& given_up() const { return given_up_; }
  // The pool tables, by page / entries of a table.
  [[nodiscard]] std::map<std::uint32_t, Pfn>& tables() { return tables_; }
  [[nodiscard]] const std::map<std::uint32_t, Pfn>& tables() const { return tables_; }

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
  std::vector<std::uint32_t> idle_;  // In no order that means anything.
  std::map<std::uint32_t, std::uint64_t> out_;
  std::set<std::uint32_t> given_up_;  // Of those that are out.
  std::map<std::uint32_t, Pfn> tables_;
  std::unordered_map<std::uint32_t, PrototypeOwner*> owners_;  // By number; nothing walks them.
  std::vector<std::uint32_t> emptied_;
};

}  // namespace pagoda::mm
