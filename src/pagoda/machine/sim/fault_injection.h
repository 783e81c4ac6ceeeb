// Disk errors on purpose: the nth operation, or a share of all, chosen by the seed.
#pragma once

#include <cstdint>
#include <optional>

#include "pagoda/base/random.h"

namespace pagoda::machine {

class FaultInjection {
 public:
  // Operations count from 1, reads and writes together. Each fails at most once by number.
  std::optional<std::uint64_t> fail_operation;
  double read_error_rate = 0;  // 0 to 1.
  double write_error_rate = 0;

  explicit FaultInjection(std::uint64_t seed = 0) : random_(seed) {}

  enum class Direction : std::uint8_t { kRead, kWrite };
  // Whether the next operation fails. To be asked once for each.
  bool next_fails(Direction direction) {
    ++operations_;
    if (fail_operation == operations_) return true;
    const double rate = direction == Direction::kRead ? read_error_rate : write_error_rate;
    return rate > 0 && random_.chance(rate);
  }
  [[nodiscard]] std::uint64_t operations() const { return operations_; }

 private:
  Random random_;
  std::uint64_t operations_ = 0;
};

}  // namespace pagoda::machine
