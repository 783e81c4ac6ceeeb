// [memory_manager].
#include <fmt/format.h>

#include "pagoda/mm/backing/transfers.h"
#include "pagoda/sim/scenario/names.h"
#include "pagoda/sim/scenario/sections.h"

namespace pagoda::sim {

namespace {

// Shorter, and the balance set manager would do nothing but look.
constexpr Duration kBalancePeriodLeast = 100_us;

}  // namespace

void read_memory_manager(TomlTable& t, SystemDraft& draft) {
  mm::Tunables& tunables = *draft.system.manager.tunables;
  tunables.read_cluster =
      static_cast<unsigned>(t.number("read_cluster", tunables.read_cluster, 1, mm::kMaxTransferPages));
  tunables.write_cluster =
      static_cast<unsigned>(t.number("write_cluster", tunables.write_cluster, 1, mm::kMaxTransferPages));
  tunables.minimum_free = t.pages("minimum_free", tunables.minimum_free);
  tunables.plenty_free = t.pages("plenty_free", tunables.plenty_free);
  tunables.modified_maximum = t.pages("modified_maximum", tunables.modified_maximum);
  tunables.commit_reserve = t.pages("commit_reserve", tunables.commit_reserve);
  tunables.balance_period = t.duration("balance_period", tunables.balance_period, kBalancePeriodLeast);
  tunables.find_zero_pages = t.flag("find_zero_pages", tunables.find_zero_pages);
  tunables.compression_budget = t.pages("compression_store", tunables.compression_budget);
  tunables.victim = t.choice("victims", kVictimNames, tunables.victim);
  if (tunables.compression_budget >= draft.memory / 2) t.wrong("compression_store", "must be below half of the memory");
  if (tunables.plenty_free < tunables.minimum_free) t.wrong("plenty_free", "is below minimum_free");
  if (tunables.minimum_free < mm::kFaultReserve)
    t.wrong("minimum_free", fmt::format("must be at least {}", to_string(bytes_of(mm::kFaultReserve))));
  if (tunables.plenty_free >= draft.memory / 2) t.wrong("plenty_free", "must be below half of the memory");
  if (tunables.commit_reserve >= draft.memory) t.wrong("commit_reserve", "must be below the memory");
}

}  // namespace pagoda::sim
