// A host to measure on: a simulated AMD64 machine, its memory manager, and one space that the processor runs in.
#pragma once

#include <memory>

#include "bench/instant_disk.h"
#include "pagoda/machine/sim/sim_machine.h"
#include "pagoda/mm/memory_manager.h"

namespace pagoda::bench {

struct HostConfig {
  PageCount frames;
  ByteCount paging_file;  // Zero: none.
  enum class DiskKind : std::uint8_t { kMemory, kInstant } disk = DiskKind::kMemory;
  unsigned processors = 1;
  machine::FrameMemory frame_memory = machine::FrameMemory::kPrivate;
  mm::Tunables tunables;
  mm::WorkingSet::Limits limits;

  // A host on which nothing but what is asked for happens: no frame is kept back, and no working set is ever full.
  static HostConfig quiet(PageCount frames);
};

class Host {
 public:
  explicit Host(const HostConfig& config);
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  [[nodiscard]] machine::SimProcessor& cpu() { return machine_->processor(); }
  [[nodiscard]] machine::SimMachine& machine() { return *machine_; }
  [[nodiscard]] mm::MemoryManager& manager() { return *manager_; }
  [[nodiscard]] mm::ProcessSpace& space() { return *space_; }

  // A region of committed pages where the manager finds room; and its end.
  VirtualAddress commit(PageCount pages);
  void release(VirtualAddress base);
  // A word stored to, or loaded from, each page.
  void write_each(VirtualAddress base, PageCount pages);
  void read_each(VirtualAddress base, PageCount pages);
  // Nanoseconds a page for first writes to a fresh region.
  double first_writes(PageCount pages);
  // Touches every frame there is, so that none is left that was never used: all are on the free list afterwards.
  void use_every_frame();
  // What the zero-page thread does while the machine idles.
  void zero_free_frames();
  // Everything mapped leaves the working set; what is modified is written. All is on standby then.
  void put_on_standby();
  // A space of its own for each run: the one before is torn down.
  void fresh_space();

 private:
  HostConfig config_;
  std::unique_ptr<machine::SimMachine> machine_;
  std::unique_ptr<InstantDiskMachine> instant_;
  std::unique_ptr<mm::MemoryManager> manager_;
  mm::ProcessSpace* space_ = nullptr;
};

// What this process keeps in memory by now, shared memory included.
ByteCount own_resident_memory();

}  // namespace pagoda::bench
