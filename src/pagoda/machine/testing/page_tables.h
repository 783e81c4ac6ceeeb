// For tests: page tables written by hand, as the smallest of operating systems would, and frames that lie where a
// guest's might.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "pagoda/machine/page_walker.h"
#include "pagoda/machine/paging_mode.h"
#include "pagoda/machine/physical_view.h"

namespace pagoda::machine::testing {

// Entries of any level, in tables made on the way with every right. Frames are taken from `first_free` up and never
// given back.
class PageTables {
 public:
  PageTables(PhysicalView memory, const PagingMode& mode, Pfn first_free)
      : memory_(memory), mode_(mode), next_(first_free), root_(allocate()) {}

  [[nodiscard]] const PagingMode& mode() const { return mode_; }
  [[nodiscard]] Pfn root() const { return root_; }
  Pfn allocate() {
    const Pfn frame = next_;
    ++next_;
    memory_.zero(frame);
    return frame;
  }

  PhysicalAddress entry(VirtualAddress va, unsigned level = 1) {
    Pfn table = root_;
    for (unsigned above = mode_.levels; above > level; --above) {
      const PhysicalAddress step = mode_.entry_address(table, va, above);
      RawPte value = load_entry(memory_, mode_, step);
      if ((value & pte_bits::kValid) == 0) {
        value = PhysicalAddress(allocate()).value() | table_flags(above);
        store_entry(memory_, mode_, step, value);
      }
      table = mode_.frame(value);
    }
    return mode_.entry_address(table, va, level);
  }
  RawPte get(VirtualAddress va, unsigned level = 1) { return load_entry(memory_, mode_, entry(va, level)); }
  void set(VirtualAddress va, RawPte value, unsigned level = 1) {
    store_entry(memory_, mode_, entry(va, level), value);
  }
  void map(VirtualAddress va, Pfn frame, RawPte flags, unsigned level = 1) {
    set(va, PhysicalAddress(frame).value() | flags | pte_bits::kValid | (level > 1 ? pte_bits::kLarge : 0), level);
  }

 private:
  [[nodiscard]] RawPte table_flags(unsigned level) const {
    using namespace pte_bits;
    return mode_.level[level].carries_rights ? kValid | kWrite | kUser : kValid;
  }

  PhysicalView memory_;
  const PagingMode& mode_;
  Pfn next_;
  Pfn root_;
};

// Memory whose frames lie in an order of their own, and which counts who holds them.
class ScatteredFrames : public GuestFrameAccess {
 public:
  explicit ScatteredFrames(std::uint32_t frames) : frames_(frames), pages_(frames) {}

  std::byte* pin(Pfn frame, Access use, FrameExtent) override {
    ++holds_;
    ++held_[frame];
    if (use == Access::kWrite) ++write_holds_[frame];
    if (before_hold) before_hold(frame, use);
    return place(frame);
  }
  void unpin(Pfn frame, Access, FrameExtent) override { --held_[frame]; }
  TlbBytes reach_for_tlb(Pfn frame, Access use, VirtualAddress, Asid) override {
    if (use == Access::kWrite) ++write_holds_[frame];
    if (before_hold) before_hold(frame, use);
    return {.bytes = place(frame)};
  }

  // Where the frame's bytes are, for a test that looks or meddles.
  [[nodiscard]] std::byte* place(Pfn frame) {
    PAGODA_CHECK_LT(frame.value(), frames_);
    return pages_[frames_ - 1 - frame.value()].bytes.data();  // Backwards.
  }
  [[nodiscard]] std::uint64_t holds() const { return holds_; }
  [[nodiscard]] std::uint64_t write_holds(Pfn frame) { return write_holds_[frame]; }
  // Whether every frame that was held was let go exactly as often.
  [[nodiscard]] bool balanced() const {
    for (const auto& [frame, count] : held_)
      if (count != 0) return false;
    return true;
  }

  std::function<void(Pfn, Access)> before_hold;  // Another actor, just before the access.

 private:
  struct alignas(kPageBytes) Page {
    std::array<std::byte, kPageBytes> bytes{};
  };
  std::uint32_t frames_;
  std::vector<Page> pages_;
  std::map<Pfn, std::int64_t> held_;
  std::map<Pfn, std::uint64_t> write_holds_;
  std::uint64_t holds_ = 0;
};

}  // namespace pagoda::machine::testing
