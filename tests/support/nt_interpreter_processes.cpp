// The calls about handles, processes and attachments: reference/nt.md section 8.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "pagoda/mm/check/check.h"
#include "tests/support/nt_model.h"
#include "tests/support/nt_rules.h"

namespace pagoda::nt::testing {

using machine::Access;
using mm::Protection;
using Call = NtOperation::Call;

std::string NtInterpreter::close(const NtOperation& o) {
  // What the other operations need stays; but a handle of the same value in another process may go.
  const HANDLE handle = h_[o.handle];
  const bool kept = o.handle < Handles::kFirstMade && runs_.back() == runs_.front();
  const std::uint64_t value = bits_of(handle) & ~std::uint64_t{3};
  if (kept && current().handles.contains(value)) return "";
  const bool pseudo = handle == NtCurrentProcess();
  const NTSTATUS expected = pseudo || current().handles.contains(value) ? STATUS_SUCCESS : STATUS_INVALID_HANDLE;
  const NTSTATUS got = NtClose(handle);
  if (got == STATUS_SUCCESS && !pseudo) current().handles.erase(value);
  return compare(o, expected, got);
}

std::string NtInterpreter::duplicate(const NtOperation& o) {
  if (!is_free(o.out)) return "";
  const bool no_out = (o.nulls & NtOperation::kNoOut) != 0;
  const bool closes = has(o.type, DUPLICATE_CLOSE_SOURCE);
  if (closes && o.handle < Handles::kFirstMade) return "";
  const HANDLE source_handle = h_[o.handle];
  ProcessPointer source;
  ProcessPointer target;
  Entry entry;
  AccessMask granted = 0;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (const NTSTATUS status = find_process(h_[o.handle2], PROCESS_DUP_HANDLE, source); status != STATUS_SUCCESS)
      return status;
    if (const NTSTATUS status = find_process(h_[o.handle3], PROCESS_DUP_HANDLE, target); status != STATUS_SUCCESS)
      return status;
    if (source_handle == NtCurrentProcess()) {
      entry = {ObjectType::kProcess, PROCESS_ALL_ACCESS, runs_.back(), nullptr};
    } else {
      const auto found = source->handles.find(bits_of(source_handle) & ~std::uint64_t{3});
      if (found == source->handles.end()) return STATUS_INVALID_HANDLE;
      entry = found->second;
    }
    if (target->ended) return STATUS_PROCESS_IS_TERMINATING;
    granted = has(o.type, DUPLICATE_SAME_ACCESS) ? entry.access : granted_access(entry.type, o.access);
    return (granted & ~entry.access) != 0 ? STATUS_ACCESS_DENIED : STATUS_SUCCESS;
  }();
  // A process that had a handle to itself would never go.
  if (expected == STATUS_SUCCESS && entry.process != nullptr && !target->first) return "";
  HANDLE handle = nullptr;
  const NTSTATUS got =
      NtDuplicateObject(h_[o.handle2], source_handle, h_[o.handle3], no_out ? nullptr : &handle, o.access, 0, o.type);
  if (auto difference = compare(o, expected, got); !difference.empty()) return difference;
  if (got != STATUS_SUCCESS) return "";
  entry.access = granted;
  if (!no_out)
    if (auto difference = took_handle(o, handle, target, entry); !difference.empty()) return difference;
  if (closes && source_handle != NtCurrentProcess()) source->handles.erase(bits_of(source_handle) & ~std::uint64_t{3});
  return "";
}

std::string NtInterpreter::create_process(const NtOperation& o) {
  std::erase_if(processes_, [](const auto& weak) { return weak.expired(); });
  const auto alive = std::ranges::count_if(processes_, [](const auto& weak) { return !weak.lock()->ended; });
  if (!is_free(o.out) || alive >= kMostProcesses) return "";
  const bool no_out = (o.nulls & NtOperation::kNoOut) != 0;
  ProcessPointer parent;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (no_out) return STATUS_ACCESS_VIOLATION;
    if ((o.type & ~PAGODA_PROCESS_LARGE_ADDRESS_AWARE) != 0) return STATUS_INVALID_PARAMETER;
    return find_space(h_[o.handle], PROCESS_CREATE_PROCESS, parent);
  }();
  HANDLE handle = nullptr;
  const NTSTATUS got = PagodaCreateProcess(no_out ? nullptr : &handle, PROCESS_ALL_ACCESS, h_[o.handle], o.type);
  if (auto difference = compare(o, expected, got); !difference.empty()) return difference;
  if (got != STATUS_SUCCESS) return "";
  const auto process = std::make_shared<Process>();
  process->may_lock = parent->may_lock;
  processes_.push_back(process);
  read_limits(*process, handle);
  return took_handle(o, handle, runs_.back(), {ObjectType::kProcess, PROCESS_ALL_ACCESS, process, nullptr});
}

// Its regions are freed when the last caller leaves it.
void NtInterpreter::leave_space(const ProcessPointer& process) {
  if (!process->ended || std::ranges::find(runs_, process) != runs_.end()) return;
  process->regions.clear();
  process->pages.clear();
  process->contents.clear();
}

std::string NtInterpreter::terminate_process(const NtOperation& o) {
  ProcessPointer process;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    const HANDLE handle = h_[o.handle] == nullptr ? NtCurrentProcess() : h_[o.handle];
    if (const NTSTATUS status = find_process(handle, PROCESS_TERMINATE, process); status != STATUS_SUCCESS)
      return status;
    if (process->first) return STATUS_ACCESS_DENIED;
    return process->ended ? STATUS_PROCESS_IS_TERMINATING : STATUS_SUCCESS;
  }();
  const NTSTATUS got = NtTerminateProcess(h_[o.handle], 0);
  if (auto difference = compare(o, expected, got); !difference.empty()) return difference;
  if (got != STATUS_SUCCESS) return "";
  process->ended = true;
  std::map<std::uint64_t, Entry> closed;
  closed.swap(process->handles);
  leave_space(process);
  return "";
}

