// CT1 to CT5: the table of contents against the clone entries that it leads to, the spaces that share them, and the bytes.
#include <fmt/format.h>

#include "pagoda/mm/check/check_context.h"
#include "pagoda/mm/combine/combiner.h"

namespace pagoda::mm::checking {

namespace {

// The clone entry of a shared entry, and the contents that it has now.
void check_shared(Context& c, const Combiner& combiner, const ContentTable& table, std::uint32_t number)
    PAGODA_REQUIRES(c.core.pfns.lock) {
  const PrototypePool& pool = c.core.prototypes;
  const VirtualAddress prototype = table.prototype(number);
  const auto text = [&] { return fmt::format("shared entry {}, of clone {},", number, to_string(prototype)); };
  if (!pool.contains(prototype) || !pool.is_clone(prototype) || !pool.has_clone(prototype) ||
      pool.clone_references(prototype) == 0 || pool.clone_tag(prototype) != number) {
    c.find("CT2"_rule, text() + " leads to no clone entry that leads back");
    return;
  }
  const auto domain = combiner.domain(table.domain(number));
  const auto named_in = c.clone_domains.find(prototype);
  if (!domain || named_in == c.clone_domains.end() || named_in->second != *domain) {
    c.find("CT3"_rule, text() + " is of another domain than the spaces that share it");
    return;
  }
  const RawPte raw = c.core.load_prototype(c.cpu, prototype);
  if (!PteCodec::is_valid(raw) && !PteCodec::is_transition(raw)) return;
  const auto frame = c.frame_of(raw);
  if (!frame || c.entry(*frame).read_in_progress != 0) return;
  const machine::FrameView view = c.cpu.physical().bytes(*frame, machine::Access::kRead);
  if (!table.fits(number, table.key(view.bytes(), combiner.salt(*domain), pool.clone_protection(prototype))))
    c.find("CT4"_rule, fmt::format("{} has other contents, in {}", text(), c.text_of(*frame)));
}

}  // namespace

void check_combine(Context& c, const Combiner& combiner) {
  const ContentTable& table = combiner.table();
  bool sound = true;
  table.check_chains([&](const std::string& text) {
    sound = false;
    c.find("CT1"_rule, text);
  });
  if (!sound) return;  // Chains may lead anywhere.
  std::uint64_t references = 0;
  for (std::uint32_t number = 1; number < table.end(); ++number) {
    if (!table.is_used(number)) continue;
    if (!table.is_shared(number)) {
      const MemberNumber member = table.hint(number).member;
      if (combiner.member(member) == nullptr)
        c.find("CT5"_rule, fmt::format("entry {} is a hint of member {}, which there is not", number,
                                       static_cast<std::uint32_t>(member)));
      continue;
    }
    check_shared(c, combiner, table, number);
    const VirtualAddress prototype = table.prototype(number);
    if (c.core.prototypes.contains(prototype) && c.core.prototypes.has_clone(prototype))
      references += c.core.prototypes.clone_references(prototype);
  }
  if (references != c.core.prototypes.tagged_references()) {
    c.find("CT2"_rule, fmt::format("{} entries of page tables lead to shared entries; the pool counts {}", references,
                                   c.core.prototypes.tagged_references()));
  }
  for (const VirtualAddress clone : c.mixed_clones)
    c.find("CT3"_rule, fmt::format("clone {} is shared across domains", to_string(clone)));
}

void check_tag(Context& c, const Combiner& combiner, VirtualAddress clone) {
  const ContentTable& table = combiner.table();
  const std::uint32_t tag = table.shared_entry(clone);
  if (tag == ContentTable::kNone) return;
  if (tag >= table.end() || !table.is_used(tag) || !table.is_shared(tag) || table.prototype(tag) != clone)
    c.find("CT2"_rule,
           fmt::format("clone {} has the tag of entry {}, which does not lead there", to_string(clone), tag));
}

}  // namespace pagoda::mm::checking
