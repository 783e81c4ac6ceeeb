// Chooses operations that make sense, most of the time, for the state that a model is in.
#pragma once

#include <array>
#include <vector>

#include "tests/support/mm_model.h"
#include "tests/support/mm_operations.h"

namespace pagoda::mm::testing {

class Chooser {
 public:
  Chooser(Random& random, const World& world, const std::vector<ModelSpace>& spaces)
      : random_(random), world_(world), spaces_(spaces) {}

  [[nodiscard]] Random& random() { return random_; }
  bool chance(double probability) { return random_.chance(probability); }
  std::uint64_t below(std::uint64_t end) { return random_.below(end); }
  template <class T, std::size_t kSize>
  T one_of(const std::array<T, kSize>& choices) {
    return choices[below(kSize)];
  }

  op::By by();
  // Somewhere in a region of the space, mostly; else in the window where programs live; now and then beyond all reason.
  op::Range range(const op::By& by);
  // The same for a new region.
  op::Range new_range();
  std::uint64_t address(const op::By& by) { return range(by).address; }
  Protection protection();
  op::Where where();
  // A word's. Pages of zeros are written, too.
  std::uint64_t value() { return chance(0.1) ? 0 : random_.next(); }
  unsigned section() { return static_cast<unsigned>(below(kSections)); }
  // Bytes of a section or a file.
  std::uint64_t file_size() { return below(kMostFilePages * kPageBytes); }

 private:
  static constexpr std::uint64_t kMostFilePages = 100;

  op::Range bytes_of_pages(Pages pages);

  Random& random_;
  const World& world_;
  const std::vector<ModelSpace>& spaces_;
};

}  // namespace pagoda::mm::testing
