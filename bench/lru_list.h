// What a cache simulator does for each reference: a hash map from page number to place, and a list in order of use. As
// libCacheSim's LRU (cache/eviction/LRU.c), with a library's hash map. Nothing is ever evicted here: the memory fits.
#pragma once

#include <tsl/robin_map.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "pagoda/base/units.h"

namespace pagoda::bench {

class LruList {
 public:
  explicit LruList(PageCount pages) {
    nodes_.reserve(pages.value() + 1);
    nodes_.push_back({.previous = 0, .next = 0});  // Its next is the page used last.
    places_.reserve(pages.value());
  }

  // Whether it was there.
  bool access(std::uint64_t page) {
    const auto [found, inserted] = places_.try_emplace(page, static_cast<std::uint32_t>(nodes_.size()));
    const std::uint32_t place = found->second;
    if (inserted) {
      nodes_.push_back({});
    } else {
      if (nodes_[0].next == place) return true;
      const Node& node = nodes_[place];
      nodes_[node.previous].next = node.next;
      nodes_[node.next].previous = node.previous;
    }
    Node& node = nodes_[place];
    node.previous = 0;
    node.next = nodes_[0].next;
    nodes_[node.next].previous = place;
    nodes_[0].next = place;
    return !inserted;
  }

 private:
  struct Node {
    std::uint32_t previous = 0;
    std::uint32_t next = 0;
  };
  // The library's default hash is the number itself, with which pages that lie far apart collide (measured: up to 15
  // times slower on virtual traces). Fibonacci hashing; the high half decides, and the table looks at the low bits.
  struct Hash {
    std::size_t operator()(std::uint64_t page) const {
      const std::uint64_t product = page * 0x9E3779B97F4A7C15;
      return product ^ product >> 32;
    }
  };
  tsl::robin_map<std::uint64_t, std::uint32_t, Hash> places_;
  std::vector<Node> nodes_;
};

}  // namespace pagoda::bench
