// RA1, RA2: the account of what must stay in memory, against what the walks found: frames, locks and spaces.
#include <fmt/format.h>

#include "pagoda/mm/check/check_context.h"

namespace pagoda::mm::checking {

// Tables above one that is kept are kept too, but for those that stay anyway: the root, and PAE's directories. No table is
// believed to lead further up than the paging mode goes.
void Context::keep(Pfn table) {
  for (unsigned level = 0; level < machine::kMaxPagingLevels && is_used(table); ++level) {
    const bool holds_prototypes = entry(table).prototype_pte != 0;
    const Pfn parent = entry(table).containing_page();
    if (!holds_prototypes) {
      if (parent == table || !is_used(parent)) return;
      if (core.mode.format == machine::PteFormat::kPae && entry(parent).containing_page() == parent) return;
    }
    if (facts(table).kept++ > 0) return;
    ++resident;
    if (holds_prototypes) return;
    table = parent;
  }
}

void check_resident(Context& c) {
  c.resident += c.core.driver_frames.count_locked();
  for (std::uint32_t number = 1; number < c.frames.size(); ++number) {
    const PfnEntry& e = c.entry(Pfn(number));
    if (e.state != PageState::kActive || e.page_table == 0) continue;
    // A page of prototype PTEs of which none is resident has its place there.
    const std::uint32_t counted = e.prototype_pte != 0 && e.share_count == 1 ? 0 : e.kept_entries;
    if (e.kept_charge != 0) ++c.charge;
    const bool is_charge_right =
        e.kept_charge != 0 ? counted > 0 : counted == 0 || !c.core.pfns.holds_file_data(Pfn(number));
    if (counted == c.facts(Pfn(number)).kept && is_charge_right) continue;
    c.find("RA2"_rule,
           fmt::format("{} counts {} entries that keep it in memory and is {}charged for it; there are {}",
                       c.text_of(Pfn(number)), counted, e.kept_charge != 0 ? "" : "not ", c.facts(Pfn(number)).kept));
  }
  const ResidentLedger& ledger = c.core.resident;
  if (ledger.charged() != c.resident || ledger.peak() < ledger.charged()) {
    c.find("RA1"_rule, fmt::format("{} are charged as resident, {} at most so far; {} must stay in memory",
                                   to_string(ledger.charged()), to_string(ledger.peak()), to_string(c.resident)));
  }
  const PageCount kept = c.core.tunables.commit_reserve + kFaultReserve;
  const PageCount limit = c.core.pfns.frames() > kept ? c.core.pfns.frames() - kept : 0_pages;
  if (ledger.limit() != limit || ledger.charged() > limit) {
    c.find("RA1"_rule, fmt::format("{} of {} are charged as resident; {} may be", to_string(ledger.charged()),
                                   to_string(ledger.limit()), to_string(limit)));
  }
}

}  // namespace pagoda::mm::checking
