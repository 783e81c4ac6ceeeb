#include "pagoda/hv/guest_tlb.h"

#include <algorithm>

namespace pagoda::hv {

using machine::Access;

namespace {

constexpr std::uint64_t kAsidMask = (std::uint64_t{1} << machine::kAsidBits) - 1;

// What stands for an entry of the guest's TLB: its page, and its space in the bits of the offset.
std::uint64_t tag_of(VirtualAddress va, machine::Asid asid) {
  return va.page_base().value() | static_cast<std::uint64_t>(asid);
}
VirtualAddress page_of(std::uint64_t tag) { return VirtualAddress(tag & ~kPageOffsetMask); }
machine::Asid asid_of(std::uint64_t tag) { return machine::Asid{static_cast<std::uint16_t>(tag & kAsidMask)}; }

}  // namespace

void GuestTlb::unpin_slowly(Gfn frame, Access use) {
  std::size_t at = pin_count_;
  do {
    PAGODA_CHECK_GT(at, std::size_t{0});
  } while (pins_[--at].frame != frame);
  const Pin pin = pins_[at];
  std::copy(pins_.begin() + static_cast<std::ptrdiff_t>(at + 1),
            pins_.begin() + static_cast<std::ptrdiff_t>(pin_count_), pins_.begin() + static_cast<std::ptrdiff_t>(at));
  --pin_count_;
  if (pin.kept == kNoPfn) [[likely]]
    return;
  host_manager_.unpin(pin.kept, use == Access::kWrite ? mm::PteCodec::Dirty::kYes : mm::PteCodec::Dirty::kNo);
}

void GuestTlb::keep_pinned(Gfn frame) {
  for (std::size_t i = 0; i < pin_count_; ++i) {
    Pin& pin = pins_[i];
    if (pin.frame != frame || pin.kept != kNoPfn) continue;
    pin.kept = host_memory_.frame_at(pin.bytes);
    host_manager_.pin(pin.kept);
  }
}

bool GuestTlb::guest_tlb_has(std::uint64_t tag) const { return guest_.tlb().holds(page_of(tag), asid_of(tag)); }

void GuestTlb::note_translation(Gfn frame, VirtualAddress va, machine::Asid asid) {
  std::uint64_t& at = translated_at_[frame.value()];
  const std::uint64_t tag = tag_of(va, asid);
  if (at == 0 || (at != kManyAddresses && (at == tag || !guest_tlb_has(at)))) {
    // Address 0 of space 0 cannot be told from nowhere.
    at = tag != 0 ? tag : kManyAddresses;
  } else {
    at = kManyAddresses;
  }
}

void GuestTlb::forget_translations(Gfn frame) {
  std::uint64_t& at = translated_at_[frame.value()];
  if (at == kManyAddresses) {
    guest_.forget_all();
  } else if (at != 0) {
    guest_.forget_page(page_of(at), asid_of(at));
  }
  at = 0;
}

void GuestTlb::forget(Gfn frame) {
  nested_.invalidate_page(address_of(frame), machine::kUntagged);
  forget_translations(frame);
}

void GuestTlb::forget_all() {
  nested_.invalidate_all();
  guest_.forget_all();
}

}  // namespace pagoda::hv
