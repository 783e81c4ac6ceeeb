// How much of a virtual machine's memory is in use: a few of its frames, chosen at random, are taken out of every cache
// that leads to them (second level, shadow tables, nested TLBs, TLBs), and those that come back within a period were
// used. It sees every use, whoever makes it, and needs no word of the guest's.
//
//   period begins: n frames ──> in no cache, watched
//   a use of one of them ─────> a violation, its only one (the page stays resident: a minor fault): used, not watched
//   period ends: used / n is the sample; n others are chosen
//
// The contents of no page change, the host's page stays where it is, and what the second level knew of its use since
// the host last looked is kept for the host's aging. A neighbour's violation brings no watched frame along.
//
// The estimate that a policy uses is made of several periods; that is policy's.
//
// Locking: as the virtual machine; between two instructions of the guest.
// Source: reference/virtualization.md 1.6, "Sampling f"; reference/overcommit-facts.md 1.1 for the periods.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/hv/second_level.h"

namespace pagoda::hv {

class Partition;

struct SamplerConfig {
  PageCount frames{100};   // Watched in a period; all of them where the machine has fewer.
  Duration period = 30_s;  // Of the machine's own execution time.
  std::uint64_t seed = 1;

  static SamplerConfig osdi02() { return {}; }
  static SamplerConfig vsphere() { return {.period = 60_s}; }
};

// What one period saw.
struct ActivitySample {
  PageCount watched;
  PageCount used;
  // [0, 1].
  [[nodiscard]] double share() const {
    return watched.is_zero() ? 0 : static_cast<double>(used.value()) / static_cast<double>(watched.value());
  }
};

class ActivitySampler final : private WatchedFrames {
 public:
  // The partition outlives it and has no other.
  // Requires: memory that is not pinned, in which there are large entries, and nothing to be taken.
  ActivitySampler(Partition& partition, const SamplerConfig& config);
  ~ActivitySampler() override;
  ActivitySampler(const ActivitySampler&) = delete;
  ActivitySampler& operator=(const ActivitySampler&) = delete;

  // The machine has executed for so long since it started. Ends the period if it is over, and begins the next one, at
  // the cost of the host's processor. Returns the sample of a period that ended.
  std::optional<ActivitySample> advance(mm::Processor& host, Duration executed);
  // What the period that runs has seen so far: a figure that only grows until it ends.
  [[nodiscard]] ActivitySample running() const { return {.watched = PageCount(watched_.size()), .used = used_}; }

 private:
  struct Watched {
    Gfn frame;
    bool used = false;
    bool was_accessed = false;  // Before it was watched, since the host's aging last asked.
  };

  void begin_period(mm::Processor& host);
  [[nodiscard]] Watched* find(Gfn frame);
  // WatchedFrames.
  bool is_watched(Gfn frame) override;
  void note_use(Gfn frame) override;
  bool take_accessed(Gfn frame) override;

  Partition& partition_;
  const SamplerConfig config_;
  Random random_;
  Duration ends_;                 // The period that runs, by the machine's execution time; zero: none does yet.
  std::vector<Watched> watched_;  // By frame.
  PageCount used_;
};

}  // namespace pagoda::hv
