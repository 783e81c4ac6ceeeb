#include "pagoda/mm/backing/kept.h"

namespace pagoda::mm {

using KeptCharge = PfnDatabase::KeptCharge;

Result<> keep_resident(Core& core, Pfn table, PageCount pages, TablePromise promise) {
  const PageCount tables = core.pfns.tables_to_keep(table);
  const bool is_promised = promise == TablePromise::kByRegion && !core.pfns.holds_file_data(table);
  PAGODA_TRY(core.resident.charge(pages + tables));
  if (const auto charged = core.commit.charge(is_promised ? 0_pages : tables); !charged) {
    core.resident.give_back(pages + tables);
    return charged;
  }
  core.pfns.keep_table(table, is_promised ? KeptCharge::kNone : KeptCharge::kCommit);
  return {};
}

void drop_resident(Core& core, Pfn table, PageCount pages) {
  const auto [tables, charged] = core.pfns.let_go_table(table);
  core.commit.give_back(charged);
  core.resident.give_back(pages + tables);
}

}  // namespace pagoda::mm
