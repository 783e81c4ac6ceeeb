// The modified page writer: writes modified pages to paging files, so that they can be repurposed. NT:
// MiModifiedPageWriter.
//
// It takes the page at the head of the modified list and its modified neighbours in the same page table, in the order
// of their addresses, up to a cluster, into consecutive slots: what was neighbouring in memory can then be read back in
// one transfer. Pages that hold nothing but zeros are not written (backing/zero_pages.h), those that compress well are
// put into the compression store (backing/compression_store.h), whose oldest pages are written when it is full. It runs
// when there are too many modified pages, or too few available ones. Source: reference/nt.md section 3.
#pragma once

#include "pagoda/mm/backing/core.h"
#include "pagoda/mm/threads/system_thread.h"

namespace pagoda::mm {

class ModifiedWriter : public SystemThread {
 public:
  explicit ModifiedWriter(Core& core) : core_(core) {}

  [[nodiscard]] std::string_view name() const override { return "modified page writer"; }
  [[nodiscard]] Time due(Time now) const override;
  void run(Processor& cpu) override;

  // Starts one transfer, or takes pages off the modified list that need none. False if no page left the list: there is
  // none, or no slot is free.
  bool write_cluster(Processor& cpu);
  // Moves pages from the compression store to a paging file, for what is short of frames when nothing else makes any
  // available: those of the oldest page's page of entries first, then those of the next one, so that these, which stay
  // while the store has a page of theirs, can leave memory. Takes what is available down to the last frame, and gives it
  // back with the transfer's end. False: the store has no page, or none that could go, there is no slot, or no frame.
  bool evict_cluster(Processor& cpu);

 private:
  struct Cluster;
  [[nodiscard]] bool wanted() const PAGODA_REQUIRES(core_.pfns.lock);
  [[nodiscard]] std::size_t most_in_transfer() PAGODA_REQUIRES(core_.pfns.lock);
  bool gather(Processor& cpu, Cluster& cluster) PAGODA_REQUIRES(core_.pfns.lock);
  void begin_write(const Processor& cpu, Cluster& cluster, Pfn frame) PAGODA_REQUIRES(core_.pfns.lock);
  // Whether the page, which is on the modified list, left it without a slot of a paging file.
  bool needs_no_slot(Processor& cpu, Pfn frame) PAGODA_REQUIRES(core_.pfns.lock);
  bool gather_without_slots(Processor& cpu) PAGODA_REQUIRES(core_.pfns.lock);
  void gather_evicted(Processor& cpu, Cluster& cluster) PAGODA_REQUIRES(core_.pfns.lock);
  void gather_entries(Processor& cpu, Cluster& cluster) PAGODA_REQUIRES(core_.pfns.lock);
  void add(const Processor& cpu, Cluster& cluster, Pfn frame) PAGODA_REQUIRES(core_.pfns.lock);
  // What was gathered gets a transfer; slots that it does not need are free again. False: nothing was gathered.
  bool begin_transfer(Cluster& cluster) PAGODA_REQUIRES(core_.pfns.lock);
  void transfer(Processor& cpu, const Cluster& cluster) PAGODA_EXCLUDES(core_.pfns.lock);
  void write_failed(const Processor& cpu, const Cluster& cluster, Time completes) PAGODA_REQUIRES(core_.pfns.lock);

  Core& core_;
  // After a failed transfer so many are done page by page, so that one bad slot costs one slot.
  std::size_t singles_ PAGODA_GUARDED_BY(core_.pfns.lock) = 0;
  Time not_before_ PAGODA_GUARDED_BY(core_.pfns.lock);
};

}  // namespace pagoda::mm
