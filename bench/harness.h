// How figures are taken: contestants take turns round by round (A B A B ...), so that whatever else the machine does
// hits both, and medians are compared.
//
// Time is the CPU time of the calling thread: everything measured here is work of one thread, in user space or in the
// kernel on its behalf, and waiting for a processor that others use is not part of it. The thread stays on one
// processor meanwhile.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "bench/command.h"
#include "pagoda/base/status.h"

namespace pagoda::bench {

// Measures a part of a round: what lies between start and stop.
class Stopwatch {
 public:
  void start() { started_ = now(); }
  void stop() { seconds_ += now() - started_; }
  [[nodiscard]] double nanoseconds_per(std::size_t operations) const {
    return seconds_ * 1e9 / static_cast<double>(operations);
  }

 private:
  static double now();

  double started_ = 0;
  double seconds_ = 0;
};

// One round of one contestant: prepares, measures, cleans up, and says nanoseconds for one operation.
using Round = std::function<double()>;

struct Figure {
  double median = 0;
  double spread = 0;  // Half of the distance between the quartiles, as part of the median.
};
struct Figures {
  std::vector<Figure> of;  // In the order of the contestants.
  std::size_t rounds = 0;
};

// Warm-up rounds, then at least 7 rounds of each contestant, more until the medians are firm (2 %) or the time is up.
Figures take_turns(const std::vector<Round>& contestants);

// Rows made of figures. Costs: less is better.
BenchRow cost_row(std::string name, double ours, double peer, std::string peer_name, const Figures& figures);

// For what cannot fail unless the machine is too small for the benchmark.
[[noreturn]] void give_up(const char* what, Status status);
template <class T>
T must(Result<T> result, const char* what) {
  if (!result) give_up(what, result.error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace pagoda::bench
