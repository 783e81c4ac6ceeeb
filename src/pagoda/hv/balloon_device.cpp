#include "pagoda/hv/balloon_device.h"

#include <algorithm>

#include "pagoda/hv/virtual_machine.h"

namespace pagoda::hv {

using machine::BalloonFeature;
using machine::BalloonFeatures;
using machine::BalloonStatistic;
using machine::BalloonTag;

namespace {

// What a driver reports of a figure that its guest does not have, and QEMU of one that no driver reported.
constexpr std::uint64_t kUnknown = ~std::uint64_t{0};

std::vector<Gfn> to_gfns(std::span<const Pfn> of_guest) {
  std::vector<Gfn> frames;
  frames.reserve(of_guest.size());
  for (const Pfn frame : of_guest) frames.push_back(to_gfn(frame));
  return frames;
}

}  // namespace

template <class Work>
decltype(auto) BalloonDevice::exit(machine::Processor& cpu, Work&& work) {
  return machine_.virtual_processor(cpu.number()).world().exit_to_host(std::forward<Work>(work));
}

// --- The host's side ---

void BalloonDevice::set_target(PageCount pages) { target_ = std::min(pages, machine_.frame_count()); }

void BalloonDevice::reset() {
  memory_.void_balloon();
  accepted_.reset();
  poison_ = 0;
  actual_.reset();
  statistics_.fill(std::nullopt);
  statistics_time_.reset();
}

// --- The driver's side ---

BalloonFeatures BalloonDevice::offered(machine::Processor& cpu) {
  return exit(cpu, [&](machine::Processor&) { return offered_; });
}

Result<> BalloonDevice::start(machine::Processor& cpu, BalloonFeatures accepted, std::uint32_t poison) {
  return exit(cpu, [&](machine::Processor&) -> Result<> {
    reset();
    if (!accepted.are_part_of(offered_)) return fail(Status::kInvalidParameter);
    accepted_ = accepted;
    poison_ = accepted.has(BalloonFeature::kPagePoison) ? poison : 0;
    actual_ = 0_pages;
    return {};
  });
}

PageCount BalloonDevice::target(machine::Processor& cpu) {
  return exit(cpu, [&](machine::Processor&) { return target_; });
}

void BalloonDevice::set_actual(machine::Processor& cpu, PageCount pages) {
  exit(cpu, [&](machine::Processor&) {
    if (has_driver()) actual_ = std::min(pages, machine_.frame_count());
  });
}

Result<> BalloonDevice::may_request(std::size_t frames) const {
  if (!has_driver()) return fail(Status::kNotSupported);
  if (frames == 0 || frames > kMostFrames) return fail(Status::kInvalidParameter);
  return {};
}

Result<> BalloonDevice::inflate(machine::Processor& cpu, std::span<const Pfn> frames) {
  return exit(cpu, [&](machine::Processor& host) -> Result<> {
    PAGODA_TRY(may_request(frames.size()));
    memory_.put_in_balloon(host, to_gfns(frames));
    return {};
  });
}

Result<> BalloonDevice::deflate(machine::Processor& cpu, std::span<const Pfn> frames) {
  return exit(cpu, [&](machine::Processor&) -> Result<> {
    PAGODA_TRY(may_request(frames.size()));
    memory_.take_from_balloon(to_gfns(frames));
    return {};
  });
}

bool BalloonDevice::is_sensible(BalloonTag tag, std::uint64_t value) const {
  switch (tag) {
    case BalloonTag::kFree:
    case BalloonTag::kTotal:
    case BalloonTag::kAvailable:
    case BalloonTag::kCaches:
      return value <= bytes_of(machine_.frame_count()).value();
    default:
      return value != kUnknown;
  }
}

// A buffer is the guest's whole answer: what it does not name is not known any more.
Result<> BalloonDevice::report_statistics(machine::Processor& cpu, std::span<const BalloonStatistic> statistics) {
  return exit(cpu, [&](machine::Processor&) -> Result<> {
    if (!accepted().has(BalloonFeature::kStatistics)) return fail(Status::kNotSupported);
    if (statistics.size() > kMostStatistics) return fail(Status::kInvalidParameter);
    statistics_.fill(std::nullopt);
    for (const BalloonStatistic& each : statistics) {
      if (each.tag >= machine::kBalloonTags) continue;  // A newer guest's.
      const auto tag = static_cast<BalloonTag>(each.tag);
      statistics_[each.tag] = is_sensible(tag, each.value) ? std::optional(each.value) : std::nullopt;
    }
    statistics_time_ = cpu.now();
    return {};
  });
}

Result<> BalloonDevice::report_free(machine::Processor& cpu, std::span<const PfnRange> blocks) {
  return exit(cpu, [&](machine::Processor& host) -> Result<> {
    if (!accepted().has(BalloonFeature::kReporting)) return fail(Status::kNotSupported);
    if (blocks.empty() || blocks.size() > kMostBlocks) return fail(Status::kInvalidParameter);
    for (const PfnRange& block : blocks)
      if (!memory_.map().is_memory(to_gfns(block))) return fail(Status::kInvalidParameter);
    if (poison_ != 0) return {};
    for (const PfnRange& block : blocks) memory_.take_free(host, to_gfns(block));
    return {};
  });
}

}  // namespace pagoda::hv
