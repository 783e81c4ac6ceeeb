#include "pagoda/sim/policy_scale.h"

#include <optional>

namespace pagoda::sim {

namespace {

void enlarge(PageCount& pages, std::uint64_t scale) { pages = pages * scale; }
void enlarge(std::optional<PageCount>& pages, std::uint64_t scale) {
  if (pages) enlarge(*pages, scale);
}
void reduce(PageCount& pages, std::uint64_t scale) { pages = pages / scale; }
void reduce(std::optional<PageCount>& pages, std::uint64_t scale) {
  if (pages) reduce(*pages, scale);
}

}  // namespace

policy::HostMeasure enlarged(policy::HostMeasure host, std::uint64_t scale) {
  enlarge(host.total, scale);
  enlarge(host.free, scale);
  enlarge(host.used_by_machines, scale);
  enlarge(host.swap_total, scale);
  enlarge(host.swap_free, scale);
  return host;
}

policy::VmMeasure enlarged(policy::VmMeasure vm, std::uint64_t scale) {
  enlarge(vm.maximum, scale);
  enlarge(vm.minimum, scale);
  enlarge(vm.granted, scale);
  enlarge(vm.active, scale);
  if (vm.balloon) {
    enlarge(vm.balloon->target, scale);
    enlarge(vm.balloon->actual, scale);
  }
  if (vm.guest) {
    for (std::optional<PageCount>* const pages :
         {&vm.guest->free, &vm.guest->available, &vm.guest->total, &vm.guest->caches, &vm.guest->swap_in,
          &vm.guest->swap_out, &vm.guest->committed})
      enlarge(*pages, scale);
    if (vm.guest->major_faults) *vm.guest->major_faults *= scale;
  }
  for (std::optional<PageCount>* const pages : {&vm.swapped_in, &vm.shared_saved, &vm.compressed, &vm.paged_out})
    enlarge(*pages, scale);
  return vm;
}

policy::Decision reduced(policy::Decision decision, std::uint64_t scale) {
  for (PageCount* const pages : {&decision.previous, &decision.target, &decision.balloon, &decision.compress,
                                 &decision.page_out, &decision.reclaim_cache})
    reduce(*pages, scale);
  reduce(decision.reason.available, scale);
  reduce(decision.reason.charged_to, scale);
  return decision;
}

}  // namespace pagoda::sim
