#include "pagoda/mm/section/section.h"

#include <array>

#include "pagoda/mm/section/control_area.h"

namespace pagoda::mm {

const ImageLayout* Section::image() const { return control_area_->image(); }

bool Section::is_at_base(VirtualAddress view, ByteCount offset) const {
  return image() != nullptr && view == image()->base + offset;
}

bool is_compatible(Protection section, Protection view) {
  // reference/nt.md 6.1: rows by the section's protection, one bit for each base that a view may have.
  using enum Protection;
  constexpr auto kBit = [](Protection p) { return 1U << bits(p); };
  constexpr unsigned kReads = kBit(kNone) | kBit(kReadOnly) | kBit(kWriteCopy);
  constexpr unsigned kExecutes = kReads | kBit(kExecute) | kBit(kExecuteRead);
  constexpr std::array<unsigned, 8> kAllowed{
      kBit(kNone),                          // None: no section has it, but views do.
      kReads,                               // RO
      kBit(kNone) | kBit(kExecute),         // X
      kExecutes | kBit(kExecuteWriteCopy),  // XR
      kReads | kBit(kReadWrite),            // RW
      kReads,                               // WC
      0xFF,                                 // XRW: everything.
      kExecutes | kBit(kExecuteWriteCopy),  // XWC
  };
  return (kAllowed[bits(base_of(section))] >> bits(base_of(view)) & 1U) != 0;
}

}  // namespace pagoda::mm
