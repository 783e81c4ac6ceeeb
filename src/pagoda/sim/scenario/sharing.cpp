// [host.sharing], [vm.sharing] and [[template]].
#include <fmt/format.h>

#include <algorithm>

#include "pagoda/sim/scenario/names.h"
#include "pagoda/sim/scenario/sections.h"

namespace pagoda::sim {

namespace {

constexpr std::uint64_t kFewestHashBits = 8;
constexpr std::uint64_t kMostHashBits = 64;
// A page every microsecond: more than a processor can look at.
constexpr std::uint64_t kMostPages = 1'000'000;

}  // namespace

void read_sharing(TomlTable& t, Scenario& scenario) {
  SharingConfig sharing;
  mm::SharingTunables& tunables = sharing.tunables;
  const bool on = t.flag("on", true);
  tunables.scan_in_all = PageCount(t.number("rate", tunables.scan_in_all.value(), 1, kMostPages));
  tunables.scan_of_space = PageCount(t.number("vm_rate", tunables.scan_of_space.value(), 1, kMostPages));
  tunables.hash_bits = static_cast<unsigned>(t.number("hash_bits", tunables.hash_bits, kFewestHashBits, kMostHashBits));
  tunables.zeros = t.choice("zeros", kZerosNames, tunables.zeros);
  tunables.hints = t.flag("hints", true) ? mm::SharingTunables::Hints::kYes : mm::SharingTunables::Hints::kNo;
  tunables.combine = t.choice("combine", kCombineNames, tunables.combine);
  if (tunables.combine == mm::SharingTunables::Combine::kSameBehaviour && t.has("hints"))
    t.wrong("hints", "is of no use where combine = \"same_behaviour\": every page that is looked at is shared at once");
  t.tables("domain", [&](TomlTable& domain) {
    domain.require("name");
    const std::string name = domain.text("name", "");
    if (std::ranges::find(sharing.domains, name) != sharing.domains.end())
      domain.wrong("name", fmt::format("there is a domain \"{}\" already", name));
    sharing.domains.push_back(name);
  });
  if (on) scenario.sharing = std::move(sharing);
}

void read_template(TomlTable& t, const SystemDraft& host, Scenario& scenario) {
  TemplateConfig made;
  t.require("name");
  made.name = t.text("name", "");
  made.where = t.where();
  if (std::ranges::find(scenario.templates, made.name, &TemplateConfig::name) != scenario.templates.end())
    t.wrong("name", fmt::format("there is a template \"{}\" already", made.name));
  made.disk = read_disk_name(t, host).value_or(made.disk);
  t.require("fill");
  t.table("fill", [&](TomlTable& fill) { made.image = read_image(fill, host); });
  scenario.templates.push_back(std::move(made));
}

void read_vm_sharing(TomlTable& t, const Scenario& scenario, VmConfig& vm) {
  const bool on = t.flag("on", vm.is_shared);
  if (on && !scenario.sharing) t.wrong("on", "the host does not share pages; give it a [host.sharing]");
  vm.is_shared = on;
  if (!t.has("domain")) return;
  const std::string name = t.text("domain", "");
  if (!on)
    t.wrong("domain", "is of no use to a machine that does not share; take it out, or give the host a [host.sharing]");
  if (!scenario.sharing) return;
  const auto found = std::ranges::find(scenario.sharing->domains, name);
  if (found == scenario.sharing->domains.end()) {
    t.wrong("domain", fmt::format("there is no domain \"{}\"; declare it with [[host.sharing.domain]]", name));
    return;
  }
  vm.domain = mm::named_domain(static_cast<std::uint32_t>(found - scenario.sharing->domains.begin()));
}

}  // namespace pagoda::sim
