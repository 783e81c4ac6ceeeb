// TL1: what every processor's TLB holds against the page tables as they are now. AS4: address-space tags. AS7: which
// processors have a space loaded.
#include <fmt/format.h>

#include <algorithm>

#include "pagoda/mm/check/check_context.h"

namespace pagoda::mm::checking {

namespace {

using machine::Access;
using machine::Privilege;
namespace pte_bits = machine::pte_bits;

// What a TLB may keep of the entry: writing only once it is dirty, since the first write has to walk.
std::uint64_t rights_now(const Context& c, const Processor& cpu, const Place& place) {
  if (!PteCodec::is_valid(place.raw)) return 0;
  std::uint64_t rights = 0;
  const auto add = [&](Access access, bool kernel, bool user) {
    if (kernel) rights |= machine::access_right(access, Privilege::kKernel);
    if (user) rights |= machine::access_right(access, Privilege::kUser);
  };
  const machine::WalkRules& rules = cpu.walk_rules();
  const bool user = (place.rights & pte_bits::kUser) != 0;
  const bool writable = (place.rights & pte_bits::kWrite) != 0;
  const bool executable =
      !c.core.mode.has_no_execute || !rules.no_execute || (place.rights & pte_bits::kNoExecute) == 0;
  add(Access::kRead, true, user);
  if (PteCodec::is_dirty(place.raw)) add(Access::kWrite, writable || !rules.write_protect, writable && user);
  if (executable) add(Access::kExecute, true, user);
  return rights;
}

// By its tag; of untagged spaces the one that the processor runs in, since loading a root drops the others' entries.
const ProcessSpace* space_of(const SpaceList& spaces, const Processor& cpu, machine::Asid asid)
    PAGODA_REQUIRES(spaces.lock) {
  for (const auto& space : spaces.spaces) {
    if (space->asid() == asid && (asid != machine::kUntagged || space->root() == cpu.root())) return space.get();
  }
  return nullptr;
}

// To look at a guest's frame can bring it in, for which its host may take other frames away from the guest, and from what
// its processor remembered when the walk through that began.
bool is_still_held(const Processor& cpu, const machine::CachedTranslation& held) {
  return std::ranges::any_of(cpu.cached(), [&](const machine::CachedTranslation& now) {
    return now.page == held.page && now.asid == held.asid && now.host == held.host;
  });
}

void check_tlb(Context& c, const SpaceList& spaces, const Processor& cpu) PAGODA_REQUIRES(spaces.lock) {
  for (const machine::CachedTranslation& held : cpu.cached()) {
    const auto asid = static_cast<unsigned>(held.asid);
    const ProcessSpace* const space = space_of(spaces, cpu, held.asid);
    if (space == nullptr) {
      // Whoever gets a tag that no space has forgets what is under it.
      if (held.asid != cpu.asid() && held.asid != machine::kGlobalAsid) continue;
      c.find("TL1"_rule, fmt::format("processor {} remembers {} of tag {}, which no space has", cpu.number(),
                                     to_string(held.page), asid));
      continue;
    }
    {
      const LockGuard guard(space->lock);
      if (!space->trusts_entries_of(cpu)) continue;
    }
    const auto place = c.walk(space->root(), held.page.vpn());
    const std::uint64_t allowed = place ? rights_now(c, cpu, *place) : 0;
    auto frame = place ? c.frame_of(place->raw) : std::nullopt;
    if (const auto device = c.device_entries.find(place ? place->pte : PhysicalAddress{});
        device != c.device_entries.end())
      frame = device->second;
    const bool same_bytes = frame && cpu.physical().bytes(*frame, Access::kRead).data() == held.host;
    if ((allowed == 0 || (held.rights & ~allowed) != 0 || !same_bytes) && is_still_held(cpu, held)) {
      c.find("TL1"_rule,
             fmt::format("processor {} remembers {} of space {} with rights {:#x}{}; the tables allow {:#x}: {}",
                         cpu.number(), to_string(held.page), space->id(), held.rights,
                         same_bytes || allowed == 0 ? "" : " in another frame", allowed,
                         place ? c.text_of(Leaf{held.page.vpn(), place->pte, place->raw}) : "no page table"));
    }
  }
}

// AS7.
void check_loaded(Context& c, const ProcessSpace& space) {
  const LockGuard guard(space.lock);
  for (const Processor* cpu : c.core.machine.processors()) {
    const bool has_root = cpu->root() == space.root();
    if (space.is_loaded_on(*cpu) != has_root)
      c.find("AS7"_rule, fmt::format("space {} is{} loaded on processor {}, whose set says otherwise", space.id(),
                                     has_root ? "" : " not", cpu->number()));
  }
}

}  // namespace

void check_tlbs(Context& c, const SpaceList& spaces) {
  std::vector<bool> taken(machine::kAsidCount);
  for (const auto& space : spaces.spaces) {
    const auto asid = static_cast<std::size_t>(space->asid());
    if (space->asid() == machine::kUntagged) continue;
    if (asid >= taken.size() || taken[asid]) {
      c.find("AS4"_rule, fmt::format("space {} has tag {}, which another one has or none may have", space->id(), asid));
      continue;
    }
    taken[asid] = true;
  }
  for (const auto& space : spaces.spaces) check_loaded(c, *space);
  for (const Processor* cpu : c.core.machine.processors()) check_tlb(c, spaces, *cpu);
}

}  // namespace pagoda::mm::checking
