// Frames by number, as one processor reaches them.
//
// On a host the view is an address computation that inlines. On a guest every access goes through the second level
// (`FrameReach`) and may fault in the host. Bytes are reached only through a FrameView, which keeps the frame where it
// is while it lives; no pointer into a frame outlives its scope.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include "pagoda/base/units.h"
#include "pagoda/machine/access.h"

namespace pagoda::machine {

// A part of a frame.
struct FrameExtent {
  unsigned offset = 0;
  unsigned bytes = kPageBytes;
};

// Whether the bytes of the 2 MB around a frame are in one piece in the host. Where they are not, a TLB keeps a large
// page by its 4 KB pages: it keeps the smaller of the two levels' page sizes.
enum class FrameOrder : std::uint8_t { kContiguous, kScattered };

// What an entry of a TLB leads to.
struct TlbBytes {
  std::byte* bytes = nullptr;  // Of the frame.
  FrameOrder order = FrameOrder::kScattered;
  // kOnce: nothing is behind the frame. The access may have the bytes, and no entry is made.
  enum class Keep : std::uint8_t { kEntry, kOnce } keep = Keep::kEntry;
};

// The second level: how a guest's frames are reached. Implemented by whoever backs guest-physical memory.
class FrameReach {
 public:
  virtual ~FrameReach() = default;
  // The bytes of the frame, aligned to a page, resident and held for the given use, of the given part, until `let_go`,
  // which names the same. Never fails: what the guest cannot have was refused when the guest got its memory, and a
  // frame with nothing behind it reads as ones.
  virtual std::byte* hold(Pfn frame, Access use, FrameExtent part) = 0;
  virtual void let_go(Pfn frame, Access use, FrameExtent part) = 0;
  // The same for one load, which needs no `let_go`: the bytes stay where they are until anything else is asked for.
  virtual const std::byte* reach_for_load(Pfn frame, FrameExtent part) {
    const std::byte* const bytes = hold(frame, Access::kRead, part);
    let_go(frame, Access::kRead, part);
    return bytes;
  }
  // The bytes of the frame for an entry of the processor's TLB, which whoever takes them away has the processor forget.
  virtual TlbBytes reach_for_tlb(Pfn frame, Access use, VirtualAddress va, Asid asid) = 0;
};

// The bytes of one frame, for a scope.
class FrameView {
 public:
  FrameView(std::byte* bytes, FrameReach* reach, Pfn frame, Access use, FrameExtent part)
      : bytes_(bytes), reach_(reach), frame_(frame), use_(use), part_(part) {}
  FrameView(FrameView&& other) noexcept
      : bytes_(other.bytes_),
        reach_(std::exchange(other.reach_, nullptr)),
        frame_(other.frame_),
        use_(other.use_),
        part_(other.part_) {}
  FrameView(const FrameView&) = delete;
  FrameView& operator=(const FrameView&) = delete;
  FrameView& operator=(FrameView&&) = delete;
  ~FrameView() {
    if (reach_ != nullptr) [[unlikely]]
      reach_->let_go(frame_, use_, part_);
  }

  [[nodiscard]] std::byte* data() const { return bytes_; }
  [[nodiscard]] std::span<std::byte, kPageBytes> bytes() const {
    return std::span<std::byte, kPageBytes>(bytes_, kPageBytes);
  }

 private:
  std::byte* bytes_;
  FrameReach* reach_;  // Null on a host: nothing to let go.
  Pfn frame_;
  Access use_;
  FrameExtent part_;
};

class PhysicalView {
 public:
  // A host's frames, which lie one after the other at `base`; `frames` of them, when known (debug builds check it).
  explicit PhysicalView(std::byte* base, PageCount frames = PageCount(kNoPfn.value())) : base_(base), frames_(frames) {}
  // A guest's, reached one by one.
  explicit PhysicalView(FrameReach& reach) : reach_(&reach) {}

