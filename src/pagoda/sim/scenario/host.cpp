// [host], and what it has in common with [[vm]].
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pagoda/machine/paging_mode.h"
#include "pagoda/sim/scenario/names.h"
#include "pagoda/sim/scenario/sections.h"

namespace pagoda::sim {

SystemDraft::SystemDraft(Scenario& host, std::filesystem::path of_scenario)
    : system(host),
      memory(host.machine.frames),
      paging(host.machine.paging),
      processors(host.machine.processors),
      tlb(host.machine.tlb),
      refill(host.machine.refill),
      disks(host.machine.disks),
      folder(std::move(of_scenario)) {}

SystemDraft::SystemDraft(VmConfig& vm, std::filesystem::path of_scenario)
    : system(vm),
      memory(vm.partition.memory),
      paging(vm.partition.paging),
      processors(vm.partition.processors),
      tlb(vm.partition.tlb),
      refill(vm.partition.refill),
      disks(vm.partition.disks),
      folder(std::move(of_scenario)) {}

void read_machine(TomlTable& t, SystemDraft& draft) {
  t.require("memory");
  draft.memory = t.pages("memory", draft.memory);
  draft.paging = t.choice("paging", kPagingNames, draft.paging);
  draft.tlb = t.choice("tlb", kTlbNames, draft.tlb);
  draft.refill = t.choice("refill", kRefillNames, draft.refill);
  draft.processors = static_cast<unsigned>(t.number("processors", 1, 1, kMostProcessors));
  const machine::PagingMode& mode = machine::paging_mode(draft.paging);
  const PageCount most = std::min(mode.max_frames(), PageCount(kNoPfn.value() - 1));
  if (draft.memory > most) {
    t.wrong("memory", fmt::format("{} is more than {} paging can address ({}); use less, or paging = \"amd64\"",
                                  to_string(bytes_of(draft.memory)), mode.name, to_string(bytes_of(most))));
  }
}

void read_host(TomlTable& t, SystemDraft& draft) {
  read_machine(t, draft);
  if (draft.memory < mm::kSmallestMachine) {
    t.wrong("memory", fmt::format("a host of {} is too small to start; give it {} or more",
                                  to_string(bytes_of(draft.memory)), to_string(bytes_of(mm::kSmallestMachine))));
  }
}

}  // namespace pagoda::sim
