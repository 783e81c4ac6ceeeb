#include "tests/support/nt_choose.h"

#include <algorithm>
#include <iterator>

namespace pagoda::nt::testing {

namespace {

// Around a border between page tables of every mode.
constexpr std::uint64_t kWindow = 0x400000 - 0x100000;
constexpr std::uint64_t kWindowPages = 512;

}  // namespace

// --- Instead of anything else ---

std::optional<Operation> Chooser::make_room() {
  constexpr std::size_t kManyRegions = 12;
  constexpr std::uint64_t kSomePages = 48;
  const std::uint8_t process = this->process();
  const auto& regions = process_at(process).regions;
  const bool is_full = regions.size() > kManyRegions || in_.is_short(kSomePages);
  if (regions.empty() || !is_full || !chance(4)) return std::nullopt;
  const auto region = std::next(regions.begin(), static_cast<std::ptrdiff_t>(below(regions.size())));
  const std::uint64_t base = region->first * kPageBytes;
  if (region->second.is_view()) return op::UnmapViewOfSection{.process = process, .address = base};
  return op::FreeVirtualMemory{.process = process, .range = {.base = base}, .type = MEM_RELEASE};
}

std::optional<Operation> Chooser::go_on() {
  // Little can be done in a process that has ended.
  if (in_.current().ended && chance(4)) return op::Detach{};
  const auto children = {Handles::kProcesses, static_cast<std::uint8_t>(Handles::kProcesses + 1)};
  for (const std::uint8_t child : children) {
    const ModelEntry* const entry = in_.current().find(in_.handle(child));
    const bool has_ended = entry != nullptr && entry->type == ObjectType::kProcess && entry->process->ended;
    if (has_ended && chance(10)) return op::Close{.handle = child};
  }
  for (const std::uint8_t child : children)
    if (!in_.is_attached() && in_.is_free(child) && chance(10)) return op::CreateProcess{.out = child};
  return std::nullopt;
}

// --- Places in `h` ---

std::uint8_t Chooser::section() {
  constexpr int kTries = 12;
  std::uint8_t found = place(Handles::kSections, Handles::kAnything);
  for (int i = 0; i < kTries; ++i) {
    const ModelEntry* const entry = in_.current().find(in_.handle(found));
    if (entry != nullptr && entry->type == ObjectType::kSection) break;
    found = new_place();
  }
  return found;
}

std::uint8_t Chooser::process() {
  if (chance(20)) return any_place();
  return chance(3) ? child() : Handles::kCurrent;
}

const ModelProcess& Chooser::process_at(std::uint8_t place) const {
  ProcessPointer found;
  return in_.find_process(in_.handle(place), 0, found) == STATUS_SUCCESS ? *found : in_.current();
}

// --- Parameters ---

std::uint64_t Chooser::window() { return kWindow; }

std::uint64_t Chooser::in_window() { return kWindow + below(kWindowPages) * kPageBytes; }

op::Range Chooser::page_range(const ModelProcess& process) {
  op::Range range{.base = in_window(),
                  .size = (1 + below(chance(4) ? 64 : 8)) * kPageBytes,
                  .no_base = is_null(),
                  .no_size = is_null()};
  const auto& regions = process.regions;
  if (regions.empty() || chance(4)) return range;
  auto region = regions.lower_bound(range.base >> kPageShift);
  if (region == regions.end() || chance(8)) region = std::prev(regions.end());
  if (chance(8)) region = regions.begin();
  const std::uint64_t offset = below(region->second.count);
  range.base = (region->first + offset) * kPageBytes;
  range.size = (1 + below(std::min<std::uint64_t>(region->second.count - offset, 16))) * kPageBytes;
  if (chance(6)) range.base = region->first * kPageBytes;
  return range;
}

void Chooser::make_wild(op::Range& range) {
  if (chance(30)) range.size = chance(2) ? 0 : wild();
  if (chance(40)) range.base = wild();
  if (!chance(40)) return;
  const std::array<std::uint64_t, 5> edges{in_.highest_vad(), in_.highest_user(), ~std::uint64_t{0}, 0,
                                           kAllocationGranularity};
  const auto near_edge = [&] {
    const std::uint64_t edge = one_of(edges);
    return edge + below(3) - 1;
  };
  range.base = near_edge();
  if (chance(2)) range.size = near_edge() - range.base;
}

op::Range Chooser::pages(const ModelProcess& process) {
  op::Range range = page_range(process);
  if (chance(6)) {
    range.base += below(kPageBytes);
    range.size += below(kPageBytes);
  }
  make_wild(range);
  return range;
}

op::Range Chooser::bytes(const ModelProcess& process) {
  op::Range range = page_range(process);
  range.base += below(kPageBytes);
  range.size = below(chance(8) ? 3 * kPageBytes : 64);
  make_wild(range);
  return range;
}

std::uint32_t Chooser::protect() {
  constexpr auto kProtections = std::to_array<std::uint32_t>(
      {PAGE_READWRITE, PAGE_READWRITE, PAGE_READWRITE, PAGE_READONLY, PAGE_NOACCESS, PAGE_EXECUTE, PAGE_EXECUTE_READ,
       PAGE_EXECUTE_READWRITE, PAGE_WRITECOPY, PAGE_EXECUTE_WRITECOPY, PAGE_READWRITE | PAGE_GUARD,
       PAGE_READONLY | PAGE_GUARD, PAGE_READWRITE | PAGE_NOCACHE, PAGE_READWRITE | PAGE_WRITECOMBINE});
  return chance(20) ? static_cast<std::uint32_t>(wild()) : one_of(kProtections);
}

std::uint32_t Chooser::access() {
  return chance(3) ? static_cast<std::uint32_t>(any()) : std::uint32_t{MAXIMUM_ALLOWED};
}

std::uint64_t Chooser::zero_bits() {
  if (!chance(12)) return 0;
  return chance(2) ? below(24) : wild();
}

}  // namespace pagoda::nt::testing
