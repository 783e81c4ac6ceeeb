// How operations print, and sequences of them.
#include <fmt/format.h>

#include <string_view>

#include "tests/support/nt_model.h"

namespace pagoda::nt::testing {

using Call = NtOperation::Call;

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
