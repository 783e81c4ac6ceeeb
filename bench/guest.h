// A guest to measure in: a host with one partition, and in it a memory manager with one space that the guest's
// processor runs in. The same ways to use it as `Host` has.
#pragma once

#include <memory>
#include <optional>

#include "bench/host.h"
#include "pagoda/hv/partition.h"

namespace pagoda::bench {

struct GuestConfig {
  PageCount frames;       // The guest's: a multiple of 2 MB.
  PageCount host_frames;  // The host's.
  hv::MmuKind mmu = hv::MmuKind::kNested;
  hv::Backing backing = hv::Backing::kVirtual;
  machine::TlbGeometry tlb = machine::TlbGeometry::kLarge;
  PageCount fault_cluster{16};
  PageCount shadow_limit{1024};
  std::optional<machine::BalloonFeatures> balloon;

  // Nothing but what is asked for happens on either side, and everything fits.
  static GuestConfig quiet(PageCount frames);
};

class Guest {
 public:
  explicit Guest(const GuestConfig& config);
  ~Guest();
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;

  [[nodiscard]] machine::SimProcessor& cpu() { return partition_->machine().processor(); }
  [[nodiscard]] hv::Partition& partition() { return *partition_; }
  [[nodiscard]] mm::MemoryManager& manager() { return *manager_; }
  [[nodiscard]] mm::ProcessSpace& space() { return *space_; }
  [[nodiscard]] Host& host() { return *host_; }

  VirtualAddress commit(PageCount pages);
  void write_each(VirtualAddress base, PageCount pages);
  void use_every_frame();
  void zero_free_frames();
  void fresh_space();
  // Another virtual machine in the place of this one: none of its memory is backed by the host.
  void restart();

 private:
  void stop();

  GuestConfig config_;
  std::unique_ptr<Host> host_;
  std::unique_ptr<hv::Partition> partition_;
  std::unique_ptr<mm::MemoryManager> manager_;
  mm::ProcessSpace* space_ = nullptr;
};

}  // namespace pagoda::bench
