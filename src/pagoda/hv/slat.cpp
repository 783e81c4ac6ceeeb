#include "pagoda/hv/slat.h"

namespace pagoda::hv {

using machine::RawPte;
using namespace machine::pte_bits;

namespace {

// An entry that points to a table allows everything: the last level decides.
constexpr RawPte kTable = kValid | kWrite | kUser;

}  // namespace

Slat::Slat(machine::PhysicalView memory, TableFrames& frames)
    : memory_(memory), frames_(frames), root_([&] {
        frames.assert_held();
        return frames.take(memory);
      }()) {}

PhysicalAddress Slat::find(Gfn guest, unsigned& level) const {
  Pfn table = root_;
  for (level = machine::kMaxPagingLevels;; --level) {
    const PhysicalAddress at = mode().entry_address(table, address_of(guest), level);
    const auto raw = memory_.load<std::uint64_t>(at);
    if (level == 1 || (raw & kValid) == 0 || (raw & kLarge) != 0) return at;
    table = mode().frame(raw);
  }
}

PageCount Slat::tables_for(GfnRange frames) {
  PageCount tables;
  const std::uint64_t first = GuestPhysicalAddress(frames.first).value();
  const std::uint64_t last = GuestPhysicalAddress(frames.last()).value() + kPageBytes - 1;
  for (unsigned level = 2; level <= machine::kMaxPagingLevels; ++level) {
    // What an entry, and the table that it leads to, map.
    const std::uint64_t coverage = mode().coverage(level).value();
    tables += PageCount(last / coverage - first / coverage + 1);
  }
  return tables;
}

PageCount Slat::missing_tables(Gfn guest) const {
  unsigned level = 0;
  static_cast<void>(find(guest, level));
  return PageCount(level - 1);
}

Slat::FillResult Slat::fill(Gfn guest, unsigned level, Pfn host, Rights rights) {
  frames_.assert_held();
  Pfn table = root_;
  for (unsigned above = machine::kMaxPagingLevels; above > level; --above) {
    const PhysicalAddress at = mode().entry_address(table, address_of(guest), above);
    auto raw = memory_.load<std::uint64_t>(at);
    if ((raw & kValid) == 0 || (raw & kLarge) != 0) {
      // A large entry that a small one replaces is made again where it is needed.
      raw = PhysicalAddress(frames_.take(memory_)).value() | kTable;
      memory_.store<std::uint64_t>(at, raw);
    }
    table = mode().frame(raw);
  }
  const PhysicalAddress at = mode().entry_address(table, address_of(guest), level);
  const auto old = memory_.load<std::uint64_t>(at);
  const RawPte entry = PhysicalAddress(host).value() | kValid | kUser | (rights.write ? kWrite : 0) |
                       (rights.execute ? 0 : kNoExecute) | (level > 1 ? kLarge : 0);
  if ((old & ~(kAccessed | kDirty)) == entry) return FillResult::kSame;
  if (level > 1 && (old & kValid) != 0 && (old & kLarge) == 0) {
    free_below(mode().frame(old), level - 1);
    frames_.give_back(mode().frame(old));
  }
  memory_.store<std::uint64_t>(at, entry);
  return FillResult::kNew;
}

RawPte Slat::entry(Gfn guest) const {
  unsigned level = 0;
  const auto raw = memory_.load<std::uint64_t>(find(guest, level));
  return (raw & kValid) != 0 ? raw : 0;
}

Pfn Slat::frame_of(Gfn guest) const {
  unsigned level = 0;
  const auto raw = memory_.load<std::uint64_t>(find(guest, level));
  if ((raw & kValid) == 0) return kNoPfn;
  return mode().frame(raw) + PageCount(guest.value() % pages_of(mode().coverage(level)).value());
}

GfnRange Slat::clear(Gfn guest) {
  frames_.assert_held();
  unsigned level = 0;
  const PhysicalAddress at = find(guest, level);
  if ((memory_.load<std::uint64_t>(at) & kValid) == 0) return {guest, PageCount(0)};
  memory_.store<std::uint64_t>(at, 0);
  const PageCount pages = pages_of(mode().coverage(level));
  return {guest - PageCount(guest.value() % pages.value()), pages};
}

bool Slat::test_and_clear_accessed(Gfn guest) {
  frames_.assert_held();
  unsigned level = 0;
  const PhysicalAddress at = find(guest, level);
  if ((memory_.load<std::uint64_t>(at) & (kValid | kAccessed)) != (kValid | kAccessed)) return false;
  machine::clear_entry_bits(memory_, mode(), at, kAccessed);
  return true;
}

void Slat::reset() {
  frames_.assert_held();
  free_below(root_, machine::kMaxPagingLevels);
  memory_.zero(root_);
}

void Slat::free_below(Pfn table, unsigned level) {
  frames_.assert_held();
  if (level == 1) return;
  for (std::uint64_t index = 0; index < mode().entries(level); ++index) {
    const auto raw = memory_.load<std::uint64_t>(PhysicalAddress(table) + ByteCount(index * 8));
    if ((raw & kValid) == 0 || (raw & kLarge) != 0) continue;
    free_below(mode().frame(raw), level - 1);
    frames_.give_back(mode().frame(raw));
  }
}

}  // namespace pagoda::hv
