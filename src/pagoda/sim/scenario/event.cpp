// [[event]].
#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "pagoda/sim/scenario/sections.h"

namespace pagoda::sim {

namespace {

constexpr std::uint64_t kSlowestDisk = 1'000'000;

// The position of what has that name; none, and an error, if nothing does.
template <class All, class NameOf>
std::optional<std::size_t> find_named(TomlTable& t, std::string_view key, const All& all, NameOf name_of) {
  const std::string name = t.text(key, "");
  const auto found = std::ranges::find(all, name, name_of);
  if (found != all.end()) return static_cast<std::size_t>(found - all.begin());
  t.wrong(key, fmt::format("there is no \"{}\" here", name));
  return std::nullopt;
}

void read_life(TomlTable& t, std::string_view key, Time at, Time unset, Time& time) {
  if (!t.flag(key, false)) return;
  if (time != unset) t.wrong(key, "the machine says itself when that is; say it once");
  time = at;
}

void lose_driver(TomlTable& t, Time at, VmConfig& vm) {
  if (!t.flag("loses_driver", false)) return;
  if (!vm.balloon || vm.balloon->driver != BalloonConfig::Driver::kNormal) {
    t.wrong("loses_driver", "the machine has no driver that works; give it a [vm.balloon]");
    return;
  }
  vm.balloon->driver = BalloonConfig::Driver::kDies;
  vm.balloon->settings.dies = at;
}

void read_of_machine(TomlTable& t, EventConfig& event, Scenario& scenario) {
  event.vm = find_named(t, "vm", scenario.vms, [](const VmConfig& vm) { return vm.partition.name; });
  if (!event.vm) return;
  VmConfig& vm = scenario.vms[*event.vm];
  if (t.has("shares")) event.shares = t.number("shares", 1, 1, kMostShares);
  event.minimum = read_minimum(t, vm.partition.memory);
  read_life(t, "starts", event.at, Time{}, vm.start);
  read_life(t, "stops", event.at, kNever, vm.stop);
  if (vm.stop <= vm.start) t.wrong("stops", "is not after it starts");
  lose_driver(t, event.at, vm);
}

}  // namespace

void read_event(TomlTable& t, Scenario& scenario) {
  EventConfig event;
  t.require("at");
  event.at = Time{} + t.duration("at", 1_s);
  if (t.has("vm") == t.has("disk")) {
    t.wrong("vm", "an event is about one thing; name a vm or a disk of the host");
    return;
  }
  if (t.has("vm")) {
    if (t.has("slower")) t.wrong("slower", "is said of a disk");
    read_of_machine(t, event, scenario);
  } else {
    for (const std::string_view key : {"shares", "minimum", "starts", "stops", "loses_driver"})
      if (t.has(key)) t.wrong(key, "is said of a machine");
    event.disk =
        find_named(t, "disk", scenario.machine.disks, [](const machine::DiskModel& disk) { return disk.name; });
    t.require("slower");
    event.slower = t.number("slower", 1, 1, kSlowestDisk);
  }
  if (event.shares || event.minimum || event.disk) scenario.events.push_back(event);
}

}  // namespace pagoda::sim
