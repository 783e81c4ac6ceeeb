#include "pagoda/mm/pte/pte_codec.h"

#include <fmt/format.h>

#include <array>

namespace pagoda::mm {

using machine::PteFormat;
namespace pte_bits = machine::pte_bits;

namespace {

// x86 has no room for pointers: they become offsets into pools, in two pieces around the bits that say what the entry
// is.

// Bits 1-7 are bits 2-8 of the offset from the start of paged pool, bits 11-31 the 21 above. 1 GB.
constexpr std::uint64_t kX86PrototypeReach = std::uint64_t{1} << 30;
constexpr RawPte pack_x86_prototype(std::uint64_t offset) { return (offset >> 9) << 11 | (offset >> 2 & 0x7F) << 1; }
constexpr std::uint64_t unpack_x86_prototype(RawPte pte) { return (pte >> 11) << 9 | (pte >> 1 & 0x7F) << 2; }

// Bits 1-4 are bits 3-6 of the offset, bits 11-30 the 20 above. 128 MB, upward from the start of nonpaged pool with
// WhichPool and downward from its end without.
constexpr std::uint64_t kX86SubsectionReach = std::uint64_t{1} << 27;
constexpr RawPte kX86WhichPool = RawPte{1} << 31;
constexpr RawPte pack_x86_subsection(std::uint64_t offset) { return (offset >> 7) << 11 | (offset >> 3 & 0xF) << 1; }
constexpr std::uint64_t unpack_x86_subsection(RawPte pte) { return (pte >> 11 & 0xFFFFF) << 7 | (pte >> 1 & 0xF) << 3; }

constexpr RawPte kReadOnlyPointer = 1U << 8;
constexpr RawPte kOneEntry = 1U << 1;
constexpr unsigned kPaeAddressShift = 32;
constexpr unsigned kAmd64AddressShift = 16;

RawPte pack_address(PteFormat format, VirtualAddress address) {
  return address.value() << (format == PteFormat::kPae ? kPaeAddressShift : kAmd64AddressShift);
}

VirtualAddress unpack_address(PteFormat format, RawPte pte) {
  if (format == PteFormat::kPae) return VirtualAddress(pte >> kPaeAddressShift);
  return VirtualAddress(static_cast<std::uint64_t>(static_cast<std::int64_t>(pte) >> kAmd64AddressShift));
}

}  // namespace

std::string_view name(PteKind kind) {
  switch (kind) {
    case PteKind::kZero:
      return "zero";
    case PteKind::kValid:
      return "valid";
    case PteKind::kTransition:
      return "transition";
    case PteKind::kPageFile:
      return "page file";
    case PteKind::kDemandZero:
      return "demand zero";
    case PteKind::kDecommitted:
      return "decommitted";
    case PteKind::kPrototype:
      return "prototype";
    case PteKind::kSubsection:
      return "subsection";
  }
  return "";
}

RawPte PteCodec::table(Pfn frame, unsigned level, Owner owner) const {
  PAGODA_DCHECK(level > 1 && level <= mode_->levels);
  const RawPte pte = frame_bits(frame) | pte_bits::kValid;
  if (!mode_->level[level].carries_rights) return pte;
  return pte | pte_bits::kWrite | pte_bits::kAccessed | pte_bits::kDirty | soft_bits::kWritable |
         (owner == Owner::kUser ? pte_bits::kUser : 0);
}

Protection PteCodec::pointer_protection(RawPte pte) const {
  if (is_lookup_needed(pte)) return low_protection(pte);
  if (is_x86()) return Protection::kNone;
  return protection_from_bits(static_cast<unsigned>(pte >> kProtoProtectionShift & kProtectionMask));
}

RawPte PteCodec::with_protection(RawPte pte, Protection protection, PteHome home) const {
  PAGODA_DCHECK(!is_valid(pte));
  if (kind(pte, home) == PteKind::kPrototype && !is_lookup_needed(pte)) {
    if (is_x86()) return lookup_needed(protection);
    return (pte & ~(kProtectionMask << kProtoProtectionShift)) | RawPte{bits(protection)} << kProtoProtectionShift;
  }
  if (is_transition(pte)) return transition(frame(pte), protection);
  return (pte & ~(kProtectionMask << kProtectionShift)) | demand_zero(protection);
}

RawPte PteCodec::prototype(VirtualAddress prototype_pte, Protection protection, ReadOnly read_only) const {
  PAGODA_DCHECK_EQ(prototype_pte.value() % mode_->entry_bytes, std::uint64_t{0});
  const RawPte pte = soft_bits::kPrototype | (read_only == ReadOnly::kYes ? kReadOnlyPointer : 0);
  if (is_x86()) {
    const std::uint64_t offset = prototype_pte.value() - pools_.paged_pool_start;
    PAGODA_DCHECK_LT(offset, kX86PrototypeReach);
    return pte | pack_x86_prototype(offset);
  }
  PAGODA_DCHECK(mode_->is_canonical(prototype_pte));
  return pte | pack_address(mode_->format, prototype_pte) | RawPte{bits(protection)} << kProtoProtectionShift;
}

VirtualAddress PteCodec::prototype_address(RawPte pte) const {
  if (is_x86()) return VirtualAddress(pools_.paged_pool_start + unpack_x86_prototype(pte));
  return unpack_address(mode_->format, pte);
}

RawPte PteCodec::lookup_needed(Protection protection) const {
  const RawPte everywhere = is_x86() ? 0xFFFFF : 0xFFFFFFFF;
  return everywhere << slot_shift_ | soft_bits::kPrototype | demand_zero(protection);
}

RawPte PteCodec::subsection(VirtualAddress subsection, Protection protection) const {
  PAGODA_DCHECK_EQ(subsection.value() % 8, std::uint64_t{0});
  const RawPte pte = soft_bits::kPrototype | demand_zero(protection);
  if (is_x86()) {
    const std::uint64_t above_start = subsection.value() - pools_.nonpaged_pool_start;
    if (above_start < kX86SubsectionReach) return pte | kX86WhichPool | pack_x86_subsection(above_start);
    const std::uint64_t below_end = pools_.nonpaged_pool_end - subsection.value();
    PAGODA_DCHECK_LT(below_end, kX86SubsectionReach);
    return pte | pack_x86_subsection(below_end);
  }
  PAGODA_DCHECK(mode_->is_canonical(subsection));
  return pte | pack_address(mode_->format, subsection);
}

VirtualAddress PteCodec::subsection_address(RawPte pte) const {
  if (!is_x86()) return unpack_address(mode_->format, pte);
  const std::uint64_t offset = unpack_x86_subsection(pte);
  return VirtualAddress((pte & kX86WhichPool) != 0 ? pools_.nonpaged_pool_start + offset
                                                   : pools_.nonpaged_pool_end - offset);
}

RawPte PteCodec::free_system(std::uint32_t next, OneEntry one_entry) const {
  PAGODA_DCHECK(!is_x86() || next < 1U << 20);
  return RawPte{next} << slot_shift_ | (one_entry == OneEntry::kYes ? kOneEntry : 0);
}

std::string PteCodec::describe(RawPte pte, PteHome home) const {
  const PteKind form = kind(pte, home);
  const auto rights = [&] { return to_string(protection(pte, home)); };
  switch (form) {
    case PteKind::kZero:
    case PteKind::kDecommitted:
      return std::string(name(form));
    case PteKind::kValid: {
      const auto letter = [&](RawPte bit, char set, char clear = '-') { return (pte & bit) != 0 ? set : clear; };
      const std::array flags{letter(soft_bits::kCopyOnWrite, 'C'),
                             letter(pte_bits::kGlobal, 'G'),
                             letter(pte_bits::kLarge, 'L'),
                             letter(pte_bits::kDirty, 'D'),
                             letter(pte_bits::kAccessed, 'A'),
                             letter(pte_bits::kCacheDisable, 'N'),
                             letter(pte_bits::kWriteThrough, 'T'),
                             letter(pte_bits::kUser, 'U', 'K'),
                             letter(pte_bits::kWrite | soft_bits::kWritable, 'W', 'R'),
                             mode_->has_no_execute ? letter(pte_bits::kNoExecute, '-', 'E') : 'E',
                             'V'};
      return fmt::format("valid {} {}", to_string(frame(pte)), std::string_view(flags.data(), flags.size()));
    }
    case PteKind::kTransition:
      return fmt::format("transition {} {}", to_string(frame(pte)), rights());
    case PteKind::kPageFile:
      return fmt::format("page file {} {} {}", file(pte), to_string(slot(pte)), rights());
    case PteKind::kDemandZero:
      return "demand zero " + rights();
    case PteKind::kPrototype: {
      if (is_lookup_needed(pte)) return "prototype by VAD " + rights();
      std::string text = "prototype " + to_string(prototype_address(pte));
      if (!is_x86()) text += " " + rights();
      if ((pte & kReadOnlyPointer) != 0) text += " read-only";
      return text;
    }
    case PteKind::kSubsection:
      return fmt::format("subsection {} {}", to_string(subsection_address(pte)), rights());
  }
  return "";
}

}  // namespace pagoda::mm
