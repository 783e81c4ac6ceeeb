// For tests: a hypervisor that records what the guest says, checks it against the rules, and discards what the guest
// says is worth nothing.
//
//   RecordingHypervisor hypervisor({.cold_discard_hint = true, .hot_hint = true});
//   mm::testing::TestMachine t({.hypercalls = &hypervisor});
//   hypervisor.connect(t.core());
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "pagoda/machine/hypercalls.h"
#include "pagoda/mm/backing/core.h"

namespace pagoda::guest::testing {

class RecordingHypervisor : public machine::Hypercalls {
 public:
  enum class FrameState : std::uint8_t { kOrdinary, kCold, kDiscarded };
  struct Call {
    machine::HeatHint hint = machine::HeatHint::kCold;
    std::vector<machine::FrameRange> ranges;
  };

  explicit RecordingHypervisor(const Capabilities& capabilities, std::vector<DirectMap> direct_maps = {})
      : capabilities_(capabilities), direct_maps_(std::move(direct_maps)) {}
  // The guest's manager, whose frames the calls are about.
  void connect(mm::Core& core) {
    core_ = &core;
    states_.assign(core.pfns.frames().value(), FrameState::kOrdinary);
  }

  [[nodiscard]] const std::vector<Call>& calls() const { return calls_; }
  [[nodiscard]] const std::vector<MemoryReport>& reports() const { return reports_; }
  [[nodiscard]] FrameState state(Pfn frame) const { return states_[frame.value()]; }
  [[nodiscard]] std::size_t count(FrameState state) const {
    return static_cast<std::size_t>(std::ranges::count(states_, state));
  }
  // Pages named by calls of the kind.
  [[nodiscard]] std::uint64_t pages(machine::HeatHint hint) const {
    std::uint64_t all = 0;
    for (const Call& call : calls_) {
      if (call.hint != hint) continue;
      for (const machine::FrameRange& range : call.ranges) all += range.count.value();
    }
    return all;
  }
  // What the guest did that it must not; empty if nothing.
  [[nodiscard]] const std::string& mistakes() const { return mistakes_; }
  // Calls fail with it from now on.
  void refuse(Status status) { refusal_ = status; }

  [[nodiscard]] Capabilities query_capabilities(mm::Processor& /*cpu*/) override { return capabilities_; }
  Result<> heat_hint(mm::Processor& cpu, machine::HeatHint hint, std::span<const machine::FrameRange> ranges) override {
    if (refusal_ != Status::kSuccess) return fail(refusal_);
    check_call(hint, ranges);
    calls_.push_back({hint, {ranges.begin(), ranges.end()}});
    for (const machine::FrameRange& range : ranges) {
      for (Pfn frame = range.first; frame < range.first + range.count; ++frame) {
        switch (hint) {
          case machine::HeatHint::kCold:
            states_[frame.value()] = FrameState::kCold;
            break;
          case machine::HeatHint::kColdDiscard:
            states_[frame.value()] = FrameState::kDiscarded;
            cpu.physical().zero(frame);
            break;
          case machine::HeatHint::kHot:
            states_[frame.value()] = FrameState::kOrdinary;
        }
      }
    }
    return {};
  }
  Result<> report_memory(mm::Processor& /*cpu*/, const MemoryReport& report) override {
    if (!capabilities_.memory_report) return fail(Status::kNotSupported);
    reports_.push_back(report);
    return {};
  }
  [[nodiscard]] std::span<const DirectMap> direct_maps(mm::Processor& /*cpu*/) override { return direct_maps_; }

 private:
  void mistake(std::string text) { mistakes_ += std::move(text) + "\n"; }
  [[nodiscard]] bool is_enabled(machine::HeatHint hint) const {
    switch (hint) {
      case machine::HeatHint::kCold:
        return capabilities_.cold_hint;
      case machine::HeatHint::kHot:
        return capabilities_.hot_hint;
      case machine::HeatHint::kColdDiscard:
        return capabilities_.cold_discard_hint;
    }
    return false;
  }
  void check_call(machine::HeatHint hint, std::span<const machine::FrameRange> ranges) {
    if (!is_enabled(hint)) mistake("a hint that is not enabled");
    if (ranges.empty() || ranges.size() > kMostRanges)
      mistake("a call of " + std::to_string(ranges.size()) + " ranges");
    // A lock that is held would not be taken again: the guest calls without it.
    const LockGuard guard(core_->pfns.lock);
    Pfn end(0);
    for (const machine::FrameRange& range : ranges) {
      if (range.count.is_zero() || range.first < end) mistake("ranges that are empty or out of order");
      end = range.first + range.count;
      if (!core_->pfns.contains(range.first) || end.value() > core_->pfns.frames().value()) {
        mistake("a range that is not the guest's memory");
        continue;
      }
      if (hint == machine::HeatHint::kHot) continue;
      const std::uint64_t granule = capabilities_.reporting_granule.value();
      if (range.first.value() % granule != 0 || range.count.value() % granule != 0)
        mistake("a cold range that is not of whole granules");
      for (Pfn frame = range.first; frame < end; ++frame) check_unused(frame);
    }
  }
  // It has no owner, and no allocation can find it: on no list, without references and contents.
  void check_unused(Pfn frame) PAGODA_REQUIRES(core_->pfns.lock) {
    const mm::PfnEntry& entry = core_->pfns.entry(frame);
    if (entry.state != mm::PageState::kTransition || entry.reference_count != 0 || entry.pte_address != 0 ||
        entry.original_pte != 0 || frame >= core_->pfns.never_used())
      mistake("cold: " + to_string(frame) + " is in use, or can be taken");
  }

  const Capabilities capabilities_;
  const std::vector<DirectMap> direct_maps_;
  mm::Core* core_ = nullptr;
  std::vector<FrameState> states_;
  std::vector<Call> calls_;
  std::vector<MemoryReport> reports_;
  std::string mistakes_;
  Status refusal_ = Status::kSuccess;
};

}  // namespace pagoda::guest::testing
