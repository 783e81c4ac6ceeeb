// CA1 to CA4, PP1 to PP5, PF4 of pages of prototype PTEs: segments and clones against the frames that they hold, the
// views that name them and the entries that point to them.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <span>

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
  PageCount uncommitted;  // Entries of a SEC_RESERVE segment that are not zero, and should be.
};
using Segments = std::map<const ControlArea*, SegmentFacts>;

bool is_in_run(const PrototypePool& pool, const ControlArea& area, VirtualAddress address) {
  return std::ranges::any_of(area.runs(), [&](const ControlArea::Run& run) {
    return address >= run.prototypes && address < run.prototypes + bytes_of(pool.pages_for(run.pages));
  });
}

// The entries of a page of the pool, whose bytes are at `base`, or out: PageTables::kNone. Returns how many are
// resident. `given_up`: references may be fewer than entries.
std::uint32_t check_prototypes(Context& c, std::span<const std::byte, kPageBytes> bytes, PhysicalAddress base,
                               VirtualAddress address, const ControlArea* area, bool given_up, Segments& segments)
    PAGODA_REQUIRES(c.core.pfns.lock) {
  const PrototypePool& pool = c.core.prototypes;
  const std::uint64_t width = c.core.mode.entry_bytes;
  const bool clone = pool.is_clone(address);
  std::uint32_t resident = 0;
  for (std::uint64_t offset = 0; offset < kPageBytes; offset += width) {
    Prototype p{.pte = base == PageTables::kNone ? base : base + ByteCount(offset),
                .address = address + ByteCount(offset),
                .area = area};
    std::memcpy(&p.raw, bytes.data() + offset, width);  // Little-endian, as the machine is.
    if (area != nullptr) p.page = area->page_of(c.core.codec, p.address);
    check_form(c, p);
    if (area != nullptr && area->flags().large_pages) {
      check_large(c, p);
      if (PteCodec::is_valid(p.raw)) ++c.resident;
      if (PteCodec::is_valid(p.raw) && offset == 0) c.keep(base.pfn());
    }
    if (PteCodec::is_valid(p.raw) || PteCodec::is_transition(p.raw)) ++resident;
    if (area != nullptr && area->flags().reserve && p.raw != 0 && !area->committed.contains(p.page))
      ++segments[area].uncommitted;
    if (clone) {
      check_tag(c, c.manager.combiner(), p.address);
      const std::uint32_t names = names_of_clone(c, p.address);
      const std::uint32_t references = pool.clone_references(p.address);
      const bool is_used = p.raw != 0 && !(given_up && names == 0);
      if (references != names || is_used != (names > 0))
        c.find("PP3"_rule,
               fmt::format("{} counts {} references; {} entries name it", text_of(c, p), references, names));
    }
  }
  return resident;
}

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
  if (!clone && (area == nullptr || !is_in_run(pool, *area, address))) {
    c.find("PP2"_rule, fmt::format("{} holds prototype PTEs of {}, which is in no run of its control area",
                                   c.text_of(frame), to_string(address)));
    return;
  }
  const std::uint32_t counted = check_prototypes(c, c.cpu.physical().bytes(frame, machine::Access::kRead).bytes(),
                                                 first, address, area, false, segments);
  if (area != nullptr) segments[area].resident += PageCount(counted);
  if (e.share_count != counted + 1)
    c.find("PF4"_rule, fmt::format("{} has {} valid and transition prototype PTEs", c.text_of(frame), counted));
  if (counted == 0 && area != nullptr && area->kind() == SectionKind::kData)
    c.find("PP2"_rule, fmt::format("{} holds prototype PTEs of a file and none is resident", c.text_of(frame)));
}

