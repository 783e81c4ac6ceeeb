#include "pagoda/guest/enlightenments.h"

#include <algorithm>

namespace pagoda::guest {

using machine::FrameRange;
using machine::HeatHint;
using machine::Hypercalls;
using mm::PageState;

namespace {

// Frames in ascending order become as few ranges as they can.
void append(std::vector<FrameRange>& ranges, FrameRange range) {
  if (!ranges.empty() && ranges.back().first + ranges.back().count == range.first) {
    ranges.back().count += range.count;
  } else {
    ranges.push_back(range);
  }
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
  Hypercalls* const hypercalls = guest.core().machine.hypercalls();
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
      core_(guest.core()),
      hypercalls_(hypercalls),
      capabilities_(capabilities),
      settings_(settings),
      hinted_(core_.pfns.frames().value()),
      granules_(core_.pfns.frames().value() / capabilities.reporting_granule.value()) {
  PAGODA_CHECK_LE(settings.hot_window, settings.reserve);
  const LockGuard guard(core_.pfns.lock);
  core_.pfns.set_watch(this);
}

Enlightenments::~Enlightenments() {
  const LockGuard guard(core_.pfns.lock);
  core_.pfns.set_watch(nullptr);
}

void Enlightenments::used(Pfn frame) {
  core_.pfns.lock.assert_held();
  if (hinted_.test(frame.value())) hinted_.clear(frame.value());
}

PageCount Enlightenments::hinted() const {
  const LockGuard guard(core_.pfns.lock);
  return PageCount(hinted_.count());
}

bool Enlightenments::is_hinted(Pfn frame) const {
  const LockGuard guard(core_.pfns.lock);
  return hinted_.test(frame.value());
}

bool Enlightenments::is_hinted_page_next() const {
  const auto is_next = [&](Pfn frame) {
    core_.pfns.lock.assert_held();
    return frame != kNoPfn && hinted_.test(frame.value());
  };
  const mm::PageLists& lists = core_.pfns.lists();
  return is_next(Pfn(lists.head(PageState::kZeroed).flink)) || is_next(Pfn(lists.head(PageState::kFree).flink)) ||
         is_next(lists.oldest_standby());
}

Time Enlightenments::due(Time now) const {
  Time next = kNever;
  if (sends_cold()) next = next_look_;
  if (capabilities_.memory_report) next = std::min(next, next_report_);
  if (!capabilities_.hot_hint) return next;
  const LockGuard guard(core_.pfns.lock);
  return is_hinted_page_next() ? std::min(next, now) : next;
}

void Enlightenments::run(Processor& cpu) {
  if (capabilities_.hot_hint) hint_hot(cpu);
  if (sends_cold() && cpu.now() >= next_look_) hint_cold(cpu);
  if (capabilities_.memory_report && cpu.now() >= next_report_) report(cpu);
}

bool Enlightenments::call(Processor& cpu, HeatHint hint) {
  ++counts_.calls;
  if (hypercalls_.heat_hint(cpu, hint, ranges_)) return true;
  ++counts_.refused;
  return false;
}

void Enlightenments::add_hot(std::vector<Pfn>& frames, const mm::PageLists::Head& list) {
  Pfn frame(list.flink);
  for (PageCount looked; frame != kNoPfn && looked < settings_.hot_window; ++looked) {
    if (hinted_.test(frame.value())) frames.push_back(frame);
    frame = Pfn(core_.pfns.entry(frame).flink);
  }
}

void Enlightenments::hint_hot(Processor& cpu) {
  std::vector<Pfn> frames;
  {
    const LockGuard guard(core_.pfns.lock);
    const mm::PageLists& lists = core_.pfns.lists();
    add_hot(frames, lists.head(PageState::kZeroed));
    add_hot(frames, lists.head(PageState::kFree));
    for (mm::PagePriority priority = 0; priority < mm::kPagePriorities; ++priority) {
      if (lists.standby_count(priority).is_zero()) continue;
      add_hot(frames, lists.head(PageState::kStandby, priority));
      break;  // The others are not next.
    }
    std::ranges::sort(frames);
    ranges_.clear();
    for (const Pfn frame : frames) {
      if (ranges_.size() == Hypercalls::kMostRanges) break;
      append(ranges_, {frame, 1_pages});
      hinted_.clear(frame.value());  // Whatever the host makes of it: once is enough.
    }
  }
  if (ranges_.empty()) return;
  if (!call(cpu, HeatHint::kHot)) return;
  for (const FrameRange& range : ranges_) counts_.hot += range.count.value();
}

void Enlightenments::choose_cold() {
  const PageCount granule = capabilities_.reporting_granule;
  const auto granule_of = [&](Pfn frame) { return frame.value() / granule.value(); };
  const mm::PageLists::Head& zeroed = core_.pfns.lists().head(PageState::kZeroed);
  std::ranges::fill(granules_, Granule{});
  Pfn frame(zeroed.blink);
  for (PageCount left(zeroed.count); left > settings_.reserve; --left) {
    // The machine's last granule may be a part of one.
    if (granule_of(frame) < granules_.size()) {
      Granule& g = granules_[granule_of(frame)];
      ++g.in_back;
      if (!hinted_.test(frame.value())) ++g.not_hinted;
    }
    frame = Pfn(core_.pfns.entry(frame).blink);
  }
  for (std::size_t number = 0; number < granules_.size(); ++number) {
    if (granules_[number].in_back != granule.value() || granules_[number].not_hinted == 0) continue;
    const FrameRange range{Pfn(static_cast<std::uint32_t>(number * granule.value())), granule};
    const bool joins = !ranges_.empty() && ranges_.back().first + ranges_.back().count == range.first;
    if (!joins && ranges_.size() == Hypercalls::kMostRanges) break;
    append(ranges_, range);
    for (Pfn taken = range.first; taken < range.first + range.count; ++taken) core_.pfns.set_aside(taken);
  }
}

void Enlightenments::hint_cold(Processor& cpu) {
  {
    const LockGuard guard(core_.pfns.lock);
    // New pages come to the zeroed list by being zeroed: without any the walk would find what the last one found.
    const std::uint64_t zeroed = core_.counters.pages_zeroed_by_thread;
    ranges_.clear();
    if (zeroed != zeroed_at_look_) choose_cold();
    // A full batch means that there may be more.
    if (ranges_.size() < Hypercalls::kMostRanges) {
      next_look_ = cpu.now() + settings_.period;
      zeroed_at_look_ = zeroed;
    }
  }
  if (ranges_.empty()) return;
  const HeatHint hint = capabilities_.cold_discard_hint ? HeatHint::kColdDiscard : HeatHint::kCold;
  const bool understood = call(cpu, hint);
  if (!understood) {
    next_look_ = cpu.now() + settings_.period;
    zeroed_at_look_ = kNeverLooked;
  }
  const LockGuard guard(core_.pfns.lock);
  for (const FrameRange& range : ranges_) {
    for (Pfn frame = range.first; frame < range.first + range.count; ++frame) {
      core_.pfns.put_back(frame);
      if (understood && !hinted_.test(frame.value())) hinted_.set(frame.value());
    }
    if (understood) (hint == HeatHint::kCold ? counts_.cold : counts_.discarded) += range.count.value();
  }
}

void Enlightenments::report(Processor& cpu) {
  next_report_ = cpu.now() + settings_.report_period;
  const mm::MemoryManager::CommitInfo commit = guest_.commit();
  PageCount available;
  {
    const LockGuard guard(core_.pfns.lock);
    available = core_.pfns.available();
  }
  if (hypercalls_.report_memory(cpu,
                                {.available = available, .committed = commit.charged, .commit_limit = commit.limit}))
    ++counts_.reports;
}

}  // namespace pagoda::guest
