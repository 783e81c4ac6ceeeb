// CA1 to CA4, PP1 to PP4, PF4 of pages of prototype PTEs: segments and clones against the frames that they hold, the
// views that name them and the entries that point to them.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "pagoda/mm/check/check_context.h"
#include "pagoda/mm/region/large_pages.h"

namespace pagoda::mm::checking {

namespace {

// A prototype PTE, and whose it is.
struct Prototype {
  PhysicalAddress pte;
  VirtualAddress address;
  RawPte raw = 0;
  const ControlArea* area = nullptr;  // Null: a clone's.
  PageCount page;                     // In its segment.
};

std::string text_of(const Context& c, const Prototype& p) {
  return fmt::format("the prototype PTE {} at {} ({:#x}: {}) of {}", to_string(p.address), to_string(p.pte), p.raw,
                     c.core.codec.describe(p.raw, PteHome::kSegment),
                     p.area == nullptr ? "a clone" : fmt::format("control area {}", p.area->number()));
}

// What the frame that a valid or transition entry names has to say about it. Returns its protection.
std::optional<Protection> check_frame(Context& c, const Prototype& p) {
  const auto frame = c.frame_of(p.raw);
  if (!frame) {
    c.find("CA4"_rule, text_of(c, p) + " names a frame never used");
    return std::nullopt;
  }
  const PfnEntry& e = c.entry(*frame);
  FrameFacts& facts = c.facts(*frame);
  const bool valid = PteCodec::is_valid(p.raw);
  if (!valid) ++facts.transition;
  if (valid && p.area != nullptr && p.area->flags().large_pages) ++facts.valid;
  if (e.pte() == p.pte) (valid ? facts.owner_is_valid : facts.owner_is_transition) = true;
  const bool fits = valid ? e.state == PageState::kActive && e.page_table == 0
                          : (is_listed(e.state) || e.state == PageState::kTransition) && e.deleted == 0;
  if (!fits) c.find(valid ? "PF2"_rule : "PF5"_rule, fmt::format("{} names {}", text_of(c, p), c.text_of(*frame)));
  return c.core.codec.protection(e.original_pte, PteHome::kSegment);
}

void check_form(Context& c, const Prototype& p) {
  const PteCodec& codec = c.core.codec;
  const PteKind kind = codec.kind(p.raw, PteHome::kSegment);
  std::optional<Protection> protection;
  switch (kind) {
    case PteKind::kValid:
    case PteKind::kTransition:
      protection = check_frame(c, p);
      if (!protection) return;
      break;
    case PteKind::kPageFile:
      c.slots.push_back({codec.file(p.raw), codec.slot(p.raw), p.pte, kNoPfn});
      [[fallthrough]];
    case PteKind::kDemandZero:
    case PteKind::kSubsection:
      protection = codec.protection(p.raw, PteHome::kSegment);
      break;
    case PteKind::kZero:
      // A clone's unused entry, a page that a SEC_RESERVE segment has not committed, one behind the end of a segment,
      // or one of an image that no program may touch.
      if (p.area == nullptr || p.area->flags().reserve || p.page >= p.area->pages() ||
          p.area->subsection_of(p.page).protection == Protection::kNone)
        return;
      break;
    default:
      break;
  }
  if (!protection) {
    c.find("CA4"_rule, text_of(c, p) + " is in a form that no page takes");
    return;
  }
  if (p.area == nullptr) return;
  const bool from_file = kind == PteKind::kSubsection;
  if (p.page >= p.area->pages() || *protection != p.area->subsection_of(p.page).protection ||
      (from_file && p.raw != p.area->template_of(codec, p.page)) ||
      (p.area->kind() == SectionKind::kData && (kind == PteKind::kPageFile || kind == PteKind::kDemandZero))) {
    c.find("CA4"_rule, text_of(c, p) + " is not what its subsection's pages can be");
  }
}

// CA4 of a large-page segment: the entries of one large page, which fill a page, name frames in a row.
void check_large(Context& c, const Prototype& p) {
  const std::uint64_t count = pages_of(large_page_size(c.core.mode)).value();
  const std::uint64_t offset = p.page.value() % count;
  const RawPte first = c.core.load(c.cpu, PhysicalAddress(p.pte.pfn()));
  if (!PteCodec::is_valid(p.raw) || !PteCodec::is_valid(first) || c.core.codec.frame(first).value() % count != 0 ||
      c.core.codec.frame(p.raw) != c.core.codec.frame(first) + PageCount(offset)) {
    c.find("CA4"_rule, text_of(c, p) + " is not where its large page has it");
  }
}

std::uint32_t names_of_clone(const Context& c, VirtualAddress address) {
  const auto [first, last] = std::ranges::equal_range(c.clone_names, address);
  return static_cast<std::uint32_t>(last - first);
}

struct SegmentFacts {
  PageCount resident;
  PageCount committed;  // Entries that are not zero.
};
using Segments = std::map<const ControlArea*, SegmentFacts>;

void check_page(Context& c, Pfn frame, Segments& segments) PAGODA_REQUIRES(c.core.pfns.lock) {
  const PfnEntry& e = c.entry(frame);
  const PhysicalAddress first(frame);
  const PrototypePool& pool = c.core.prototypes;
  const VirtualAddress address = pool.address_of(first);
  const bool clone = pool.is_clone(first);
  if (!pool.contains(address) || pool.find(address) != first || (clone && !pool.has_clone(first))) {
    c.find("PP1"_rule, fmt::format("{} holds prototype PTEs of {}, which the pool has elsewhere", c.text_of(frame),
                                   to_string(address)));
    return;
  }
  const ControlArea* const area = clone ? nullptr : control_area_of(pool, first);
  const auto in_run = [&](const ControlArea::Run& run) {
    return address >= run.prototypes && address < run.prototypes + bytes_of(pool.pages_for(run.pages));
  };
  if (!clone && (area == nullptr || std::ranges::none_of(area->runs(), in_run))) {
    c.find("PP2"_rule, fmt::format("{} holds prototype PTEs of {}, which is in no run of its control area",
                                   c.text_of(frame), to_string(address)));
    return;
  }
  const std::uint64_t width = c.core.mode.entry_bytes;
  std::uint32_t counted = 0;
  for (std::uint64_t offset = 0; offset < kPageBytes; offset += width) {
    Prototype p{.pte = first + ByteCount(offset), .address = address + ByteCount(offset), .area = area};
    p.raw = c.core.load(c.cpu, p.pte);
    if (area != nullptr) p.page = area->page_of(c.core.codec, p.address);
    check_form(c, p);
    if (area != nullptr && area->flags().large_pages) {
      check_large(c, p);
      if (PteCodec::is_valid(p.raw)) ++c.resident;
      if (PteCodec::is_valid(p.raw) && offset == 0) c.keep(frame);
    }
    if (PteCodec::is_valid(p.raw) || PteCodec::is_transition(p.raw)) ++counted;
    if (area != nullptr && p.raw != 0) ++segments[area].committed;
    if (clone) {
      const std::uint32_t names = names_of_clone(c, p.address);
      const std::uint32_t references = pool.clone_references(p.address);
      if (references != names || (p.raw != 0) != (names > 0))
        c.find("PP3"_rule,
               fmt::format("{} counts {} references; {} entries name it", text_of(c, p), references, names));
    }
  }
  if (area != nullptr) segments[area].resident += PageCount(counted);
  if (e.share_count != counted + 1)
    c.find("PF4"_rule, fmt::format("{} has {} valid and transition prototype PTEs", c.text_of(frame), counted));
  if (counted == 0 && area != nullptr && area->kind() == SectionKind::kData)
    c.find("PP2"_rule, fmt::format("{} holds prototype PTEs of a file and none is resident", c.text_of(frame)));
}

void check_area(Context& c, const ControlArea& area, const SegmentFacts& facts, std::uint32_t sections)
    PAGODA_REQUIRES(c.core.pfns.lock) {
  const auto text = [&] { return fmt::format("control area {}", area.number()); };
  if (area.resident != facts.resident) {
    c.find("CA1"_rule, fmt::format("{} counts {} of its pages in memory; its prototype PTEs {}", text(),
                                   area.resident.value(), facts.resident.value()));
  }
  if (area.flags().large_pages && facts.resident != area.pages()) {
    c.find("CA4"_rule, fmt::format("{} has large pages and {} of {} pages in memory", text(), facts.resident.value(),
                                   area.pages().value()));
  }
  const auto views = c.views.find(&area);
  const std::uint32_t seen = views == c.views.end() ? 0 : views->second;
  if (area.mapped_views != seen || area.section_references != sections) {
    c.find("CA2"_rule, fmt::format("{} counts {} views and {} sections; there are {} and {}", text(), area.mapped_views,
                                   area.section_references, seen, sections));
  }
  PageCount charge;
  if (area.kind() != SectionKind::kData) {
    for (const ControlArea::Run& run : area.runs()) charge += c.core.prototypes.pages_for(run.pages);
  }
  if (area.kind() == SectionKind::kPagingFile) charge += area.flags().reserve ? facts.committed : area.pages();
  if (area.kind() == SectionKind::kImage) {
    for (const auto& subsection : area.subsections())
      if (is_writable(subsection->protection)) charge += subsection->pages;
  }
  if (area.charge != charge || (area.flags().reserve && area.committed != facts.committed)) {
    c.find("CA3"_rule, fmt::format("{} is charged {}; its pages and their prototype PTEs are {}", text(),
                                   to_string(area.charge), to_string(charge)));
  }
  c.charge += area.charge;
}

}  // namespace

void check_sections(Context& c, Sections& sections) {
  std::map<const ControlArea*, std::uint32_t> references;
  for (const auto& section : sections.sections()) ++references[&section->control_area()];
  const LockGuard guard(c.core.pfns.lock);
  std::ranges::sort(c.clone_names);
  Segments segments;
  for (std::uint32_t number = 1; number < c.frames.size(); ++number) {
    const PfnEntry& e = c.entry(Pfn(number));
    if (e.page_table == 0 || e.prototype_pte == 0) continue;
    ++c.prototype_pages;
    check_page(c, Pfn(number), segments);
  }
  if (PageCount(c.prototype_pages) != c.core.prototypes.pages()) {
    c.find("PP1"_rule, fmt::format("{} frames hold prototype PTEs; the pool counts {}", c.prototype_pages,
                                   c.core.prototypes.pages().value()));
  }
  for (const VirtualAddress name : c.clone_names) {
    const PrototypePool& pool = c.core.prototypes;
    const PhysicalAddress pte = pool.contains(name) ? pool.find(name) : PrototypePool::kNone;
    if (pte == PrototypePool::kNone || !c.core.prototypes.is_clone(pte))
      c.find("PP3"_rule, fmt::format("an entry names the clone {}, which there is not", to_string(name)));
  }
  c.core.prototypes.check_clones([&](const std::string& text) { c.find("PP4"_rule, text); });
  std::set<const ControlArea*> known;
  for (const auto& area : sections.areas()) {
    known.insert(area.get());
    check_area(c, *area, segments[area.get()], references[area.get()]);
  }
  for (const auto& [area, count] : c.views) {
    if (!known.contains(area)) c.find("CA2"_rule, fmt::format("{} views name a control area that there is not", count));
  }
  c.charge += c.core.prototypes.clone_pages();
}

}  // namespace pagoda::mm::checking
