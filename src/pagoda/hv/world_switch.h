// The switch between a guest's processor and the processor of the host that it runs on.
//
// A virtual processor runs on the host's processors as a thread does: it is dispatched on one, works there, leaves it
// again, and may be on another one next time. What it remembers of the guest (its TLBs) goes with it.
//
//   enter(host) ── the host processor is attached to vmmem ── exit_to_host, exit_to_host ... ── leave()
//
// Clocks: each has its own. At an exit the host processor's comes up to the guest's, and the guest's follows it back: a
// guest pays for what the host does for it. A guest cannot be put aside in the midst of an exit, so where its host has
// to wait for a disk both clocks run on until the disk has answered. `waited` says how much of the time that was: who
// schedules gives the host processor back to others for it (Processor::resume_at).
//
// Locking: as machine::Processor: it belongs to the thread that drives it, the same one as its host processor from
// `enter` to `leave`. In between it may pass from one thread to another.
#pragma once

#include <optional>
#include <utility>

#include "pagoda/hv/guest_memory.h"
#include "pagoda/machine/sim/sim_processor.h"

namespace pagoda::hv {

class WorldSwitch {
 public:
  // All outlive it.
  WorldSwitch(machine::SimProcessor& guest, GuestMemory& memory, PartitionCounts& counts)
      : guest_(guest), memory_(memory), counts_(counts) {}
  ~WorldSwitch() {
    if (is_running()) leave();
  }
  WorldSwitch(const WorldSwitch&) = delete;
  WorldSwitch& operator=(const WorldSwitch&) = delete;

  [[nodiscard]] machine::SimProcessor& guest() { return guest_; }
  [[nodiscard]] bool in_host() const { return in_host_; }
  // Whether it has a processor of the host.
  [[nodiscard]] bool is_running() const { return host_ != nullptr; }
  // That one.
  [[nodiscard]] machine::Processor& host() {
    PAGODA_CHECK(host_ != nullptr);
    return *host_;
  }
  // How long it waited for disks of the host, since the beginning.
  [[nodiscard]] Duration waited() const { return waited_; }

  // Gets the processor of the host, at the cost of a world switch.
  // Requires: it has none, and nobody else runs on that one. A space that it is attached to stays until `leave`.
  void enter(machine::Processor& host);
  // Gives it back, attached to what it was attached to.
  void leave();

  // An exit: runs `work(host processor)` in the host, at the guest's time and cost. Inside such work it is part of that
  // exit, and no switch of its own.
  // Requires: it is running.
  template <class Work>
  decltype(auto) exit_to_host(Work&& work) {
    const Exit exit(*this);
    return work(host());
  }
  // The same for work that needs no processor of the host: the hypervisor's alone. Another processor's shoot-down
  // reaches one that has none: the guest hears of it when it runs again, at its cost.
  template <class Work>
  decltype(auto) exit(Work&& work) {
    std::optional<Exit> exit;
    if (is_running()) {
      exit.emplace(*this);
    } else {
      ++counts_.exits;
      guest_.charge(guest_.machine().costs().world_switch);
    }
    return work();
  }

  // For as long as this lives it runs on a processor of the host that others use, at no time of theirs: to boot, or to
  // be looked at. One that runs stays where it is; that processor gets its time back too.
  class Visit {
   public:
    Visit(WorldSwitch& world, machine::Processor& host);
    ~Visit();
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;

   private:
    WorldSwitch& world_;
    const bool was_running_;
    machine::Processor& host_;  // Where it runs.
    const Time began_;
  };

 private:
  // What is around the work of an exit.
  class Exit {
   public:
    explicit Exit(WorldSwitch& world);
    ~Exit();
    Exit(const Exit&) = delete;
    Exit& operator=(const Exit&) = delete;

   private:
    WorldSwitch& world_;
    const bool was_in_host_;
    const machine::Processor::Waiting waiting_;  // The host processor's, and what it had waited, before.
    const Duration waited_;
  };

  machine::SimProcessor& guest_;
  GuestMemory& memory_;
  PartitionCounts& counts_;
  machine::Processor* host_ = nullptr;
  mm::ProcessSpace* host_space_ = nullptr;  // What the host processor was attached to.
  bool in_host_ = false;
  Duration waited_;
};

}  // namespace pagoda::hv
