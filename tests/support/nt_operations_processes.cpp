// Operations on handles, processes and attachments, as the kernel and the model perform them: reference/nt.md section 8.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "tests/support/nt_interpreter.h"
#include "tests/support/nt_rules.h"

namespace pagoda::nt::testing::op {

namespace {

// Handles that the other operations need.
bool is_lasting(std::uint8_t place) { return place % Handles::kCount < Handles::kFirstMade; }

}  // namespace

// --- Handles ---

std::string Close::perform(Interpreter& in) const {
  const HANDLE closed = in.handle(handle);
  const bool is_there = in.current().find(closed) != nullptr;
  // What lasts stays; but a handle of the same value in another process may go.
  if (is_lasting(handle) && in.current().is_first && is_there) return "";
  const bool pseudo = closed == NtCurrentProcess();
  const NTSTATUS expected = pseudo || is_there ? STATUS_SUCCESS : STATUS_INVALID_HANDLE;
  const NTSTATUS got = NtClose(closed);
  if (got == STATUS_SUCCESS && !pseudo) in.current().handles.erase(ModelProcess::value_of(closed));
  return in.compare(*this, expected, got);
}

std::string DuplicateObject::perform(Interpreter& in) const {
  if (!in.is_free(out)) return "";
  const bool closes = has(options, DUPLICATE_CLOSE_SOURCE);
  if (closes && is_lasting(handle)) return "";
  const HANDLE original = in.handle(handle);
  ProcessPointer from;
  ProcessPointer to;
  ModelEntry entry;
  AccessMask granted = 0;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    NTSTATUS status = in.find_process(in.handle(source), PROCESS_DUP_HANDLE, from);
    if (status != STATUS_SUCCESS) return status;
    status = in.find_process(in.handle(target), PROCESS_DUP_HANDLE, to);
    if (status != STATUS_SUCCESS) return status;
    if (original == NtCurrentProcess()) {
      entry = {ObjectType::kProcess, generic_mapping(ObjectType::kProcess).all, in.current_process(), nullptr};
    } else {
      const ModelEntry* const found = from->find(original);
      if (found == nullptr) return STATUS_INVALID_HANDLE;
      entry = *found;
    }
    if (to->ended) return STATUS_PROCESS_IS_TERMINATING;
    granted = has(options, DUPLICATE_SAME_ACCESS) ? entry.access : granted_access(entry.type, access);
    return (granted & ~entry.access) != 0 ? STATUS_ACCESS_DENIED : STATUS_SUCCESS;
  }();
  // A process that had a handle to itself would never go.
  if (expected == STATUS_SUCCESS && entry.process != nullptr && !to->is_first) return "";
  HANDLE made = nullptr;
  const NTSTATUS got = NtDuplicateObject(in.handle(source), original, in.handle(target), no_handle ? nullptr : &made,
                                         access, 0, options);
  if (auto difference = in.compare(*this, expected, got); !difference.empty()) return difference;
  if (got != STATUS_SUCCESS) return "";
  entry.access = granted;
  if (!no_handle)
    if (auto difference = in.take_handle(*this, out, made, to, entry); !difference.empty()) return difference;
  if (closes && original != NtCurrentProcess()) from->handles.erase(ModelProcess::value_of(original));
  return "";
}

// --- Processes ---

std::string CreateProcess::perform(Interpreter& in) const {
  if (!in.is_free(out) || !in.may_create_process()) return "";
  ProcessPointer parent_process;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (no_handle) return STATUS_ACCESS_VIOLATION;
    if ((flags & ~PAGODA_PROCESS_LARGE_ADDRESS_AWARE) != 0) return STATUS_INVALID_PARAMETER;
    return in.with_handle(in.find_space(in.handle(parent), PROCESS_CREATE_PROCESS, parent_process));
  }();
  HANDLE handle = nullptr;
  const NTSTATUS got = PagodaCreateProcess(no_handle ? nullptr : &handle, PROCESS_ALL_ACCESS, in.handle(parent), flags);
  if (auto difference = in.compare(*this, expected, got); !difference.empty()) return difference;
  if (got != STATUS_SUCCESS) return "";
  const ProcessPointer process = in.add_process(handle);
  process->may_lock = parent_process->may_lock;
  return in.take_handle(
      *this, out, handle, in.current_process(),
      {ObjectType::kProcess, granted_access(ObjectType::kProcess, PROCESS_ALL_ACCESS), process, nullptr});
}

std::string TerminateProcess::perform(Interpreter& in) const {
  ProcessPointer whose;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    const HANDLE named = in.handle(process) == nullptr ? NtCurrentProcess() : in.handle(process);
    const NTSTATUS status = in.find_process(named, PROCESS_TERMINATE, whose);
    if (status != STATUS_SUCCESS) return status;
    if (whose->is_first) return STATUS_ACCESS_DENIED;
    return whose->ended ? STATUS_PROCESS_IS_TERMINATING : STATUS_SUCCESS;
  }();
  const NTSTATUS got = NtTerminateProcess(in.handle(process), 0);
  if (auto difference = in.compare(*this, expected, got); !difference.empty()) return difference;
  if (got == STATUS_SUCCESS) in.end_process(whose);
  return "";
}

