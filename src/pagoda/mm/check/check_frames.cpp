// PF1 to PF5, PF9, PF11 to PF13, PT2, PT4, PT6, AW1, AW2: every frame's entry against what the walks found. PF6 to PF8, PF10:
// against its contents.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "pagoda/mm/check/check_context.h"

namespace pagoda::mm::checking {

namespace {

// Whether it holds a page of some space: it is not a page table, and not the frame that is never given out.
bool is_page(const PfnEntry& e) {
  return e.page_table == 0 && e.nonpaged == 0 && e.state != PageState::kZeroed && e.state != PageState::kFree &&
         e.state != PageState::kBad;
}

void check_awe(Context& c, Pfn frame) {
  const PfnEntry& e = c.entry(frame);
  const FrameFacts& facts = c.facts(frame);
  if (facts.awe_owner == 0) c.find("AW1"_rule, c.text_of(frame) + " is an AWE frame of no space");
  const bool is_mapped = e.pte_address != 0;
  if (e.share_count != (is_mapped ? 1U : 0U) || facts.valid != e.share_count || facts.owner_is_valid != is_mapped) {
    c.find("AW2"_rule, fmt::format("{} is an AWE frame and mapped by {} entries, its owner {}", c.text_of(frame),
                                   facts.valid, facts.owner_is_valid ? "among them" : "not among them"));
  }
}

void check_active(Context& c, Pfn frame) PAGODA_REQUIRES(c.core.pfns.lock) {
  const PfnEntry& e = c.entry(frame);
  const FrameFacts& facts = c.facts(frame);
  if (e.page_table != 0) {
    if (e.prototype_pte != 0) return;  // check_sections.
    ++c.page_tables;
    if (e.share_count == 1 && e.containing_page() != frame && c.core.pfns.compressed_in(frame) == 0) ++c.idle_tables;
    if (facts.tables == 0) c.find("PT2"_rule, c.text_of(frame) + " is in no space's tables");
    return;
  }
  if (e.awe != 0) {
    check_awe(c, frame);
    return;
  }
  if (e.nonpaged != 0) {
    if (facts.valid != 0 || e.share_count != 0) c.find("CS2"_rule, c.text_of(frame) + " is nonpaged, and mapped");
    const bool is_drivers = c.core.driver_frames.holds(frame);
    if (facts.in_store == is_drivers)
      c.find("DR1"_rule, c.text_of(frame) + " is nonpaged, and " +
                             (is_drivers ? "both a driver's and the compression store's"
                                         : "neither a driver's nor the compression store's"));
    return;
  }
  if (e.share_count == 0 || facts.valid != e.share_count || !facts.owner_is_valid) {
    c.find("PF2"_rule, fmt::format("{} is mapped by {} entries, its owner {}", c.text_of(frame), facts.valid,
                                   facts.owner_is_valid ? "among them" : "not among them"));
  }
}

void check_owner(Context& c, Pfn frame) {
  const PfnEntry& e = c.entry(frame);
  const FrameFacts& facts = c.facts(frame);
  const std::uint32_t expected = e.deleted != 0 ? 0 : 1;
  if (facts.transition != expected || facts.owner_is_transition != (expected == 1)) {
    c.find("PF5"_rule, fmt::format("{} is named by {} transition entries, its owner {}", c.text_of(frame),
                                   facts.transition, facts.owner_is_transition ? "among them" : "not among them"));
  }
}

void check_counts(Context& c, Pfn frame) {
  const PfnEntry& e = c.entry(frame);
  const unsigned mapped = e.state == PageState::kActive ? 1 : 0;
  const bool in_transition = e.state == PageState::kTransition;
  // The page that contains its owner holds prototype PTEs exactly if it says that its owner is one; that of a page
  // which was removed meanwhile may be anybody's by now.
  const bool owner_fits = e.deleted != 0 || !c.is_used(e.containing_page()) ||
                          (c.entry(e.containing_page()).prototype_pte != 0) == (e.prototype_pte != 0);
  const bool flags_fit = (e.read_in_progress == 0 || in_transition) && (e.deleted == 0 || in_transition) &&
                         (e.page_table == 0 || mapped == 1) && owner_fits &&
                         (e.nonpaged == 0 || (mapped == 1 && e.page_table == 0 && e.awe == 0)) &&
                         (e.awe == 0 || (mapped == 1 && e.page_table == 0)) &&
                         (e.awaited == 0 || in_transition || e.state == PageState::kStandby);
  if (e.reference_count != mapped + e.read_in_progress + e.write_in_progress || !flags_fit ||
      (in_transition && e.reference_count == 0)) {
    c.find("PF3"_rule, c.text_of(frame) + " has not the references that its state and flags say");
  }
}

bool is_all_zero(const PfnEntry& e) {
  return std::ranges::all_of(std::as_bytes(std::span(&e, 1)), [](std::byte b) { return b == std::byte{0}; });
}

void check_never_used(Context& c) {
  // A sample: all of them would cost what they save.
  constexpr std::uint64_t kSample = 16;
  const std::uint64_t first = c.frames.size();
  const std::uint64_t end = c.core.pfns.frames().value();
  const auto check = [&](std::uint64_t number) {
    const Pfn frame(static_cast<std::uint32_t>(number));
    if (!is_all_zero(c.entry(frame))) c.find("PF9"_rule, c.text_of(frame) + " was never used");
  };
  for (std::uint64_t number = first; number < std::min(first + kSample, end); ++number) check(number);
  if (end > first + kSample) check(end - 1);
}

// PF13.
void check_blocks(Context& c) PAGODA_REQUIRES(c.core.pfns.lock) {
  const AvailableBlocks& blocks = c.core.pfns.available_blocks();
  const std::uint64_t size = blocks.block().value();
  std::vector<std::uint32_t> taken(blocks.size());
  for (std::uint64_t number = 0; number < c.frames.size(); ++number)
    if (!is_available(c.entry(Pfn(static_cast<std::uint32_t>(number))).state)) ++taken[number / size];
  taken.back() += static_cast<std::uint32_t>(taken.size() * size - c.core.pfns.frames().value());
  for (std::size_t block = 0; block < blocks.size(); ++block) {
    if (blocks.taken(block) == taken[block] && blocks.is_whole(block) == (taken[block] == 0) &&
        blocks.has_any(block) == (taken[block] < size))
      continue;
    c.find("PF13"_rule, fmt::format("the block of frames from {} on counts {} that are not available, {}; it has {}",
                                    to_string(blocks.first_of(block)), blocks.taken(block),
                                    blocks.is_whole(block)  ? "is whole"
                                    : blocks.has_any(block) ? "has some"
                                                            : "has none",
                                    taken[block]));
  }
}

using StateCounts = std::array<std::uint64_t, kPageStates>;

void check_state_counts(Context& c, const StateCounts& counts) PAGODA_REQUIRES(c.core.pfns.lock) {
  const auto count = [&](PageState state) { return counts[static_cast<std::size_t>(state)]; };
  if (c.core.pfns.never_used().value() == 0 || c.core.pfns.never_used().value() > c.core.pfns.frames().value()) {
    c.find("PF1"_rule, fmt::format("frames from {} on are said to be unused, of {}",
                                   to_string(c.core.pfns.never_used()), to_string(c.core.pfns.frames())));
    return;  // The database's own counts are made of it.
  }
  const std::uint64_t untouched = c.core.pfns.frames().value() - c.frames.size();
  const std::uint64_t available =
      count(PageState::kZeroed) + count(PageState::kFree) + count(PageState::kStandby) + untouched;
  if (c.core.pfns.available().value() != available) {
    c.find("PF1"_rule, fmt::format("{} frames are zeroed, {} free, {} on standby, {} were never used; {} are said to "
                                   "be available",
                                   count(PageState::kZeroed), count(PageState::kFree), count(PageState::kStandby),
                                   untouched, c.core.pfns.available().value()));
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(PageState::kActive); ++i) {
    const auto state = static_cast<PageState>(i);
    const std::uint64_t expected = counts[i] + (state == PageState::kZeroed ? untouched : 0);
    if (c.core.pfns.count(state).value() != expected) {
      c.find("PF1"_rule, fmt::format("{} frames are {}, the database counts {}", expected, name(state),
                                     c.core.pfns.count(state).value()));
    }
  }
}

}  // namespace

void check_frames(Context& c) {
  StateCounts counts{};
  PfnDatabase::ActiveShared shared;
  PageCount of_drivers;
  for (std::uint32_t number = 1; number < c.frames.size(); ++number) {
    const Pfn frame(number);
    const PfnEntry& e = c.entry(frame);
    ++counts[static_cast<std::size_t>(e.state)];
    if (!is_listed(e.state)) check_counts(c, frame);
    if (c.core.driver_frames.holds(frame)) {
      ++of_drivers;
      if (e.nonpaged == 0) c.find("DR1"_rule, c.text_of(frame) + " is said to be a driver's, and is not nonpaged");
    }
    const bool has_attribute = e.cache != CacheAttribute::kNotMapped;
    if (has_attribute != (e.state == PageState::kActive && e.page_table == 0 && e.share_count > 0))
      c.find("PF11"_rule, c.text_of(frame) + " has a cache attribute and is not mapped, or the other way round");
    if (e.state == PageState::kActive) {
      check_active(c, frame);
      if (e.page_table == 0 && e.prototype_pte != 0) ++(e.maps_file() ? shared.file : shared.page_file);
    } else if (is_page(e)) {
      check_owner(c, frame);
    }
    if (is_page(e) && c.core.codec.has_slot(e.original_pte))
      c.slots.push_back({c.core.codec.file(e.original_pte), c.core.codec.slot(e.original_pte), e.pte(), frame});
  }
  if (of_drivers != c.core.driver_frames.count_locked()) {
    c.find("DR1"_rule, fmt::format("drivers have {} of the frames ever used, and are said to have {}",
                                   to_string(of_drivers), to_string(c.core.driver_frames.count_locked())));
  }
  check_state_counts(c, counts);
  check_blocks(c);
  check_never_used(c);
  const PfnDatabase::ActiveShared& counted = c.core.pfns.active_shared();
  if (shared.file != counted.file || shared.page_file != counted.page_file) {
    c.find("PF12"_rule,
           fmt::format("{} active shared pages come from files and {} do not; {} and {} are counted",
                       shared.file.value(), shared.page_file.value(), counted.file.value(), counted.page_file.value()));
  }
  if (c.core.pfns.idle_tables() != PageCount(c.idle_tables)) {
    c.find("PT6"_rule, fmt::format("{} page tables have no resident or compressed entry; {} are counted", c.idle_tables,
                                   c.core.pfns.idle_tables().value()));
  }
  const std::uint64_t tables = c.core.counters.page_tables_made - c.core.counters.page_tables_freed -
                               c.core.counters.page_tables_paged_out + c.core.counters.page_tables_paged_in;
  if (tables + c.pool_tables != c.page_tables) {
    c.find("PT4"_rule, fmt::format("{} frames are page tables; {} were made and {} freed", c.page_tables,
                                   c.core.counters.page_tables_made, c.core.counters.page_tables_freed));
  }
}

namespace {

// Whether a page that came from a file holds what the file does. An image need not once the file was written to.
bool equals_file(const Context& c, Pfn frame) PAGODA_REQUIRES(c.core.pfns.lock) {
  const PhysicalAddress pte = c.entry(frame).pte();
  if (!c.is_used(pte.pfn()) || c.entry(pte.pfn()).prototype_pte == 0) return false;
  const ControlArea* const area = control_area_of(c.core.prototypes, pte);
  if (area == nullptr || area->file() == nullptr) return false;
  if (area->kind() == SectionKind::kImage && !area->is_current()) return true;
  const VirtualAddress address = c.core.prototypes.address_of(pte);
  const auto in_run = [&](const ControlArea::Run& run) {
    return address >= run.prototypes && address < run.prototypes + bytes_of(c.core.prototypes.pages_for(run.pages));
  };
  if (std::ranges::none_of(area->runs(), in_run)) return false;
  const PageCount page = area->page_of(c.core.codec, address);
  if (page >= area->pages()) return false;
  const Subsection& subsection = area->subsection_of(page);
  const FileOffset at = subsection.offset_of(page);
  std::uint64_t bytes = area->file()->size().value() - std::min(area->file()->size().value(), at.value());
  if (area->kind() == SectionKind::kImage)
    bytes = std::min(bytes, (subsection.file_bytes - bytes_of(page - subsection.first)).value());
  std::array<std::byte, kPageBytes> expected{};
  bytes = std::min(bytes, kPageBytes);
  // What a view shows behind the end of its file is nobody's business until the file grows.
  const std::size_t compared = area->kind() == SectionKind::kData ? bytes : kPageBytes;
  if (bytes > 0 && !area->file()->file().peek(at, std::span(expected).first(bytes))) return false;
  const machine::FrameView view = c.cpu.physical().bytes(frame, machine::Access::kRead);
  return std::memcmp(view.data(), expected.data(), compared) == 0;
}

}  // namespace

void check_contents(Context& c) {
  std::array<std::byte, kPageBytes> slot{};
  for (std::uint32_t number = 1; number < c.frames.size(); ++number) {
    const Pfn frame(number);
    const PfnEntry& e = c.entry(frame);
    if (e.state == PageState::kZeroed && !c.is_zero(frame))
      c.find("PF7"_rule, c.text_of(frame) + " is on the zeroed list and holds something");
    const bool has_slot = is_page(e) && c.core.codec.has_slot(e.original_pte);
    if (e.reset != 0 && (!is_page(e) || e.modified != 0 || has_slot))
      c.find("PF10"_rule, c.text_of(frame) + " was reset and is no clean page without a slot");
    if (!is_page(e)) continue;
    if ((e.modified != 0 && has_slot) || (e.modified != 0 && e.state == PageState::kStandby) ||
        (e.modified == 0 && e.state == PageState::kModified)) {
      c.find("PF6"_rule, c.text_of(frame) + " is both clean and dirty");
    }
    // The rest is about clean pages. Bytes under way are promised to nobody yet.
    if (e.modified != 0 || c.facts(frame).dirty || e.deleted != 0 || e.read_in_progress != 0 ||
        e.write_in_progress != 0)
      continue;
    if (e.maps_file()) {
      if (!equals_file(c, frame)) c.find("PF8"_rule, c.text_of(frame) + " is clean and differs from its file");
      continue;
    }
    if (!has_slot) {
      if (e.reset == 0 && !c.is_zero(frame))
        c.find("PF8"_rule, c.text_of(frame) + " is clean, has no slot, and holds something");
      continue;
    }
    const Backing* const backing = c.core.backings.find(c.core.codec.file(e.original_pte));
    const PageFileSlot name = c.core.codec.slot(e.original_pte);
    if (backing == nullptr || (backing->medium() == Backing::Medium::kMemory && !c.store_is_sound)) continue;  // SL2.
    if (!backing->is_used(name) || !backing->peek(c.cpu.physical(), name, slot)) continue;                     // SL1.
    const machine::FrameView view = c.cpu.physical().bytes(frame, machine::Access::kRead);
    if (std::memcmp(view.data(), slot.data(), kPageBytes) != 0)
      c.find("PF6"_rule, fmt::format("{} is clean and differs from its slot of {}", c.text_of(frame), backing->name()));
  }
}

}  // namespace pagoda::mm::checking
