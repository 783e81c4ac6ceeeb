#include "pagoda/mm/combine/scan_order.h"

#include <array>
#include <numeric>

namespace pagoda::mm {

namespace {

// One slot in so many is visited, by level.
constexpr std::array<std::uint32_t, 3> kStepOfLevel{16, 4, 1};
constexpr std::uint8_t kHighest = 2;
constexpr std::uint8_t kVisitsOfPart = 2;

}  // namespace

void ScanOrder::Walk::begin(std::uint32_t size, Random& random) {
  size_ = left_ = size;
  at_ = static_cast<std::uint32_t>(random.below(size));
  do stride_ = 1 + static_cast<std::uint32_t>(random.below(size));
  while (std::gcd(stride_, size) != 1);
}

std::uint32_t ScanOrder::Walk::next() {
  --left_;
  return at_ = static_cast<std::uint32_t>((std::uint64_t{at_} + stride_) % size_);
}

ScanOrder::Step ScanOrder::next_at_random(std::uint32_t slots, Random& random) {
  const bool begins = walk_.is_done();
  if (begins) walk_.begin(slots, random);  // What comes beyond waits for the next pass.
  return {walk_.next(), begins};
}

void ScanOrder::end_visit(Region& region) {
  region.balance = region.balance / 4 + region.lasted;
  region.lasted = 0;
  ++region.turn;
  if (region.balance > 0) {
    region.level = kHighest;
  } else if (region.level > 0 && (region.balance < 0 || region.shared == 0)) {
    --region.level;
  }
}

ScanOrder::Step ScanOrder::next_by_yield(std::uint32_t slots, Random& random) {
  bool begins = false;
  for (;;) {
    if (step_ != 0 && !is_visit_over(slots)) {
      const std::uint32_t slot = at_;
      at_ += step_;
      return {slot, begins};
    }
    if (step_ != 0) end_visit(regions_[region_]);
    if (walk_.is_done()) {
      begins = true;
      regions_.resize((slots + kSlotsOfRegion - 1) / kSlotsOfRegion);
      walk_.begin(static_cast<std::uint32_t>(regions_.size()), random);
    }
    region_ = walk_.next();
    step_ = kStepOfLevel[regions_[region_].level];
    at_ = region_ * kSlotsOfRegion + regions_[region_].turn / kVisitsOfPart % step_;
  }
}

void ScanOrder::note(std::uint32_t slot, bool is_shared) {
  if (slot / kSlotsOfRegion >= regions_.size()) return;  // At random, or since this round began.
  Region& region = regions_[slot / kSlotsOfRegion];
  const std::uint64_t bit = std::uint64_t{1} << slot % kSlotsOfRegion;
  if ((region.shared & bit) != 0) region.lasted += is_shared ? 1 : -1;
  region.shared = is_shared ? region.shared | bit : region.shared & ~bit;
}

}  // namespace pagoda::mm
