#include "pagoda/mm/backing/kept.h"

namespace pagoda::mm {

Result<> keep_resident(Core& core, Pfn table, PageCount pages) {
  const PageCount tables = core.pfns.tables_to_keep(table);
  const PageCount promised = !tables.is_zero() && core.pfns.holds_file_data(table) ? tables : 0_pages;
  PAGODA_TRY(core.resident.charge(pages + tables));
  if (const auto charged = core.commit.charge(promised); !charged) {
    core.resident.give_back(pages + tables);
    return charged;
  }
  core.pfns.keep_table(table);
  return {};
}

void drop_resident(Core& core, Pfn table, PageCount pages) {
  const PageCount tables = core.pfns.let_go_table(table);
  if (!tables.is_zero() && core.pfns.holds_file_data(table)) core.commit.give_back(tables);
  core.resident.give_back(pages + tables);
}

}  // namespace pagoda::mm
