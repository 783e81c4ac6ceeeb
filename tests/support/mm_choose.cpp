#include "tests/support/mm_choose.h"

#include <algorithm>
#include <iterator>

namespace pagoda::mm::testing {

namespace {

// Programs live around a border between page tables of every mode: 4 MB.
constexpr std::uint64_t kWindow = 1024 - 128;
constexpr std::uint64_t kWindowPages = 256;

}  // namespace

op::By Chooser::by() {
  return {.cpu = static_cast<unsigned>(below(world_.processors)),
          .space = static_cast<unsigned>(below(world_.spaces)),
          .gives_up = chance(0.1)};
}

op::Range Chooser::bytes_of_pages(Pages pages) {
  op::Range range{.address = pages.first << kPageShift, .size = pages.count * kPageBytes};
  if (chance(0.5)) {
    range.address += below(kPageBytes);
    range.size = (pages.count - 1) * kPageBytes + 1 + below(kPageBytes - (range.address & kPageOffsetMask));
  }
  if (chance(0.01)) {
    constexpr std::array<std::uint64_t, 8> kWild{
        0, 1, 0xFFFF, 0x7FFF0000, 0x7FFFFFFF0000, 0xFFFFFFFF, ~std::uint64_t{0} - 0xFFF, ~std::uint64_t{0}};
    (chance(0.5) ? range.address : range.size) = one_of(kWild);
  }
  return range;
}

op::Range Chooser::new_range() {
  Pages pages{.first = kWindow + below(kWindowPages), .count = 1 + below(chance(0.8) ? 8 : 96)};
  if (chance(0.3)) pages.count = 1 + below(400);
  return bytes_of_pages(pages);
}

op::Range Chooser::range(const op::By& by) {
  Pages pages{.first = kWindow + below(kWindowPages), .count = 1 + below(chance(0.8) ? 8 : 96)};
  const ModelSpace& space = spaces_[by.space];
  if (!space.regions.empty() && chance(0.9)) {
    const auto region = std::next(space.regions.begin(), static_cast<std::ptrdiff_t>(below(space.regions.size())));
    const std::uint64_t offset = below(region->second.count);
    pages.first = region->first + offset;
    if (chance(0.9)) pages.count = std::min(pages.count, region->second.count - offset);
    if (chance(0.05)) pages = {region->first, region->second.count};
  }
  return bytes_of_pages(pages);
}

Protection Chooser::protection() {
  constexpr std::array<Protection, 11> kProtections{Protection::kReadWrite,
                                                    Protection::kReadOnly,
                                                    Protection::kNoAccess,
                                                    Protection::kExecute,
                                                    Protection::kExecuteRead,
                                                    Protection::kExecuteReadWrite,
                                                    with_modifier(Protection::kReadWrite, kProtectionGuard),
                                                    with_modifier(Protection::kReadOnly, kProtectionGuard),
                                                    with_modifier(Protection::kExecuteReadWrite, kProtectionGuard),
                                                    with_modifier(Protection::kReadWrite, kProtectionNoCache),
                                                    with_modifier(Protection::kReadWrite, kProtectionWriteCombine)};
  constexpr std::array kBadProtections{Protection::kNone, Protection::kWriteCopy, Protection::kDecommitted,
                                       Protection::kExecuteWriteCopy};
  if (chance(0.5)) return Protection::kReadWrite;
  return chance(0.97) ? one_of(kProtections) : one_of(kBadProtections);
}

op::Where Chooser::where() {
  constexpr std::array kAnywhere{op::Where::kAnywhere, op::Where::kTopDown};
  return chance(0.5) ? op::Where::kAtBase : one_of(kAnywhere);
}

// --- The operations ---

namespace op {

Reserve Reserve::choose(Chooser& c) {
  const Where where = c.chance(0.6) ? Where::kAtBase : c.where();
  return {
      .by = c.by(), .range = c.new_range(), .protection = c.protection(), .where = where, .committed = c.chance(0.5)};
}

Commit Commit::choose(Chooser& c) {
  const By by = c.by();
  return {.by = by, .range = c.range(by), .protection = c.protection()};
}

Decommit Decommit::choose(Chooser& c) {
  const By by = c.by();
  Decommit o{.by = by, .range = c.range(by)};
  if (c.chance(0.2)) o.range.size = 0;
  return o;
}

Release Release::choose(Chooser& c) {
  const By by = c.by();
  Release o{.by = by, .range = c.range(by)};
  if (c.chance(0.2)) o.range.size = 0;
  return o;
}

Protect Protect::choose(Chooser& c) {
  const By by = c.by();
  Protect o{.by = by, .range = c.range(by), .protection = c.protection()};
  if (c.chance(0.2)) o.protection = Protection::kWriteCopy;
  return o;
}

Load Load::choose(Chooser& c) {
  const By by = c.by();
  return {.by = by, .range = c.range(by)};
}

Store Store::choose(Chooser& c) {
  const By by = c.by();
  return {.by = by, .range = c.range(by), .value = c.value()};
}

Fetch Fetch::choose(Chooser& c) {
  const By by = c.by();
  return {.by = by, .range = c.range(by)};
}

Query Query::choose(Chooser& c) {
  const By by = c.by();
  return {.by = by, .address = c.address(by)};
}

Empty Empty::choose(Chooser& c) { return {.by = c.by()}; }

// Never so high that locked pages could fill the machine.
SetLimits SetLimits::choose(Chooser& c) {
  SetLimits o{.by = c.by(), .minimum = c.below(13), .maximum = c.below(80), .hard = c.chance(0.5)};
  if (c.chance(0.05)) o.minimum = o.maximum = 10'000;
  return o;
}

namespace {

// Few pages, mostly: as many as may be locked.
template <class Locking>
Locking choose_locking(Chooser& c) {
  const By by = c.by();
  Locking o{.by = by, .range = c.range(by), .in_memory = c.chance(0.5)};
  if (c.chance(0.9)) o.range.size = std::min<std::uint64_t>(o.range.size, 3 * kPageBytes);
  return o;
}

}  // namespace

Lock Lock::choose(Chooser& c) { return choose_locking<Lock>(c); }

Unlock Unlock::choose(Chooser& c) { return choose_locking<Unlock>(c); }

RunThreads RunThreads::choose(Chooser& c) { return {.by = c.by()}; }

Advance Advance::choose(Chooser& c) { return {.by = c.by(), .microseconds = c.below(c.chance(0.9) ? 200 : 1'500'000)}; }

Flush Flush::choose(Chooser& c) { return {.by = c.by()}; }

Recreate Recreate::choose(Chooser& c) { return {.by = c.by()}; }

CreateSection CreateSection::choose(Chooser& c) {
  constexpr std::array kProtections{Protection::kReadWrite,        Protection::kReadWrite,
                                    Protection::kReadOnly,         Protection::kExecuteRead,
                                    Protection::kExecuteReadWrite, Protection::kExecuteReadWrite};
  return {.by = c.by(),
          .section = c.section(),
          .size = c.chance(0.3) ? 0 : c.file_size(),
          .protection = c.one_of(kProtections),
          .of_file = c.chance(0.5),
          .reserve = c.chance(0.5)};
}

CloseSection CloseSection::choose(Chooser& c) { return {.by = c.by(), .section = c.section()}; }

MapView MapView::choose(Chooser& c) {
  constexpr std::array kProtections{
      Protection::kReadWrite,        Protection::kReadWrite,        Protection::kReadOnly,
      Protection::kWriteCopy,        Protection::kWriteCopy,        Protection::kExecuteRead,
      Protection::kExecuteReadWrite, Protection::kExecuteWriteCopy, Protection::kNoAccess};
  const By by = c.by();
  MapView o{.by = by,
            .section = c.section(),
            .range = c.range(by),
            .offset = c.chance(0.6) ? 0 : c.below(4) * kAllocationGranularity,
            .protection = c.one_of(kProtections),
            .where = c.where(),
            .extendable = c.chance(0.1)};
  o.range.address &= ~(kAllocationGranularity - 1);
  if (c.chance(0.02)) o.range.address += kPageBytes;
  if (c.chance(0.5)) o.range.size = 0;
  if (c.chance(0.02)) o.offset += kPageBytes;
  return o;
}

UnmapView UnmapView::choose(Chooser& c) {
  const By by = c.by();
  return {.by = by, .address = c.address(by)};
}

Extend Extend::choose(Chooser& c) {
  Extend o{.by = c.by(), .section = c.section(), .size = c.file_size()};
  if (c.chance(0.5)) o.size &= ~kPageOffsetMask;
  return o;
}

FlushView FlushView::choose(Chooser& c) {
  const By by = c.by();
  FlushView o{.by = by, .range = c.range(by)};
  if (c.chance(0.3)) o.range.size = 0;
  return o;
}

ReadFile ReadFile::choose(Chooser& c) {
  return {.by = c.by(), .file = c.section(), .offset = c.file_size(), .size = c.below(4 * kPageBytes)};
}

WriteFile WriteFile::choose(Chooser& c) {
  return {
      .by = c.by(), .file = c.section(), .offset = c.file_size(), .size = c.below(4 * kPageBytes), .value = c.value()};
}

ResizeFile ResizeFile::choose(Chooser& c) {
  ResizeFile o{.by = c.by(), .file = c.section(), .size = c.file_size()};
  if (c.chance(0.5)) o.size &= ~kPageOffsetMask;
  return o;
}

DropUnused DropUnused::choose(Chooser& c) { return {.by = c.by()}; }

}  // namespace op
}  // namespace pagoda::mm::testing
