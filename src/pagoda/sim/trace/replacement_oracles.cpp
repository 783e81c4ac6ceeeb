#include "pagoda/sim/trace/replacement_oracles.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <ranges>

#include "pagoda/base/check.h"

namespace pagoda::sim {

namespace {

constexpr std::uint32_t kNone = ~std::uint32_t{0};

// A set of numbers below a bound that finds its largest: bits in a tree of 64-way nodes.
class MaximumSet {
 public:
  explicit MaximumSet(std::uint64_t bound) {
    do {
      bound = (bound + 63) / 64;
      levels_.emplace_back(bound, 0);
    } while (bound > 1);
  }

  void insert(std::uint64_t value) {
    for (auto& level : levels_) {
      level[value / 64] |= std::uint64_t{1} << (value % 64);
      value /= 64;
    }
  }

  void erase(std::uint64_t value) {
    for (auto& level : levels_) {
      level[value / 64] &= ~(std::uint64_t{1} << (value % 64));
      if (level[value / 64] != 0) return;
      value /= 64;
    }
  }

  // Needs a set that is not empty.
  [[nodiscard]] std::uint64_t largest() const {
    std::uint64_t value = 0;
    for (const auto& level : std::views::reverse(levels_)) {
      value = value * 64 + 63 - static_cast<unsigned>(std::countl_zero(level[value]));
    }
    return value;
  }

