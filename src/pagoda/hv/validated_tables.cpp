#include "pagoda/hv/validated_tables.h"

#include <algorithm>
#include <compare>
#include <cstring>
#include <utility>

namespace pagoda::hv {

using machine::Access;
using machine::PageFault;
using machine::PhysicalView;
using machine::RawPte;
using machine::Translation;
using namespace machine::pte_bits;

namespace {

PhysicalAddress entry_at(const machine::PagingMode& mode, Gfn table, std::uint64_t index) {
  return PhysicalAddress(to_guest_pfn(table)) + ByteCount(index * mode.entry_bytes);
}

// Bits that decide what an entry holds references to.
constexpr RawPte kReferring = kValid | kWrite | kLarge;

}  // namespace

ValidatedTables::ValidatedTables(SecondLevel& second_level, const machine::PagingMode& mode, PartitionCounts& counts)
    : second_level_(second_level),
      map_(second_level.memory().map()),
      mode_(mode),
      counts_(counts),
      is_table_(map_.end().value()),
      writers_(map_.end().value()) {}

ValidatedTables::Table* ValidatedTables::find(Gfn frame) {
  const auto found = tables_.find(frame);
  return found == tables_.end() ? nullptr : found->second.get();
}

RawPte ValidatedTables::load(const Table& table, std::uint64_t index) const {
  const std::byte* const at = table.bytes.data() + index * mode_.entry_bytes;
  RawPte raw = 0;
  std::memcpy(&raw, at, mode_.entry_bytes);
  return raw;
}

void ValidatedTables::store(Table& table, std::uint64_t index, RawPte raw) const {
  std::memcpy(table.bytes.data() + index * mode_.entry_bytes, &raw, mode_.entry_bytes);
}

RawPte ValidatedTables::entry(Gfn table, std::uint64_t index) const { return load(*tables_.at(table), index); }

RawPte ValidatedTables::load_guest(const PhysicalView& guest, Gfn table, std::uint64_t index) const {
  return machine::load_entry(guest, mode_, entry_at(mode_, table, index));
}

std::optional<GfnRange> ValidatedTables::mapped_by(unsigned level, RawPte raw) const {
  if (level == 1) return GfnRange{to_gfn(mode_.frame(raw)), 1_pages};
  if (!mode_.level[level].may_be_large || (raw & kLarge) == 0) return std::nullopt;
  const PageCount pages = pages_of(mode_.coverage(level));
  const std::uint64_t frame = mode_.frame(raw).value();
  return GfnRange{to_gfn(Pfn(static_cast<std::uint32_t>(frame - frame % pages.value()))), pages};
}

// --- Changes ---

std::uint64_t ValidatedTables::apply(const PhysicalView& guest, std::span<const TableChange> changes) {
  struct Told {
    Gfn table;
    std::uint64_t index = 0;
    RawPte raw = 0;

    auto operator<=>(const Told&) const = default;
  };
  const std::uint64_t before = validated_;
  std::vector<Told> fresh;
  for (const TableChange& change : changes) {
    for (std::uint64_t index = change.first; index < std::uint64_t{change.first} + change.count; ++index) {
      Table* table = find(change.table);
      if (table == nullptr || index >= mode_.entries(table->level)) break;
      const RawPte raw = load_guest(guest, change.table, index);
      ++validated_;
      const RawPte old = load(*table, index);
      if (old == raw) continue;
      const bool same_references =
          (old & kReferring) == (raw & kReferring) && mode_.frame(old) == mode_.frame(raw) && (old & kValid) != 0;
      const bool large = table->level > 1 && mapped_by(table->level, raw).has_value();
      if (same_references &&
          (raw & (large ? mode_.level[table->level].reserved_large : mode_.level[table->level].reserved)) == 0) {
        store(*table, index, raw);
        continue;
      }
      drop(*table, index);
      fresh.push_back({change.table, index, raw});
    }
  }
  // What was told twice is one change.
  std::ranges::sort(fresh);
  const auto twice = std::ranges::unique(fresh);
  fresh.erase(twice.begin(), twice.end());
  for (const Told& told : fresh) {
    // What was dropped may have been all that made it a table; or it became one since, and all of it was looked at.
    const Table* const table = find(told.table);
    if (table != nullptr && load(*table, told.index) == 0) install(guest, told.table, told.index, told.raw);
  }
  return validated_ - before;
}

void ValidatedTables::install(const PhysicalView& guest, Gfn frame, std::uint64_t index, RawPte raw) {
  Table& table = *find(frame);
  // A pinned root that maps itself is not to end under its own entry.
  ++table.links;
  if ((raw & kValid) == 0 || take_references(guest, table.level, raw)) {
    store(table, index, raw);
  } else {
    ++counts_.table_refusals;
  }
  --table.links;
  remove_unneeded(frame);
}

bool ValidatedTables::take_references(const PhysicalView& guest, unsigned level, RawPte raw) {
  const auto mapped = mapped_by(level, raw);
  const machine::PagingLevel& format = mode_.level[level];
  if ((raw & (mapped && level > 1 ? format.reserved_large : format.reserved)) != 0) return false;
  if (mapped) return map_frames(*mapped, (raw & kWrite) != 0);
  Table* const below = table_in(guest, to_gfn(mode_.frame(raw)), level - 1);
  if (below == nullptr) return false;
  ++below->links;
  return true;
}

bool ValidatedTables::map_frames(GfnRange frames, bool writable) {
  const GpaRange* const range = map_.find(frames.first);
  if (range == nullptr || frames.count > range->frames.count - (frames.first - range->frames.first)) return false;
  if (!writable) return true;
  for (Gfn frame = frames.first; frame < frames.end(); ++frame) unpin(frame);
  for (Gfn frame = frames.first; frame < frames.end(); ++frame)
    if (is_table(frame)) return false;
  for (Gfn frame = frames.first; frame < frames.end(); ++frame) ++writers_[frame.value()];
  return true;
}

void ValidatedTables::drop(Table& table, std::uint64_t index) {
  const RawPte raw = load(table, index);
  store(table, index, 0);
  if ((raw & kValid) == 0) return;
  if (const auto mapped = mapped_by(table.level, raw)) {
    if ((raw & kWrite) == 0) return;
    for (Gfn frame = mapped->first; frame < mapped->end(); ++frame) --writers_[frame.value()];
  } else {
    const Gfn below = to_gfn(mode_.frame(raw));
    --find(below)->links;
    remove_unneeded(below);
  }
}

ValidatedTables::Table* ValidatedTables::table_in(const PhysicalView& guest, Gfn frame, unsigned level) {
  if (Table* const known = find(frame); known != nullptr && known->level == level) return known;
  unpin(frame);
  if (find(frame) != nullptr || !map_.is_memory({frame, 1_pages}) || writers_[frame.value()] > 0) return nullptr;
  Table& made = *(tables_[frame] = std::make_unique<Table>());
  made.level = level;
  is_table_[frame.value()] = true;
  {
    // What TLBs may still write was mapped writably until now.
    const LockGuard guard(second_level_.memory().vmmem().lock);
    second_level_.forget_in_tlbs(frame);
  }
  // It stays while its own entries are validated.
  ++made.links;
  for (std::uint64_t index = 0; index < mode_.entries(level); ++index) {
    const RawPte raw = load_guest(guest, frame, index);
    if (raw == 0) continue;
    ++validated_;
    install(guest, frame, index, raw);
  }
  --made.links;
  return &made;
}

void ValidatedTables::remove_unneeded(Gfn frame) {
  Table* const table = find(frame);
  if (table->is_needed()) return;
  for (std::uint64_t index = 0; index < mode_.entries(table->level); ++index) drop(*table, index);
  is_table_[frame.value()] = false;
  tables_.erase(frame);
}

// --- Roots ---

std::uint64_t ValidatedTables::load_root(const PhysicalView& guest, unsigned processor, Gfn root) {
  const std::uint64_t before = validated_;
  if (roots_.size() <= processor) roots_.resize(processor + 1, kNoGfn);
  Table* table = nullptr;
  if (root != kNoGfn) {
    table = table_in(guest, root, mode_.levels);
    if (table == nullptr) ++counts_.table_refusals;
  }
  if (table != nullptr) {
    ++table->loads;
    table->pinned = true;
  }
  const Gfn old = std::exchange(roots_[processor], table == nullptr ? kNoGfn : root);
  if (old != kNoGfn) --find(old)->loads;
  return validated_ - before;
}

void ValidatedTables::unpin(Gfn frame) {
  if (!is_table(frame)) return;
  Table* const table = find(frame);
  if (!table->pinned || table->loads > 0) return;
  table->pinned = false;
  remove_unneeded(frame);
}

void ValidatedTables::contents_lost(Gfn frame) {
  unpin(frame);
  if (!is_table(frame)) return;
  Table* const table = find(frame);
  for (std::uint64_t index = 0; index < mode_.entries(table->level); ++index) drop(*table, index);
}

// --- Walks ---

std::expected<Translation, PageFault> ValidatedTables::walk(const PhysicalView& guest, unsigned processor,
                                                            VirtualAddress va, Access access,
                                                            machine::Privilege privilege,
                                                            const machine::WalkRules& rules, std::uint64_t& loads) {
  const Gfn root = processor < roots_.size() ? roots_[processor] : kNoGfn;
  if (root == kNoGfn)
    return std::unexpected(
        PageFault{.address = va, .access = access, .privilege = privilege, .present = true, .reserved_bit = true});
  marked_.clear();
  auto walked = machine::walk(PhysicalView(*this), mode_, to_guest_pfn(root), va, access, privilege, rules, loads);
  if (walked) {
    for (const PhysicalAddress at : marked_)
      machine::set_entry_bits(
          guest, mode_, at, load(*find(to_gfn(at.pfn())), at.page_offset() / mode_.entry_bytes) & (kAccessed | kDirty));
    return walked;
  }
  if (walked.error().present) return walked;
  // Nothing is installed there. If the guest's own copy says otherwise, it was refused.
  Gfn table = root;
  for (unsigned level = mode_.levels;; --level) {
    const PhysicalAddress at = mode_.entry_address(to_guest_pfn(table), va, level);
    const RawPte installed = load(*find(table), at.page_offset() / mode_.entry_bytes);
    if ((installed & kValid) == 0) {
      walked.error().present = walked.error().reserved_bit = (machine::load_entry(guest, mode_, at) & kValid) != 0;
      return walked;
    }
    table = to_gfn(mode_.frame(installed));
  }
}

std::byte* ValidatedTables::pin(Pfn frame, Access use, machine::FrameExtent part) {
  if (use == Access::kWrite) marked_.push_back(PhysicalAddress(frame) + ByteCount(part.offset));
  return find(to_gfn(frame))->bytes.data();
}

void ValidatedTables::unpin(Pfn /*frame*/, Access /*use*/, machine::FrameExtent /*part*/) {}

machine::TlbBytes ValidatedTables::reach_for_tlb(Pfn frame, Access use, VirtualAddress /*va*/, machine::Asid /*asid*/) {
  // A walk fills no TLB.
  return {.bytes = pin(frame, use, {}), .keep = machine::TlbBytes::Keep::kOnce};
}

}  // namespace pagoda::hv
