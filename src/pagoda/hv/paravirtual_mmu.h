// A paravirtual memory management unit: the guest's kernel knows that it is a guest, and tells its hypervisor each
// change of its page tables. Nothing is traced, and nothing is walked twice: the hardware walks the guest's own tables,
// as they were validated (ValidatedTables).
//
//   store to a table, INVLPG, CR3 load ─> the batch ── the kernel goes on to what needs it ── one hypercall ─> validated
//   TLB miss ── walk of the validated tables ── they allow it ─────────────────────────────> translation, no exit
//                                            └─ they forbid it ── true fault ──────────────> the guest's handler
//
// The guest's manager is the same code as everywhere: its stores reach the machine through its physical memory, and
// those to a frame that is a table go into the batch (Linux: a lazy MMU mode around each run of changes). A batch ends,
// with one hypercall,
//   at a CR3 load, and before the next walk: before a program runs on what the kernel has changed
//   when it is full
//   when the kernel uses the frame of a table for data: the table may be no table any more
// A guest's fault goes through the hypervisor, which runs below its kernel (Barham et al. 2003, 3.3.2).
//
// A root that was loaded stays validated, so that a switch back costs the hypercall alone. It is pinned until the
// kernel writes its frame as data, maps it writably, makes it another table, or gives it to the host.
//
// The guest's write protection cannot be off: its kernel does not run as the hardware's supervisor.
//
// Invariants: those of ValidatedTables, and (hv::check)
//   [PV4] No TLB lets a program write a table.
// Locking: as machine::Processor: all virtual processors of a partition are driven by one thread.
// Source: Barham et al. 2003 (Xen), 3.3.2 and 3.3.3.
#pragma once

#include <vector>

#include "pagoda/hv/hypervisor_view.h"
#include "pagoda/hv/validated_tables.h"
#include "pagoda/machine/guest_mmu.h"

namespace pagoda::hv {

class ParavirtualMmu final : public machine::GuestMmu, private GuestFrameCache {
 public:
  // Changes that one hypercall takes. Choice: requests of 16 bytes, as Xen's mmu_update, in one page.
  static constexpr std::size_t kMostChanges = 256;

  // All that is named outlives this.
  ParavirtualMmu(SecondLevel& second_level, const PartitionConfig& config, PartitionCounts& counts);
  ~ParavirtualMmu() override;
  ParavirtualMmu(const ParavirtualMmu&) = delete;
  ParavirtualMmu& operator=(const ParavirtualMmu&) = delete;

  // A virtual processor whose page walks this replaces; in the order of their numbers.
  void attach(HypervisorView& view);

  [[nodiscard]] const ValidatedTables& tables() const { return tables_; }

  // --- The guest's kernel, or a disk of its, writes a frame of its own, which may be a page table ---
  void before_write(HypervisorView& view, Gfn frame, machine::FrameExtent part) {
    if (tables_.is_table(frame)) [[unlikely]]
      before_table_write(view, frame, part);
  }
  void after_write(HypervisorView& view, Gfn frame, machine::FrameExtent part) {
    if (tables_.is_table(frame)) [[unlikely]]
      add_change(view, frame, part);
  }

  // --- machine::GuestMmu ---
  std::expected<machine::Translation, machine::PageFault> walk(machine::Processor& cpu, VirtualAddress va,
                                                               machine::Access access, machine::Privilege privilege,
                                                               std::uint64_t& loads) override;
  void root_loaded(machine::Processor& cpu) override;
  void rules_changed(machine::Processor& cpu) override;
  void page_invalidated(machine::Processor& cpu, VirtualAddress va, machine::Asid asid) override;
  void space_invalidated(machine::Processor& cpu, machine::Asid asid) override;
  void all_invalidated(machine::Processor& cpu) override;

 private:
  friend struct ParavirtualCorruptor;

  // What the kernel has to tell.
  struct Batch {
    std::vector<TableChange> changes;
    std::vector<const machine::Processor*> root_loads;
    bool invalidates = false;

    [[nodiscard]] bool is_empty() const { return changes.empty() && root_loads.empty() && !invalidates; }
  };

  void before_table_write(HypervisorView& view, Gfn frame, machine::FrameExtent part);
  void add_change(HypervisorView& view, Gfn frame, machine::FrameExtent part);
  void add_invalidation();
  // The hypercall, by the processor whose view this is.
  void tell(HypervisorView& view);

  // GuestFrameCache. Validated entries name the guest's frames, whatever the host does with these.
  void forget(Gfn /*frame*/) override {}
  bool test_and_clear_accessed(Gfn /*frame*/) override { return false; }
  void contents_lost(GfnRange frames) override;
  void forget_all() override {}

  SecondLevel& second_level_;
  const machine::PagingMode& mode_;
  PartitionCounts& counts_;
  std::vector<HypervisorView*> views_;
  ValidatedTables tables_;
  Batch batch_;
};

}  // namespace pagoda::hv