  // `part`: what will be touched of it.
  [[nodiscard]] FrameView bytes(Pfn frame, Access use, FrameExtent part = {}) const {
    PAGODA_DCHECK(reach_ != nullptr || frame.value() < frames_.value());
    if (reach_ == nullptr) [[likely]]
      return {base_ + PhysicalAddress(frame).value(), nullptr, frame, use, part};
    return {reach_->hold(frame, use, part), reach_, frame, use, part};
  }
  // Where the bytes are that a TLB entry leads to.
  [[nodiscard]] TlbBytes bytes_for_tlb(Pfn frame, Access use, VirtualAddress va, Asid asid) const {
    PAGODA_DCHECK(reach_ != nullptr || frame.value() < frames_.value());
    if (reach_ == nullptr) [[likely]]
      return {.bytes = base_ + PhysicalAddress(frame).value(), .order = FrameOrder::kContiguous};
    return reach_->reach_for_tlb(frame, use, va, asid);
  }

  // Whether consecutive frames lie one after the other in the host's memory, and stay where they are.
  [[nodiscard]] bool is_contiguous() const { return reach_ == nullptr; }

  // The frame whose bytes these are, of a contiguous view.
  [[nodiscard]] Pfn frame_at(const std::byte* bytes) const {
    PAGODA_DCHECK(is_contiguous());
    return PhysicalAddress(static_cast<std::uint64_t>(bytes - base_)).pfn();
  }

  // Aligned; never crosses a frame. Relaxed atomics: an entry may be read by one processor while another sets its
  // accessed bit.
  template <class T>
  [[nodiscard]] T load(PhysicalAddress address) const {
    PAGODA_DCHECK_EQ(address.value() % sizeof(T), std::uint64_t{0});
    PAGODA_DCHECK(reach_ != nullptr || address.pfn().value() < frames_.value());
    const std::byte* const word = reach_ == nullptr
                                      ? base_ + address.value()
                                      : reach_->reach_for_load(address.pfn(), part<T>(address)) + address.page_offset();
    // atomic_ref wants a T that is not const (until C++26).
    return std::atomic_ref<T>(*reinterpret_cast<T*>(const_cast<std::byte*>(word))).load(std::memory_order_relaxed);
  }
  template <class T>
  void store(PhysicalAddress address, T value) const {
    const FrameView view = bytes(address.pfn(), Access::kWrite, part<T>(address));
    std::atomic_ref<T>(*at<T>(view, address)).store(value, std::memory_order_relaxed);
  }
  // How the hardware sets accessed and dirty. Returns the value before.
  template <class T>
  T fetch_or(PhysicalAddress address, T set) const {
    const FrameView view = bytes(address.pfn(), Access::kWrite, part<T>(address));
    return std::atomic_ref<T>(*at<T>(view, address)).fetch_or(set, std::memory_order_relaxed);
  }
  // Replaces `expected` by `desired`; false, and `expected` updated, when somebody was faster.
  template <class T>
  bool compare_exchange(PhysicalAddress address, T& expected, T desired) const {
    const FrameView view = bytes(address.pfn(), Access::kWrite, part<T>(address));
    return std::atomic_ref<T>(*at<T>(view, address))
        .compare_exchange_strong(expected, desired, std::memory_order_relaxed);
  }

  void zero(Pfn frame) const { std::memset(bytes(frame, Access::kWrite).data(), 0, kPageBytes); }
  // For a thread that zeroes what others will take: does not write bytes that are zero already, so that a host's memory
  // that was never touched, or given back, stays so; and keeps what it writes out of the caches.
  void zero_in_background(Pfn frame) const;
  void copy(Pfn from, Pfn to) const {
    const FrameView source = bytes(from, Access::kRead);
    std::memcpy(bytes(to, Access::kWrite).data(), source.data(), kPageBytes);
  }
  [[nodiscard]] bool equal(Pfn a, Pfn b) const {
    const FrameView first = bytes(a, Access::kRead);
    return std::memcmp(first.data(), bytes(b, Access::kRead).data(), kPageBytes) == 0;
  }
  // XXH3 of the frame's bytes.
  [[nodiscard]] std::uint64_t hash(Pfn frame) const;

 private:
  template <class T>
  static FrameExtent part(PhysicalAddress address) {
    return {static_cast<unsigned>(address.page_offset()), sizeof(T)};
  }
  template <class T>
  static T* at(const FrameView& view, PhysicalAddress address) {
    PAGODA_DCHECK_EQ(address.value() % sizeof(T), std::uint64_t{0});
    return reinterpret_cast<T*>(view.data() + address.page_offset());
  }

  std::byte* base_ = nullptr;
  FrameReach* reach_ = nullptr;
  PageCount frames_;
};

}  // namespace pagoda::machine
