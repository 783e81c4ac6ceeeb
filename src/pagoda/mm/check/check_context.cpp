#include "pagoda/mm/check/check_context.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace pagoda::mm::checking {

namespace pte_bits = machine::pte_bits;

Context::Context(MemoryManager& the_manager, const Processor& the_cpu, Pfn never_used)
    : manager(the_manager), core(the_manager.core()), cpu(the_cpu), frames(never_used.value()) {
  slots.reserve(frames.size());
  leaves.reserve(frames.size());
}

void Context::find(Rule rule, std::string text) {
  const auto known = static_cast<std::size_t>(std::ranges::find(kRules, rule.id()) - kRules.begin());
  const std::uint32_t count = ++found_[known];
  if (count > kMostOfOneRule) return;
  findings_.push_back({std::string(rule.id()), std::move(text)});
  if (count == kMostOfOneRule) findings_.back().text += " (further findings of this rule are left out)";
}

std::optional<Pfn> Context::frame_of(RawPte raw) const {
  const std::uint64_t number = (raw & core.mode.frame_mask) / kPageBytes;
  if (number >= frames.size()) return std::nullopt;
  return Pfn(static_cast<std::uint32_t>(number));
}

bool Context::names_device_frame(RawPte raw) const {
  return PteCodec::is_valid(raw) && (raw & core.mode.frame_mask) / kPageBytes >= core.pfns.frames().value();
}

std::optional<Place> Context::walk(Pfn root, Vpn page) const {
  const machine::PagingMode& mode = core.mode;
  const VirtualAddress va(page);
  Place place{PhysicalAddress{}, 0, pte_bits::kUser | pte_bits::kWrite};
  Pfn table = root;
  for (unsigned level = mode.levels;; --level) {
    if (!is_used(table)) return std::nullopt;
    place.pte = mode.entry_address(table, va, level);
    place.raw = core.load(cpu, place.pte);
    if (mode.level[level].carries_rights) {
      place.rights &= place.raw | pte_bits::kNoExecute;
      if (mode.has_no_execute) place.rights |= place.raw & pte_bits::kNoExecute;
    }
    if (level == 1) return place;
    if (PageTables::is_large(place.raw, level)) {
      const std::uint64_t within = mode.coverage(level).value() - 1;
      place.raw = (place.raw & ~(pte_bits::kLarge | (mode.frame_mask & within))) | (va.page_base().value() & within);
      return place;
    }
    const auto next = frame_of(place.raw);
    if (!PteCodec::is_valid(place.raw) || (place.raw & pte_bits::kLarge) != 0 || !next) return std::nullopt;
    table = *next;
  }
}

bool Context::is_zero(Pfn frame) const {
  static constexpr std::array<std::byte, kPageBytes> kZeros{};
  const machine::FrameView view = cpu.physical().bytes(frame, machine::Access::kRead);
  return std::memcmp(view.data(), kZeros.data(), kPageBytes) == 0;
}

std::string Context::text_of(Pfn frame) const {
  const PfnEntry& e = entry(frame);
  std::string text = fmt::format("{} ({}", to_string(frame), name(e.state));
  if (e.page_table != 0) text += fmt::format(", page table of {} entries", e.used_entries);
  if (e.state == PageState::kActive) text += fmt::format(", share count {}", e.share_count);
  text += fmt::format(", reference count {}", e.reference_count);
  if (e.awe != 0) text += fmt::format(", AWE frame {}", e.awe_index);
  if (e.modified != 0) text += ", modified";
  if (e.read_in_progress != 0) text += ", being read";
  if (e.write_in_progress != 0) text += ", being written";
  if (e.deleted != 0) text += ", deleted";
  return text + fmt::format(", owner {}, original {})", to_string(e.pte()), core.codec.describe(e.original_pte));
}

std::string Context::text_of(const Leaf& leaf) const {
  return fmt::format("the entry of {} at {} ({:#x}: {})", to_string(VirtualAddress(leaf.page)), to_string(leaf.pte),
                     leaf.raw, core.codec.describe(leaf.raw));
}

}  // namespace pagoda::mm::checking
