// How ksmtuned, MOM and KubeVirt drive KSM: faster while the host is short, slower while it is not.
// Source: reference/virtualization.md 6.1 (ksmtuned), 7.2 (MOM); overcommit-facts.md 5.1 (KubeVirt).
#pragma once

#include <algorithm>
#include <cstdint>

#include "pagoda/policy/decision.h"
#include "pagoda/policy/pages.h"

namespace pagoda::policy {

inline constexpr std::uint64_t kKsmBoost = 300;  // Pages a wake.
inline constexpr std::uint64_t kKsmDecay = 50;
inline constexpr std::uint64_t kKsmLeast = 64;
inline constexpr std::uint64_t kKsmMost = 1250;

// MOM's: it stops when the host is no longer short.
class KsmRate {
 public:
  void step(bool is_short) {
    is_on_ = is_short;
    pages_ = std::clamp(is_short ? pages_ + kKsmBoost : excess(PageCount(pages_), PageCount(kKsmDecay)).value(),
                        kKsmLeast, kKsmMost);
  }
  // 10 ms for a host of 16 GiB, less in proportion on a larger one.
  [[nodiscard]] ScanRate rate(PageCount host) const {
    const double sleep_ms = 10 * real(pages_of(16_GiB)) / std::max(1.0, real(host));
    return {.pages_a_wake = PageCount(is_on_ ? pages_ : 0),
            .sleep = Duration(static_cast<std::uint64_t>(sleep_ms * 1e6))};
  }

 private:
  std::uint64_t pages_ = kKsmLeast;
  bool is_on_ = false;
};

}  // namespace pagoda::policy
