// What all parts of one memory manager share. A plain bundle: the manager owns it, the parts hold a reference.
#pragma once

#include <algorithm>

#include "pagoda/machine/machine.h"
#include "pagoda/machine/page_walker.h"
#include "pagoda/machine/processor.h"
#include "pagoda/mm/backing/commit.h"
#include "pagoda/mm/backing/compression_store.h"
#include "pagoda/mm/backing/driver_frames.h"
#include "pagoda/mm/backing/paging_file.h"
#include "pagoda/mm/backing/resident.h"
#include "pagoda/mm/backing/transfers.h"
#include "pagoda/mm/base/counters.h"
#include "pagoda/mm/base/events.h"
#include "pagoda/mm/base/tunables.h"
#include "pagoda/mm/pfn/pfn_database.h"
#include "pagoda/mm/pfn/prototype_pool.h"
#include "pagoda/mm/pte/pte_codec.h"

namespace pagoda::mm {

using machine::Processor;

struct Core {
  Core(machine::Machine& the_machine, const Tunables& the_tunables, unsigned the_depth)
      : machine(the_machine),
        mode(the_machine.paging()),
        depth(the_depth),
        tunables(the_tunables),
        codec(mode),
        paging_files(backings),
        pfns(the_machine, codec, backings, the_depth),
        store(pfns, backings, the_machine, tunables),
        prototypes(pfns, codec),
        commit(the_machine.frame_count() - the_tunables.commit_reserve, paging_files),
        resident(the_machine.frame_count() - std::min(the_machine.frame_count(), kept_pageable())),
        driver_frames(pfns, commit, resident, left_by_drivers()) {}

  machine::Machine& machine;
  const machine::PagingMode& mode;
  const unsigned depth;  // 0 the host's manager, 1 a guest's.
  const Tunables tunables;
  const PteCodec codec;
  BackingSet backings;  // Guarded by pfns.lock, as paging_files; set up before the first fault.
  PagingFiles paging_files;
  PfnDatabase pfns;
  CompressionStore store PAGODA_GUARDED_BY(pfns.lock);
  PrototypePool prototypes;
  CommitLedger commit PAGODA_GUARDED_BY(pfns.lock);
  ResidentLedger resident;
  DriverFrames driver_frames;
  Transfers transfers PAGODA_GUARDED_BY(pfns.lock);
  Counters counters PAGODA_GUARDED_BY(pfns.lock);  // Faults are counted by their spaces.
  EventSink* events = nullptr;

  // Entries of page tables, by address, in the machine's width.
  [[nodiscard]] RawPte load(const Processor& cpu, PhysicalAddress pte) const {
    return machine::load_entry(cpu.physical(), mode, pte);
  }

  // Frames that are never nonpageable, and stay available when nonpageable memory is given out, which no trimming brings
  // back: those that are never promised, and a fault's reserve.
  [[nodiscard]] PageCount kept_pageable() const { return tunables.commit_reserve + kFaultReserve; }

  // Available frames that drivers leave: a fault's reserve, and as many as the balance set manager would trim for.
  [[nodiscard]] PageCount left_by_drivers() const { return std::max(kFaultReserve, tunables.minimum_free); }

  // A space's tables that never leave memory: its root, and PAE's directories, all of which count as if they were there.
  [[nodiscard]] PageCount tables_that_stay() const {
    return PageCount(mode.format == machine::PteFormat::kPae ? 1 + mode.entries(mode.levels) : 1);
  }

  // What has the page of an entry that is, or was, in page-file form.
  [[nodiscard]] Backing& backing_of(RawPte entry) const { return backings[codec.file(entry)]; }
  // The entry names a page that is in memory, and in no frame.
  [[nodiscard]] bool is_compressed(RawPte entry) const {
    return codec.has_slot(entry) && backing_of(entry).medium() == Backing::Medium::kMemory;
  }

  // The prototype PTE at the address; zero if its page does not exist.
  [[nodiscard]] RawPte load_prototype(const Processor& cpu, VirtualAddress prototype) const PAGODA_REQUIRES(pfns.lock) {
    const PhysicalAddress pte = prototypes.find(prototype);
    return pte == PrototypePool::kNone ? 0 : load(cpu, pte);
  }
  // Clears frames in a row, at the processor's cost.
  void zero(Processor& cpu, Pfn first, PageCount count = PageCount(1)) const {
    for (Pfn frame = first; frame < first + count; ++frame) cpu.physical().zero(frame);
    cpu.charge(machine.costs().zero_page * count.value());
  }

  void note(const Processor& cpu, EventKind kind, PhysicalAddress pte, Pfn frame, std::uint64_t detail = 0) const {
    if (events != nullptr) [[unlikely]]
      events->on_event({cpu.now(), kind, pte, frame, detail});
  }
};

}  // namespace pagoda::mm
