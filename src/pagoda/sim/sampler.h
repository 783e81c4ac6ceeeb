// Samples of a run at even distances of virtual time, however long it gets: when there are too many, every second one
// is dropped and the distance doubles.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/mm/memory_manager.h"
#include "pagoda/sim/run_result.h"

namespace pagoda::sim {

// The machines at one moment, and what they have of templates, each page once.
struct VmSamples {
  std::vector<VmSample> vms;
  PageCount template_pages;
};

class Sampler {
 public:
  // The next moment at which a sample is due.
  [[nodiscard]] Time due() const { return Time{} + interval_ * static_cast<std::uint64_t>(next_); }
  // Takes a sample for that moment. Demand is counted from one sample to the next.
  void take(const mm::MemoryManager& manager, std::vector<ProcessSample> processes, VmSamples vms = {}) {
    add(due(), manager, std::move(processes), std::move(vms));
    ++next_;
    thin();
  }
  // The last one, at the end of the run.
  void finish(Time end, const mm::MemoryManager& manager, std::vector<ProcessSample> processes, VmSamples vms = {});
  // Numbers the intervals for programs' touches; from 1.
  [[nodiscard]] std::uint32_t interval_number() const { return interval_number_; }
  [[nodiscard]] const std::vector<Sample>& samples() const { return samples_; }

 private:
  static constexpr std::size_t kMost = 400;
  void add(Time time, const mm::MemoryManager& manager, std::vector<ProcessSample> processes, VmSamples vms);
  void thin();

  std::vector<Sample> samples_;
  Duration interval_ = 1_ms;
  std::uint64_t next_ = 0;
  std::uint32_t interval_number_ = 1;
};

}  // namespace pagoda::sim
