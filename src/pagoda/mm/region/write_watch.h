// Which pages of a write-watch region were written since it was allocated or they were reset. NT: the bitmap behind
// MEM_WRITE_WATCH.
//
// A mark is set where a page becomes dirty (AddressSpace::record_write): the hardware may write to a page only once its
// PTE has Write, and Write is given by a fault alone. To reset a page is to take Write and Dirty away from its PTE, so
// that the next write faults again. What PFN entries say about modified pages has no part in it: a page that was
// written to the paging file, decommitted or protected stays marked.
//
// Invariants (mm::check):
//   [WW1] A region has a watch if and only if its type says so; every page of it whose PTE has Write is marked.
// Two levels: a word of the upper one says which 64 words of the lower one have any mark, so that a scan costs what is
// marked and little else. Memory comes with the first mark near by. Locking: the lock of the address space.
// Source: reference/nt.md 7.7.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "pagoda/base/check.h"
#include "pagoda/base/units.h"

namespace pagoda::mm {

class WriteWatch {
 public:
  explicit WriteWatch(VpnRange pages);
  // The marks of a part of another one.
  WriteWatch(const WriteWatch& whole, VpnRange part);

  void set(Vpn page) {
    const std::uint64_t bit = bit_of(page);
    words_.get()[bit / kBits] |= std::uint64_t{1} << bit % kBits;
    summary_.get()[bit / kBits / kBits] |= std::uint64_t{1} << bit / kBits % kBits;
  }
  [[nodiscard]] bool test(Vpn page) const {
    const std::uint64_t bit = bit_of(page);
    return (words_.get()[bit / kBits] >> bit % kBits & 1) != 0;
  }
  void clear(VpnRange pages);

  // Calls `visit(page)` for the marked pages of the range, upward, until it returns false. It may clear marks.
  template <class Visit>
  void for_each(VpnRange pages, Visit&& visit) const {
    if (pages.empty()) return;
    const std::uint64_t first = bit_of(pages.first);
    const std::uint64_t last = bit_of(pages.last());
    const auto from = [](std::uint64_t bit) { return ~std::uint64_t{0} << bit % kBits; };
    const auto up_to = [](std::uint64_t bit) { return ~std::uint64_t{0} >> (kBits - 1 - bit % kBits); };
    for (std::uint64_t group = first / kBits / kBits; group <= last / kBits / kBits; ++group) {
      for (std::uint64_t some = summary_.get()[group]; some != 0; some &= some - 1) {
        const std::uint64_t word = group * kBits + static_cast<unsigned>(std::countr_zero(some));
        if (word < first / kBits) continue;
        if (word > last / kBits) return;
        std::uint64_t marks = words_.get()[word];
        if (word == first / kBits) marks &= from(first);
        if (word == last / kBits) marks &= up_to(last);
        for (; marks != 0; marks &= marks - 1) {
          const auto bit = static_cast<unsigned>(std::countr_zero(marks));
          if (!visit(pages_.first + PageCount(word * kBits + bit))) return;
        }
      }
    }
  }

 private:
  static constexpr std::uint64_t kBits = 64;
  // From calloc: large ones cost what is touched, small ones little.
  struct Free {
    void operator()(std::uint64_t* words) const { std::free(words); }
  };
  using Words = std::unique_ptr<std::uint64_t, Free>;
  static Words zeros(std::uint64_t bits);

  [[nodiscard]] std::uint64_t bit_of(Vpn page) const {
    PAGODA_DCHECK(pages_.contains(page));
    return (page - pages_.first).value();
  }

  VpnRange pages_;  // The region's at first; the region may shrink.
  Words words_;
  Words summary_;  // A bit for each word that has any; it may say so of a word that has none left.
};

}  // namespace pagoda::mm
