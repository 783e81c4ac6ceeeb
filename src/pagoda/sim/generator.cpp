#include "pagoda/sim/generator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "pagoda/base/random.h"

namespace pagoda::sim {

namespace {

// What all kinds share; a kind says which page comes next.
class Generator : public Program {
 public:
  Generator(const GeneratorConfig& config, std::uint64_t seed)
      : config_(config), random_(seed), pages_{{Vpn(0), config.memory}} {}

  [[nodiscard]] const std::vector<VpnRange>& pages() const override { return pages_; }
  [[nodiscard]] std::uint64_t length() const override { return config_.operations; }

  Input<std::size_t> next(std::span<Operation> operations) override {
    const auto count = std::min<std::uint64_t>(operations.size(), config_.operations - done_);
    for (Operation& operation : operations.first(count)) {
      operation.page = static_cast<std::uint32_t>(next_page());
      operation.access = random_.chance(config_.writes) ? kTraceWrite : kTraceRead;
      operation.references = config_.references;
      ++done_;
    }
    return count;
  }

 protected:
  virtual std::uint64_t next_page() = 0;
  [[nodiscard]] std::string over_memory() const { return " over " + to_string(bytes_of(config_.memory)); }

  const GeneratorConfig config_;
  Random random_;
  std::uint64_t done_ = 0;

 private:
  std::vector<VpnRange> pages_;
};

class Sequential : public Generator {
 public:
  using Generator::Generator;
  [[nodiscard]] std::string describe() const override { return "sequential" + over_memory(); }

 private:
  std::uint64_t next_page() override { return done_ % config_.memory.value(); }
};

class Uniform : public Generator {
 public:
  using Generator::Generator;
  [[nodiscard]] std::string describe() const override { return "uniform" + over_memory(); }

 private:
  std::uint64_t next_page() override { return random_.below(config_.memory.value()); }
};

class Zipf : public Generator {
 public:
  using Generator::Generator;
  [[nodiscard]] std::string describe() const override { return fmt::format("zipf {}{}", config_.theta, over_memory()); }

 private:
  std::uint64_t next_page() override {
    if (cumulative_.empty()) rank_pages();
    const auto rank = std::ranges::lower_bound(cumulative_, random_.unit() * cumulative_.back()) - cumulative_.begin();
    return page_of_rank_[static_cast<std::size_t>(rank)];
  }

  // At its first page: the host may not let it begin at all, and the ranks of a large memory take some themselves.
  void rank_pages() {
    page_of_rank_.resize(config_.memory.value());
    std::iota(page_of_rank_.begin(), page_of_rank_.end(), 0U);
    for (std::size_t i = page_of_rank_.size(); i > 1; --i)
      std::swap(page_of_rank_[i - 1], page_of_rank_[random_.below(i)]);
    double sum = 0;
    cumulative_.reserve(page_of_rank_.size());
    for (std::size_t rank = 1; rank <= page_of_rank_.size(); ++rank)
      cumulative_.push_back(sum += std::pow(static_cast<double>(rank), -config_.theta));
  }

  std::vector<double> cumulative_;  // Up to and with each rank.
  std::vector<std::uint32_t> page_of_rank_;
};

class Phases : public Generator {
 public:
  using Generator::Generator;
  [[nodiscard]] std::string describe() const override {
    return fmt::format("phases of {}{}", to_string(bytes_of(config_.window)), over_memory());
  }

 private:
  std::uint64_t next_page() override {
    const std::uint64_t start = done_ / config_.phase_operations * config_.window.value();
    return (start + random_.below(config_.window.value())) % config_.memory.value();
  }
};

}  // namespace

std::unique_ptr<Program> make_generator(const GeneratorConfig& config, std::uint64_t seed) {
  switch (config.kind) {
    case GeneratorConfig::Kind::kSequential:
      return std::make_unique<Sequential>(config, seed);
    case GeneratorConfig::Kind::kUniform:
      return std::make_unique<Uniform>(config, seed);
    case GeneratorConfig::Kind::kZipf:
      return std::make_unique<Zipf>(config, seed);
    case GeneratorConfig::Kind::kPhases:
      return std::make_unique<Phases>(config, seed);
  }
  return nullptr;
}

}  // namespace pagoda::sim
