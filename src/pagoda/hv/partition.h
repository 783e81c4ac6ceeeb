// A partition: one virtual machine as its host sees it.
//
//   MemoryManager (host) ── ProcessSpace vmmem ── observed by ── Partition ─┬─ GpaMap        guest frames -> vmmem
//   pages
//                                                                           ├─ Slat          guest frames -> host
//                                                                           frames ├─ ShadowMmu     (or none) guest
//                                                                           virtual -> host ├─ TableFrames   what those
//                                                                           are made of ├─ VirtualProcessor[] ──
//                                                                           Processor (guest) └─ VirtualMachine the
//                                                                           inside of it
//
// Guest memory is ordinary virtual memory of vmmem: the host trims, compresses and pages it as any process's.
//
// Locking: create and destroy while no virtual processor runs. Slat and ShadowMmu change under vmmem's lock; counts
// belong to whoever drives the virtual processors. Source: reference/virtualization.md sections 2 and 5.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "pagoda/hv/gpa_map.h"
#include "pagoda/hv/slat.h"
#include "pagoda/hv/table_frames.h"
#include "pagoda/hv/virtual_machine.h"
#include "pagoda/hv/virtual_processor.h"
#include "pagoda/machine/sim/sim_disk.h"
#include "pagoda/mm/memory_manager.h"

namespace pagoda::hv {

class ShadowMmu;

enum class MmuKind : std::uint8_t { kNested, kShadow };
enum class Backing : std::uint8_t {
  kVirtual,   // Ordinary memory of vmmem, committed when the partition is made. HCS: AllowOvercommit.
  kDeferred,  // The same, each page committed by its first touch. HCS: EnableDeferredCommit. Without charge left the
              // virtual machine waits, and is lost after a while.
  kPinned,    // Large pages, nonpageable.
};

struct DirectMapConfig {
  std::string name;
  mm::Section* section = nullptr;  // Of the host's manager; read-only is enough. Stays the caller's.
};

struct PartitionConfig {
  std::string name = "vm";
  PageCount memory = pages_of(64_MiB);  // A multiple of 2 MB.
  machine::PteFormat paging = machine::PteFormat::kAmd64;
  unsigned processors = 1;
  machine::TlbGeometry tlb = machine::TlbGeometry::kLarge;
  machine::TlbRefill refill = machine::TlbRefill::kHardware;
  MmuKind mmu = MmuKind::kNested;
  Backing backing = Backing::kVirtual;
  // Pages that one violation fills at most: a power of two, aligned. HCS: FaultClusterSizeShift 4, 64 KB.
  PageCount fault_cluster{16};
  // Frames that shadow tables may take: room for a path at least.
  PageCount shadow_limit{1024};
  // Whether leaf tables of the guest may go out of sync with the shadow's.
  bool unsync = true;
  bool cold_hints = true;
  bool hot_hints = true;
  bool cold_discard_hints = true;
  std::vector<machine::DiskModel> disks;
  std::vector<DirectMapConfig> direct_maps;
  // The host processors that work for the virtual ones: so many in a row from here on, which nobody else uses.
  unsigned first_host_processor = 1;
  std::optional<mm::WorkingSet::Limits> limits;  // Of vmmem. None: up to all of its memory.
};

// What happened between guest and host.
struct PartitionCounts {
  std::uint64_t violations = 0;        // Exits because the second level had no entry, or not the right.
  std::uint64_t write_violations = 0;  // Of these: the entry was there, and this was the first write.
  std::uint64_t entries_filled = 0;
  std::uint64_t slat_loads = 0;     // Entries of the second level read by the hardware.
  std::uint64_t invalidations = 0;  // Guest frames that the host took back.
  std::uint64_t page_ins = 0;       // Violations that found the page in a paging file of the host.
  std::uint64_t wild_accesses = 0;  // To guest frames with nothing behind them.
  std::uint64_t lost_writes = 0;    // To what the guest cannot write.
  std::uint64_t hypercalls = 0;
  std::uint64_t cold_pages = 0;  // Hinted.
  std::uint64_t hot_pages = 0;
  std::uint64_t discarded_pages = 0;
  // Pages that the guest wrote to its disk which the host had to read from its paging file for that: each costs two
  // transfers that a single pager would not make (reference/virtualization.md section 3).
  std::uint64_t double_paged = 0;
  std::uint64_t exits = 0;  // Of all kinds.

  // Shadow paging.
  std::uint64_t hidden_faults = 0;  // The guest's tables allowed it, the shadow did not.
  std::uint64_t true_faults = 0;    // The guest's own.
  std::uint64_t table_writes = 0;   // Of the guest's kernel to traced tables.
  std::uint64_t unsyncs = 0;        // Leaf tables that went out of sync,
  std::uint64_t resyncs = 0;        // and that came back.
  std::uint64_t unshadowed = 0;     // Tables that turned out to be data.
  std::uint64_t invlpg_exits = 0;
  std::uint64_t flush_exits = 0;  // Invalidations of more than a page.
  std::uint64_t root_load_exits = 0;
  std::uint64_t root_hits = 0;  // Of these: a tree was there.
  std::uint64_t shadow_evictions = 0;
  std::uint64_t refill_exits = 0;  // Writes of a software-managed TLB.
};

// The host cannot bring guest memory in: its disk fails for good. The virtual machine is lost, and nothing else.
class GuestMemoryLost : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Partition final : private mm::SecondaryMmu {
 public:
  // Makes vmmem and all in it, and attaches the host processors. Fails with kInvalidParameter (sizes, processors that
  // the host does not have), what ProcessSpace::reserve and map_view say, kInsufficientResources.
  static Result<std::unique_ptr<Partition>> create(mm::MemoryManager& host, mm::Processor& cpu,
                                                   const PartitionConfig& config);
  // Nothing of the guest may run or be looked at any more: its manager is gone.
  ~Partition() override;
  Partition(const Partition&) = delete;
  Partition& operator=(const Partition&) = delete;