std::string QueryInformationProcess::perform(Interpreter& in) const {
  const auto what_class = static_cast<PROCESSINFOCLASS>(what & 0x7FFFFFFF);
  std::array<std::byte, 256> buffer{};
  const auto bytes = static_cast<ULONG>(std::min<std::uint64_t>(size, buffer.size()));
  ProcessPointer whose;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (what_class != ProcessQuotaLimits && what_class != ProcessVmCounters) return STATUS_INVALID_INFO_CLASS;
    const bool fits = what_class == ProcessVmCounters
                          ? bytes == sizeof(VM_COUNTERS) || bytes == sizeof(VM_COUNTERS_EX)
                          : bytes == sizeof(QUOTA_LIMITS) || bytes == sizeof(QUOTA_LIMITS_EX);
    if (!fits) return STATUS_INFO_LENGTH_MISMATCH;
    if (no_buffer) return STATUS_ACCESS_VIOLATION;
    const bool limited = in.has(Difference::kLimitedQueries);
    return in.find_space(in.handle(process), limited ? PROCESS_QUERY_LIMITED_INFORMATION : PROCESS_QUERY_INFORMATION,
                         whose);
  }();
  const NTSTATUS got =
      NtQueryInformationProcess(in.handle(process), what_class, no_buffer ? nullptr : buffer.data(), bytes, nullptr);
  if (auto difference = in.compare(*this, expected, got); !difference.empty()) return difference;
  if (got != STATUS_SUCCESS) return "";
  if (what_class == ProcessQuotaLimits) {
    QUOTA_LIMITS limits{};
    std::memcpy(&limits, buffer.data(), sizeof limits);
    return limits.MinimumWorkingSetSize / kPageBytes == whose->minimum ? "" : to_string(*this) + ": another minimum";
  }
  VM_COUNTERS counters{};
  std::memcpy(&counters, buffer.data(), sizeof counters);
  std::uint64_t virtual_pages = 0;
  for (const auto& [first, region] : whose->regions) virtual_pages += region.count;
  if (counters.VirtualSize == virtual_pages * kPageBytes) return "";
  return fmt::format("{}: virtual size {:#x}, expected {:#x}", to_string(*this), counters.VirtualSize,
                     virtual_pages * kPageBytes);
}

// reference/nt.md section 9. What is clipped depends on the memory that is left.
std::string SetWorkingSet::perform(Interpreter& in) const {
  ProcessPointer whose;
  QUOTA_LIMITS limits{};
  limits.MinimumWorkingSetSize = minimum;
  limits.MaximumWorkingSetSize = maximum;
  NTSTATUS expected = in.find_space(in.handle(process), PROCESS_SET_QUOTA, whose);
  const NTSTATUS got = NtSetInformationProcess(in.handle(process), ProcessQuotaLimits, &limits, sizeof limits);
  if (expected == STATUS_SUCCESS && (got == STATUS_WORKING_SET_LIMIT_RANGE || got == STATUS_BAD_WORKING_SET_LIMIT ||
                                     got == STATUS_PRIVILEGE_NOT_HELD || got == STATUS_INSUFFICIENT_RESOURCES))
    expected = got;
  if (auto difference = in.compare(*this, expected, got); !difference.empty()) return difference;
  QUOTA_LIMITS now{};
  if (!NT_SUCCESS(got) ||
      NtQueryInformationProcess(in.handle(process), ProcessQuotaLimits, &now, sizeof now, nullptr) != STATUS_SUCCESS)
    return "";
  whose->minimum = now.MinimumWorkingSetSize / kPageBytes;
  return "";
}

std::string SetPrivilege::perform(Interpreter& in) const {
  constexpr BOOLEAN kUntouched = 2;
  ProcessPointer whose;
  const NTSTATUS expected = in.find_process(in.handle(process), PROCESS_ALL_ACCESS, whose);
  BOOLEAN held = kUntouched;
  const NTSTATUS got = PagodaSetPrivilege(in.handle(process), SE_LOCK_MEMORY_PRIVILEGE, enable ? 1 : 0, &held);
  if (auto difference = in.compare(*this, expected, got); !difference.empty()) return difference;
  if (got != STATUS_SUCCESS) return held == kUntouched ? "" : to_string(*this) + " wrote";
  if ((held == 1) != whose->may_lock) return to_string(*this) + ": held or not";
  whose->may_lock = enable;
  return "";
}

// --- Attachments ---

std::string Attach::perform(Interpreter& in) const {
  const HANDLE handle = in.handle(process);
  const ModelEntry* const named = in.current().find(handle);
  const bool is_thread = named != nullptr && named->type == ObjectType::kThread;
  if (is_thread || !in.may_attach()) return "";
  ProcessPointer whose;
  const NTSTATUS expected = in.find_space(handle, PROCESS_ALL_ACCESS, whose);
  const NTSTATUS got = PagodaAttach(handle);
  if (auto difference = in.compare(*this, expected, got); !difference.empty()) return difference;
  if (got == STATUS_SUCCESS) in.attach(whose);
  return "";
}

std::string Detach::perform(Interpreter& in) const {
  const NTSTATUS expected = in.is_attached() ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
  const NTSTATUS got = PagodaDetach();
  if (auto difference = in.compare(*this, expected, got); !difference.empty()) return difference;
  if (got == STATUS_SUCCESS) in.detach();
  return "";
}

}  // namespace pagoda::nt::testing::op
