// CS1, CS2, CS4, CS5: the compression store's chains, frames, contents and owners. CS3 is where slots are looked at:
// check_store.cpp.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <vector>

#include "pagoda/mm/check/check_context.h"

namespace pagoda::mm {

// Reads what nobody else needs.
class CompressionCheck {
 public:
  explicit CompressionCheck(checking::Context& c)
      : c_(c), store_(store(c)), used_(store_.frame_.size()), owners_in_(c.core.pfns.frames().value()) {}

  void run() {
    check_frames();
    check_chains();
    check_order();
    check_owners();
  }

 private:
  using Rule = checking::Rule;
  static const CompressionStore& store(checking::Context& c) PAGODA_NO_THREAD_SAFETY { return c.core.store; }

  [[nodiscard]] bool has_chunk(std::uint32_t chunk) const {
    const std::size_t index = chunk / CompressionStore::kChunksPerFrame;
    return index < store_.frame_.size() && store_.frame_[index] != kNoPfn;
  }

  void check_frames() {
    std::uint64_t held = 0;
    std::uint64_t free = 0;
    for (std::size_t i = 0; i < store_.frame_.size(); ++i) {
      const Pfn frame = store_.frame_[i];
      free += static_cast<std::uint64_t>(std::popcount(store_.free_[i]));
      if (frame == kNoPfn) continue;
      ++held;
      if (!c_.is_used(frame) || c_.entry(frame).nonpaged == 0 || c_.facts(frame).in_store) {
        c_.find(Rule("CS2"), fmt::format("number {} of the compression store's frames is {}, no frame of its own", i,
                                         c_.is_used(frame) ? c_.text_of(frame) : to_string(frame)));
        c_.store_is_sound = false;
        continue;
      }
      c_.facts(frame).in_store = true;
      if (store_.free_[i] == CompressionStore::kAllFree)
        c_.find(Rule("CS2"), c_.text_of(frame) + " is the compression store's and has nothing in it");
    }
    if (held != store_.held_.value() || store_.held_ > store_.budget_) {
      c_.find(Rule("CS2"), fmt::format("the compression store has {} frames, counts {} and may have {}", held,
                                       store_.held_.value(), store_.budget_.value()));
    }
    if (free != store_.free_chunks_) {
      c_.find(Rule("CS1"),
              fmt::format("{} chunks of the compression store are free, it counts {}", free, store_.free_chunks_));
    }
  }

  // The chunks of one entry, each of which is marked. False: it is no chain.
  bool follow(std::uint32_t slot, const CompressionStore::Entry& entry) {
    const std::uint32_t count = CompressionStore::chunks_for(entry.bytes);
    std::uint32_t previous = slot | CompressionStore::kIsSlot;
    std::uint32_t chunk = entry.first;
    for (std::uint32_t n = 0; n < count; ++n) {
      if (!has_chunk(chunk) || store_.links_[chunk].previous != previous) return false;
      std::uint32_t& used = used_[chunk / CompressionStore::kChunksPerFrame];
      const std::uint32_t bit = 1U << chunk % CompressionStore::kChunksPerFrame;
      if ((used & bit) != 0) return false;
      used |= bit;
      previous = chunk;
      chunk = store_.links_[chunk].next;
    }
    return chunk == CompressionStore::kEnd;
  }

  void check_chains() {
    std::array<std::byte, kPageBytes> page{};
    std::uint64_t pages = 0;
    std::uint64_t bytes = 0;
    const auto end = static_cast<std::uint32_t>(std::min<std::size_t>(store_.end_, store_.entries_.size()));
    for (std::uint32_t slot = 1; slot < end; ++slot) {
      const CompressionStore::Entry& entry = store_.entries_[slot];
      if (entry.bytes == 0) continue;
      ++pages;
      bytes += entry.bytes;
      const Pfn owner_in = PhysicalAddress(entry.owner).pfn();
      if (owner_in.value() < owners_in_.size()) ++owners_in_[owner_in.value()];
      if (entry.bytes > store_.most_bytes_ || !follow(slot, entry)) {
        c_.find(Rule("CS1"),
                fmt::format("slot {} of the compression store, of {} bytes, has no chain of them", slot, entry.bytes));
        c_.store_is_sound = false;
      } else if (c_.store_is_sound && !store_.peek(c_.cpu.physical(), PageFileSlot(slot), page)) {
        c_.find(Rule("CS4"), fmt::format("slot {} of the compression store holds no page", slot));
      }
    }
    for (std::size_t i = 0; i < used_.size(); ++i) {
      if (store_.frame_[i] != kNoPfn && used_[i] != ~store_.free_[i])
        c_.find(Rule("CS1"), fmt::format("of frame {} of the compression store chunks {:#x} are used, {:#x} are free",
                                         i, used_[i], store_.free_[i]));
    }
    if (pages != store_.pages_.value() || bytes != store_.bytes_.value()) {
      c_.find(Rule("CS1"), fmt::format("the compression store has {} pages of {} bytes, it counts {} and {}", pages,
                                       bytes, store_.pages_.value(), store_.bytes_.value()));
    }
  }

  void check_order() {
    std::uint64_t seen = 0;
    std::uint32_t older = CompressionStore::kNone;
    bool sound = true;
    for (std::uint32_t slot = store_.oldest_; sound && slot != CompressionStore::kNone; ++seen) {
      sound = slot < store_.entries_.size() && store_.entries_[slot].bytes != 0 &&
              store_.entries_[slot].older == older && seen < store_.pages_.value();
      if (!sound) break;
      older = slot;
      slot = store_.entries_[slot].newer;
    }
    if (!sound || seen != store_.pages_.value() || older != store_.newest_)
      c_.find(Rule("CS1"), fmt::format("the compression store's order of age breaks after {} of {} pages", seen,
                                       store_.pages_.value()));
  }

  // Requires: `check_chains` has counted.
  void check_owners() {
    c_.core.pfns.lock.assert_held();
    for (std::size_t frame = 0; frame < owners_in_.size(); ++frame) {
      const Pfn entries(static_cast<std::uint32_t>(frame));
      if (owners_in_[frame] != c_.core.pfns.compressed_in(entries)) {
        c_.find(Rule("CS5"), fmt::format("the compression store has {} pages whose owners lie in {}, {} are counted",
                                         owners_in_[frame], to_string(entries), c_.core.pfns.compressed_in(entries)));
      }
    }
  }

  checking::Context& c_;
  const CompressionStore& store_;
  std::vector<std::uint32_t> used_;       // By frame: bits of chunks that are in a chain.
  std::vector<std::uint32_t> owners_in_;  // By frame of the machine.
};

namespace checking {

void check_compression(Context& c) {
  if (c.core.store.is_enabled()) CompressionCheck(c).run();
}

}  // namespace checking
}  // namespace pagoda::mm
