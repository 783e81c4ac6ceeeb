// Frames by number, as one processor reaches them.
//
// On a host the view is an address computation that inlines. On a guest every access passes the second level
// (`GuestFrameAccess`) and may fault in the host. Bytes are reached only through a FrameView, which keeps the frame
// where it is while it lives; no pointer into a frame outlives its scope.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include "pagoda/base/units.h"
#include "pagoda/machine/access.h"
#include "pagoda/machine/shared_bytes.h"

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
  std::byte* bytes = nullptr;  // The frame's.
  FrameOrder order = FrameOrder::kScattered;
  // kOnce: nothing is behind the frame. The access may have the bytes, and no entry is made.
  enum class Keep : std::uint8_t { kEntry, kOnce } keep = Keep::kEntry;
};

// How a guest's frames are reached: the second level. A frame is a Pfn here, since a guest sees its machine's frames as
// any memory manager does; what implements this (hv::VirtualProcessor) knows them as Gfn.
class GuestFrameAccess {
 public:
  virtual ~GuestFrameAccess() = default;
  // The bytes of the frame, aligned to a page, resident for the given use of the given part. They stay where they are
  // until `unpin`, which names the same. Never fails: what the guest cannot have was refused when the guest got its
  // memory, and a frame with nothing behind it reads as ones.
  virtual std::byte* pin(Pfn frame, Access use, FrameExtent part) = 0;
  virtual void unpin(Pfn frame, Access use, FrameExtent part) = 0;
  // The same for one load, which needs no `unpin`: the bytes stay where they are until the next call.
  virtual const std::byte* reach_for_load(Pfn frame, FrameExtent part) {
    const std::byte* const bytes = pin(frame, Access::kRead, part);
    unpin(frame, Access::kRead, part);
    return bytes;
  }
  // The bytes of the frame for an entry of the processor's TLB, which the implementation has the processor forget when
  // it takes the bytes away.
  virtual TlbBytes reach_for_tlb(Pfn frame, Access use, VirtualAddress va, Asid asid) = 0;
};

// The bytes of one frame, for a scope.
class FrameView {
 public:
  FrameView(std::byte* bytes, GuestFrameAccess* access, Pfn frame, Access use, FrameExtent part)
      : bytes_(bytes), access_(access), frame_(frame), use_(use), part_(part) {}
  FrameView(FrameView&& other) noexcept
      : bytes_(other.bytes_),
        access_(std::exchange(other.access_, nullptr)),
        frame_(other.frame_),
        use_(other.use_),
        part_(other.part_) {}
  FrameView(const FrameView&) = delete;
  FrameView& operator=(const FrameView&) = delete;
  FrameView& operator=(FrameView&&) = delete;
  ~FrameView() {
    if (access_ != nullptr) [[unlikely]]
      access_->unpin(frame_, use_, part_);
  }

  [[nodiscard]] std::byte* data() const { return bytes_; }
  [[nodiscard]] std::span<std::byte, kPageBytes> bytes() const {
    return std::span<std::byte, kPageBytes>(bytes_, kPageBytes);
  }

 private:
  std::byte* bytes_;
  GuestFrameAccess* access_;  // Null on a host: nothing to unpin.
  Pfn frame_;
  Access use_;
  FrameExtent part_;
};

class PhysicalView {
 public:
  // A host's frames, which lie one after the other at `base`; `frames` of them, when known (debug builds check it).
  explicit PhysicalView(std::byte* base, PageCount frames = PageCount(kNoPfn.value())) : base_(base), frames_(frames) {}
  // A guest's, reached one by one.
  explicit PhysicalView(GuestFrameAccess& access) : access_(&access) {}

  // `part`: what will be touched of it.
  [[nodiscard]] FrameView bytes(Pfn frame, Access use, FrameExtent part = {}) const {
    PAGODA_DCHECK(access_ != nullptr || frame.value() < frames_.value());
    if (access_ == nullptr) [[likely]]
      return {base_ + PhysicalAddress(frame).value(), nullptr, frame, use, part};
    return {access_->pin(frame, use, part), access_, frame, use, part};
  }
  // Where the bytes are that a TLB entry leads to.
  [[nodiscard]] TlbBytes bytes_for_tlb(Pfn frame, Access use, VirtualAddress va, Asid asid) const {
    PAGODA_DCHECK(access_ != nullptr || frame.value() < frames_.value());
    if (access_ == nullptr) [[likely]]
      return {.bytes = base_ + PhysicalAddress(frame).value(), .order = FrameOrder::kContiguous};
    return access_->reach_for_tlb(frame, use, va, asid);
  }

  // Whether consecutive frames lie one after the other in the host's memory, and stay where they are.
  [[nodiscard]] bool is_contiguous() const { return access_ == nullptr; }

  // The frame whose bytes these are, of a contiguous view.
  [[nodiscard]] Pfn frame_at(const std::byte* bytes) const {
    PAGODA_DCHECK(is_contiguous());
    return PhysicalAddress(static_cast<std::uint64_t>(bytes - base_)).pfn();
  }

  // Aligned; never crosses a frame. Atomics: an entry may be read by one processor while another sets its accessed bit. Whoever
  // reads an entry finds the frame's bytes as they were when it was stored: loads acquire, stores release. (x86 orders them
  // anyway.)
  template <class T>
  [[nodiscard]] T load(PhysicalAddress address) const {
    PAGODA_DCHECK_EQ(address.value() % sizeof(T), std::uint64_t{0});
    PAGODA_DCHECK(access_ != nullptr || address.pfn().value() < frames_.value());
    const std::byte* const word =
        access_ == nullptr ? base_ + address.value()
                           : access_->reach_for_load(address.pfn(), part<T>(address)) + address.page_offset();
    // atomic_ref wants a T that is not const (until C++26).
    return std::atomic_ref<T>(*reinterpret_cast<T*>(const_cast<std::byte*>(word))).load(std::memory_order_acquire);
  }
  template <class T>
  void store(PhysicalAddress address, T value) const {
    const FrameView view = bytes(address.pfn(), Access::kWrite, part<T>(address));
    std::atomic_ref<T>(*at<T>(view, address)).store(value, std::memory_order_release);
  }
  // How the hardware sets accessed and dirty. Returns the value before.
  template <class T>
  T fetch_or(PhysicalAddress address, T set) const {
    const FrameView view = bytes(address.pfn(), Access::kWrite, part<T>(address));
    return std::atomic_ref<T>(*at<T>(view, address)).fetch_or(set, std::memory_order_acq_rel);
  }
  // Replaces `expected` by `desired`; false, and `expected` updated, when another processor was faster.
  template <class T>
  bool compare_exchange(PhysicalAddress address, T& expected, T desired) const {
    const FrameView view = bytes(address.pfn(), Access::kWrite, part<T>(address));
    return std::atomic_ref<T>(*at<T>(view, address))
        .compare_exchange_strong(expected, desired, std::memory_order_acq_rel, std::memory_order_acquire);
  }

  void zero(Pfn frame) const { std::memset(bytes(frame, Access::kWrite).data(), 0, kPageBytes); }
  // For a thread that zeroes what others will take: does not write bytes that are zero already, so that a host's memory
  // that was never touched, or given back, stays so; and keeps what it writes out of the caches.
  void zero_in_background(Pfn frame) const;
  void copy(Pfn from, Pfn to) const {
    const FrameView source = bytes(from, Access::kRead);
    copy_shared(bytes(to, Access::kWrite).data(), source.data(), kPageBytes);
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
  GuestFrameAccess* access_ = nullptr;
  PageCount frames_;
};

}  // namespace pagoda::machine