  [[nodiscard]] VirtualMachine& machine() { return *machine_; }
  [[nodiscard]] const PartitionConfig& config() const { return config_; }
  [[nodiscard]] mm::MemoryManager& host() { return host_; }
  [[nodiscard]] mm::ProcessSpace& vmmem() { return vmmem_; }
  [[nodiscard]] const GpaMap& map() const { return map_; }
  [[nodiscard]] const Slat& slat() const { return *slat_; }
  [[nodiscard]] ShadowMmu* shadow() { return shadow_.get(); }
  [[nodiscard]] TableFrames& table_frames() { return frames_; }
  [[nodiscard]] VirtualProcessor& processor(unsigned number) { return *processors_[number]; }
  [[nodiscard]] std::size_t processor_count() const { return processors_.size(); }
  [[nodiscard]] PartitionCounts& counts() { return counts_; }
  [[nodiscard]] const PartitionCounts& counts() const { return counts_; }

  // --- For virtual processors and shadow tables ---
  // A violation: makes the frame's page resident in the host, with the right, and fills the second level. False:
  // nothing is there, or it cannot be written. Throws GuestMemoryLost.
  bool bring_in(VirtualProcessor& vcpu, Pfn frame, machine::Access use);
  // Takes all entries away, so that their tables can serve others. With vmmem's lock held.
  void drop_second_level();
  // An exit that the guest asked for: runs `work(host processor)` in the host.
  template <class Work>
  decltype(auto) hypercall(VirtualProcessor& vcpu, Work&& work) {
    ++counts_.hypercalls;
    ++counts_.exits;
    return vcpu.exit_to_host(std::forward<Work>(work));
  }
  // While a guest's disk reads guest memory: page-ins count as double paging.
  class GuestWrite {
   public:
    explicit GuestWrite(Partition& partition) : partition_(partition) { ++partition_.guest_writes_; }
    ~GuestWrite() { --partition_.guest_writes_; }
    GuestWrite(const GuestWrite&) = delete;
    GuestWrite& operator=(const GuestWrite&) = delete;

   private:
    Partition& partition_;
  };
  // Takes pages of the guest out of vmmem's working set, makes them resident and mapped as far as memory allows, or
  // drops their contents (not of pinned memory, which stays). The frames are the guest's own.
  void heat_hint(mm::Processor& host, machine::HeatHint hint, machine::FrameRange frames);

 private:
  friend struct Corruptor;
  friend struct ShadowCorruptor;

  Partition(mm::MemoryManager& host, mm::ProcessSpace& vmmem, const PartitionConfig& config);

  Result<> map_memory(mm::Processor& cpu);
  Result<> map_files(mm::Processor& cpu);
  void start(mm::Processor& cpu);
  // mm::SecondaryMmu.
  void invalidate(VpnRange pages) override;
  bool test_and_clear_accessed(Vpn page) override;

  void forget(Pfn frame) PAGODA_REQUIRES(vmmem_.lock);
  // What a hint says of frames in one range.
  void hint_in_range(mm::Processor& host, machine::HeatHint hint, const GpaRange& range, machine::FrameRange frames);
  // Makes the page of vmmem resident for the access.
  void make_resident(mm::Processor& host, Vpn page, machine::Access use);
  // Makes neighbours resident as far as that costs no transfer and memory is plentiful.
  void touch_cluster(mm::Processor& host, VpnRange cluster, Vpn wanted, machine::Access use);
  // Fills entries for the pages of the cluster, which lies in one 2 MB, that the host has valid; whether the wanted
  // frame's allows the access.
  bool fill_cluster(mm::Processor& host, const GpaRange& range, machine::FrameRange cluster, Pfn wanted,
                    machine::Access use);
  // The entry for a frame that lies in a large page of the host's, whose entry is `raw`.
  void fill_large(const GpaRange& range, Pfn frame, mm::RawPte raw) PAGODA_REQUIRES(vmmem_.lock);

  const PartitionConfig config_;
  mm::MemoryManager& host_;
  mm::ProcessSpace& vmmem_;
  GpaMap map_;
  TableFrames frames_;
  std::unique_ptr<Slat> slat_;
  std::unique_ptr<ShadowMmu> shadow_;
  std::unique_ptr<VirtualMachine> machine_;
  std::vector<std::unique_ptr<VirtualProcessor>> processors_;
  PartitionCounts counts_;
  unsigned guest_writes_ = 0;
};

}  // namespace pagoda::hv
