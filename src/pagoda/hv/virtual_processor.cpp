#include "pagoda/hv/virtual_processor.h"

#include <algorithm>

#include "pagoda/hv/partition.h"
#include "pagoda/hv/shadow_mmu.h"

namespace pagoda::hv {

using machine::Access;

namespace {

constexpr std::uint64_t kAsidMask = (std::uint64_t{1} << machine::kAsidBits) - 1;

VirtualAddress address_of(Pfn frame) { return VirtualAddress(PhysicalAddress(frame).value()); }

// Rights of guest-physical memory do not tell code from data.
Access data_access(Access use) { return use == Access::kWrite ? Access::kWrite : Access::kRead; }

// One past the highest guest frame.
std::size_t frames_named(const GpaMap& map) {
  if (map.ranges().empty()) return 0;
  const machine::FrameRange& last = map.ranges().back().frames;
  return (last.first + last.count).value();
}

}  // namespace

VirtualProcessor::VirtualProcessor(Partition& partition, machine::Machine& machine, unsigned number,
                                   machine::Processor& host, machine::TlbGeometry geometry)
    : partition_(partition),
      host_(host),
      unwatched_(*this),
      guest_(machine, number, machine::PhysicalView(*this), geometry),
      nested_(geometry),
      translated_at_(frames_named(partition.map())),
      nothing_(2 * kPageBytes),
      nothing_page_(nothing_.data() +
                    (kPageBytes - reinterpret_cast<std::uintptr_t>(nothing_.data()) % kPageBytes) % kPageBytes) {}

VirtualProcessor::~VirtualProcessor() = default;

// Ones, again: what was written there is lost.
std::byte* VirtualProcessor::nothing() {
  std::fill_n(nothing_page_, kPageBytes, std::byte{0xFF});
  return nothing_page_;
}

std::byte* VirtualProcessor::reach_slowly(Pfn frame, Access use) {
  use = data_access(use);
  if (frame.value() >= translated_at_.size()) {
    ++partition_.counts().wild_accesses;
    return nothing();
  }
  const bool nested = partition_.shadow() == nullptr;
  for (;;) {
    std::uint64_t loads = 0;
    const auto walked = partition_.slat().walk(frame, use, loads);
    if (nested) {
      partition_.counts().slat_loads += loads;
      guest_.charge(guest_.machine().costs().walk_load * loads);
    }
    if (walked) {
      const machine::FrameView bytes = host_.physical().bytes(walked->frame, use);
      return nested_.insert(address_of(frame), machine::kUntagged, *walked, bytes.data(), true).host(address_of(frame));
    }
    if (!partition_.bring_in(*this, frame, use)) return nothing();
  }
}

void VirtualProcessor::pop_held_slowly(Pfn frame, Access use) {
  std::size_t at = held_count_;
  do {
    PAGODA_CHECK_GT(at, std::size_t{0});
  } while (held_[--at].frame != frame);
  const Held held = held_[at];
  std::copy(held_.begin() + static_cast<std::ptrdiff_t>(at + 1),
            held_.begin() + static_cast<std::ptrdiff_t>(held_count_), held_.begin() + static_cast<std::ptrdiff_t>(at));
  --held_count_;
  if (held.pinned == kNoPfn) [[likely]]
    return;
  mm::PfnDatabase& pfns = partition_.host().core().pfns;
  const LockGuard guard(pfns.lock);
  pfns.unpin(held.pinned, use == Access::kWrite ? mm::PteCodec::Dirty::kYes : mm::PteCodec::Dirty::kNo);
}

std::byte* VirtualProcessor::hold(Pfn frame, Access use, machine::FrameExtent part) {
  if (interruption_ != nullptr) [[unlikely]]
    interruption_->before_access();
  if (ShadowMmu* const shadow = partition_.shadow(); shadow != nullptr && use == Access::kWrite)
    shadow->before_write(*this, frame, part);
  std::byte* const bytes = reach(frame, use);
  push_held(frame, bytes);
  return bytes;
}

const std::byte* VirtualProcessor::reach_for_load(Pfn frame, machine::FrameExtent /*part*/) {
  if (interruption_ != nullptr) [[unlikely]]
    interruption_->before_access();
  return reach(frame, Access::kRead);
}

void VirtualProcessor::let_go(Pfn frame, Access use, machine::FrameExtent part) {
  pop_held(frame, use);
  if (ShadowMmu* const shadow = partition_.shadow(); shadow != nullptr && use == Access::kWrite)
    shadow->after_write(*this, frame, part);
}

std::byte* VirtualProcessor::Unwatched::hold(Pfn frame, Access use, machine::FrameExtent /*part*/) {
  std::byte* const bytes = vcpu_.reach(frame, use);
  vcpu_.push_held(frame, bytes);
  return bytes;
}

void VirtualProcessor::Unwatched::let_go(Pfn frame, Access use, machine::FrameExtent /*part*/) {
  vcpu_.pop_held(frame, use);
}

const std::byte* VirtualProcessor::Unwatched::reach_for_load(Pfn frame, machine::FrameExtent /*part*/) {
  return vcpu_.reach(frame, Access::kRead);
}

machine::TlbBytes VirtualProcessor::Unwatched::reach_for_tlb(Pfn frame, Access use, VirtualAddress va,
                                                             machine::Asid asid) {
  return vcpu_.reach_for_tlb(frame, use, va, asid);
}

bool VirtualProcessor::guest_tlb_has(std::uint64_t tag) const {
  return guest_.tlb().holds(VirtualAddress(tag & ~kPageOffsetMask),
                            machine::Asid{static_cast<std::uint16_t>(tag & kAsidMask)});
}

machine::TlbBytes VirtualProcessor::reach_for_tlb(Pfn frame, Access use, VirtualAddress va, machine::Asid asid) {
  if (ShadowMmu* const shadow = partition_.shadow();
      shadow != nullptr && guest_.machine().refill() == machine::TlbRefill::kSoftware)
    shadow->tlb_written(*this);
  std::byte* const bytes = reach(frame, use);
  if (is_nothing(bytes)) [[unlikely]]
    return {.bytes = bytes, .keep = machine::TlbBytes::Keep::kOnce};
  std::uint64_t& at = translated_at_[frame.value()];
  const std::uint64_t tag = va.page_base().value() | static_cast<std::uint64_t>(asid);
  if (at == 0 || (at != kManyAddresses && (at == tag || !guest_tlb_has(at)))) {
    // Address 0 of space 0 cannot be told from nowhere.
    at = tag != 0 ? tag : kManyAddresses;
  } else {
    at = kManyAddresses;
  }
  return {.bytes = bytes, .order = order_around(frame)};
}

// A large page of the guest's in a large page of the host's is one entry of the TLB. Shadow entries are small.
machine::FrameOrder VirtualProcessor::order_around(Pfn frame) const {
  const bool large = partition_.config().backing == Backing::kPinned && partition_.shadow() == nullptr &&
                     (partition_.slat().entry(frame) & machine::pte_bits::kLarge) != 0;
  return large ? machine::FrameOrder::kContiguous : machine::FrameOrder::kScattered;
}

void VirtualProcessor::forget_translations(Pfn frame) {
  std::uint64_t& at = translated_at_[frame.value()];
  if (at == kManyAddresses) {
    guest_.forget_all();
  } else if (at != 0) {
    guest_.forget_page(VirtualAddress(at & ~kPageOffsetMask),
                       machine::Asid{static_cast<std::uint16_t>(at & kAsidMask)});
  }
  at = 0;
}

void VirtualProcessor::keep_held(Pfn frame) {
  for (std::size_t i = 0; i < held_count_; ++i) {
    Held& held = held_[i];
    if (held.frame != frame || held.pinned != kNoPfn) continue;
    mm::PfnDatabase& pfns = partition_.host().core().pfns;
    const LockGuard guard(pfns.lock);
    held.pinned = host_.physical().frame_at(held.bytes);
    pfns.pin(held.pinned);
  }
}

void VirtualProcessor::forget(Pfn frame) {
  nested_.invalidate_page(address_of(frame), machine::kUntagged);
  forget_translations(frame);
}

void VirtualProcessor::forget_all() {
  nested_.invalidate_all();
  guest_.forget_all();
}

}  // namespace pagoda::hv
