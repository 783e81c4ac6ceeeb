#include "pagoda/sim/demand_program.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "pagoda/base/random.h"
#include "pagoda/base/status.h"

namespace pagoda::sim {

namespace {

// A time in which the program touches a number of pages: a period, or what a step has left of one.
struct Round {
  Duration at;
  Duration length;
  std::uint64_t swept = 0;    // Pages of which each is touched once.
  std::uint64_t touches = 0;  // Those included.
};

std::uint64_t part_of(std::uint64_t count, Duration part, Duration whole) {
  return static_cast<std::uint64_t>(static_cast<unsigned __int128>(count) * part.value() / whole.value());
}

class DemandProgram : public Program {
 public:
  DemandProgram(const DemandConfig& config, std::uint64_t seed)
      : config_(config), random_(seed), pages_{{Vpn(0), config.curve.most_used()}} {
    PageCount used;
    for (std::size_t i = 0; i < steps().size(); ++i) {
      const DemandStep& step = steps()[i];
      length_ += std::max(step.used, used).value() - std::min(step.used, used).value();
      used = step.used;
      for (Duration at = step.at; at < end_of(i); at += config_.period) length_ += round_at(i, at).touches;
    }
  }

  [[nodiscard]] std::string describe() const override {
    return fmt::format("demand up to {}{}", to_string(bytes_of(pages_.front().count)),
                       config_.file.empty() ? "" : " of " + config_.file);
  }
  [[nodiscard]] const std::vector<VpnRange>& pages() const override { return pages_; }
  [[nodiscard]] std::uint64_t length() const override { return length_; }

  Input<std::size_t> next(std::span<Operation> operations) override {
    std::size_t count = 0;
    while (count < operations.size() && step_ < steps().size()) {
      if (resize(operations[count]) || touch(operations[count])) ++count;
    }
    return count;
  }

 private:
  [[nodiscard]] const std::vector<DemandStep>& steps() const { return config_.curve.steps; }
  [[nodiscard]] Duration end_of(std::size_t step) const {
    return step + 1 < steps().size() ? steps()[step + 1].at : config_.curve.length;
  }
  [[nodiscard]] Round round_at(std::size_t step, Duration at) const {
    Round round{.at = at, .length = std::min(config_.period, end_of(step) - at)};
    const std::uint64_t active = steps()[step].active.value();
    const auto touches = static_cast<std::uint64_t>(std::llround(static_cast<double>(active) * config_.intensity));
    round.swept = part_of(active, round.length, config_.period);
    round.touches = std::max(part_of(touches, round.length, config_.period), round.swept);
    return round;
  }

  // The next page that the step brings or takes away. False: there is none.
  bool resize(Operation& operation) {
    const DemandStep& step = steps()[step_];
    if (used_ == step.used) return false;
    operation = {.references = config_.references, .at = step.at};
    if (used_ < step.used) {
      operation.access = kTraceWrite;
      operation.page = static_cast<std::uint32_t>(used_.value());
      ++used_;
    } else {
      --used_;
      operation.kind = Operation::Kind::kFree;
      operation.page = static_cast<std::uint32_t>(used_.value());
    }
    return true;
  }

  // The next touch of the step's rounds. False: there is none any more, and another round or step has begun.
  bool touch(Operation& operation) {
    if (touched_ == round_.touches) {
      begin_next_round();
      return false;
    }
    // Sweeps and other touches are mixed, each kind to its end.
    const bool sweeps = random_.below(round_.touches - touched_) < round_.swept - swept_;
    operation = {.page = static_cast<std::uint32_t>(sweeps ? next_of_sweep() : popular_page()),
                 .access = random_.chance(config_.writes) ? kTraceWrite : kTraceRead,
                 .references = config_.references,
                 .at = round_.at + Duration(part_of(touched_, round_.length, Duration(round_.touches)))};
    ++touched_;
    return true;
  }

  void begin_next_round() {
    const Duration at = is_in_step_ ? round_.at + round_.length : steps()[step_].at;
    if (at >= end_of(step_)) {
      is_in_step_ = false;
      round_ = {};
      ++step_;
    } else {
      is_in_step_ = true;
      round_ = round_at(step_, at);
    }
    touched_ = 0;
    swept_ = 0;
    if (step_ < steps().size() && sweep_pages_ != steps()[step_].active.value()) begin_sweep();
  }

  // Every page once, then again, in an order that a stride makes: prime to the number of pages, it comes to each.
  void begin_sweep() {
    sweep_pages_ = steps()[step_].active.value();
    if (sweep_pages_ == 0) return;
    sweep_at_ = random_.below(sweep_pages_);
    do {
      stride_ = 1 + random_.below(sweep_pages_);
    } while (std::gcd(stride_, sweep_pages_) != 1);
  }
  std::uint64_t next_of_sweep() {
    ++swept_;
    return sweep_at_ = (sweep_at_ + stride_) % sweep_pages_;
  }
  // By the inverse of the distribution's continuous form, (n/pages)^(1-theta).
  std::uint64_t popular_page() {
    const auto active = static_cast<double>(sweep_pages_);
    return std::min(static_cast<std::uint64_t>(active * std::pow(random_.unit(), 1 / (1 - config_.theta))),
                    sweep_pages_ - 1);
  }

  const DemandConfig config_;
  Random random_;
  std::vector<VpnRange> pages_;
  std::uint64_t length_ = 0;

  std::size_t step_ = 0;
  PageCount used_;
  bool is_in_step_ = false;  // A round of the step has begun.
  Round round_;
  std::uint64_t touched_ = 0;  // In the round,
  std::uint64_t swept_ = 0;    // of these, once each.
  std::uint64_t sweep_pages_ = 0;
  std::uint64_t sweep_at_ = 0;
  std::uint64_t stride_ = 1;
};

}  // namespace

std::unique_ptr<Program> make_demand_program(const DemandConfig& config, std::uint64_t seed) {
  return std::make_unique<DemandProgram>(config, seed);
}

}  // namespace pagoda::sim
