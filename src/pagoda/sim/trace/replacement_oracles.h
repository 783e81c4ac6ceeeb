// How often classic replacement policies would miss on a sequence of pages: an oracle for what a memory manager does
// with the same trace, and a check of the traces themselves.
//
// A memory of `frames` frames starts empty; first touches count as misses. Pages are dense numbers below `page_count`
// (Trace::dense_sequence). Pure functions; nothing here depends on the order of equal choices:
//   LRU    evicts the page whose last reference is longest ago.
//   OPT    evicts the page whose next reference is farthest ahead (Belady 1966); pages without one go first.
//   FIFO   evicts the page that came in first.
//   CLOCK  second chance over a ring of frames: a page comes in with its reference bit SET, just behind the hand; a hit
//   sets the
//          bit; the hand clears set bits as it passes and evicts at the first clear one. While frames are free the ring
//          fills in order and the hand rests on the first. (A bit that is clear on entry gives other counts: gzip at 88
//          frames 3713 instead of 3491.)
//
// Source: the miss table in data/traces/README.md (made with an independent simulator, checked against libCacheSim).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pagoda/base/units.h"

namespace pagoda::sim {

std::uint64_t count_lru_misses(std::span<const std::uint32_t> pages, std::uint32_t page_count, PageCount frames);
std::uint64_t count_opt_misses(std::span<const std::uint32_t> pages, std::uint32_t page_count, PageCount frames);
std::uint64_t count_clock_misses(std::span<const std::uint32_t> pages, std::uint32_t page_count, PageCount frames);
std::uint64_t count_fifo_misses(std::span<const std::uint32_t> pages, std::uint32_t page_count, PageCount frames);

// LRU misses for every memory size in one pass (Mattson et al. 1970): element f is for f frames, f = 0..page_count.
// O(n log n) with a Fenwick tree over time, compacted to the pages' last references.
std::vector<std::uint64_t> lru_miss_curve(std::span<const std::uint32_t> pages, std::uint32_t page_count);

}  // namespace pagoda::sim
