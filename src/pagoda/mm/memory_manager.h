// The memory manager: everything below, put together over one machine. NT: Mm.
//
//   auto machine = machine::SimMachine::create({...});
//   auto mm = mm::MemoryManager::create(**machine, {});
//   auto space = (*mm)->create_space(cpu, {});
//   (*mm)->attach(cpu, **space);
//   auto region = (*space)->reserve({.size = 1_MiB, .commit = MemCommit::kYes});
//   cpu.store<std::uint64_t>(VirtualAddress(region->first), 42);
//
// A guest is the same class over a virtual machine, one deeper.
// Locking: everything here takes its own locks. Order: space list, space, PFN.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pagoda/machine/machine.h"
#include "pagoda/machine/processor.h"
#include "pagoda/mm/backing/core.h"
#include "pagoda/mm/backing/last_resort.h"
#include "pagoda/mm/memory_manager_config.h"
#include "pagoda/mm/pfn/hinted_frames.h"
#include "pagoda/mm/process/process_space.h"
#include "pagoda/mm/process/space_list.h"
#include "pagoda/mm/section/sections.h"
#include "pagoda/mm/threads/balance_set_manager.h"
#include "pagoda/mm/threads/mapped_writer.h"
#include "pagoda/mm/threads/modified_writer.h"
#include "pagoda/mm/threads/segment_reaper.h"
#include "pagoda/mm/threads/system_thread.h"
#include "pagoda/mm/threads/zero_page_thread.h"

namespace pagoda::mm {

class Combiner;

struct SpaceConfig {
  std::optional<WorkingSet::Limits> limits;  // None: the tunables' defaults.
  UserRange range = UserRange::kNormal;
  std::optional<SharingDomain> domain;  // None: its own (base/sharing.h).
};

// Where every frame is.
struct FrameCounts {
  PageCount active;  // Page tables included.
  PageCount page_tables;
  PageCount prototypes;         // Pages of prototype PTEs.
  PageCount shared_file;        // Active pages that prototype PTEs own and that come from files.
  PageCount shared_page_file;   // The same, of paging-file sections and of clones.
  PageCount compression_store;  // Active frames that hold compressed pages.
  PageCount drivers;            // Active frames that drivers hold.
  PageCount transition;
  std::array<PageCount, kPagePriorities> standby;
  PageCount modified;
  PageCount modified_no_write;
  PageCount free;
  PageCount zeroed;  // Frames never used included.
  PageCount bad;
  PageCount system;  // Frame 0.
};

// One paging file now.
struct PagingFileInfo {
  std::string name;
  PageCount minimum;
  PageCount maximum;
  PageCount size;  // Slot 0 included.
  PageCount used;
  PageCount peak_used;
};

// The most pages that a paging file may have where PTEs have the mode's form (reference/nt.md section 8).
PageCount largest_paging_file(const machine::PagingMode& mode);

class MemoryManager : public machine::FaultHandler, public ShortageRelief, public AllViews {
 public:
  // Takes the machine's frames and its processors' faults; the machine must outlive it. Fails with
  // kInsufficientResources (fewer than kSmallestMachine frames), or what `add_paging_file` says.
  static Result<std::unique_ptr<MemoryManager>> create(machine::Machine& machine, const MemoryManagerConfig& config);
  ~MemoryManager() override;

  // --- Spaces ---
  // Fails with kCommitmentLimit, kNoMemory, kPending, kBadWorkingSetLimit, kInsufficientResources (no frame where the
  // mode has its roots: PAE's lie below 4 GB; or too little may stay in memory for one more).
  Result<ProcessSpace*> create_space(Processor& cpu, const SpaceConfig& config);
  // A copy of the space, in its domain and with its part in sharing, whose pages both share until one writes; views are there if they are to be inherited, AWE and
  // large-page regions are not. NT: the address space of NtCreateProcess without a section. Fails as create_space does,
  // and with kInsufficientResources.
  Result<ProcessSpace*> clone_space(Processor& cpu, ProcessSpace& parent);
  // Gives everything back. No processor may be attached to it.
  void destroy_space(Processor& cpu, ProcessSpace& space);
  // The processor runs in the space from now on.
  void attach(Processor& cpu, ProcessSpace& space);
  void detach(Processor& cpu);
  [[nodiscard]] ProcessSpace* attached(const Processor& cpu) const {
    return attached_[cpu.number()].load(std::memory_order_relaxed);
  }

  // --- Paging files ---
  // Fails with kInvalidParameter2 (minimum under 1 MB), kInvalidParameter3 (maximum below the minimum or above what a
  // PTE can name), kTooManyPagingFiles, kDiskFull, kInsufficientResources.
  Result<> add_paging_file(const PagingFileConfig& config);

  // --- What hardware calls ---
  machine::FaultOutcome resolve(Processor& cpu, const machine::PageFault& fault) override;
  machine::FaultOutcome refill(Processor& cpu, VirtualAddress va, machine::Access access,
                               machine::Privilege privilege) override;
  ShortageRelief::Outcome relieve(Processor& cpu, PageCount pages) override;
  bool relieve_commit(Processor& cpu) override;
  void collect_writes(Processor& cpu, const ControlArea& area) override;

