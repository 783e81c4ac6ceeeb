// VE1, VE2: what few regions have, against the regions and their entries.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "pagoda/mm/check/check_context.h"

namespace pagoda::mm::checking {

namespace {

// What the entries of private pages in the range, or the region where there is none, allow.
bool all_allow(const Context& c, const ProcessSpace& space, const Vad& vad, const SecuredRange& range) {
  const auto by_page = [](const Leaf& leaf, Vpn page) { return leaf.page < page; };
  const auto first = std::lower_bound(c.leaves.begin(), c.leaves.end(), range.pages.first, by_page);
  const auto end = std::lower_bound(first, c.leaves.end(), range.pages.end(), by_page);
  if (has_device_frames(vad) && (vad.extra->state == nullptr || device_frames(vad).pages() != vad.range))
    return true;  // DF2.
  if (PageCount(static_cast<std::uint64_t>(end - first)) != range.pages.count &&
      !allows_at_least(space.protection_of_zero_pte(vad, range.pages.first), range.weakest))
    return false;
  return std::all_of(first, end, [&](const Leaf& leaf) {
    const PteKind kind = c.core.codec.kind(leaf.raw);
    if (kind == PteKind::kZero || kind == PteKind::kPrototype || PteCodec::is_shared(leaf.raw)) return true;
    if (!PteCodec::is_valid(leaf.raw)) return allows_at_least(c.core.codec.protection(leaf.raw), range.weakest);
    const auto frame = c.frame_of(leaf.raw);
    return !frame || allows_at_least(c.core.codec.protection(c.entry(*frame).original_pte), range.weakest);
  });
}

}  // namespace

void check_extras(Context& c, ProcessSpace& space) {
  const VadExtras& extras = space.extras();
  std::set<const VadExtra*> seen;
  std::size_t handles = 0;
  for (const Vad* vad = space.vads().first(); vad != nullptr; vad = VadTree::next(vad)) {
    if (vad->extra == nullptr) continue;
    const std::string region =
        fmt::format("space {}: the region at {}", space.id(), to_string(VirtualAddress(vad->range.first)));
    if (!seen.insert(vad->extra).second || !extras.owns(*vad->extra)) {
      c.find("VE1"_rule, region + " has another's extra, or nobody's");
      continue;
    }
    if (vad->extra->empty()) c.find("VE1"_rule, region + " has an extra with nothing in it");
    for (const SecuredRange& range : vad->extra->secured) {
      ++handles;
      const std::string text = fmt::format("{} has {} secured at {}", region, to_string(range.pages.count),
                                           to_string(VirtualAddress(range.pages.first)));
      if (range.pages.empty() || !vad->range.contains(range.pages.first) || !vad->range.contains(range.pages.last()) ||
          extras.find(range.handle) != range.pages.first) {
        c.find("VE1"_rule, text + ", which is not inside it or not what the handle says");
      } else if (!all_allow(c, space, *vad, range)) {
        c.find("VE2"_rule, text + " and a page there that allows less");
      }
    }
  }
  if (seen.size() != extras.size() || handles != extras.handles()) {
    c.find("VE1"_rule, fmt::format("space {} has {} extras and {} handles; its regions have {} and {}", space.id(),
                                   extras.size(), extras.handles(), seen.size(), handles));
  }
}

}  // namespace pagoda::mm::checking
