#include "pagoda/hv/memory_limits.h"

#include <fmt/format.h>

#include <algorithm>

namespace pagoda::hv {

namespace {

PageCount minimum_of(mm::ProcessSpace& space) {
  const LockGuard guard(space.lock);
  return space.working_set().limits().minimum;
}

}  // namespace

MemoryLimits::MemoryLimits(mm::MemoryManager& host, mm::ProcessSpace& vmmem, const PartitionConfig& config, Vpn memory)
    : host_(host), vmmem_(vmmem), config_(config), memory_(memory), least_(minimum_of(vmmem)) {}

mm::WorkingSet::Limits MemoryLimits::working_set(const PartitionConfig& config, mm::WorkingSet::Limits limits) {
  if (config.memory_max) {
    limits.maximum = *config.memory_max;
    limits.kind = mm::WorkingSet::Limits::Maximum::kHard;
  }
  return limits;
}

PageCount MemoryLimits::touched() { return vmmem_.allocation(memory_)->commit_charge; }

PageCount MemoryLimits::in_memory() {
  const LockGuard guard(vmmem_.lock);
  return vmmem_.working_set().size();
}

PageCount MemoryLimits::minimum_for(PageCount touched) const {
  if (!config_.swap_max || touched <= *config_.swap_max) return least_;
  return std::max(least_, touched - *config_.swap_max);
}

bool MemoryLimits::host_has_slots() {
  PageCount slots;
  for (const mm::PagingFileInfo& file : host_.paging_files()) slots += file.maximum - file.used;
  mm::Core& core = host_.core();
  const LockGuard guard(core.pfns.lock);
  return slots > core.pfns.count(mm::PageState::kModified) || core.store.has_room();
}

bool MemoryLimits::host_can_keep(PageCount more) {
  PageCount kept = more + host_.tunables().plenty_free;
  const LockGuard guard(host_.spaces().lock);
  for (const auto& space : host_.spaces().spaces) kept += minimum_of(*space);
  return kept <= host_.core().resident.available();
}

bool MemoryLimits::set_minimum(mm::Processor& cpu, PageCount minimum) {
  const PageCount now = minimum_of(vmmem_);
  if (minimum == now) return true;
  if (minimum > now && !host_can_keep(minimum - now)) return false;
  const auto changed = vmmem_.change_limits(cpu, [&](mm::WorkingSet::Limits limits) -> Result<mm::WorkingSet::Limits> {
    limits.minimum = minimum;
    return limits;
  });
  return changed.has_value();
}

std::optional<MemoryLimits::Refusal> MemoryLimits::admit(mm::Processor& cpu) {
  const PageCount after = touched() + 1_pages;
  if (config_.memory_max) {
    const std::string full = fmt::format("its memory_max of {} is reached", to_string(bytes_of(*config_.memory_max)));
    if (config_.swap_max && after > *config_.memory_max + *config_.swap_max)
      return Refusal{.why = fmt::format("{}, and its swap_max of {}", full, to_string(bytes_of(*config_.swap_max)))};
    if (in_memory() >= *config_.memory_max && !host_has_slots())
      return Refusal{.why = full + ", and no page file of the host has a slot left for a page of it"};
  }
  if (set_minimum(cpu, minimum_for(after))) return std::nullopt;
  return Refusal{.cause = Refusal::Cause::kHost,
                 .why = fmt::format("its swap_max of {} is reached, and the host cannot keep more in memory",
                                    to_string(bytes_of(*config_.swap_max)))};
}

bool MemoryLimits::admit_neighbour(mm::Processor& cpu) {
  if (config_.memory_max && in_memory() >= *config_.memory_max) return false;
  return !admit(cpu);
}

void MemoryLimits::settle(mm::Processor& cpu) {
  PAGODA_CHECK(set_minimum(cpu, std::min(minimum_for(touched()), minimum_of(vmmem_))));
}

PageCount MemoryLimits::may_leave() {
  const LockGuard guard(vmmem_.lock);
  const mm::WorkingSet& ws = vmmem_.working_set();
  return ws.size() - std::min(ws.size(), ws.limits().minimum);
}

}  // namespace pagoda::hv
