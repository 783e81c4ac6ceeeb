// A partition: one virtual machine as its host sees it. It owns the parts and connects them; each knows those below it.
//
//   VirtualMachine      the machine that the guest's manager runs on: hypercalls, disks
//   └─ VirtualProcessor (one each)  guest Processor, WorldSwitch to the host's, guest's Pfn -> Gfn
//      ├─ ShadowMmu     (or none) guest virtual -> host frames, in ShadowTrees
//      ├─ ParavirtualMmu (or none) guest virtual -> guest frames, in ValidatedTables
//      └─ HypervisorView, GuestTlb  guest frames -> bytes
//         └─ SecondLevel  the Slat: guest frames -> host frames
//            ├─ TableFrames  what Slat and shadow tables are made of
//            └─ GuestMemory  what backs the guest
//               ├─ GpaMap    guest frames -> pages of vmmem
//               └─ ProcessSpace vmmem ── MemoryManager (host)
//
// GuestMemory's header has the way of an access, down and back.
//
// Locking: create and destroy while no virtual processor runs. Slat and ShadowMmu change under vmmem's lock; the counts
// belong to the thread that drives the virtual processors. Source: reference/virtualization.md sections 2 and 5.
#pragma once

#include <cstddef>
#include <memory>

#include "pagoda/hv/virtual_machine.h"

namespace pagoda::hv {

class Partition final {
 public:
  // Makes vmmem and all parts. Virtual processors are dispatched on the host's by whoever drives them
  // (VirtualProcessor::world), and run nothing before that.
  // Fails with: kInvalidParameter (sizes, a host that is itself a guest, a paravirtual MMU without hardware that walks), what ProcessSpace::reserve and map_view say,
  // kInsufficientResources.
  static Result<std::unique_ptr<Partition>> create(mm::MemoryManager& host, mm::Processor& cpu,
                                                   const PartitionConfig& config);
  // Requires: the guest's manager has been destroyed.
  ~Partition();
  Partition(const Partition&) = delete;
  Partition& operator=(const Partition&) = delete;

  [[nodiscard]] VirtualMachine& machine() { return *machine_; }
  [[nodiscard]] const PartitionConfig& config() const { return config_; }
  [[nodiscard]] PartitionCounts& counts() { return counts_; }
  [[nodiscard]] const PartitionCounts& counts() const { return counts_; }

  [[nodiscard]] mm::MemoryManager& host() { return memory_->host(); }
  [[nodiscard]] mm::ProcessSpace& vmmem() { return memory_->vmmem(); }
  [[nodiscard]] GuestMemory& memory() { return *memory_; }
  [[nodiscard]] const GpaMap& map() const { return memory_->map(); }
  [[nodiscard]] SecondLevel& second_level() { return *second_level_; }
  [[nodiscard]] const Slat& slat() const { return second_level_->slat(); }
  [[nodiscard]] ShadowMmu* shadow() { return shadow_.get(); }
  [[nodiscard]] ParavirtualMmu* paravirtual() { return paravirtual_.get(); }
  [[nodiscard]] TableFrames& table_frames() { return *frames_; }
  [[nodiscard]] VirtualProcessor& processor(unsigned number) { return machine_->virtual_processor(number); }
  [[nodiscard]] std::size_t processor_count() const { return machine_->processor_count(); }

 private:
  friend struct Corruptor;

  explicit Partition(const PartitionConfig& config);

  const PartitionConfig config_;
  PartitionCounts counts_;
  std::unique_ptr<GuestMemory> memory_;
  std::unique_ptr<TableFrames> frames_;
  std::unique_ptr<SecondLevel> second_level_;
  std::unique_ptr<ShadowMmu> shadow_;
  std::unique_ptr<ParavirtualMmu> paravirtual_;
  std::unique_ptr<VirtualMachine> machine_;
};

}  // namespace pagoda::hv