std::string NtInterpreter::query_process(const NtOperation& o) {
  const bool no_out = (o.nulls & NtOperation::kNoOut) != 0;
  const auto what = static_cast<PROCESSINFOCLASS>(o.type & 0x7FFFFFFF);
  std::array<std::byte, 256> buffer{};
  const auto size = static_cast<ULONG>(std::min<std::uint64_t>(o.size, buffer.size()));
  ProcessPointer process;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (what != ProcessQuotaLimits && what != ProcessVmCounters) return STATUS_INVALID_INFO_CLASS;
    const bool fits = what == ProcessVmCounters ? size == sizeof(VM_COUNTERS)
                                                : size == sizeof(QUOTA_LIMITS) || size == sizeof(QUOTA_LIMITS_EX);
    if (!fits) return STATUS_INFO_LENGTH_MISMATCH;
    if (no_out) return STATUS_ACCESS_VIOLATION;
    return find_space(h_[o.handle], PROCESS_QUERY_INFORMATION, process);
  }();
  const NTSTATUS got = NtQueryInformationProcess(h_[o.handle], what, no_out ? nullptr : buffer.data(), size, nullptr);
  if (auto difference = compare(o, expected, got); !difference.empty()) return difference;
  if (got != STATUS_SUCCESS) return "";
  if (what == ProcessQuotaLimits) {
    QUOTA_LIMITS limits{};
    std::memcpy(&limits, buffer.data(), sizeof limits);
    return limits.MinimumWorkingSetSize / kPageBytes == process->minimum ? "" : to_string(o) + ": another minimum";
  }
  VM_COUNTERS counters{};
  std::memcpy(&counters, buffer.data(), sizeof counters);
  std::uint64_t virtual_pages = 0;
  for (const auto& [first, region] : process->regions) virtual_pages += region.count;
  if (counters.VirtualSize == virtual_pages * kPageBytes) return "";
  return fmt::format("{}: virtual size {:#x}, expected {:#x}", to_string(o), counters.VirtualSize,
                     virtual_pages * kPageBytes);
}

// reference/nt.md section 9. What is clipped depends on the memory that is left.
std::string NtInterpreter::set_working_set(const NtOperation& o) {
  ProcessPointer process;
  QUOTA_LIMITS limits{};
  limits.MinimumWorkingSetSize = o.base;
  limits.MaximumWorkingSetSize = o.size;
  NTSTATUS expected = find_space(h_[o.handle], PROCESS_SET_QUOTA, process);
  const NTSTATUS got = NtSetInformationProcess(h_[o.handle], ProcessQuotaLimits, &limits, sizeof limits);
  if (expected == STATUS_SUCCESS && (got == STATUS_WORKING_SET_LIMIT_RANGE || got == STATUS_BAD_WORKING_SET_LIMIT ||
                                     got == STATUS_PRIVILEGE_NOT_HELD || got == STATUS_INSUFFICIENT_RESOURCES))
    expected = got;
  if (auto difference = compare(o, expected, got); !difference.empty()) return difference;
  QUOTA_LIMITS now{};
  if (!NT_SUCCESS(got) ||
      NtQueryInformationProcess(h_[o.handle], ProcessQuotaLimits, &now, sizeof now, nullptr) != STATUS_SUCCESS)
    return "";
  process->minimum = now.MinimumWorkingSetSize / kPageBytes;
  return "";
}

std::string NtInterpreter::set_privilege(const NtOperation& o) {
  ProcessPointer process;
  const bool enable = (o.value & 1) != 0;
  const NTSTATUS expected = find_process(h_[o.handle], PROCESS_ALL_ACCESS, process);
  BOOLEAN held = 2;
  const NTSTATUS got = PagodaSetPrivilege(h_[o.handle], SE_LOCK_MEMORY_PRIVILEGE, enable ? 1 : 0, &held);
  if (auto difference = compare(o, expected, got); !difference.empty()) return difference;
  if (got != STATUS_SUCCESS) return held == 2 ? "" : to_string(o) + " wrote";
  if ((held == 1) != process->may_lock) return to_string(o) + ": held or not";
  process->may_lock = enable;
  return "";
}

std::string NtInterpreter::attach(const NtOperation& o) {
  ProcessPointer process;
  const auto named_entry = current().handles.find(bits_of(h_[o.handle]) & ~std::uint64_t{3});
  const bool is_thread = named_entry != current().handles.end() && named_entry->second.type == ObjectType::kThread;
  if (is_thread || runs_.size() >= kMostRuns) return "";
  const NTSTATUS expected = find_space(h_[o.handle], PROCESS_ALL_ACCESS, process);
  const NTSTATUS got = PagodaAttach(h_[o.handle]);
  if (auto difference = compare(o, expected, got); !difference.empty()) return difference;
  if (got == STATUS_SUCCESS) runs_.push_back(process);
  return "";
}

std::string NtInterpreter::detach(const NtOperation& o) {
  const NTSTATUS expected = runs_.size() == 1 ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
  const NTSTATUS got = PagodaDetach();
  if (auto difference = compare(o, expected, got); !difference.empty()) return difference;
  if (got != STATUS_SUCCESS) return "";
  const ProcessPointer left = runs_.back();
  runs_.pop_back();
  leave_space(left);
  return "";
}

}  // namespace pagoda::nt::testing
