#include "tests/support/mm_operations.h"

#include <fmt/format.h>

#include <algorithm>

namespace pagoda::mm::testing {

namespace {

using Kind = Operation::Kind;

constexpr std::array<std::string_view, Operation::kKinds> kKindNames{
    "kReserve", "kCommit",    "kDecommit", "kRelease",       "kProtect",      "kLoad",      "kStore",
    "kFetch",   "kQuery",     "kEmpty",    "kSetLimits",     "kLock",         "kUnlock",    "kRunThreads",
    "kAdvance", "kFlush",     "kRecreate", "kCreateSection", "kCloseSection", "kMapView",   "kUnmapView",
    "kExtend",  "kFlushView", "kReadFile", "kWriteFile",     "kResizeFile",   "kDropUnused"};

// Programs live around a border between page tables of every mode: 4 MB.
constexpr std::uint64_t kWindow = 1024 - 128;
constexpr std::uint64_t kWindowPages = 256;

}  // namespace

World World::random(Random& random) {
  World w;
  constexpr std::array kFormats{machine::PteFormat::kX86, machine::PteFormat::kPae, machine::PteFormat::kAmd64};
  w.paging = kFormats[random.below(3)];
  w.refill = random.chance(0.5) ? machine::TlbRefill::kHardware : machine::TlbRefill::kSoftware;
  w.tlb = random.chance(0.5) ? machine::TlbGeometry::kLarge : machine::TlbGeometry::kRealistic;
  w.frames = 64 + random.below(137);
  w.processors = 1 + static_cast<unsigned>(random.below(2));
  w.spaces = 1 + static_cast<unsigned>(random.below(w.frames < 80 ? 2 : 3));
  w.paging_files = 1 + static_cast<unsigned>(random.below(2));
  w.file_minimum = 256;
  w.file_maximum = random.chance(0.5) ? 256 : 256 + random.below(512);
  w.files = 1 + static_cast<unsigned>(random.below(2));
  w.file_pages = random.below(64);
  w.read_cluster = 1U << random.below(4);
  w.write_cluster = 1U << random.below(5);
  w.minimum_free = 8 + random.below(8);
  w.plenty_free = w.minimum_free + random.below(12);
  w.modified_maximum = random.below(24);
  w.commit_reserve = 9 + random.below(12);
  w.working_set_minimum = random.below(12);
  w.working_set_maximum = 12 + random.below(80);
  w.hard_maximum = random.chance(0.3);
  w.yields = random.chance(0.4);
  if (random.chance(0.3)) w.read_errors = 0.05;
  if (random.chance(0.3)) w.write_errors = 0.05;
  w.seed = random.next();
  if (random.chance(0.5)) w.compression_budget = 1 + random.below(8);
  if (random.chance(0.5)) w.most_compressed = 24 + random.below(80);
  w.find_zero_pages = random.chance(0.7);
  w.random_victims = random.chance(0.2);
  return w;
}

std::string to_string(const World& w) {
  constexpr std::array<std::string_view, 3> kFormats{"kX86", "kPae", "kAmd64"};
  return fmt::format(
      "{{.paging = machine::PteFormat::{}, .refill = machine::TlbRefill::{}, .tlb = machine::TlbGeometry::{}, "
      ".frames = {}, .processors = {}, .spaces = {}, .paging_files = {}, .file_minimum = {}, .file_maximum = {}, "
      ".files = {}, .file_pages = {}, .read_cluster = {}, .write_cluster = {}, .minimum_free = {}, .plenty_free = {}, "
      ".modified_maximum = {}, "
      ".commit_reserve = {}, .working_set_minimum = {}, .working_set_maximum = {}, .hard_maximum = {}, .yields = {}, "
      ".compression_budget = {}, .most_compressed = {}, .find_zero_pages = {}, .random_victims = {}, .read_errors = "
      "{}, .write_errors = {}, .seed = {:#x}}}",
      kFormats[static_cast<std::size_t>(w.paging)],
      w.refill == machine::TlbRefill::kHardware ? "kHardware" : "kSoftware",
      w.tlb == machine::TlbGeometry::kLarge ? "kLarge" : "kRealistic", w.frames, w.processors, w.spaces, w.paging_files,
      w.file_minimum, w.file_maximum, w.files, w.file_pages, w.read_cluster, w.write_cluster, w.minimum_free,
      w.plenty_free, w.modified_maximum, w.commit_reserve, w.working_set_minimum, w.working_set_maximum, w.hard_maximum,
      w.yields, w.compression_budget, w.most_compressed, w.find_zero_pages, w.random_victims, w.read_errors,
      w.write_errors, w.seed);
}

std::string to_string(const Operation& o) {
  return fmt::format(
      "{{.kind = Operation::Kind::{}, .cpu = {}, .space = {}, .address = {:#x}, .size = {:#x}, "
      ".protection = Protection{{{:#x}}}, .value = {:#x}, .section = {}, .offset = {:#x}}}",
      kKindNames[static_cast<std::size_t>(o.kind)], o.cpu, o.space, o.address, o.size, bits(o.protection), o.value,
      o.section, o.offset);
}

std::string as_test(const World& world, std::span<const Operation> operations) {
  std::string text = "TEST(MmRandom, Regression) {\n  const World world" + to_string(world) +
                     ";\n  const std::vector<Operation> operations{\n";
  for (const Operation& operation : operations) text += "      " + to_string(operation) + ",\n";
  return text + "  };\n  EXPECT_EQ(replay(world, operations), \"\");\n}\n";
}

// --- Choosing operations ---

namespace {

// What operations on sections, views and files have of their own.
void choose_section(Operation& o, Random& random) {
  constexpr std::array kSectionProtections{Protection::kReadWrite,        Protection::kReadWrite,
                                           Protection::kReadOnly,         Protection::kExecuteRead,
                                           Protection::kExecuteReadWrite, Protection::kExecuteReadWrite};
  constexpr std::array kViewProtections{
      Protection::kReadWrite,        Protection::kReadWrite,        Protection::kReadOnly,
      Protection::kWriteCopy,        Protection::kWriteCopy,        Protection::kExecuteRead,
      Protection::kExecuteReadWrite, Protection::kExecuteWriteCopy, Protection::kNoAccess};
  constexpr std::uint64_t kMostFilePages = 100;
  switch (o.kind) {
    case Kind::kProtect:
      if (random.chance(0.2)) o.protection = Protection::kWriteCopy;
      break;
    case Kind::kCreateSection:
      o.protection = kSectionProtections[random.below(kSectionProtections.size())];
      o.size = random.chance(0.3) ? 0 : random.below(kMostFilePages * kPageBytes);
      break;
    case Kind::kMapView:
      o.protection = kViewProtections[random.below(kViewProtections.size())];
      o.address &= ~(kAllocationGranularity - 1);
      if (random.chance(0.02)) o.address += kPageBytes;
      if (random.chance(0.5)) o.size = 0;
      o.offset = random.chance(0.6) ? 0 : random.below(4) * kAllocationGranularity;
      if (random.chance(0.02)) o.offset += kPageBytes;
      if (random.chance(0.8)) o.value &= ~std::uint64_t{Operation::kExtendable};
      break;
    case Kind::kExtend:
    case Kind::kResizeFile:
      o.size = random.below(kMostFilePages * kPageBytes);
      if (random.chance(0.5)) o.size &= ~kPageOffsetMask;
      break;
    case Kind::kReadFile:
    case Kind::kWriteFile:
      o.offset = random.below(kMostFilePages * kPageBytes);
      o.size = random.below(4 * kPageBytes);
      break;
    case Kind::kFlushView:
      if (random.chance(0.3)) o.size = 0;
      break;
    default:
      break;
  }
}

}  // namespace

Operation Interpreter::next(Random& random) const {
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
  struct Weight {
    Kind kind;
    unsigned weight;
  };
  static constexpr std::array<Weight, Operation::kKinds> kWeights{
      {{Kind::kReserve, 60},   {Kind::kCommit, 60},        {Kind::kDecommit, 25},    {Kind::kRelease, 30},
       {Kind::kProtect, 50},   {Kind::kLoad, 280},         {Kind::kStore, 280},      {Kind::kFetch, 20},
       {Kind::kQuery, 30},     {Kind::kEmpty, 8},          {Kind::kSetLimits, 8},    {Kind::kLock, 20},
       {Kind::kUnlock, 15},    {Kind::kRunThreads, 60},    {Kind::kAdvance, 45},     {Kind::kFlush, 5},
       {Kind::kRecreate, 4},   {Kind::kCreateSection, 20}, {Kind::kCloseSection, 8}, {Kind::kMapView, 45},
       {Kind::kUnmapView, 25}, {Kind::kExtend, 8},         {Kind::kFlushView, 12},   {Kind::kReadFile, 15},
       {Kind::kWriteFile, 15}, {Kind::kResizeFile, 8},     {Kind::kDropUnused, 3}}};
  static constexpr unsigned kTotal = [] {
    unsigned total = 0;
    for (const Weight& weight : kWeights) total += weight.weight;
    return total;
  }();

  Operation o;
  if (given_up_ && random.chance(0.5)) {
    // Another processor wants the same while the first still waits.
    o = *given_up_;
    o.cpu = (o.cpu + 1) % world_.processors;
    o.value &= ~std::uint64_t{Operation::kGivesUp};
    return o;
  }
  std::uint64_t chosen = random.below(kTotal);
  for (const Weight& weight : kWeights) {
    o.kind = weight.kind;
    if (chosen < weight.weight) break;
    chosen -= weight.weight;
  }
  o.cpu = static_cast<unsigned>(random.below(world_.processors));
  o.space = static_cast<unsigned>(random.below(world_.spaces));
  o.value = random.next() & ~std::uint64_t{Operation::kGivesUp};
  if (random.chance(0.1)) o.value = 0;  // Pages of zeros that were written.
  if (random.chance(0.1)) o.value |= Operation::kGivesUp;
  o.protection = random.chance(0.5)    ? Protection::kReadWrite
                 : random.chance(0.97) ? kProtections[random.below(kProtections.size())]
                                       : kBadProtections[random.below(kBadProtections.size())];

  // Somewhere in a region, mostly; else in the window; now and then beyond all reason.
  const Space& space = spaces_[o.space];
  std::uint64_t page = kWindow + random.below(kWindowPages);
  std::uint64_t count = 1 + random.below(random.chance(0.8) ? 8 : 96);
  if (o.kind == Kind::kReserve && random.chance(0.3)) count = 1 + random.below(400);
  if (o.kind != Kind::kReserve && !space.regions.empty() && random.chance(0.9)) {
    auto region = space.regions.begin();
    std::advance(region, static_cast<std::ptrdiff_t>(random.below(space.regions.size())));
    const std::uint64_t offset = random.below(region->second.count);
    page = region->first + offset;
    if (random.chance(0.9)) count = std::min(count, region->second.count - offset);
    if (random.chance(0.05)) page = region->first, count = region->second.count;
  }
  o.address = (page << kPageShift) + random.below(kPageBytes);
  o.size = (count - 1) * kPageBytes + 1 + random.below(kPageBytes - (o.address & kPageOffsetMask));
  if (random.chance(0.5)) o.address = page << kPageShift, o.size = count * kPageBytes;
  if ((o.kind == Kind::kDecommit || o.kind == Kind::kRelease) && random.chance(0.2)) o.size = 0;
  if (random.chance(0.01)) {
    constexpr std::array<std::uint64_t, 8> kWild{
        0, 1, 0xFFFF, 0x7FFF0000, 0x7FFFFFFF0000, 0xFFFFFFFF, ~std::uint64_t{0} - 0xFFF, ~std::uint64_t{0}};
    (random.chance(0.5) ? o.address : o.size) = kWild[random.below(kWild.size())];
  }
  o.section = static_cast<unsigned>(random.below(Operation::kSections));
  choose_section(o, random);
  switch (o.kind) {
    case Kind::kReserve:
      if (random.chance(0.6)) o.value &= ~Operation::kAnywhere;
      break;
    case Kind::kLock:
    case Kind::kUnlock:
      if (random.chance(0.9)) o.size = std::min<std::uint64_t>(o.size, 3 * kPageBytes);
      break;
    case Kind::kSetLimits:
      // Never so high that locked pages could fill the machine.
      o.address = random.below(13);
      o.size = random.below(80);
      if (random.chance(0.05)) o.address = o.size = 10'000;
      break;
    case Kind::kAdvance:
      o.value = random.below(random.chance(0.9) ? 200 : 1'500'000) | (o.value & Operation::kGivesUp);
      break;
    default:
      break;
  }
  return o;
}

std::string replay(const World& world, std::span<const Operation> operations, std::size_t check_every) {
  Interpreter interpreter(world);
  for (std::size_t i = 0; i < operations.size(); ++i) {
    if (auto difference = interpreter.perform(operations[i]); !difference.empty()) return difference;
    if (i % check_every != 0) continue;
    if (auto findings = interpreter.check(); !findings.empty())
      return "after " + to_string(operations[i]) + ":\n" + findings;
  }
  return interpreter.finish();
}

}  // namespace pagoda::mm::testing
