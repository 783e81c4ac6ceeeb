#include "pagoda/hv/partition.h"

#include <algorithm>
#include <bit>

namespace pagoda::hv {

namespace {

bool is_sensible(const PartitionConfig& config) {
  constexpr PageCount kLargePage = machine::kPagesPerLargePage;
  const bool is_whole = config.backing != Backing::kPinned || config.memory.value() % kLargePage.value() == 0;
  const bool may_have_limits = config.backing == Backing::kDeferred && config.direct_maps.empty();
  return (may_have_limits || (!config.memory_max && !config.swap_max)) && !config.memory.is_zero() && is_whole &&
         config.memory <= machine::paging_mode(config.paging).max_frames() && config.processors > 0 &&
         (config.mmu != MmuKind::kParavirtual || config.refill == machine::TlbRefill::kHardware) &&
         config.shadow_limit >= ShadowTree::kTablesPerPath + 1_pages &&
         std::has_single_bit(config.fault_cluster.value()) && config.fault_cluster <= kLargePage &&
         std::ranges::none_of(config.disks, [](const auto& disk) { return disk.bandwidth_per_second.is_zero(); });
}

// All tables of the second level: a host that is short of memory has no nonpageable frames to give. With a root and a
// path for shadow tables besides, any access can proceed once everything else is dropped.
PageCount tables_needed(const PartitionConfig& config, const GpaMap& map) {
  PageCount tables = 1_pages;
  for (const GpaRange& range : map.ranges()) tables += Slat::tables_for(range.frames);
  if (config.mmu == MmuKind::kShadow) tables += Slat::kTablesPerPath + 1_pages;
  return tables;
}

}  // namespace

Partition::Partition(const PartitionConfig& config) : config_(config) {}

Partition::~Partition() = default;

Result<std::unique_ptr<Partition>> Partition::create(mm::MemoryManager& host, mm::Processor& cpu,
                                                     const PartitionConfig& config) {
  if (!is_sensible(config)) return fail(Status::kInvalidParameter);
  // TLB entries point at the bytes of host frames, so these must stay where they are: no host that is a guest.
  if (!cpu.physical().is_contiguous()) return fail(Status::kInvalidParameter);
  std::unique_ptr<Partition> made(new Partition(config));
  Partition& p = *made;
  p.memory_ = PAGODA_TRY(GuestMemory::create(host, cpu, p.config_, p.counts_));
  p.frames_ = std::make_unique<TableFrames>(p.vmmem());
  PAGODA_TRY(p.frames_->reserve(cpu, tables_needed(config, p.map())));
  p.second_level_ = std::make_unique<SecondLevel>(*p.memory_, *p.frames_, cpu.physical(), p.counts_);
  if (config.mmu == MmuKind::kShadow)
    p.shadow_ = std::make_unique<ShadowMmu>(*p.second_level_, *p.frames_, cpu.physical(), p.config_, p.counts_);
  if (config.mmu == MmuKind::kParavirtual)
    p.paravirtual_ = std::make_unique<ParavirtualMmu>(*p.second_level_, p.config_, p.counts_);
  const GuestTables tables{.shadow = p.shadow_.get(), .paravirtual = p.paravirtual_.get()};
  p.machine_ = std::make_unique<VirtualMachine>(p.config_, *p.second_level_, tables, p.counts_);
  return made;
}

}  // namespace pagoda::hv
