// [vm.balloon].
#include <fmt/format.h>

#include "pagoda/sim/scenario/names.h"
#include "pagoda/sim/scenario/sections.h"

namespace pagoda::sim {

namespace {

using Driver = BalloonConfig::Driver;
using machine::BalloonFeature;
using machine::BalloonFeatures;

// `when`: of drivers that have a time.
void read_when(TomlTable& t, BalloonConfig& balloon) {
  const bool has_time =
      balloon.driver == Driver::kLate || balloon.driver == Driver::kStuck || balloon.driver == Driver::kDies;
  if (!has_time) {
    if (t.has("when")) t.wrong("when", "says when a driver is late, gets stuck or dies; this one does neither");
    return;
  }
  t.require("when");
  const Time when = Time{} + t.duration("when", 1_s);
  if (balloon.driver == Driver::kLate) balloon.settings.loads = when;
  if (balloon.driver == Driver::kStuck) balloon.settings.sticks = when;
  if (balloon.driver == Driver::kDies) balloon.settings.dies = when;
}

BalloonFeatures read_features(TomlTable& t, const VmConfig& vm, BalloonConfig& balloon) {
  const bool deflates = t.flag("deflate_on_oom", true);
  if (t.has("report_free")) balloon.reports_free = t.flag("report_free", false);
  const bool reports = balloon.reports_free.value_or(false);
  if (reports && vm.guest == VmConfig::GuestKind::kWindows)
    t.wrong("report_free", "a guest that gives hints tells of its free memory already; say guest = \"plain\"");
  BalloonFeatures features{BalloonFeature::kMustTellHost, BalloonFeature::kStatistics, BalloonFeature::kPagePoison};
  if (deflates) features = features | BalloonFeatures{BalloonFeature::kDeflateOnOom};
  if (reports) features = features | BalloonFeatures{BalloonFeature::kReporting};
  return features;
}

}  // namespace

void read_balloon(TomlTable& t, VmConfig& vm) {
  BalloonConfig balloon{.settings = guest::BalloonDriverSettings::for_memory(vm.partition.memory)};
  guest::BalloonDriverSettings& settings = balloon.settings;
  balloon.driver = t.choice("driver", kBalloonDriverNames, balloon.driver);
  read_when(t, balloon);
  if (balloon.driver == Driver::kLies) settings.conduct = guest::BalloonDriverSettings::Conduct::kTouches;
  balloon.target = t.pages("target", balloon.target);
  if (balloon.target > vm.partition.memory)
    t.wrong("target", fmt::format("is more than the guest has, {}; the balloon takes it from there",
                                  to_string(bytes_of(vm.partition.memory))));
  if (balloon.driver == Driver::kAbsent) {
    for (const char* const key : {"rate", "cap", "deflate_on_oom", "report_free"})
      if (t.has(key)) t.wrong(key, "says what the driver does, and there is none");
  } else {
    settings.pages_per_second = t.pages("rate", settings.pages_per_second);
    if (settings.pages_per_second.is_zero()) t.wrong("rate", "must be at least 4KiB, each second");
    const double cap = t.real("cap", 1.0, 0.0, 1.0);
    settings.most = PageCount(static_cast<std::uint64_t>(cap * static_cast<double>(vm.partition.memory.value())));
  }
  vm.partition.balloon = read_features(t, vm, balloon);
  settings.features = *vm.partition.balloon;
  vm.balloon = balloon;
}

}  // namespace pagoda::sim
