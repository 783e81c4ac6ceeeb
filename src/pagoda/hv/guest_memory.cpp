#include "pagoda/hv/guest_memory.h"

#include <algorithm>

namespace pagoda::hv {

using machine::Access;
using machine::HeatHint;

namespace {

// What separates guest memory from the files above it, and those from each other. A choice: large pages stay aligned.
constexpr PageCount kDirectMapAlignment = machine::kPagesPerLargePage;
// A host that cannot bring a page in is asked again so often, so long apart: a virtual machine waits for its disk. A
// choice; QEMU's werror=stop waits for ever.
constexpr int kMostRetries = 1000;
constexpr Duration kRetryDelay = 10_ms;

Gfn align_up(Gfn frame, PageCount alignment) {
  const std::uint64_t n = alignment.value();
  return Gfn(static_cast<std::uint32_t>((frame.value() + n - 1) / n * n));
}

}  // namespace

GuestMemory::GuestMemory(mm::MemoryManager& host, mm::ProcessSpace& vmmem, const PartitionConfig& config,
                         PartitionCounts& counts)
    : config_(config), host_(host), vmmem_(vmmem), counts_(counts), ballooned_(config.memory) {}

Result<std::unique_ptr<GuestMemory>> GuestMemory::create(mm::MemoryManager& host, mm::Processor& cpu,
                                                         const PartitionConfig& config, PartitionCounts& counts) {
  const mm::Tunables& tunables = host.tunables();
  const mm::WorkingSet::Limits limits = config.limits.value_or(mm::WorkingSet::Limits{
      .minimum = tunables.working_set_minimum, .maximum = std::max(config.memory, tunables.working_set_maximum)});
  mm::ProcessSpace* const vmmem =
      PAGODA_TRY(host.create_space(cpu, {.limits = MemoryLimits::working_set(config, limits)}));
  std::unique_ptr<GuestMemory> memory(new GuestMemory(host, *vmmem, config, counts));
  PAGODA_TRY(memory->map_memory(cpu));
  PAGODA_TRY(memory->map_files(cpu));
  return memory;
}

GuestMemory::~GuestMemory() {
  PAGODA_CHECK(cache_ == nullptr);
  host_.destroy_space(any_processor(), vmmem_);
}

Result<> GuestMemory::map_memory(mm::Processor& cpu) {
  const bool deferred = config_.backing == Backing::kDeferred;
  const VpnRange pages = PAGODA_TRY(
      vmmem_.reserve(cpu, {.size = bytes_of(config_.memory),
                           .commit = deferred ? mm::MemCommit::kNo : mm::MemCommit::kYes,
                           .on_touch = deferred ? mm::OnTouch::kCommit : mm::OnTouch::kRaise,
                           .type = config_.backing == Backing::kPinned ? mm::VadType::kLargePages : mm::VadType::kNone,
                           .wishes = {.alignment = bytes_of(machine::kPagesPerLargePage)}}));
  if (config_.memory_max || config_.swap_max) limits_.emplace(host_, vmmem_, config_, pages.first);
  return map_.add({.frames = {Gfn(0), config_.memory}, .backing = pages.first, .kind = GpaKind::kMemory});
}

Result<> GuestMemory::map_files(mm::Processor& cpu) {
  Gfn next = align_up(Gfn(0) + config_.memory, kDirectMapAlignment);
  for (const DirectMapConfig& file : config_.direct_maps) {
    const VpnRange view = PAGODA_TRY(vmmem_.map_view(cpu, *file.section, {.protection = mm::Protection::kReadOnly}));
    const GfnRange frames{next, pages_of(file.section->size())};
    if (frames.count > machine::paging_mode(config_.paging).max_frames() - PageCount(next.value()))
      return fail(Status::kInvalidParameter);
    PAGODA_TRY(map_.add({.frames = frames, .backing = view.first, .kind = GpaKind::kDirectMap}));
    direct_maps_.push_back({.name = file.name, .frames = frames, .size = file.section->size()});
    next = align_up(frames.end(), kDirectMapAlignment);
  }
  return {};
}

// --- What the host takes back ---

void GuestMemory::attach(GuestFrameCache& cache) {
  PAGODA_CHECK(cache_ == nullptr);
  cache_ = &cache;
  vmmem_.add_observer(*this);
}

void GuestMemory::detach(const GuestFrameCache& cache) {
  PAGODA_CHECK(cache_ == &cache);
  vmmem_.remove_observer(*this);
  cache_ = nullptr;
}

void GuestMemory::invalidate(VpnRange pages) {
  map_.for_each_frame(pages, [this](Gfn frame, Vpn) { cache_->forget(frame); });
}

bool GuestMemory::test_and_clear_accessed(Vpn page) {
  bool accessed = false;
  map_.for_each_frame({page, 1_pages}, [&](Gfn frame, Vpn) { accessed |= cache_->test_and_clear_accessed(frame); });
  return accessed;
}

// --- Bringing in ---

const GpaRange* GuestMemory::admit(Gfn frame, Access use) {
  const GpaRange* const range = map_.find(frame);
  if (range == nullptr) {
    ++counts_.wild_accesses;
    return nullptr;
  }
  if (use == Access::kWrite && range->kind == GpaKind::kDirectMap) {
    ++counts_.lost_writes;
    return nullptr;
  }
  return range;
}

GfnRange GuestMemory::cluster_of(const GpaRange& range, Gfn frame) const {
  const std::uint64_t size = config_.fault_cluster.value();
  // Aligned in guest-physical space, and inside the range.
  const Gfn first = std::max(range.frames.first, Gfn(static_cast<std::uint32_t>(frame.value() / size * size)));
  return {first, std::min(PageCount(size - first.value() % size), range.frames.count - (first - range.frames.first))};
}

bool GuestMemory::is_untouched(const mm::Processor& host, Vpn page) const {
  const LockGuard guard(vmmem_.lock);
  return vmmem_.tables().peek(host, page) == 0;
}

void GuestMemory::admit_first_touch(mm::Processor& host) {
  while (const auto refusal = limits_->admit(host)) {
    if (refusal->cause == MemoryLimits::Refusal::Cause::kHost && charge_source_ != nullptr &&
        charge_source_->find_charge(host, config_.name))
      continue;
    throw GuestMemoryLost(refusal->why + ": the out-of-memory killer took it");
  }
}

void GuestMemory::make_resident(mm::Processor& host, Vpn page, Access use) {
  if (limits_ && is_untouched(host, page)) admit_first_touch(host);
  {
    const LockGuard guard(vmmem_.lock);
    if (mm::is_paged_out(vmmem_, host, page)) {
      ++counts_.page_ins;
      if (guest_writes_ > 0) ++counts_.double_paged;
    }
  }
  for (int tries = 0;; ++tries) {
    const auto touched = host.touch(VirtualAddress(page), use);
    if (touched) return;
    if (touched.error() == Status::kCommitmentLimit && charge_source_ != nullptr &&
        charge_source_->find_charge(host, config_.name))
      continue;
    if (tries == kMostRetries)
      throw GuestMemoryLost("the host cannot bring in guest memory: " + to_string(touched.error()));
    host.wait_until(host.now() + kRetryDelay);
  }
}

void GuestMemory::touch_cluster(mm::Processor& host, const GpaRange& range, GfnRange cluster, Gfn wanted, Access use) {
  for (Gfn frame = cluster.first; frame < cluster.end(); ++frame) {
    if (frame == wanted || ballooned_.contains(frame)) continue;
    const Vpn page = range.page_of(frame);
    // Neighbours are a guess: they must not cost others their pages, nor a transfer.
    auto cost = mm::PrefetchCost::kOthers;
    {
      const LockGuard guard(vmmem_.lock);
      cost = mm::prefetch_cost(vmmem_, host, page, cluster.count);
    }
    if (cost == mm::PrefetchCost::kOthers) return;
    if (cost == mm::PrefetchCost::kMore) continue;
    if (limits_ && is_untouched(host, page) && !limits_->admit_neighbour(host)) return;
    // Nor a write in their name: contents that the host has written stay clean, and keep their slots. Zeros have none,
    // and are made for the use, so that a guest that fills its memory needs one violation a cluster.
    const Access neighbours = cost == mm::PrefetchCost::kZeros ? use : Access::kRead;
    if (!host.touch(VirtualAddress(page), neighbours)) return;
  }
}

// --- Hints. Source: reference/virtualization.md section 5, "Host reaction" ---

void GuestMemory::hint(mm::Processor& host, HeatHint hint, const GpaRange& range, GfnRange frames) {
  const VpnRange pages = range.pages_of(frames);
  switch (hint) {
    case HeatHint::kCold:
      counts_.cold_pages += frames.count.value();
      vmmem_.trim_range(host, {pages.first, limits_ ? std::min(pages.count, limits_->may_leave()) : pages.count});
      break;
    case HeatHint::kHot: {
      counts_.hot_pages += frames.count.value();
      for (Gfn frame = frames.first; frame < frames.end(); ++frame) pop(frame);  // It is going to be touched.
      [[maybe_unused]] const auto resident = vmmem_.make_resident(host, pages);  // As far as memory allows.
      break;
    }
    case HeatHint::kColdDiscard:
      counts_.discarded_pages += frames.count.value();
      drop_contents(host, range, frames);
      break;
  }
}

void GuestMemory::drop_contents(mm::Processor& host, const GpaRange& range, GfnRange frames) {
  if (config_.backing == Backing::kPinned) return;
  PAGODA_CHECK(vmmem_.discard(host, range.pages_of(frames)).has_value());
  if (limits_) limits_->settle(host);
  const LockGuard guard(vmmem_.lock);
  cache_->contents_lost(frames);
}

// --- Balloon ---

void GuestMemory::put_in_balloon(mm::Processor& host, std::vector<Gfn> frames) {
  const std::size_t named = frames.size();
  std::ranges::sort(frames);
  const auto repeated = std::ranges::unique(frames);
  frames.erase(repeated.begin(), repeated.end());
  std::erase_if(frames, [&](Gfn frame) { return !map_.is_memory({frame, 1_pages}) || ballooned_.contains(frame); });
  counts_.balloon_refused += named - frames.size();
  if (config_.backing == Backing::kPinned) {
    counts_.balloon_useless += frames.size();
    return;
  }
  for (std::size_t at = 0; at < frames.size();) {
    const GpaRange& range = *map_.find(frames[at]);
    GfnRange run{frames[at], 1_pages};
    while (at + run.count.value() < frames.size() && frames[at + run.count.value()] == run.end() &&
           run.end() < range.frames.end())
      ++run.count;
    drop_contents(host, range, run);
    for (Gfn frame = run.first; frame < run.end(); ++frame) ballooned_.add(frame);
    counts_.inflated_pages += run.count.value();
    at += run.count.value();
  }
}

void GuestMemory::take_from_balloon(std::span<const Gfn> frames) {
  for (const Gfn frame : frames) ++(ballooned_.remove(frame) ? counts_.deflated_pages : counts_.balloon_refused);
}

void GuestMemory::void_balloon() {
  counts_.balloon_voided += ballooned_.count().value();
  ballooned_.clear();
}

void GuestMemory::take_free(mm::Processor& host, GfnRange frames) {
  counts_.reported_pages += frames.count.value();
  while (!frames.empty()) {
    const GpaRange& range = *map_.find(frames.first);
    const GfnRange piece{frames.first,
                         std::min(frames.count, range.frames.count - (frames.first - range.frames.first))};
    drop_contents(host, range, piece);
    frames = {piece.end(), frames.count - piece.count};
  }
}

void GuestMemory::reap(mm::Processor& host) {
  for (const GpaRange& range : map_.ranges()) {
    if (range.kind != GpaKind::kMemory) continue;
    // What cannot be had now, comes back when the guest is taken apart.
    [[maybe_unused]] const auto released = vmmem_.release(host, VirtualAddress(range.backing), 0_B);
  }
}

// --- Looking ---

GuestMemory::Census GuestMemory::census() const {
  Census census;
  PageCount all;
  for (const GpaRange& range : map_.ranges()) {
    if (range.kind != GpaKind::kMemory) continue;
    all += range.frames.count;
    const mm::Residency where = vmmem_.residency(any_processor(), range.pages());
    census.active += where.working_set;
    census.standby += where.standby;
    census.modified += where.modified;
    census.compressed += where.compressed;
    census.page_file += where.paging_file;
  }
  census.nothing = all - census.active - census.modified - census.standby - census.page_file - census.compressed;
  return census;
}

}  // namespace pagoda::hv
