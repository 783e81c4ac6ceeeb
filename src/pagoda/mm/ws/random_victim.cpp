// Any page that is not locked, whatever its use and age.
#include "pagoda/mm/ws/replacement_policy.h"

namespace pagoda::mm {

namespace {

class RandomVictim final : public ReplacementPolicy {
 public:
  std::uint32_t replace(WorkingSet& ws, Uses& /*uses*/) const override { return ws.random_victim(); }
  std::uint32_t trim(WorkingSet& ws, Uses& /*uses*/, unsigned /*age*/, std::uint32_t& /*unseen*/) const override {
    return ws.random_victim();
  }
};

}  // namespace

const ReplacementPolicy& random_victim_policy() {
  static const RandomVictim policy;
  return policy;
}

}  // namespace pagoda::mm
