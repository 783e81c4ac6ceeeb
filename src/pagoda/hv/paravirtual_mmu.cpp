#include "pagoda/hv/paravirtual_mmu.h"

#include <utility>

namespace pagoda::hv {

using machine::Access;
using machine::Asid;
using machine::PageFault;
using machine::Privilege;
using machine::Processor;
using machine::Translation;

ParavirtualMmu::ParavirtualMmu(SecondLevel& second_level, const PartitionConfig& config, PartitionCounts& counts)
    : second_level_(second_level),
      mode_(machine::paging_mode(config.paging)),
      counts_(counts),
      tables_(second_level, mode_, counts) {
  second_level_.attach(this);
}

ParavirtualMmu::~ParavirtualMmu() { second_level_.attach(nullptr); }

void ParavirtualMmu::attach(HypervisorView& view) {
  views_.push_back(&view);
  view.world().guest().attach(this);
}

// --- The batch ---

void ParavirtualMmu::before_table_write(HypervisorView& view, Gfn frame, machine::FrameExtent part) {
  if (part.bytes == mode_.entry_bytes) return;
  // Data. The kernel has unlinked the table before, or it is a root that nothing needs any more.
  tell(view);
  tables_.unpin(frame);
}

void ParavirtualMmu::add_change(HypervisorView& view, Gfn frame, machine::FrameExtent part) {
  const unsigned first = part.offset / mode_.entry_bytes;
  const unsigned end = (part.offset + part.bytes + mode_.entry_bytes - 1) / mode_.entry_bytes;
  batch_.changes.push_back(
      {.table = frame, .first = static_cast<std::uint16_t>(first), .count = static_cast<std::uint16_t>(end - first)});
  if (batch_.changes.size() == kMostChanges) tell(view);
}

void ParavirtualMmu::add_invalidation() {
  ++counts_.page_invalidations;
  batch_.invalidates = true;
}

void ParavirtualMmu::tell(HypervisorView& view) {
  if (batch_.is_empty()) return;
  const Batch batch = std::exchange(batch_, {});
  std::uint64_t validated = 0;
  view.world().exit([&] {
    ++counts_.hypercalls;
    ++counts_.table_batches;
    validated = tables_.apply(view.memory(), batch.changes);
    for (const Processor* const cpu : batch.root_loads)
      validated +=
          tables_.load_root(view.memory(), cpu->number(), cpu->root() == kNoPfn ? kNoGfn : to_gfn(cpu->root()));
  });
  counts_.table_updates += validated;
  view.world().guest().charge(view.world().guest().machine().costs().table_update * validated);
}

// --- machine::GuestMmu ---

std::expected<Translation, PageFault> ParavirtualMmu::walk(Processor& cpu, VirtualAddress va, Access access,
                                                           Privilege privilege, std::uint64_t& loads) {
  HypervisorView& view = *views_[cpu.number()];
  tell(view);
  const machine::WalkRules rules{.write_protect = true, .no_execute = cpu.walk_rules().no_execute};
  auto walked = tables_.walk(view.memory(), cpu.number(), va, access, privilege, rules, loads);
  if (!walked) view.world().exit([&] { ++counts_.true_faults; });
  return walked;
}

void ParavirtualMmu::root_loaded(Processor& cpu) {
  ++counts_.root_loads;
  batch_.root_loads.push_back(&cpu);
  // What a program does next is done under it. One that runs nowhere tells when it does again.
  if (HypervisorView& view = *views_[cpu.number()]; view.world().is_running()) tell(view);
}

void ParavirtualMmu::rules_changed(Processor& /*cpu*/) { add_invalidation(); }

void ParavirtualMmu::page_invalidated(Processor& /*cpu*/, VirtualAddress /*va*/, Asid /*asid*/) { add_invalidation(); }

void ParavirtualMmu::space_invalidated(Processor& /*cpu*/, Asid /*asid*/) { add_invalidation(); }

void ParavirtualMmu::all_invalidated(Processor& /*cpu*/) { add_invalidation(); }

// --- The host ---

void ParavirtualMmu::contents_lost(GfnRange frames) {
  for (Gfn frame = frames.first; frame < frames.end(); ++frame) tables_.contents_lost(frame);
}

}  // namespace pagoda::hv
