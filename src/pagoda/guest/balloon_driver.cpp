#include "pagoda/guest/balloon_driver.h"

#include <algorithm>
#include <array>
#include <span>

#include "pagoda/machine/machine.h"

namespace pagoda::guest {

using machine::Balloon;
using machine::balloon_statistic;
using machine::BalloonFeature;
using machine::BalloonTag;

namespace {

constexpr PageCount kRequest{Balloon::kMostFrames};
// What the guest fills free frames with: the zeroed list's pages hold zeros, and no others hold anything in particular.
constexpr std::uint32_t kPoison = 0;

}  // namespace

BalloonDriverSettings BalloonDriverSettings::for_memory(PageCount frames) {
  BalloonDriverSettings settings;
  settings.report_reserve = std::clamp(frames / 64, 16_pages, settings.report_reserve);
  return settings;
}

std::unique_ptr<BalloonDriver> BalloonDriver::create(mm::MemoryManager& guest, const BalloonDriverSettings& settings) {
  Balloon* const device = guest.machine().balloon();
  if (device == nullptr) return nullptr;
  PAGODA_CHECK(!settings.pages_per_second.is_zero());
  return std::unique_ptr<BalloonDriver>(new BalloonDriver(guest, *device, settings));
}

BalloonDriver::~BalloonDriver() {
  if (state_ == State::kRunning) guest_.set_last_resort(nullptr);
}

Time BalloonDriver::due(Time /*now*/) const {
  switch (state_) {
    case State::kNotLoaded:
      return settings_.loads;
    case State::kRunning:
      return std::min({next_poll_, next_move_, next_report_, settings_.dies});
    case State::kDead:
      return kNever;
  }
  return kNever;
}

void BalloonDriver::run(Processor& cpu) {
  if (state_ == State::kDead || (state_ == State::kNotLoaded && cpu.now() < settings_.loads)) return;
  if (cpu.now() >= settings_.dies) {
    die();
    return;
  }
  if (state_ == State::kNotLoaded) load(cpu);
  if (cpu.now() >= next_poll_) poll(cpu);
  if (state_ == State::kRunning && cpu.now() >= next_move_) move(cpu);
  if (state_ == State::kRunning && cpu.now() >= next_report_) report_free(cpu);
}

void BalloonDriver::load(Processor& cpu) {
  accepted_ = device_.offered(cpu) & settings_.features;
  const auto started = device_.start(cpu, accepted_, kPoison);
  PAGODA_CHECK(started.has_value());  // It was offered.
  state_ = State::kRunning;
  next_poll_ = cpu.now();
  if (accepted_.has(BalloonFeature::kDeflateOnOom)) guest_.set_last_resort(this);
  if (accepted_.has(BalloonFeature::kReporting)) {
    // NOLINTNEXTLINE(modernize-make-unique): it cannot be moved.
    free_frames_.reset(new mm::HintedFrames(guest_.watch_hinted_frames(settings_.report_block)));
    next_report_ = cpu.now() + settings_.report_period;
  }
}

void BalloonDriver::die() {
  if (state_ == State::kRunning) guest_.set_last_resort(nullptr);
  free_frames_.reset();
  state_ = State::kDead;
}

// --- Towards the target ---

PageCount BalloonDriver::goal() const { return std::min({target_, settings_.most, most_after_oom_}); }

void BalloonDriver::poll(Processor& cpu) {
  ++counts_.polls;
  next_poll_ = cpu.now() + settings_.poll_period;
  const PageCount wanted = device_.target(cpu);
  if (wanted != target_) most_after_oom_ = PageCount(~std::uint64_t{0});
  target_ = wanted;
  if (next_move_ == kNever && goal() != held()) next_move_ = cpu.now();
  if (accepted_.has(BalloonFeature::kStatistics)) report_statistics(cpu);
  if (state_ == State::kRunning && settings_.conduct == BalloonDriverSettings::Conduct::kTouches) touch_all(cpu);
}

void BalloonDriver::move(Processor& cpu) {
  next_move_ = kNever;
  if (cpu.now() >= settings_.sticks) return;
  if (held() < goal()) {
    inflate(cpu, std::min(goal() - held(), kRequest));
  } else if (held() > goal()) {
    deflate(cpu, std::min(held() - goal(), kRequest));
    if (held() > goal()) next_move_ = cpu.now();
  }
}

void BalloonDriver::inflate(Processor& cpu, PageCount count) {
  const auto taken = guest_.driver_frames().allocate(cpu, count);
  if (!taken) {
    ++counts_.out_of_puff;
    press(cpu, count);
    next_move_ = cpu.now() + settings_.retry_delay;
    return;
  }
  if (!device_.inflate(cpu, *taken)) {
    guest_.driver_frames().free(*taken);
    die();
    return;
  }
  frames_.insert(frames_.end(), taken->begin(), taken->end());
  counts_.inflated += taken->size();
  device_.set_actual(cpu, held());
  if (held() == goal()) return;
  next_move_ = cpu.now() + 1_s * taken->size() / settings_.pages_per_second.value();
}

void BalloonDriver::press(Processor& cpu, PageCount count) {
  const auto has_room = [](const mm::PagingFileInfo& file) { return file.used < file.maximum; };
  if (std::ranges::none_of(guest_.paging_files(), has_room) && guest_.tunables().compression_budget.is_zero()) return;
  guest_.balance_set_manager().trim(cpu, guest_.core().left_by_drivers() + count);
}

// The host is told before anybody can use the frames: MUST_TELL_HOST, whether it asked for that or not.
void BalloonDriver::deflate(Processor& cpu, PageCount count) {
  const std::span<const Pfn> last = std::span(frames_).last(count.value());
  const bool told = device_.deflate(cpu, last).has_value();
  guest_.driver_frames().free(last);
  frames_.resize(frames_.size() - count.value());
  counts_.deflated += count.value();
  if (!told) {
    die();
    return;
  }
  device_.set_actual(cpu, held());
}

bool BalloonDriver::release(Processor& cpu) {
  if (cpu.now() >= settings_.dies || cpu.now() >= settings_.sticks || frames_.empty()) return false;
  const PageCount count = std::min(held(), kRequest);
  deflate(cpu, count);
  counts_.deflated_on_oom += count.value();
  most_after_oom_ = held();
  return true;
}

void BalloonDriver::touch_all(Processor& cpu) {
  for (const Pfn frame : frames_) cpu.physical().store<std::uint64_t>(PhysicalAddress(frame), frame.value());
  counts_.touched += frames_.size();
}

// --- What the host is told ---

// Caches are left out: the manager does not tell standby pages of files from others.
void BalloonDriver::report_statistics(Processor& cpu) {
  const mm::Counters counters = guest_.counters();
  const mm::FrameCounts frames = guest_.frame_counts();
  const auto bytes = [](std::uint64_t pages) { return bytes_of(PageCount(pages)).value(); };
  const std::array statistics{
      balloon_statistic(BalloonTag::kSwapIn, bytes(counters.page_file_pages_read)),
      balloon_statistic(BalloonTag::kSwapOut, bytes(counters.page_file_pages_written)),
      balloon_statistic(BalloonTag::kMajorFaults, mm::hard_faults(counters.faults)),
      balloon_statistic(BalloonTag::kMinorFaults, mm::soft_faults(counters.faults)),
      balloon_statistic(BalloonTag::kFree, bytes_of(frames.free + frames.zeroed).value()),
      balloon_statistic(BalloonTag::kTotal, bytes_of(guest_.machine().frame_count() - held()).value()),
      balloon_statistic(BalloonTag::kAvailable, bytes_of(guest_.available()).value()),
      balloon_statistic(BalloonTag::kAllocationStall, counters.shortages)};
  if (!device_.report_statistics(cpu, statistics)) die();
}

void BalloonDriver::report_free(Processor& cpu) {
  // New pages come to the zeroed list by being zeroed: without any the walk would find what the last one found.
  const std::uint64_t zeroed = free_frames_->ever_zeroed();
  std::vector<PfnRange> blocks;
  if (zeroed != zeroed_at_report_) blocks = free_frames_->set_aside(settings_.report_reserve, Balloon::kMostBlocks);
  // A full report means that there may be more.
  if (blocks.size() < Balloon::kMostBlocks) {
    next_report_ = cpu.now() + settings_.report_period;
    zeroed_at_report_ = zeroed;
  }
  if (blocks.empty()) return;
  if (!device_.report_free(cpu, blocks)) {
    free_frames_->put_back(blocks, mm::HintedFrames::Hinted::kNo);
    die();
    return;
  }
  free_frames_->put_back(blocks, mm::HintedFrames::Hinted::kYes);
  for (const PfnRange& block : blocks) counts_.reported += block.count.value();
}

}  // namespace pagoda::guest