// The page's entry in its pool table is its owner, as a level-1 entry is of its page.
void check_out(Context& c, std::uint32_t page, std::uint64_t owner, Segments& segments)
    PAGODA_REQUIRES(c.core.pfns.lock) {
  const PrototypePool& pool = c.core.prototypes;
  const PrototypePages& pages = c.core.pfns.prototype_pages();
  const PteCodec& codec = c.core.codec;
  const VirtualAddress address = pages.address_of(page);
  const auto text = [&] { return fmt::format("the page of prototype PTEs {}, which is out,", to_string(address)); };
  const bool nobody = owner == PrototypePages::kNobody;
  const bool clone = (owner & PrototypePages::kClone) != 0;
  const auto* const area = nobody || clone ? nullptr : static_cast<const ControlArea*>(pages.owner(owner));
  if (pages.frame(page) != kNoPfn ||
      !pages.tables().contains(page / static_cast<std::uint32_t>(pool.entries_per_page()))) {
    c.find("PP5"_rule, text() + " is in memory too, or in no pool table");
    return;
  }
  if (clone && !pool.has_clone(address)) {
    c.find("PP1"_rule, text() + " has entries of a clone that there is not");
    return;
  }
  if (!nobody && !clone && (area == nullptr || !is_in_run(pool, *area, address))) {
    c.find("PP2"_rule, text() + " is in no run of its control area");
    return;
  }
  const Leaf entry{Vpn{}, pool.out_entry(address), c.core.load(c.cpu, pool.out_entry(address))};
  if (PteCodec::is_transition(entry.raw)) {
    check_transition(c, entry);
    if (!c.frame_of(entry.raw)) return;
  } else if (codec.has_slot(entry.raw)) {
    c.slots.push_back({codec.file(entry.raw), codec.slot(entry.raw), entry.pte, kNoPfn});
  }
  std::array<std::byte, kPageBytes> bytes{};
  if (!peek_entries(c.core, c.cpu, entry.raw, bytes)) {
    c.find("PP5"_rule, text() + " is nowhere");
    return;
  }
  const bool given_up = pages.given_up().contains(page);
  bool has_unnamed = nobody;
  if (clone) {
    for (std::uint64_t i = 0; i < pool.entries_per_page(); ++i) {
      RawPte raw = 0;
      std::memcpy(&raw, bytes.data() + i * c.core.mode.entry_bytes, c.core.mode.entry_bytes);
      has_unnamed |= raw != 0 && pool.clone_references(address + ByteCount(i * c.core.mode.entry_bytes)) == 0;
    }
  }
  const std::uint32_t resident = check_prototypes(c, bytes, PageTables::kNone, address, area, given_up, segments);
  if (resident != 0 || given_up != has_unnamed) {
    c.find("PP5"_rule,
           fmt::format("{} has {} resident entries; it is {}given up", text(), resident, given_up ? "" : "not "));
  }
}

// The tables of pages that are out; the pages in memory that could go out.
void check_pool(Context& c) PAGODA_REQUIRES(c.core.pfns.lock) {
  const PrototypePages& pages = c.core.pfns.prototype_pages();
  for (const auto& [number, table] : pages.tables()) {
    ++c.facts(table).tables;
    ++c.pool_tables;
    std::uint32_t used = 0;
    std::uint32_t resident = 0;
    PhysicalAddress entry(table);
    for (std::uint64_t i = 0; i < c.core.prototypes.entries_per_page();
         ++i, entry += ByteCount(c.core.mode.entry_bytes)) {
      const RawPte raw = c.core.load(c.cpu, entry);
      const auto page =
          number * static_cast<std::uint32_t>(c.core.prototypes.entries_per_page()) + static_cast<std::uint32_t>(i);
      if (raw != 0) ++used;
      if (PteCodec::is_transition(raw)) ++resident;
      if ((raw != 0) != pages.is_out(page) || PteCodec::is_valid(raw))
        c.find("PP5"_rule, fmt::format("the pool table {} has {:#x} for {}", to_string(table), raw,
                                       to_string(pages.address_of(page))));
    }
    if (c.entry(table).used_entries != used || c.entry(table).share_count != resident + 1 || used == 0)
      c.find("PF4"_rule, fmt::format("{}, a pool table, has {} entries, {} of them in transition", c.text_of(table),
                                     used, resident));
  }
  for (std::size_t place = 0; place < pages.idle().size(); ++place) {
    const Pfn frame = pages.frame(pages.idle()[place]);
    if (frame == kNoPfn || c.entry(frame).ws_index != place || c.entry(frame).share_count != 1)
      c.find("PP5"_rule, fmt::format("{} is not without a resident entry, or has another place among those that are",
                                     to_string(pages.address_of(pages.idle()[place]))));
  }
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
  if (area.kind() == SectionKind::kPagingFile) charge += area.flags().reserve ? area.committed.count() : area.pages();
  if (area.kind() == SectionKind::kImage) {
    for (const auto& subsection : area.subsections())
      if (is_writable(subsection->protection)) charge += subsection->pages;
  }
  if (area.charge != charge || !facts.uncommitted.is_zero()) {
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
  std::size_t idle = 0;
  for (std::uint32_t number = 1; number < c.frames.size(); ++number) {
    const PfnEntry& e = c.entry(Pfn(number));
    if (e.page_table == 0 || e.prototype_pte == 0) continue;
    ++c.prototype_pages;
    if (e.share_count == 1 && c.core.pfns.compressed_in(Pfn(number)) == 0) ++idle;
    check_page(c, Pfn(number), segments);
  }
  if (PageCount(c.prototype_pages) != c.core.prototypes.pages()) {
    c.find("PP1"_rule, fmt::format("{} frames hold prototype PTEs; the pool counts {}", c.prototype_pages,
                                   c.core.prototypes.pages().value()));
  }
  const PrototypePages& pages = c.core.pfns.prototype_pages();
  for (const auto& [page, owner] : pages.out()) check_out(c, page, owner, segments);
  check_pool(c);
  if (pages.idle().size() != idle)
    c.find("PP5"_rule, fmt::format("{} pages of prototype PTEs could go out; {} are known", idle, pages.idle().size()));
  for (const VirtualAddress name : c.clone_names) {
    if (!c.core.prototypes.contains(name) || !c.core.prototypes.is_clone(name))
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
