// The balloon of one virtual machine: virtio-balloon's device, and what the host asks of it and knows from it.
//
//   host                                     guest's driver (machine::Balloon)
//   set_target ──────── num_pages ─────────> polls it
//   held, actual <───── inflate, deflate ──── takes frames of its guest, and gives them back
//   statistic <──────── statistics
//
// A frame in the balloon loses its host page, its slot, and where the memory is committed by touch its charge, at once
// (GuestMemory). A guest that touches it gets a zeroed page: the frame has left the balloon, which is counted
// (popped_pages), whatever the driver still says. So `actual` is the driver's word and `held` the truth.
//
// Everything that comes from the guest is untrusted: a request is bounded, wrong frames are passed over, numbers that
// cannot be are as good as none. All work is done at the guest's time and cost.
//
// Memory that is pinned stays where it is: what is inflated there is only the driver's word, counted (balloon_useless).
//
// Locking: the guest's side as VirtualMachine; the host's between two instructions of the guest.
// Source: reference/overcommit-facts.md 1.2 and section 2; reference/virtualization.md 1.3, 4.1 and 4.2.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "pagoda/hv/guest_memory.h"
#include "pagoda/hv/partition_counts.h"
#include "pagoda/machine/balloon.h"

namespace pagoda::hv {

class VirtualMachine;

class BalloonDevice final : public machine::Balloon {
 public:
  // All that is named outlives this.
  BalloonDevice(VirtualMachine& machine, GuestMemory& memory, PartitionCounts& counts, machine::BalloonFeatures offered)
      : machine_(machine), memory_(memory), counts_(counts), offered_(offered) {}

  // --- The host's side ---
  // How many pages should be in the balloon; more than there are means all.
  void set_target(PageCount pages);
  [[nodiscard]] PageCount target() const { return target_; }
  // What the driver says is in it. None: no driver is there. QEMU: all ones.
  [[nodiscard]] std::optional<PageCount> actual() const { return actual_; }
  // What is in it, and the host has.
  [[nodiscard]] PageCount held() const { return memory_.ballooned().count(); }
  [[nodiscard]] bool has_driver() const { return accepted_.has_value(); }
  // Those that the driver accepted; none without one.
  [[nodiscard]] machine::BalloonFeatures accepted() const { return accepted_.value_or(machine::BalloonFeatures{}); }
  // What the guest last said of it; none if it never did, or said what cannot be.
  [[nodiscard]] std::optional<std::uint64_t> statistic(machine::BalloonTag tag) const {
    return statistics_[static_cast<std::size_t>(tag)];
  }
  // When that was, by the guest's clock; none: never.
  [[nodiscard]] std::optional<Time> statistics_time() const { return statistics_time_; }
  // The guest restarts, or its driver goes: the balloon is void, and nothing of it is known. The target stays.
  void reset();

  // --- machine::Balloon: the driver's side ---
  machine::BalloonFeatures offered(machine::Processor& cpu) override;
  Result<> start(machine::Processor& cpu, machine::BalloonFeatures accepted, std::uint32_t poison) override;
  PageCount target(machine::Processor& cpu) override;
  void set_actual(machine::Processor& cpu, PageCount pages) override;
  Result<> inflate(machine::Processor& cpu, std::span<const Pfn> frames) override;
  Result<> deflate(machine::Processor& cpu, std::span<const Pfn> frames) override;
  Result<> report_statistics(machine::Processor& cpu, std::span<const machine::BalloonStatistic> statistics) override;
  Result<> report_free(machine::Processor& cpu, std::span<const PfnRange> blocks) override;

 private:
  // What every call is: an exit.
  template <class Work>
  decltype(auto) exit(machine::Processor& cpu, Work&& work);
  Result<> may_request(std::size_t frames) const;
  // Whether the guest can mean it.
  [[nodiscard]] bool is_sensible(machine::BalloonTag tag, std::uint64_t value) const;

  VirtualMachine& machine_;
  GuestMemory& memory_;
  PartitionCounts& counts_;
  const machine::BalloonFeatures offered_;
  std::optional<machine::BalloonFeatures> accepted_;  // None: no driver.
  std::uint32_t poison_ = 0;
  PageCount target_;
  std::optional<PageCount> actual_;
  std::array<std::optional<std::uint64_t>, machine::kBalloonTags> statistics_;
  std::optional<Time> statistics_time_;
};

}  // namespace pagoda::hv
