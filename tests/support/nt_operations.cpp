// Operations: which come next, and how they print.
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "tests/support/nt_model.h"

namespace pagoda::nt::testing {

using Call = NtOperation::Call;

namespace {

// Around a border between page tables of every mode.
constexpr std::uint64_t kWindow = 0x400000 - 0x100000;
constexpr std::uint64_t kWindowPages = 512;
constexpr auto kProtections = std::to_array<std::uint32_t>(
    {PAGE_READWRITE, PAGE_READWRITE, PAGE_READWRITE, PAGE_READONLY, PAGE_NOACCESS, PAGE_EXECUTE, PAGE_EXECUTE_READ,
     PAGE_EXECUTE_READWRITE, PAGE_WRITECOPY, PAGE_EXECUTE_WRITECOPY, PAGE_READWRITE | PAGE_GUARD,
     PAGE_READONLY | PAGE_GUARD, PAGE_READWRITE | PAGE_NOCACHE, PAGE_READWRITE | PAGE_WRITECOMBINE});
constexpr auto kAllocationTypes = std::to_array<std::uint32_t>(
    {MEM_RESERVE, MEM_COMMIT, MEM_COMMIT, MEM_RESERVE | MEM_COMMIT, MEM_RESERVE | MEM_COMMIT,
     MEM_RESERVE | MEM_TOP_DOWN, MEM_RESERVE | MEM_COMMIT | MEM_TOP_DOWN});
// So often does each call come, of their sum.
constexpr std::array<unsigned, NtOperation::kCalls> kWeights{12, 3, 9, 9, 8, 3, 3, 7, 7, 8, 10, 3, 5, 3,
                                                             1,  1, 8, 3, 1, 3, 3, 2, 1, 2, 2,  1, 1, 2};

std::uint64_t near(Random& random, std::uint64_t value) { return value + random.below(3) - 1; }

}  // namespace

NtOperation NtInterpreter::next(Random& random) const {
  NtOperation o;
  std::uint64_t weight = 0;
  for (const unsigned each : kWeights) weight += each;
  std::uint64_t pick = random.below(weight);
  std::size_t call = 0;
  while (pick >= kWeights.at(call)) pick -= kWeights.at(call++);
  o.call = static_cast<Call>(call);

  const auto chance = [&](std::uint64_t in) { return random.below(in) == 0; };
  const auto slot = [&](std::uint64_t from, std::uint64_t to) {
    return static_cast<std::uint8_t>(from + random.below(to - from));
  };
  const auto any_slot = [&] { return slot(0, Handles::kCount); };
  // One that names a section now, if luck will have it.
  const auto section_slot = [&] {
    constexpr int kTries = 12;
    Entry entry;
    std::uint8_t found = slot(Handles::kSections, Handles::kAnything);
    for (int i = 0; i < kTries; ++i) {
      if (find(current(), h_.at(found), ObjectType::kSection, 0, entry) == STATUS_SUCCESS) break;
      found = slot(Handles::kFirstMade, Handles::kCount);
    }
    return found;
  };
  const auto process_slot = [&] {
    if (chance(20)) return any_slot();
    return chance(3) ? slot(Handles::kProcesses, Handles::kProcesses + 2) : Handles::kCurrent;
  };
  o.handle = process_slot();
  o.handle2 = process_slot();
  o.handle3 = process_slot();
  o.out = slot(Handles::kFirstMade, Handles::kCount);

  // An address: in a region that there is, in the window, at an edge, or anything.
  const ProcessPointer process = [&] {
    ProcessPointer found;
    const std::uint8_t which = o.call == Call::kMapView ? o.handle2 : o.handle;
    const bool own = o.call == Call::kLoad || o.call == Call::kStore || o.call == Call::kFetch;
    return !own && find_process(h_.at(which), 0, found) == STATUS_SUCCESS ? found : runs_.back();
  }();
  o.base = kWindow + random.below(kWindowPages) * kPageBytes;
  o.size = (1 + random.below(chance(4) ? 64 : 8)) * kPageBytes;
  if (!process->regions.empty() && !chance(4)) {
    auto region = process->regions.lower_bound(o.base >> kPageShift);
    if (region == process->regions.end() || chance(8)) region = std::prev(process->regions.end());
    if (chance(8)) region = process->regions.begin();
    const std::uint64_t page = region->first + random.below(region->second.count);
    o.base = page * kPageBytes;
    const std::uint64_t left = region->first + region->second.count - page;
    o.size = (1 + random.below(std::min<std::uint64_t>(left, 16))) * kPageBytes;
    if (chance(6)) o.base = region->first * kPageBytes;
  }
  const bool moves = o.call >= Call::kRead && o.call <= Call::kFetch;
  if (moves) {
    o.base += random.below(kPageBytes);
    o.size = random.below(chance(8) ? 3 * kPageBytes : 64);
  } else if (chance(6)) {
    o.base += random.below(kPageBytes);
    o.size += random.below(kPageBytes);
  }
  if (chance(30)) o.size = chance(2) ? 0 : random.next() >> random.below(64);
  if (chance(40)) o.base = random.next() >> random.below(64);
  if (chance(40)) {
    const std::array<std::uint64_t, 5> edges{highest_vad_, highest_user_, ~std::uint64_t{0}, 0, kAllocationGranularity};
    o.base = near(random, edges.at(random.below(edges.size())));
    if (chance(2)) o.size = near(random, edges.at(random.below(edges.size())) - o.base);
  }
  // A process that is full makes room.
  constexpr std::size_t kManyRegions = 12;
  constexpr std::uint64_t kSomePages = 48;
  if (!process->regions.empty() && (process->regions.size() > kManyRegions || is_short(kSomePages)) && chance(4)) {
    const auto region =
        std::next(process->regions.begin(), static_cast<std::ptrdiff_t>(random.below(process->regions.size())));
    const Call freeing = region->second.section != nullptr ? Call::kUnmapView : Call::kFree;
    return {.call = freeing,
            .handle = o.call == Call::kMapView ? o.handle2 : o.handle,
            .type = freeing == Call::kFree ? MEM_RELEASE : 0,
            .base = region->first * kPageBytes};
  }
  o.protect = kProtections.at(random.below(kProtections.size()));
  if (chance(20)) o.protect = static_cast<std::uint32_t>(random.next() >> random.below(64));
  o.value = random.next();
  if (chance(100)) o.nulls = static_cast<std::uint8_t>(random.below(8));
  o.access = chance(3) ? static_cast<std::uint32_t>(random.next()) : std::uint32_t{MAXIMUM_ALLOWED};

  switch (o.call) {
    case Call::kAllocate:
    case Call::kAllocateEx:
      o.type = kAllocationTypes.at(random.below(kAllocationTypes.size()));
      if (chance(16)) o.type |= 1U << random.below(32);
      if ((o.type & MEM_RESERVE) != 0 && chance(2)) o.base = 0;
      if (o.call == Call::kAllocate && chance(12))
        o.zero_bits = chance(2) ? random.below(24) : random.next() >> random.below(64);
      o.value = random.below(2);
      if (o.call == Call::kAllocateEx && o.value == 1) {
        if (!chance(10)) o.base = 0;
        o.offset = chance(2) ? 0 : kWindow & ~(kAllocationGranularity - 1);
        o.commit = chance(3) ? 0 : kWindow + random.below(kWindowPages) * kPageBytes - (chance(8) ? 0 : 1);
        o.zero_bits = chance(2) ? 0 : kAllocationGranularity << random.below(4);
        if (chance(10)) o.zero_bits = random.next() >> random.below(64);
        if (chance(10)) o.offset = random.next() >> random.below(64);
        if (chance(10)) o.commit = random.next() >> random.below(64);
      }
      break;
    case Call::kFree:
      o.type = chance(2) ? MEM_DECOMMIT : MEM_RELEASE;
      if (chance(20)) o.type |= 1U << random.below(32);
      if (chance(3)) o.size = 0;
      break;
    case Call::kQuery:
      o.type = chance(2) ? 0 : static_cast<std::uint32_t>(random.below(6));
      o.size = chance(10) ? random.below(200) : o.type == 1 ? 4096 : o.type == 4 ? 16 : o.type == 3 ? 32 : 48;
      break;
    case Call::kLock:
    case Call::kUnlock:
      o.type =
          chance(20) ? static_cast<std::uint32_t>(random.below(5)) : 1 + static_cast<std::uint32_t>(random.below(2));
      if (o.call == Call::kUnlock && process->locked > 0 && !chance(4)) {
        const auto locked =
            std::ranges::find_if(process->pages, [](const auto& page) { return page.second.is_locked(); });
        o.base = locked->first * kPageBytes;
        o.size = (1 + random.below(2)) * kPageBytes;
        o.type = locked->second.locked[0] ? MAP_PROCESS : MAP_SYSTEM;
      }
      break;
    case Call::kCreateSection:
      o.type = chance(2) ? SEC_COMMIT : SEC_RESERVE;
      if (chance(8)) o.type |= SEC_NO_CHANGE;
      if (chance(12)) o.type |= 1U << random.below(32);
      o.handle2 = chance(20) ? any_slot() : Handles::kNull;
      o.protect &= chance(10) ? ~0U : 0xFFU;
      if (chance(2)) o.protect = PAGE_EXECUTE_READWRITE;
      o.size = 1 + random.below(64 * kPageBytes);
      if (chance(20)) o.size = random.next() >> random.below(64);
      o.value = random.below(8);
      o.out = slot(Handles::kSections, Handles::kAnything);
      break;
    case Call::kOpenSection:
      o.value = chance(10) ? 0 : 1 + random.below(3);
      break;
    case Call::kQuerySection:
    case Call::kExtendSection:
      o.handle = chance(10) ? any_slot() : section_slot();
      o.type = static_cast<std::uint32_t>(random.below(chance(10) ? 5 : 2));
      if (o.call == Call::kQuerySection && !chance(8)) o.size = 128;
      break;
    case Call::kMapView:
      o.handle = chance(20) ? any_slot() : section_slot();
      if (!chance(8)) o.base &= ~(kAllocationGranularity - 1);
      if (chance(2)) o.base = 0;
      if (chance(2)) o.size = 0;
      o.offset = chance(8) ? random.next() >> random.below(64) : random.below(3) * kAllocationGranularity;
      if (chance(2)) o.commit = random.below(8) * kPageBytes;
      if (chance(12)) o.zero_bits = chance(2) ? random.below(24) : random.next() >> random.below(64);
      o.value = chance(20) ? random.below(4) : 1 + random.below(2);
      if (chance(4)) o.type = MEM_TOP_DOWN;
      if (chance(10)) o.type |= 1U << random.below(32);
      if (chance(20)) o.type = SEC_NO_CHANGE;
      break;
    case Call::kUnmapView:
      o.type = static_cast<std::uint32_t>(random.below(2));
      break;
    case Call::kClose:
      o.handle = chance(10) ? any_slot() : slot(Handles::kSections, Handles::kCount);
      break;
    case Call::kDuplicate:
      o.handle = any_slot();
      o.type = static_cast<std::uint32_t>(random.below(4));
      o.out = slot(Handles::kAnything, Handles::kCount);
      break;
    case Call::kCreateProcess:
      o.out = slot(Handles::kProcesses, Handles::kSections);
      if (chance(10)) o.type = static_cast<std::uint32_t>(random.below(4));
      break;
    case Call::kTerminateProcess:
      o.handle = chance(10) ? any_slot() : slot(Handles::kProcesses, Handles::kSections);
      if (!chance(4)) o.handle = slot(Handles::kThread, Handles::kMayOperate);
      break;
    case Call::kQueryProcess:
      o.type = chance(2) ? std::uint32_t{ProcessVmCounters} : static_cast<std::uint32_t>(random.below(5));
      o.size = chance(10)                    ? random.below(200)
               : o.type == ProcessVmCounters ? sizeof(VM_COUNTERS)
                                             : sizeof(QUOTA_LIMITS);
      break;
    case Call::kSetWorkingSet:
      o.base = random.below(100) * kPageBytes;
      o.size = o.base + random.below(200) * kPageBytes;
      if (chance(2)) o.base = o.size = ~std::uint64_t{0};
      if (chance(20)) o.size = random.next() >> random.below(64);
      break;
    case Call::kAttach:
      o.handle = chance(4) ? any_slot() : slot(Handles::kProcesses, Handles::kProcesses + 2);
      break;
    default:
      break;
  }
  // Little can be done in a process that has ended.
  if (current().ended && chance(4)) return {.call = Call::kDetach};
  // It makes room for another.
  Entry entry;
  for (std::uint8_t i = Handles::kProcesses; i < Handles::kProcesses + 2; ++i) {
    if (find(current(), h_.at(i), ObjectType::kProcess, 0, entry) != STATUS_SUCCESS || !entry.process->ended) continue;
    if (chance(10)) return {.call = Call::kClose, .handle = i};
  }
  for (std::uint8_t i = Handles::kProcesses; i < Handles::kProcesses + 2; ++i)
    if (runs_.size() == 1 && is_free(i) && chance(10)) return {.call = Call::kCreateProcess, .out = i};
  return o;
}

namespace {

std::string pointer(const NtOperation& o, std::uint8_t null, std::string_view name) {
  return (o.nulls & null) != 0 ? "NULL" : fmt::format("&{}", name);
}

// Variables that a call reads and writes, then the call.
std::string in_out(const NtOperation& o, std::string_view call, std::string_view rest) {
  return fmt::format("base = (PVOID){:#x}; size = {:#x}; {}(h[{}], {}, {}{})", o.base, o.size, call, o.handle,
                     pointer(o, NtOperation::kNoBase, "base"), pointer(o, NtOperation::kNoSize, "size"), rest);
}

}  // namespace

std::string to_string(const NtOperation& o) {
  const std::string out = pointer(o, NtOperation::kNoOut, fmt::format("h[{}]", o.out));
  const std::string buffer = (o.nulls & NtOperation::kNoOut) != 0 ? "NULL" : "buffer";
  switch (o.call) {
    case Call::kAllocate:
      return fmt::format(
          "base = (PVOID){:#x}; size = {:#x}; NtAllocateVirtualMemory(h[{}], {}, {:#x}, {}, {:#x}, {:#x})", o.base,
          o.size, o.handle, pointer(o, NtOperation::kNoBase, "base"), o.zero_bits,
          pointer(o, NtOperation::kNoSize, "size"), o.type, o.protect);
    case Call::kAllocateEx:
      if (o.value % 2 == 0)
        return in_out(o, "NtAllocateVirtualMemoryEx", fmt::format(", {:#x}, {:#x}, NULL, 0", o.type, o.protect));
      return fmt::format("where = (MEM_ADDRESS_REQUIREMENTS){{(PVOID){:#x}, (PVOID){:#x}, {:#x}}}; ", o.offset,
                         o.commit, o.zero_bits) +
             in_out(o, "NtAllocateVirtualMemoryEx", fmt::format(", {:#x}, {:#x}, &parameter, 1", o.type, o.protect));
    case Call::kFree:
      return in_out(o, "NtFreeVirtualMemory", fmt::format(", {:#x}", o.type));
    case Call::kProtect:
      return in_out(o, "NtProtectVirtualMemory",
                    fmt::format(", {:#x}, {}", o.protect, pointer(o, NtOperation::kNoOut, "old")));
    case Call::kQuery:
      return fmt::format("NtQueryVirtualMemory(h[{}], (PVOID){:#x}, {}, {}, {}, NULL)", o.handle, o.base, o.type,
                         buffer, o.size);
    case Call::kLock:
      return in_out(o, "NtLockVirtualMemory", fmt::format(", {}", o.type));
    case Call::kUnlock:
      return in_out(o, "NtUnlockVirtualMemory", fmt::format(", {}", o.type));
    case Call::kRead:
      return fmt::format("NtReadVirtualMemory(h[{}], (PVOID){:#x}, {}, {:#x}, NULL)", o.handle, o.base, buffer, o.size);
    case Call::kWrite:
      return fmt::format("NtWriteVirtualMemory(h[{}], (PVOID){:#x}, {}, {:#x}, NULL)", o.handle, o.base, buffer,
                         o.size);
    case Call::kLoad:
      return fmt::format("PagodaLoad((PVOID){:#x}, buffer, {:#x} % 0x4001)", o.base, o.size);
    case Call::kStore:
      return fmt::format("PagodaStore((PVOID){:#x}, buffer, {:#x} % 0x4001)", o.base, o.size);
    case Call::kFetch:
      return fmt::format("PagodaFetch((PVOID){:#x})", o.base);
    case Call::kCreateSection:
      return fmt::format("at.QuadPart = {:#x}; NtCreateSection({}, {:#x}, {}, {}, {:#x}, {:#x}, h[{}])", o.size, out,
                         o.access, o.value >= 1 && o.value <= 3 ? fmt::format("&name[{}]", o.value) : "NULL",
                         pointer(o, NtOperation::kNoSize, "at"), o.protect, o.type, o.handle2);
    case Call::kOpenSection:
      return fmt::format("NtOpenSection({}, {:#x}, &name[{}])", out, o.access, o.value % 8);
    case Call::kQuerySection:
      return fmt::format("NtQuerySection(h[{}], {}, {}, {:#x}, NULL)", o.handle, o.type, buffer, o.size);
    case Call::kExtendSection:
      return fmt::format("at.QuadPart = {:#x}; NtExtendSection(h[{}], {})", o.size, o.handle,
                         pointer(o, NtOperation::kNoSize, "at"));
    case Call::kMapView:
      return fmt::format(
          "base = (PVOID){:#x}; size = {:#x}; at.QuadPart = {:#x}; NtMapViewOfSection(h[{}], h[{}], {}, {:#x}, {:#x}, "
          "{}, {}, {}, {:#x}, {:#x})",
          o.base, o.size, o.offset, o.handle, o.handle2, pointer(o, NtOperation::kNoBase, "base"), o.zero_bits,
          o.commit, pointer(o, NtOperation::kNoOut, "at"), pointer(o, NtOperation::kNoSize, "size"), o.value & 0xFF,
          o.type, o.protect);
    case Call::kUnmapView:
      if (o.type != 0) return fmt::format("NtUnmapViewOfSectionEx(h[{}], (PVOID){:#x}, 0)", o.handle, o.base);
      return fmt::format("NtUnmapViewOfSection(h[{}], (PVOID){:#x})", o.handle, o.base);
    case Call::kFlush:
      return in_out(o, "NtFlushVirtualMemory", fmt::format(", {}", pointer(o, NtOperation::kNoOut, "io")));
    case Call::kClose:
      return fmt::format("NtClose(h[{}])", o.handle);
    case Call::kDuplicate:
      return fmt::format("NtDuplicateObject(h[{}], h[{}], h[{}], {}, {:#x}, 0, {:#x})", o.handle2, o.handle, o.handle3,
                         out, o.access, o.type);
    case Call::kCreateProcess:
      return fmt::format("PagodaCreateProcess({}, PROCESS_ALL_ACCESS, h[{}], {:#x})", out, o.handle, o.type);
    case Call::kTerminateProcess:
      return fmt::format("NtTerminateProcess(h[{}], 0)", o.handle);
    case Call::kQueryProcess:
      return fmt::format("NtQueryInformationProcess(h[{}], {}, {}, {:#x}, NULL)", o.handle, o.type, buffer, o.size);
    case Call::kSetWorkingSet:
      return fmt::format(
          "limits.MinimumWorkingSetSize = {:#x}; limits.MaximumWorkingSetSize = {:#x}; "
          "NtSetInformationProcess(h[{}], ProcessQuotaLimits, &limits, sizeof limits)",
          o.base, o.size, o.handle);
    case Call::kSetPrivilege:
      return fmt::format("PagodaSetPrivilege(h[{}], SE_LOCK_MEMORY_PRIVILEGE, {}, &held)", o.handle, o.value & 1);
    case Call::kAttach:
      return fmt::format("PagodaAttach(h[{}])", o.handle);
    case Call::kDetach:
      return "PagodaDetach()";
    case Call::kEnumEnd:
      break;
  }
  return "";
}

// The C for people; the numbers for `replay`, which has the model's checks.
std::string as_test(const NtWorld& world, std::span<const NtOperation> operations) {
  std::string text = fmt::format(
      "TEST(NtRegression, Found) {{\n  const NtWorld world{{.paging = machine::PteFormat({}), .frames = {}}};\n"
      "  const auto operations = std::to_array<NtOperation>({{\n",
      static_cast<int>(world.paging), world.frames);
  for (const NtOperation& o : operations)
    text += fmt::format(
        "      // {};\n      {{NtOperation::Call({}), {}, {}, {}, {}, {}, {:#x}U, {:#x}U, {:#x}U, {:#x}U, {:#x}U, "
        "{:#x}U, {:#x}U, {:#x}U, {:#x}U}},\n",
        to_string(o), static_cast<int>(o.call), o.handle, o.handle2, o.handle3, o.out, o.nulls, o.type, o.protect,
        o.access, o.base, o.size, o.zero_bits, o.offset, o.commit, o.value);
  return text + "  });\n  EXPECT_EQ(replay(world, operations), \"\");\n}\n";
}

std::string replay(const NtWorld& world, std::span<const NtOperation> operations, std::size_t check_every) {
  NtInterpreter interpreter(world);
  for (std::size_t i = 0; i < operations.size(); ++i) {
    if (auto difference = interpreter.perform(operations[i]); !difference.empty()) return difference;
    if ((i + 1) % check_every != 0) continue;
    if (auto difference = interpreter.check(); !difference.empty()) return difference;
  }
  return interpreter.finish();
}

}  // namespace pagoda::nt::testing
