#include "pagoda/hv/partition.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "pagoda/hv/shadow_mmu.h"
#include "pagoda/mm/region/large_pages.h"

namespace pagoda::hv {

using machine::Access;
using machine::FrameRange;
using mm::PteCodec;

namespace {

constexpr PageCount kLargePage{512};
// What stands between guest memory and the files that are mapped above it, and between those. A choice: large pages
// stay aligned.
constexpr PageCount kDirectMapAlignment = kLargePage;
// A host that cannot bring a page in is asked again so often, so long apart: a virtual machine waits for its disk. A
// choice; QEMU's werror=stop waits for ever.
constexpr int kMostRetries = 1000;
constexpr Duration kRetryDelay = 10_ms;

Pfn align_up(Pfn frame, PageCount alignment) {
  const std::uint64_t n = alignment.value();
  return Pfn(static_cast<std::uint32_t>((frame.value() + n - 1) / n * n));
}

bool is_sensible(const PartitionConfig& config, mm::MemoryManager& host) {
  const std::size_t host_processors = host.core().machine.processors().size();
  return !config.memory.is_zero() && config.memory.value() % kLargePage.value() == 0 &&
         config.memory <= machine::paging_mode(config.paging).max_frames() && config.processors > 0 &&
         std::size_t{config.first_host_processor} + config.processors <= host_processors &&
         config.shadow_limit >= ShadowTree::kTablesPerPath + 1_pages &&
         std::has_single_bit(config.fault_cluster.value()) && config.fault_cluster <= kLargePage &&
         std::ranges::none_of(config.disks, [](const auto& disk) { return disk.bandwidth_per_second.is_zero(); });
}

}  // namespace

Partition::Partition(mm::MemoryManager& host, mm::ProcessSpace& vmmem, const PartitionConfig& config)
    : config_(config), host_(host), vmmem_(vmmem), frames_(vmmem) {}

Result<std::unique_ptr<Partition>> Partition::create(mm::MemoryManager& host, mm::Processor& cpu,
                                                     const PartitionConfig& config) {
  if (!is_sensible(config, host)) return fail(Status::kInvalidParameter);
  // Bytes of host frames are pointed at by TLB entries, so they must stay where they are: no host that is a guest.
  if (!cpu.physical().is_contiguous()) return fail(Status::kInvalidParameter);
  const mm::WorkingSet::Limits limits = config.limits.value_or(
      mm::WorkingSet::Limits{.minimum = host.core().tunables.working_set_minimum,
                             .maximum = std::max(config.memory, host.core().tunables.working_set_maximum)});
  const auto vmmem = host.create_space(cpu, {.limits = limits});
  if (!vmmem) return fail(vmmem.error());
  std::unique_ptr<Partition> partition(new Partition(host, **vmmem, config));
  PAGODA_TRY(partition->map_memory(cpu));
  PAGODA_TRY(partition->map_files(cpu));
  // All tables of the second level, now: a host that is short of memory has no nonpageable frames to give. With a root
  // and a path for shadow tables besides, everything else being dropped, any access can go on.
  PageCount tables = 1_pages;
  for (const GpaRange& range : partition->map_.ranges()) tables += Slat::tables_for(range.frames);
  if (config.mmu == MmuKind::kShadow) tables += Slat::kTablesPerPath + 1_pages;
  PAGODA_TRY(partition->frames_.reserve(cpu, tables));
  partition->start(cpu);
  return partition;
}

Result<> Partition::map_memory(mm::Processor& cpu) {
  const bool deferred = config_.backing == Backing::kDeferred;
  const auto pages =
      vmmem_.reserve(cpu, {.size = bytes_of(config_.memory),
                           .commit = deferred ? mm::MemCommit::kNo : mm::MemCommit::kYes,
                           .on_touch = deferred ? mm::OnTouch::kCommit : mm::OnTouch::kRaise,
                           .type = config_.backing == Backing::kPinned ? mm::VadType::kLargePages : mm::VadType::kNone,
                           .wishes = {.alignment = bytes_of(kLargePage)}});
  if (!pages) return fail(pages.error());
  return map_.add({.frames = {Pfn(0), config_.memory}, .backing = pages->first, .kind = GpaKind::kMemory});
}

Result<> Partition::map_files(mm::Processor& cpu) {
  Pfn next = align_up(Pfn(0) + config_.memory, kDirectMapAlignment);
  for (const DirectMapConfig& file : config_.direct_maps) {
    const auto view = vmmem_.map_view(cpu, *file.section, {.protection = mm::Protection::kReadOnly});
    if (!view) return fail(view.error());
    const FrameRange frames{next, pages_of(file.section->size())};
    if (frames.count > machine::paging_mode(config_.paging).max_frames() - PageCount(next.value()))
      return fail(Status::kInvalidParameter);
    PAGODA_TRY(map_.add({.frames = frames, .backing = view->first, .kind = GpaKind::kDirectMap}));
    next = align_up(next + frames.count, kDirectMapAlignment);
  }
  return {};
}

void Partition::start(mm::Processor& cpu) {
  {
    const LockGuard guard(vmmem_.lock);
    slat_ = std::make_unique<Slat>(cpu.physical(), frames_);
  }
  machine_ = std::make_unique<VirtualMachine>(*this, host_.core().machine.costs());
  for (std::size_t i = 0; i < config_.direct_maps.size(); ++i) {
    const DirectMapConfig& file = config_.direct_maps[i];
    // Memory is the first range, and files follow in their order.
    machine_->direct_maps_.push_back(
        {.name = file.name, .frames = map_.ranges()[i + 1].frames, .size = file.section->size()});
  }
  for (unsigned number = 0; number < config_.processors; ++number) {
    machine::Processor& host = *host_.core().machine.processors()[config_.first_host_processor + number];
    processors_.push_back(std::make_unique<VirtualProcessor>(*this, *machine_, number, host, config_.tlb));
    machine_->processors_.add(processors_.back()->guest());
    host_.attach(host, vmmem_);
  }
  if (config_.mmu == MmuKind::kShadow) {
    shadow_ = std::make_unique<ShadowMmu>(*this);
    for (const auto& vcpu : processors_) vcpu->guest().attach(shadow_.get());
  }
  vmmem_.add_observer(*this);
}

Partition::~Partition() {
  if (slat_ != nullptr) vmmem_.remove_observer(*this);
  mm::Processor& cpu = *host_.core().machine.processors()[config_.first_host_processor];
  for (const auto& vcpu : processors_) {
    PAGODA_CHECK(!vcpu->holds_any());
    host_.detach(vcpu->host());
  }
  host_.destroy_space(cpu, vmmem_);
}

void Partition::forget(Pfn frame) {
  for (const auto& vcpu : processors_) vcpu->keep_held(frame);
  // All of a large entry goes at once.
  const FrameRange gone = slat_->clear(frame);
  counts_.invalidations += gone.count.value();
  for (Pfn each = gone.first; each < gone.first + gone.count; ++each) {
    if (shadow_ != nullptr) shadow_->forget_frame(each);
    for (const auto& vcpu : processors_) vcpu->forget(each);
  }
}

void Partition::drop_second_level() {
  vmmem_.lock.assert_held();
  if (shadow_ != nullptr) shadow_->forget_all();
  slat_->reset();
  for (const auto& vcpu : processors_) vcpu->forget_all();
}

void Partition::invalidate(VpnRange pages) {
  vmmem_.lock.assert_held();
  map_.for_each_frame(pages, [this](Pfn frame, Vpn) {
    vmmem_.lock.assert_held();
    forget(frame);
  });
}

bool Partition::test_and_clear_accessed(Vpn page) {
  vmmem_.lock.assert_held();
  bool accessed = false;
  map_.for_each_frame({page, 1_pages}, [&](Pfn frame, Vpn) {
    vmmem_.lock.assert_held();
    bool here = slat_->test_and_clear_accessed(frame);
    if (shadow_ != nullptr) here |= shadow_->test_and_clear_accessed(frame);
    if (!here) return;
    accessed = true;
    // Its next use has to walk, or it would not set the bit again.
    for (const auto& vcpu : processors_) vcpu->forget(frame);
  });
  return accessed;
}

bool Partition::bring_in(VirtualProcessor& vcpu, Pfn frame, Access use) {
  const GpaRange* const range = map_.find(frame);
  if (range == nullptr) {
    ++counts_.wild_accesses;
    return false;
  }
  if (use == Access::kWrite && range->kind == GpaKind::kDirectMap) {
    ++counts_.lost_writes;
    return false;
  }
  // Inside of an exit it is part of that.
  if (!vcpu.in_host()) ++counts_.exits;
  ++counts_.violations;
  if (slat_->entry(frame) != 0) ++counts_.write_violations;
  vcpu.exit_to_host([&](mm::Processor& host) {
    const std::uint64_t size = config_.fault_cluster.value();
    // Aligned in guest-physical space, and inside the range.
    const Pfn first = std::max(range->frames.first, Pfn(static_cast<std::uint32_t>(frame.value() / size * size)));
    const PageCount count =
        std::min(PageCount(size - first.value() % size), range->frames.count - (first - range->frames.first));
    do {
      if (count > 1_pages) touch_cluster(host, {range->page_of(first), count}, range->page_of(frame), use);
      make_resident(host, range->page_of(frame), use);
    } while (!fill_cluster(host, *range, {first, count}, frame, use));
  });
  return true;
}

void Partition::make_resident(mm::Processor& host, Vpn page, Access use) {
  {
    const LockGuard guard(vmmem_.lock);
    const mm::RawPte raw = vmmem_.tables().read(host, page);
    const mm::Core& core = host_.core();
    if (core.codec.has_slot(raw) && !core.is_compressed(raw)) {
      ++counts_.page_ins;
      if (guest_writes_ > 0) ++counts_.double_paged;
    }
  }
  for (int tries = 0;; ++tries) {
    const auto touched = host.touch(VirtualAddress(page), use);
    if (touched) return;
    if (tries == kMostRetries)
      throw GuestMemoryLost(config_.name + ": the host cannot bring in guest memory: " + to_string(touched.error()));
    host.wait_until(host.now() + kRetryDelay);
  }
}

void Partition::touch_cluster(mm::Processor& host, VpnRange cluster, Vpn wanted, Access use) {
  const mm::Core& core = host_.core();
  for (Vpn page = cluster.first; page < cluster.end(); ++page) {
    if (page == wanted) continue;
    {
      const LockGuard guard(vmmem_.lock);
      const LockGuard pfn_guard(core.pfns.lock);
      // Neighbours are a guess: they must not cost others their pages, nor a transfer.
      if (core.pfns.available() < core.tunables.plenty_free + cluster.count) return;
      const mm::RawPte raw = vmmem_.tables().read(host, page);
      const mm::PteKind kind = core.codec.kind(raw);
      const bool cheap = kind == mm::PteKind::kZero || kind == mm::PteKind::kDemandZero ||
                         (kind == mm::PteKind::kTransition && !core.pfns.entry(core.codec.frame(raw)).read_in_progress);
      if (!cheap) continue;
    }
    if (!host.touch(VirtualAddress(page), use)) return;
  }
}

bool Partition::fill_cluster(mm::Processor& host, const GpaRange& range, FrameRange cluster, Pfn wanted, Access use) {
  if (!frames_.reserve(host, slat_->missing_tables(wanted))) {
    // Shadow tables took what was reserved: what there is serves somebody else from now on. It is a cache.
    const LockGuard guard(vmmem_.lock);
    drop_second_level();
  }
  const mm::Core& core = host_.core();
  const LockGuard guard(vmmem_.lock);
  bool allowed = false;
  mm::RawPte above = 0;  // The host's entry for the page table, or the large page, that the page is in.
  for (Pfn frame = cluster.first; frame < cluster.first + cluster.count; ++frame) {
    const VirtualAddress page(range.page_of(frame));
    if (frame == cluster.first || core.mode.index(page, 1) == 0) {
      const PhysicalAddress entry = vmmem_.tables().find_large(host, page.vpn());
      above = entry != mm::PageTables::kNone ? core.load(host, entry) : 0;
    }
    if (!PteCodec::is_valid(above)) continue;
    // A large page of the host's becomes one entry where it lies right.
    if (mm::PageTables::is_large(above, mm::PageTables::kLargeLevel)) {
      fill_large(range, frame, above);
      allowed |= frame == wanted;
      continue;
    }
    const mm::RawPte raw = core.load(host, core.mode.entry_address(core.mode.frame(above), page, 1));
    if (!PteCodec::is_valid(raw)) continue;
    const bool write = PteCodec::is_dirty(raw) && (raw & machine::pte_bits::kWrite) != 0;
    const Pfn host_frame = core.codec.frame(raw);
    if (frame == wanted) allowed = use != Access::kWrite || write;
    if (slat_->fill(frame, 1, host_frame, {.write = write}) == Slat::Filled::kNew) ++counts_.entries_filled;
  }
  return allowed;
}

void Partition::fill_large(const GpaRange& range, Pfn frame, mm::RawPte raw) {
  const mm::Core& core = host_.core();
  const std::uint64_t in_large = range.page_of(frame).value() % pages_of(mm::large_page_size(core.mode)).value();
  const Pfn host = core.codec.frame(raw) + PageCount(in_large);
  const bool write = (raw & machine::pte_bits::kWrite) != 0;
  const PageCount in_piece(frame.value() % kLargePage.value());
  const bool fits = in_piece <= frame - range.frames.first &&
                    kLargePage - in_piece <= range.frames.count - (frame - range.frames.first) &&
                    (range.page_of(frame).value() - in_piece.value()) % kLargePage.value() == 0;
  const Slat::Filled filled = fits ? slat_->fill(frame - in_piece, Slat::kLargeLevel, host - in_piece, {.write = write})
                                   : slat_->fill(frame, 1, host, {.write = write});
  if (filled == Slat::Filled::kNew) ++counts_.entries_filled;
}

}  // namespace pagoda::hv
