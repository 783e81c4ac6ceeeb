#include "pagoda/guest/enlightenments.h"

#include <algorithm>
#include <vector>

namespace pagoda::guest {

using machine::FrameRange;
using machine::HeatHint;
using machine::Hypercalls;

namespace {

PageCount total(std::span<const FrameRange> ranges) {
  PageCount all;
  for (const FrameRange& range : ranges) all += range.count;
  return all;
}

}  // namespace

EnlightenmentSettings EnlightenmentSettings::for_memory(PageCount frames) {
  EnlightenmentSettings settings;
  settings.reserve = std::clamp(frames / 64, 16_pages, settings.reserve);
  settings.hot_window = std::clamp(settings.reserve / 4, 8_pages, settings.hot_window);
  return settings;
}

std::unique_ptr<Enlightenments> Enlightenments::create(mm::MemoryManager& guest, Processor& cpu,
                                                       const EnlightenmentSettings& settings) {
  Hypercalls* const hypercalls = guest.machine().hypercalls();
  if (hypercalls == nullptr) return nullptr;
  const Hypercalls::Capabilities capabilities = hypercalls->query_capabilities(cpu);
  if (!capabilities.cold_hint && !capabilities.hot_hint && !capabilities.cold_discard_hint &&
      !capabilities.memory_report)
    return nullptr;
  return std::unique_ptr<Enlightenments>(new Enlightenments(guest, *hypercalls, capabilities, settings));
}

Enlightenments::Enlightenments(mm::MemoryManager& guest, Hypercalls& hypercalls,
                               const Hypercalls::Capabilities& capabilities, const EnlightenmentSettings& settings)
    : guest_(guest),
      hypercalls_(hypercalls),
      capabilities_(capabilities),
      settings_(settings),
      frames_(guest.watch_hinted_frames(capabilities.reporting_granule)) {
  PAGODA_CHECK_LE(settings.hot_window, settings.reserve);
}

Time Enlightenments::due(Time now) const {
  Time next = kNever;
  if (sends_cold()) next = next_look_;
  if (capabilities_.memory_report) next = std::min(next, next_report_);
  return capabilities_.hot_hint && frames_.is_next() ? std::min(next, now) : next;
}

void Enlightenments::run(Processor& cpu) {
  if (capabilities_.hot_hint) hint_hot(cpu);
  if (sends_cold() && cpu.now() >= next_look_) hint_cold(cpu);
  if (capabilities_.memory_report && cpu.now() >= next_report_) report(cpu);
}

bool Enlightenments::call(Processor& cpu, HeatHint hint, std::span<const FrameRange> ranges) {
  ++counts_.calls;
  if (hypercalls_.heat_hint(cpu, hint, ranges)) return true;
  ++counts_.refused;
  return false;
}

// Whatever the host makes of it: once is enough.
void Enlightenments::hint_hot(Processor& cpu) {
  const auto ranges = frames_.unmark_next(settings_.hot_window, Hypercalls::kMostRanges);
  if (ranges.empty()) return;
  if (call(cpu, HeatHint::kHot, ranges)) counts_.hot += total(ranges).value();
}

void Enlightenments::hint_cold(Processor& cpu) {
  // New pages come to the zeroed list by being zeroed: without any the walk would find what the last one found.
  const std::uint64_t zeroed = frames_.ever_zeroed();
  std::vector<FrameRange> ranges;
  if (zeroed != zeroed_at_look_) ranges = frames_.set_aside(settings_.reserve, Hypercalls::kMostRanges);
  // A full batch means that there may be more.
  if (ranges.size() < Hypercalls::kMostRanges) {
    next_look_ = cpu.now() + settings_.period;
    zeroed_at_look_ = zeroed;
  }
  if (ranges.empty()) return;
  const HeatHint hint = capabilities_.cold_discard_hint ? HeatHint::kColdDiscard : HeatHint::kCold;
  if (!call(cpu, hint, ranges)) {
    next_look_ = cpu.now() + settings_.period;
    zeroed_at_look_ = kNeverLooked;
    frames_.put_back(ranges, mm::HintedFrames::Hinted::kNo);
    return;
  }
  frames_.put_back(ranges, mm::HintedFrames::Hinted::kYes);
  (hint == HeatHint::kCold ? counts_.cold : counts_.discarded) += total(ranges).value();
}

void Enlightenments::report(Processor& cpu) {
  next_report_ = cpu.now() + settings_.report_period;
  const mm::MemoryManager::CommitInfo commit = guest_.commit();
  if (hypercalls_.report_memory(
          cpu, {.available = guest_.available(), .committed = commit.charged, .commit_limit = commit.limit}))
    ++counts_.reports;
}

}  // namespace pagoda::guest