  // --- Its own threads ---
  // In order of priority; the zero-page thread is last.
  [[nodiscard]] std::span<SystemThread* const> system_threads() { return threads_; }
  [[nodiscard]] ModifiedWriter& modified_writer() { return modified_writer_; }
  [[nodiscard]] MappedWriter& mapped_writer() { return mapped_writer_; }
  [[nodiscard]] BalanceSetManager& balance_set_manager() { return balance_set_manager_; }
  [[nodiscard]] ZeroPageThread& zero_page_thread() { return zero_page_thread_; }
  // Sharing by contents: which spaces take part, and what was found (combine/combiner.h).
  [[nodiscard]] Combiner& combiner() { return *combiner_; }
  [[nodiscard]] const Combiner& combiner() const { return *combiner_; }
  // Ends transfers that completed by the processor's time. Time of the next one: `next_completion`.
  void complete_io(const Processor& cpu);
  [[nodiscard]] Time next_completion() const;
  // Writes every modified page, to paging files and to its file, and waits for all transfers. False: some pages are
  // still modified, for want of slots or of a disk that takes them.
  bool flush_modified(Processor& cpu);

  // --- For drivers ---
  [[nodiscard]] DriverFrames& driver_frames() { return core_.driver_frames; }
  // Who is asked before memory, or charge, is said to have run out. At most one; null: nobody. Stays the caller's.
  void set_last_resort(LastResort* resort) { last_resort_.store(resort, std::memory_order_release); }

  // --- For hypervisors, above and below ---
  // The marks of a guest's hints. Requires: the manager outlives them and has no others. `granule`: see HintedFrames.
  [[nodiscard]] HintedFrames watch_hinted_frames(PageCount granule) PAGODA_NO_THREAD_SAFETY {
    return HintedFrames(core_.pfns, core_.counters, granule);
  }
  // Keeps the frame's page in memory, whatever takes it away, by one more reference.
  // Requires: not being read, not deleted.
  void pin(Pfn frame);
  // Drops that reference. kYes: the page was written meanwhile.
  void unpin(Pfn frame, PteCodec::Dirty dirty);

  // --- Looking ---
  // What it was made over and with.
  [[nodiscard]] machine::Machine& machine() const { return core_.machine; }
  [[nodiscard]] const Tunables& tunables() const { return core_.tunables; }
  [[nodiscard]] Counters counters() const;
  [[nodiscard]] FrameCounts frame_counts() const;
  // Frames that can be taken at once: zeroed, free and standby. NT: MmAvailablePages.
  [[nodiscard]] PageCount available() const;
  // In the order in which they were added.
  [[nodiscard]] std::vector<PagingFileInfo> paging_files() const;
  struct CommitInfo {
    PageCount charged;
    PageCount peak;
    PageCount limit;
  };
  [[nodiscard]] CommitInfo commit() const;
  // What must stay in memory, and how much may (backing/resident.h).
  struct ResidentInfo {
    PageCount charged;
    PageCount peak;
    PageCount limit;
  };
  [[nodiscard]] ResidentInfo resident() const;
  [[nodiscard]] Core& core() { return core_; }
  [[nodiscard]] const Core& core() const { return core_; }
  [[nodiscard]] SpaceList& spaces() { return spaces_; }
  [[nodiscard]] Sections& sections() { return sections_; }
  void set_event_sink(EventSink* sink) { core_.events = sink; }
  // A fingerprint of all state and all contents: equal for equal histories.
  [[nodiscard]] std::uint64_t state_hash(const Processor& cpu) const;

 private:
  friend struct Corruptor;

  MemoryManager(machine::Machine& machine, const Tunables& tunables, unsigned depth);
  // `relieve` without the last resort.
  ShortageRelief::Outcome relieve_by_paging(Processor& cpu, PageCount pages);
  machine::Asid take_asid() PAGODA_REQUIRES(spaces_.lock);
  Result<PfnDatabase::TakenFrame> take_root(Processor& cpu) PAGODA_REQUIRES(core_.pfns.lock);
  Result<PfnDatabase::TakenFrame> take_charged_root(Processor& cpu) PAGODA_REQUIRES(core_.pfns.lock);
  // The processor has loaded another root than the space's.
  static void leave(const Processor& cpu, ProcessSpace& space);

  Core core_;
  SpaceList spaces_;
  Sections sections_;
  ModifiedWriter modified_writer_;
  MappedWriter mapped_writer_;
  std::unique_ptr<Combiner> combiner_;
  BalanceSetManager balance_set_manager_;
  ZeroPageThread zero_page_thread_;
  SegmentReaper segment_reaper_;
  std::unique_ptr<SystemThread> combine_thread_;
  std::array<SystemThread*, 6> threads_;
  unsigned fruitless_ PAGODA_GUARDED_BY(core_.pfns.lock) = 0;  // Shortages in a row that nothing could relieve.
  std::uint64_t progress_ PAGODA_GUARDED_BY(core_.pfns.lock) =
      0;  // Pages written and repurposed, at the last shortage.
  // Each written by its processor's thread; read by others only to refuse a space that is in use.
  std::vector<std::atomic<ProcessSpace*>> attached_;  // By processor.
  std::atomic<LastResort*> last_resort_ = nullptr;
  Bitmap asids_ PAGODA_GUARDED_BY(spaces_.lock);
  std::uint32_t next_space_id_ PAGODA_GUARDED_BY(spaces_.lock) = 1;
  FaultCounts faults_of_the_dead_ PAGODA_GUARDED_BY(spaces_.lock){};
};

}  // namespace pagoda::mm