 private:
  std::vector<std::vector<std::uint64_t>> levels_;
};

}  // namespace

std::uint64_t count_lru_misses(std::span<const std::uint32_t> pages, std::uint32_t page_count, PageCount frames) {
  if (frames.is_zero()) return pages.size();
  // A ring of the resident pages in order of recency; element page_count is its head.
  struct Links {
    std::uint32_t newer = kNone;  // kNone: not resident.
    std::uint32_t older = kNone;
  };
  std::vector<Links> links(std::size_t{page_count} + 1);
  const std::uint32_t head = page_count;
  links[head] = {head, head};
  std::uint64_t resident = 0;
  std::uint64_t misses = 0;
  const auto unlink = [&](std::uint32_t page) {
    links[links[page].newer].older = links[page].older;
    links[links[page].older].newer = links[page].newer;
  };
  for (const std::uint32_t page : pages) {
    PAGODA_DCHECK_LT(page, page_count);
    if (links[page].newer != kNone) {
      unlink(page);
    } else {
      ++misses;
      if (resident == frames.value()) {
        const std::uint32_t victim = links[head].newer;  // The ring closes: newer than the head is the oldest.
        unlink(victim);
        links[victim].newer = kNone;
      } else {
        ++resident;
      }
    }
    const std::uint32_t newest = links[head].older;
    links[page] = {head, newest};
    links[newest].newer = page;
    links[head].older = page;
  }
  return misses;
}

std::uint64_t count_opt_misses(std::span<const std::uint32_t> pages, std::uint32_t page_count, PageCount frames) {
  if (frames.is_zero()) return pages.size();
  // When each reference's page comes again. Pages that never do get times behind the end, one each.
  std::vector<std::uint64_t> next(pages.size());
  std::vector<std::uint64_t> upcoming(page_count);
  std::iota(upcoming.begin(), upcoming.end(), pages.size());
  for (std::size_t i = pages.size(); i-- > 0;) {
    PAGODA_DCHECK_LT(pages[i], page_count);
    next[i] = upcoming[pages[i]];
    upcoming[pages[i]] = i;
  }
  // The resident pages by the time of their next reference, which names the page.
  MaximumSet resident(pages.size() + page_count);
  std::vector<bool> is_resident(page_count);
  std::uint64_t count = 0;
  std::uint64_t misses = 0;
  for (std::size_t i = 0; i < pages.size(); ++i) {
    if (is_resident[pages[i]]) {
      resident.erase(i);
    } else {
      ++misses;
      if (count == frames.value()) {
        const std::uint64_t when = resident.largest();
        resident.erase(when);
        is_resident[when < pages.size() ? pages[when] : when - pages.size()] = false;
      } else {
        ++count;
      }
      is_resident[pages[i]] = true;
    }
    resident.insert(next[i]);
  }
  return misses;
}

std::uint64_t count_clock_misses(std::span<const std::uint32_t> pages, std::uint32_t page_count, PageCount frames) {
  if (frames.is_zero()) return pages.size();
  enum : std::uint8_t { kAbsent, kClear, kReferenced };
  std::vector<std::uint8_t> state(page_count, kAbsent);
  std::vector<std::uint32_t> ring;
  ring.reserve(std::min<std::uint64_t>(frames.value(), page_count));
  std::size_t hand = 0;
  std::uint64_t misses = 0;
  for (const std::uint32_t page : pages) {
    if (state[page] != kAbsent) {
      state[page] = kReferenced;
      continue;
    }
    ++misses;
    if (ring.size() < frames.value()) {
      ring.push_back(page);
    } else {
      while (state[ring[hand]] == kReferenced) {
        state[ring[hand]] = kClear;
        hand = hand + 1 == ring.size() ? 0 : hand + 1;
      }
      state[ring[hand]] = kAbsent;
      ring[hand] = page;
      hand = hand + 1 == ring.size() ? 0 : hand + 1;
    }
    state[page] = kReferenced;
  }
  return misses;
}

std::uint64_t count_fifo_misses(std::span<const std::uint32_t> pages, std::uint32_t page_count, PageCount frames) {
  if (frames.is_zero()) return pages.size();
  std::vector<bool> is_resident(page_count);
  std::vector<std::uint32_t> ring;
  std::size_t oldest = 0;
  std::uint64_t misses = 0;
  for (const std::uint32_t page : pages) {
    if (is_resident[page]) continue;
    ++misses;
    if (ring.size() < frames.value()) {
      ring.push_back(page);
    } else {
      is_resident[ring[oldest]] = false;
      ring[oldest] = page;
      oldest = oldest + 1 == ring.size() ? 0 : oldest + 1;
    }
    is_resident[page] = true;
  }
  return misses;
}

std::vector<std::uint64_t> lru_miss_curve(std::span<const std::uint32_t> pages, std::uint32_t page_count) {
  // Slots stand for times; a page holds the slot of its last reference. Pages above a slot were referenced after it.
  // When the slots run out, the pages move to the lowest ones in the same order.
  const std::uint64_t slots = std::max<std::uint64_t>(4 * std::uint64_t{page_count}, 64);
  std::vector<std::uint32_t> tree(slots + 1);  // Fenwick: sums of occupied slots.
  std::vector<std::uint32_t> owner(slots, kNone);
  std::vector<std::uint64_t> slot_of(page_count, slots);
  const auto add = [&](std::uint64_t slot, std::uint32_t amount) {
    for (std::uint64_t i = slot + 1; i <= slots; i += i & (0 - i)) tree[i] += amount;
  };
  const auto count_up_to = [&](std::uint64_t slot) {
    std::uint64_t sum = 0;
    for (std::uint64_t i = slot + 1; i > 0; i -= i & (0 - i)) sum += tree[i];
    return sum;
  };
  std::vector<std::uint64_t> hits_at(std::size_t{page_count} + 1);  // By stack distance: 1 is the page just referenced.
  std::uint64_t next_slot = 0;
  std::uint64_t known = 0;
  for (const std::uint32_t page : pages) {
    PAGODA_DCHECK_LT(page, page_count);
    if (next_slot == slots) {
      next_slot = 0;
      std::ranges::fill(tree, 0);
      for (std::uint64_t slot = 0; slot < slots; ++slot) {
        if (owner[slot] == kNone) continue;
        const std::uint32_t moved = owner[slot];
        owner[slot] = kNone;
        owner[next_slot] = moved;
        slot_of[moved] = next_slot;
        add(next_slot++, 1);
      }
    }
    if (slot_of[page] != slots) {
      const std::uint64_t slot = slot_of[page];
      ++hits_at[known - count_up_to(slot) + 1];
      add(slot, ~std::uint32_t{0});  // -1, modulo 2^32.
      owner[slot] = kNone;
    } else {
      ++known;
    }
    owner[next_slot] = page;
    slot_of[page] = next_slot;
    add(next_slot++, 1);
  }
  std::vector<std::uint64_t> misses(std::size_t{page_count} + 1);
  std::uint64_t left = pages.size();
  for (std::size_t f = 0; f < misses.size(); ++f) misses[f] = left -= hits_at[f];
  return misses;
}

}  // namespace pagoda::sim
