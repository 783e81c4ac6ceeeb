// Any page that is not locked, whatever its use and age.
#include "pagoda/mm/ws/replacement_policy.h"

namespace pagoda::mm {

namespace {

class RandomVictim final : public ReplacementPolicy {
 public:
  std::uint32_t replace(WorkingSet& ws, Uses& /*uses*/) const override { return ws.random_victim(); }
  std::uint32_t trim(WorkingSet& ws, Uses& /*uses*/, Pass& /*pass*/) const override { return ws.random_victim(); }
  [[nodiscard]] unsigned oldest(const WorkingSet& /*ws*/) const override { return Wsle::kOldest; }
};

}  // namespace

const ReplacementPolicy& random_victim_policy() {
  static const RandomVictim policy;
  return policy;
}

}  // namespace pagoda::mm
