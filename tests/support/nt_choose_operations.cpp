// How each call is chosen.
#include <algorithm>

#include "tests/support/nt_choose.h"

namespace pagoda::nt::testing::op {

// --- Regions ---

namespace {

std::uint32_t allocation_type(Chooser& c) {
  constexpr auto kTypes = std::to_array<std::uint32_t>({MEM_RESERVE, MEM_COMMIT, MEM_COMMIT, MEM_RESERVE | MEM_COMMIT,
                                                        MEM_RESERVE | MEM_COMMIT, MEM_RESERVE | MEM_TOP_DOWN,
                                                        MEM_RESERVE | MEM_COMMIT | MEM_TOP_DOWN});
  const std::uint32_t type = c.one_of(kTypes);
  return c.chance(16) ? type | c.any_bit() : type;
}

}  // namespace

AllocateVirtualMemory AllocateVirtualMemory::choose(Chooser& c) {
  const std::uint8_t process = c.process();
  AllocateVirtualMemory o{.process = process,
                          .range = c.pages(c.process_at(process)),
                          .zero_bits = c.zero_bits(),
                          .type = allocation_type(c),
                          .protect = c.protect()};
  if ((o.type & MEM_RESERVE) != 0 && c.chance(2)) o.range.base = 0;
  return o;
}

AllocateVirtualMemoryEx AllocateVirtualMemoryEx::choose(Chooser& c) {
  const std::uint8_t process = c.process();
  AllocateVirtualMemoryEx o{.process = process,
                            .range = c.pages(c.process_at(process)),
                            .type = allocation_type(c),
                            .protect = c.protect(),
                            .asks = c.chance(2)};
  if ((o.type & MEM_RESERVE) != 0 && c.chance(2)) o.range.base = 0;
  if (!o.asks) return o;
  if (!c.chance(10)) o.range.base = 0;
  o.lowest = c.chance(2) ? 0 : Chooser::window() & ~(kAllocationGranularity - 1);
  o.highest = c.chance(3) ? 0 : c.in_window();
  if (o.highest != 0 && !c.chance(8)) --o.highest;
  o.alignment = c.chance(2) ? 0 : kAllocationGranularity << c.below(4);
  if (c.chance(10)) o.alignment = c.wild();
  if (c.chance(10)) o.lowest = c.wild();
  if (c.chance(10)) o.highest = c.wild();
  return o;
}

FreeVirtualMemory FreeVirtualMemory::choose(Chooser& c) {
  const std::uint8_t process = c.process();
  FreeVirtualMemory o{
      .process = process, .range = c.pages(c.process_at(process)), .type = c.chance(2) ? MEM_DECOMMIT : MEM_RELEASE};
  if (c.chance(20)) o.type |= c.any_bit();
  if (c.chance(3)) o.range.size = 0;
  return o;
}

// --- Pages ---

ProtectVirtualMemory ProtectVirtualMemory::choose(Chooser& c) {
  const std::uint8_t process = c.process();
  return {.process = process, .range = c.pages(c.process_at(process)), .protect = c.protect(), .no_old = c.is_null()};
}

QueryVirtualMemory QueryVirtualMemory::choose(Chooser& c) {
  const std::uint8_t process = c.process();
  QueryVirtualMemory o{.process = process,
                       .address = c.address(c.process_at(process)),
                       .what = c.chance(2) ? 0 : static_cast<std::uint32_t>(c.below(6)),
                       .no_buffer = c.is_null()};
  o.size = c.chance(10) ? c.below(200) : o.what == 1 ? 4096 : o.what == 4 ? 16 : o.what == 3 ? 32 : 48;
  return o;
}

namespace {

std::uint32_t lock_type(Chooser& c) { return static_cast<std::uint32_t>(c.chance(20) ? c.below(5) : 1 + c.below(2)); }

}  // namespace

LockVirtualMemory LockVirtualMemory::choose(Chooser& c) {
  const std::uint8_t process = c.process();
  return {.process = process, .range = c.pages(c.process_at(process)), .type = lock_type(c)};
}

// Something that is locked, mostly.
UnlockVirtualMemory UnlockVirtualMemory::choose(Chooser& c) {
  const std::uint8_t process = c.process();
  const ModelProcess& whose = c.process_at(process);
  UnlockVirtualMemory o{.process = process, .range = c.pages(whose), .type = lock_type(c)};
  if (whose.locked == 0 || c.chance(4)) return o;
  const auto locked = std::ranges::find_if(whose.pages, [](const auto& page) { return page.second.is_locked(); });
  o.range.base = locked->first * kPageBytes;
  o.range.size = (1 + c.below(2)) * kPageBytes;
  o.type = locked->second.locked[0] ? MAP_PROCESS : MAP_SYSTEM;
  return o;
}

// --- Bytes ---

ReadVirtualMemory ReadVirtualMemory::choose(Chooser& c) {
  const std::uint8_t process = c.process();
  const Range range = c.bytes(c.process_at(process));
  return {.process = process, .address = range.base, .size = range.size, .no_buffer = c.is_null()};
}

WriteVirtualMemory WriteVirtualMemory::choose(Chooser& c) {
  const std::uint8_t process = c.process();
  const Range range = c.bytes(c.process_at(process));
  return {.process = process, .address = range.base, .size = range.size, .no_buffer = c.is_null(), .value = c.any()};
}

Load Load::choose(Chooser& c) {
  const Range range = c.bytes(c.process_at(Handles::kCurrent));
  return {.address = range.base, .size = range.size};
}

Store Store::choose(Chooser& c) {
  const Range range = c.bytes(c.process_at(Handles::kCurrent));
  return {.address = range.base, .size = range.size, .value = c.any()};
}

Fetch Fetch::choose(Chooser& c) { return {.address = c.bytes(c.process_at(Handles::kCurrent)).base}; }

// --- Sections ---

CreateSection CreateSection::choose(Chooser& c) {
  CreateSection o{.out = c.place(Handles::kSections, Handles::kAnything),
                  .no_handle = c.is_null(),
                  .access = c.access(),
                  .name = static_cast<std::uint8_t>(c.below(8)),
                  .size = c.chance(20) ? c.wild() : 1 + c.below(64 * kPageBytes),
                  .no_size = c.is_null(),
                  .protect = c.protect(),
                  .attributes = c.chance(2) ? SEC_COMMIT : SEC_RESERVE,
                  .file = c.chance(20) ? c.any_place() : Handles::kNull};
  if (c.chance(8)) o.attributes |= SEC_NO_CHANGE;
  if (c.chance(8)) o.attributes |= SEC_NOCACHE;
  if (c.chance(12)) o.attributes |= c.any_bit();
  if (!c.chance(10)) o.protect &= 0xFF;
  if (c.chance(2)) o.protect = PAGE_EXECUTE_READWRITE;
  return o;
}

OpenSection OpenSection::choose(Chooser& c) {
  return {.out = c.new_place(),
          .no_handle = c.is_null(),
          .access = c.access(),
          .name = static_cast<std::uint8_t>(c.chance(10) ? 0 : 1 + c.below(7))};
}

QuerySection QuerySection::choose(Chooser& c) {
  return {.section = c.chance(10) ? c.any_place() : c.section(),
          .what = static_cast<std::uint32_t>(c.below(c.chance(10) ? 5 : 2)),
          .size = c.chance(8) ? c.below(200) : 128,
          .no_buffer = c.is_null()};
}

ExtendSection ExtendSection::choose(Chooser& c) {
  return {.section = c.chance(10) ? c.any_place() : c.section(),
          .size = c.pages(c.process_at(c.process())).size,
          .no_size = c.is_null()};
}

MapViewOfSection MapViewOfSection::choose(Chooser& c) {
  const std::uint8_t process = c.process();
  MapViewOfSection o{.section = c.chance(20) ? c.any_place() : c.section(),
                     .process = process,
                     .range = c.pages(c.process_at(process)),
                     .zero_bits = c.zero_bits(),
                     .commit = c.chance(2) ? c.below(8) * kPageBytes : 0,
                     .offset = c.chance(8) ? c.wild() : c.below(3) * kAllocationGranularity,
                     .no_offset = c.is_null(),
                     .inherit = static_cast<std::uint8_t>(c.chance(20) ? c.below(4) : 1 + c.below(2)),
                     .type = c.chance(4) ? std::uint32_t{MEM_TOP_DOWN} : 0,
                     .protect = c.protect()};
  if (!c.chance(8)) o.range.base &= ~(kAllocationGranularity - 1);
  if (c.chance(2)) o.range.base = 0;
  if (c.chance(2)) o.range.size = 0;
  if (c.chance(10)) o.type |= c.any_bit();
  if (c.chance(20)) o.type = SEC_NO_CHANGE;
  if (c.chance(20)) o.type |= MEM_DOS_LIM;
  return o;
}

UnmapViewOfSection UnmapViewOfSection::choose(Chooser& c) {
  const std::uint8_t process = c.process();
  return {.process = process, .address = c.address(c.process_at(process)), .extended = c.chance(2)};
}

FlushVirtualMemory FlushVirtualMemory::choose(Chooser& c) {
  const std::uint8_t process = c.process();
  return {.process = process, .range = c.pages(c.process_at(process)), .no_io = c.is_null()};
}

// --- Handles and processes ---

Close Close::choose(Chooser& c) {
  return {.handle = c.chance(10) ? c.any_place() : c.place(Handles::kSections, Handles::kCount)};
}

DuplicateObject DuplicateObject::choose(Chooser& c) {
  return {.source = c.process(),
          .handle = c.any_place(),
          .target = c.process(),
          .out = c.place(Handles::kAnything, Handles::kCount),
          .no_handle = c.is_null(),
          .access = c.access(),
          .options = static_cast<std::uint32_t>(c.below(4))};
}

CreateProcess CreateProcess::choose(Chooser& c) {
  return {.out = c.place(Handles::kProcesses, Handles::kSections),
          .no_handle = c.is_null(),
          .parent = c.process(),
          .flags = c.chance(10) ? static_cast<std::uint32_t>(c.below(4)) : 0};
}

TerminateProcess TerminateProcess::choose(Chooser& c) {
  if (!c.chance(4)) return {.process = c.place(Handles::kThread, Handles::kMayOperate)};
  return {.process = c.chance(10) ? c.any_place() : c.place(Handles::kProcesses, Handles::kSections)};
}

QueryInformationProcess QueryInformationProcess::choose(Chooser& c) {
  QueryInformationProcess o{
      .process = c.process(),
      .what = c.chance(2) ? std::uint32_t{ProcessVmCounters} : static_cast<std::uint32_t>(c.below(5)),
      .no_buffer = c.is_null()};
  o.size = c.chance(10) ? c.below(200) : o.what == ProcessVmCounters ? sizeof(VM_COUNTERS) : sizeof(QUOTA_LIMITS);
  return o;
}

SetWorkingSet SetWorkingSet::choose(Chooser& c) {
  SetWorkingSet o{.process = c.process(), .minimum = c.below(100) * kPageBytes};
  o.maximum = o.minimum + c.below(200) * kPageBytes;
  if (c.chance(2)) o.minimum = o.maximum = ~std::uint64_t{0};
  if (c.chance(20)) o.maximum = c.wild();
  return o;
}

SetPrivilege SetPrivilege::choose(Chooser& c) { return {.process = c.process(), .enable = c.chance(2)}; }

Attach Attach::choose(Chooser& c) { return {.process = c.chance(4) ? c.any_place() : c.child()}; }

Detach Detach::choose(Chooser& /*chooser*/) { return {}; }

}  // namespace pagoda::nt::testing::op
