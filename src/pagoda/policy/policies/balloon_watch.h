// Whether a balloon still does what it is asked: a guest never says that it gave up, so that `actual` must move.
//
//   moves ──(short of its target, and still for `patience`)──▶ dead ──(moves, or is at its target)──▶ moves
//
// Source: overcommit-facts.md 2 ("a controller must watch `actual` move"), virtualization.md 4.3 (Xen's squeezed leaves a
// domain without progress out of the sum after 5 s).
#pragma once

#include <optional>

#include "pagoda/policy/measure.h"

namespace pagoda::policy {

class BalloonWatch {
 public:
  // Looks at the balloon of this round.
  void look(const BalloonMeasure& balloon, Time now, Duration patience) {
    const bool has_moved = last_ && balloon.actual != *last_;
    moved_ = has_moved && balloon.actual > *last_ ? balloon.actual - *last_ : PageCount(0);
    last_ = balloon.actual;
    if (balloon.actual == balloon.target || has_moved || !waits_since_) {
      // Other orders meanwhile are no reason to wait anew.
      waits_since_ = balloon.actual == balloon.target ? std::nullopt : std::optional(now);
      is_dead_ = false;
    } else {
      is_dead_ = is_dead_ || now - *waits_since_ >= patience;
    }
  }
  [[nodiscard]] bool is_dead() const { return is_dead_; }
  // What it took since the round before.
  [[nodiscard]] PageCount moved() const { return moved_; }

 private:
  std::optional<PageCount> last_;
  PageCount moved_;
  std::optional<Time> waits_since_;  // Since it was asked, or moved last; nullopt: it is where it should be.
  bool is_dead_ = false;
};

}  // namespace pagoda::policy
