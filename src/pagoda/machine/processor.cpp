#include "pagoda/machine/processor.h"

namespace pagoda::machine {

void Processor::advance_to(Time time) {
  PAGODA_DCHECK_NE(time, kNever);
  cycles_ = std::max(cycles_, cycles_at(time));
}

void Processor::resume_at(Time time) {
  PAGODA_DCHECK_NE(time, kNever);
  cycles_ = cycles_at(time);
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
