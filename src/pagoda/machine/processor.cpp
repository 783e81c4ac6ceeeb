#include "pagoda/machine/processor.h"

namespace pagoda::machine {

void Processor::advance_to(Time time) {
  PAGODA_DCHECK_NE(time, kNever);
  // The first cycle at which now() >= time.
  const std::uint64_t cycles =
      time.value() / 1000 * cycles_per_us_ + (time.value() % 1000 * cycles_per_us_ + 999) / 1000;
  cycles_ = std::max(cycles_, cycles);
}

void Processor::wait_until(Time time) {
  if (time <= now()) return;
  if (waiting_ == Waiting::kYields) {
    blocked_until_ = std::max(blocked_until_, time);
  } else {
    waited_ += time - now();
    advance_to(time);
  }
}

}  // namespace pagoda::machine
