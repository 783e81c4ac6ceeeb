// Tables that must stay in memory because something below them must (backing/kept.h charges them).
#include "pagoda/mm/pfn/pfn_database.h"

namespace pagoda::mm {

bool PfnDatabase::always_stays(Pfn table) const {
  if (entry(table).prototype_pte != 0) return false;
  const Pfn parent = entry(table).containing_page();
  if (parent == table) return true;
  return codec_.mode().format == machine::PteFormat::kPae && entry(parent).containing_page() == parent;
}

PageCount PfnDatabase::tables_to_keep(Pfn table) const {
  PageCount tables;
  while (!always_stays(table) && entry(table).kept_entries == 0) {
    ++tables;
    if (entry(table).prototype_pte != 0) break;
    table = entry(table).containing_page();
  }
  return tables;
}

void PfnDatabase::keep_table(Pfn table, KeptCharge charge) {
  while (!always_stays(table)) {
    PfnEntry& e = writable(table);
    PAGODA_CHECK(e.page_table);
    if (e.kept_entries++ > 0) return;
    e.kept_charge = charge == KeptCharge::kCommit ? 1 : 0;
    if (e.prototype_pte) return;
    table = e.containing_page();
  }
}

PfnDatabase::LetGo PfnDatabase::let_go_table(Pfn table) {
  LetGo gone;
  while (!always_stays(table)) {
    PfnEntry& e = writable(table);
    PAGODA_CHECK(e.page_table && e.kept_entries > 0);
    if (--e.kept_entries > 0) break;
    ++gone.tables;
    if (e.kept_charge) ++gone.charged;
    e.kept_charge = 0;
    if (e.prototype_pte) break;
    table = e.containing_page();
  }
  return gone;
}

}  // namespace pagoda::mm
