#include "pagoda/policy/activity.h"

#include <algorithm>

#include "pagoda/base/check.h"

namespace pagoda::policy {

namespace {

double moved(double average, double to, double gain) { return average + gain * (to - average); }

double share(unsigned touched, unsigned sampled) {
  PAGODA_CHECK(touched <= sampled);
  return static_cast<double>(touched) / sampled;
}

}  // namespace

const ActivityPreset* find_activity_preset(std::string_view name) {
  for (const ActivityPreset* preset : {&kOsdi02Activity, &kVsphereActivity})
    if (preset->name == name) return preset;
  return nullptr;
}

void ActivityAverages::so_far(unsigned touched, unsigned sampled) {
  if (sampled == 0 || !fast_) return;
  under_way_ = moved(*fast_, share(touched, sampled), preset_.fast);
}

void ActivityAverages::end_period(unsigned touched, unsigned sampled) {
  under_way_.reset();
  if (sampled == 0) return;
  const double now = share(touched, sampled);
  slow_ = slow_ ? moved(*slow_, now, preset_.slow) : now;
  fast_ = fast_ ? moved(*fast_, now, preset_.fast) : now;
}

std::optional<double> ActivityAverages::estimate() const {
  if (!fast_) return std::nullopt;
  return std::max({*slow_, *fast_, under_way_.value_or(0)});
}

}  // namespace pagoda::policy
