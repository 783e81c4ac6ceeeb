// DF1, DF2: regions of device frames, and their entries. AS2 for their charge. PT3 for entries of other regions that
// map such a frame.
#include <fmt/format.h>

#include "pagoda/mm/check/check_context.h"

namespace pagoda::mm::checking {

namespace {

std::string name_of(const ProcessSpace& space, const Vad& vad) {
  return fmt::format("space {}: the region at {}", space.id(), to_string(VirtualAddress(vad.range.first)));
}

// DF1 for an entry that maps a device frame.
void check_device_entry(Context& c, const ProcessSpace& space, const DeviceFrames& device, const Leaf& leaf) {
  const Pfn frame = device.frame_of(leaf.page);
  const Protection rights = device.rights(leaf.page);
  // The processor sets both; Dirty for a kernel that ignores write protection.
  constexpr RawPte kFreeBits = machine::pte_bits::kAccessed | machine::pte_bits::kDirty;
  if (is_mappable(rights) &&
      ((leaf.raw ^ c.core.codec.valid(frame, rights, PteCodec::Owner::kUser, PteCodec::Dirty::kNo)) & ~kFreeBits) ==
          0) {
    c.device_entries.emplace(leaf.pte, frame);
    return;
  }
  c.find("DF1"_rule, fmt::format("space {}: {} does not map {} with the rights {}", space.id(), c.text_of(leaf),
                                 to_string(frame), to_string(rights)));
}

}  // namespace

bool check_device_region(Context& c, const ProcessSpace& space, const Vad& vad) {
  const DeviceFrames* const device = vad.extra != nullptr && space.extras().owns(*vad.extra)
                                         ? dynamic_cast<const DeviceFrames*>(vad.extra->state.get())
                                         : nullptr;
  if ((device != nullptr) != has_device_frames(vad)) {
    c.find("DF2"_rule, fmt::format("{} is of type {} and knows {} device frames", name_of(space, vad),
                                   static_cast<unsigned>(vad.type), device != nullptr ? "its" : "no"));
  }
  if (device == nullptr || !has_device_frames(vad)) return false;
  bool sound = device->pages() == vad.range && !c.core.pfns.contains(device->first()) &&
               vad.range.count.value() <= std::uint64_t{kNoPfn.value()} - device->first().value();
  std::optional<Protection> before;
  for (Vpn page = vad.range.first; sound && page < vad.range.end();) {
    const DefaultRun run = device->run_from(page);
    sound = is_allowed_on_device(run.protection) && run.protection != before && run.end > page;
    before = run.protection;
    page = run.end;
  }
  if (!sound) {
    c.find("DF2"_rule, fmt::format("{} has {}; it knows {} from {} on, in {} runs of rights, not all of which fit",
                                   name_of(space, vad), to_string(vad.range.count), to_string(device->pages().count),
                                   to_string(device->first()), device->runs()));
  }
  return sound;
}

std::size_t check_device_entries(Context& c, ProcessSpace& space, const Vad& vad, std::size_t at) {
  const DeviceFrames& device = device_frames(vad);
  std::uint64_t charged = 0;
  for (Vpn page = vad.range.first; page < vad.range.end();) {
    const DefaultRun run = device.run_from(page);
    if (is_write_copy(run.protection)) charged += (run.end - page).value();
    page = run.end;
  }
  for (; at < c.leaves.size() && c.leaves[at].page < vad.range.end(); ++at) {
    const Leaf& leaf = c.leaves[at];
    if (c.names_device_frame(leaf.raw)) {
      check_device_entry(c, space, device, leaf);
      continue;
    }
    const PteKind kind = c.core.codec.kind(leaf.raw);
    if (kind == PteKind::kDemandZero || kind == PteKind::kDecommitted ||
        (kind == PteKind::kPrototype && c.core.codec.is_lookup_needed(leaf.raw))) {
      c.find("DF2"_rule, fmt::format("{} has {}", name_of(space, vad), c.text_of(leaf)));
    } else if (kind == PteKind::kPrototype) {
      c.name_clone(c.core.codec.prototype_address(leaf.raw));
    }
    if (!is_write_copy(device.rights(leaf.page))) ++charged;
  }
  if (vad.commit_charge.value() != charged) {
    c.find("AS2"_rule, fmt::format("{} is charged {} and has {} pages that are or become private", name_of(space, vad),
                                   to_string(vad.commit_charge), charged));
  }
  return at;
}

void check_no_device_entries(Context& c, const ProcessSpace& space, const Vad& vad, std::size_t at) {
  for (; at < c.leaves.size() && c.leaves[at].page < vad.range.end(); ++at) {
    if (c.names_device_frame(c.leaves[at].raw))
      c.find("PT3"_rule, fmt::format("{} has {}, of a frame never used", name_of(space, vad), c.text_of(c.leaves[at])));
  }
}

}  // namespace pagoda::mm::checking
