// The calls: what the model expects of each, and what the kernel says.
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

NtInterpreter::NtInterpreter(const NtWorld& world)
    : machine_(std::make_unique<NtMachine>(
          NtMachineConfig{.frames = PageCount(world.frames), .paging = world.paging, .processors = 1})) {
  const Caller& caller = machine_->caller();
  highest_user_ = highest_user_address(caller).value();
  highest_vad_ = highest_vad_address(caller).value();
  has_no_execute_ = machine_->kernel().machine().paging().has_no_execute;
  before_ = machine_->totals();
  prototypes_before_ = machine_->kernel().manager().core().prototypes.pages().value();

  const auto first = std::make_shared<Process>();
  first->first = true;
  processes_.push_back(first);
  runs_.push_back(first);
  h_[Handles::kCurrent] = NtCurrentProcess();
  h_[Handles::kBad] = NtMachine::bad_handle();
  read_limits(*first, NtCurrentProcess());
  for (const std::uint8_t slot :
       {Handles::kProcesses, static_cast<std::uint8_t>(Handles::kProcesses + 1), Handles::kEnded}) {
    const auto process = std::make_shared<Process>();
    processes_.push_back(process);
    h_[slot] = machine_->create_process();
    owners_[slot] = first;
    first->handles[bits_of(h_[slot])] = {ObjectType::kProcess, PROCESS_ALL_ACCESS, process, nullptr};
    read_limits(*process, h_[slot]);
  }
  PAGODA_CHECK_EQ(NtTerminateProcess(h_[Handles::kEnded], 0), STATUS_SUCCESS);
  first->handles.at(bits_of(h_[Handles::kEnded])).process->ended = true;
  const ProcessPointer child = first->handles.at(bits_of(h_[Handles::kProcesses])).process;
  const auto weaker = [&](std::uint8_t slot, AccessMask access) {
    h_[slot] = machine_->with_access(h_[Handles::kProcesses], access);
    first->handles[bits_of(h_[slot])] = {ObjectType::kProcess, access, child, nullptr};
  };
  weaker(Handles::kMayQuery, PROCESS_QUERY_INFORMATION | PROCESS_VM_READ);
  weaker(Handles::kMayOperate, PROCESS_VM_OPERATION | PROCESS_VM_WRITE);
  // 64 KB, one page and a guard page at its top.
  h_[Handles::kThread] = machine_->create_thread();
  first->handles[bits_of(h_[Handles::kThread])] = {ObjectType::kThread, THREAD_ALL_ACCESS, nullptr, nullptr};
  PAGODA_STACK stack{};
  PAGODA_CHECK_EQ(PagodaQueryStack(h_[Handles::kThread], &stack), STATUS_SUCCESS);
  const std::uint64_t at = bits_of(stack.AllocationBase) >> kPageShift;
  first->regions[at] = {.count = kGranule, .protection = Protection::kReadWrite, .section = nullptr};
  for (std::uint64_t page = at; page < at + kGranule; ++page) first->pages[page] = {};
  first->pages.at(at + kGranule - 1).protection = Protection::kReadWrite;
  first->pages.at(at + kGranule - 2).protection = with_modifier(Protection::kReadWrite, mm::kProtectionGuard);
}

// Models know each other by handles, in circles perhaps.
NtInterpreter::~NtInterpreter() {
  for (const auto& weak : processes_)
    if (const auto process = weak.lock()) process->handles.clear();
}

void NtInterpreter::read_limits(Process& process, HANDLE handle) {
  QUOTA_LIMITS limits{};
  PAGODA_CHECK_EQ(NtQueryInformationProcess(handle, ProcessQuotaLimits, &limits, sizeof limits, nullptr),
                  STATUS_SUCCESS);
  process.minimum = limits.MinimumWorkingSetSize / kPageBytes;
}

// Without what the model does not know.
NtOperation NtInterpreter::sane(NtOperation o) const {
  o.handle %= Handles::kCount;
  o.handle2 %= Handles::kCount;
  o.handle3 %= Handles::kCount;
  switch (o.call) {
    case Call::kAllocate:
      if (is_allocation_type(o.type, false)) o.type &= ~kOther;
      break;
    case Call::kAllocateEx:
      if (is_allocation_type(o.type, true)) o.type &= ~(kOther | kPlaceholders);
      o.value %= 2;
      break;
    case Call::kFree:
      if (has(o.type, MEM_RELEASE)) o.type &= ~(MEM_COALESCE_PLACEHOLDERS | MEM_PRESERVE_PLACEHOLDER);
      break;
    case Call::kCreateSection:
      if (is_section_type(o.type)) o.type &= SEC_COMMIT | SEC_RESERVE | SEC_IMAGE | SEC_NO_CHANGE;
      o.value %= 8;
      break;
    case Call::kMapView:
      if (protection_of(o.protect)) o.protect &= ~PAGE_NOCACHE;
      break;
    default:
      break;
  }
  return o;
}

std::string NtInterpreter::compare(const NtOperation& operation, NTSTATUS expected, NTSTATUS got,
                                   std::uint64_t pages_wanted) {
  if (got == expected) {
    if (NT_SUCCESS(got)) ++successes_[static_cast<std::size_t>(operation.call)];
    return "";
  }
  const bool short_of =
      got == STATUS_COMMITMENT_LIMIT || got == STATUS_INSUFFICIENT_RESOURCES || got == STATUS_SECTION_TOO_BIG;
  if (expected == STATUS_SUCCESS && short_of && is_short(pages_wanted)) return "";
  return fmt::format("{} gives {:#x}, expected {:#x}", to_string(operation), static_cast<std::uint32_t>(got),
                     static_cast<std::uint32_t>(expected));
}

std::string NtInterpreter::compare_in_out(const NtOperation& operation, Pages expected, bool success, PVOID base,
                                          SIZE_T size) {
  const std::uint64_t want_base = success ? expected.first * kPageBytes : operation.base;
  const std::uint64_t want_size = success ? expected.count * kPageBytes : operation.size;
  if (bits_of(base) == want_base && size == want_size) return "";
  return fmt::format("{} leaves {:#x}+{:#x}, expected {:#x}+{:#x}", to_string(operation), bits_of(base), size,
                     want_base, want_size);
}

std::string NtInterpreter::perform(const NtOperation& wild) {
  const NtOperation operation = sane(wild);
  switch (operation.call) {
    case Call::kAllocate:
    case Call::kAllocateEx:
      return allocate(operation);
    case Call::kFree:
      return free(operation);
    case Call::kProtect:
      return protect(operation);
    case Call::kQuery:
      return query(operation);
    case Call::kLock:
    case Call::kUnlock:
      return lock(operation);
    case Call::kRead:
    case Call::kWrite:
      return copy(operation);
    case Call::kLoad:
    case Call::kStore:
    case Call::kFetch:
      return access(operation);
    case Call::kCreateSection:
      return create_section(operation);
    case Call::kOpenSection:
      return open_section(operation);
    case Call::kQuerySection:
      return query_section(operation);
    case Call::kExtendSection:
      return extend_section(operation);
    case Call::kMapView:
      return map_view(operation);
    case Call::kUnmapView:
      return unmap_view(operation);
    case Call::kFlush:
      return flush(operation);
    case Call::kClose:
      return close(operation);
    case Call::kDuplicate:
      return duplicate(operation);
    case Call::kCreateProcess:
      return create_process(operation);
    case Call::kTerminateProcess:
      return terminate_process(operation);
    case Call::kQueryProcess:
      return query_process(operation);
    case Call::kSetWorkingSet:
      return set_working_set(operation);
    case Call::kSetPrivilege:
      return set_privilege(operation);
    case Call::kAttach:
      return attach(operation);
    case Call::kDetach:
      return detach(operation);
    case Call::kEnumEnd:
      break;
  }
  return "";
}

// Region by region, and all bytes that can be read.
std::string NtInterpreter::check_process(Process& process, HANDLE handle) {
  const auto text = [](const MEMORY_BASIC_INFORMATION& i) {
    return fmt::format("{:#x}+{:#x} of {:#x} ({:#x}) state {:#x} protect {:#x} type {:#x}", bits_of(i.BaseAddress),
                       i.RegionSize, bits_of(i.AllocationBase), i.AllocationProtect, i.State, i.Protect, i.Type);
  };
  for (std::uint64_t at = 0; at <= highest_user_;) {
    const MEMORY_BASIC_INFORMATION got = NtMachine::query(at, handle);
    const MEMORY_BASIC_INFORMATION want = information(process, at >> kPageShift);
    if (text(got) != text(want)) return fmt::format("region {}, expected {}", text(got), text(want));
    at += got.RegionSize;
  }
  Bytes bytes{};
  constexpr Bytes kZeros{};
  for (const auto& [number, page] : process.pages) {
    const auto region = region_at(process, number);
    const Protection protection = rights(region->second, region->first, number, page);
    if (is_guard(protection) || !allows(protection, Access::kRead, has_no_execute_)) continue;
    const NTSTATUS status =
        NtReadVirtualMemory(handle, NtMachine::pointer(number * kPageBytes), bytes.data(), bytes.size(), nullptr);
    const Bytes* const model = bytes_of_page(process, number, false);
    if (status != STATUS_SUCCESS || bytes != (model == nullptr ? kZeros : *model))
      return fmt::format("page {:#x} reads {:#x} or has other bytes", number, static_cast<std::uint32_t>(status));
  }
  return "";
}

std::string NtInterpreter::check() {
  if (!current().ended)
    if (auto difference = check_process(current(), NtCurrentProcess()); !difference.empty()) return difference;
  for (const auto& [value, entry] : current().handles) {
    if (entry.process == nullptr || entry.process->ended || entry.access != PROCESS_ALL_ACCESS) continue;
    auto difference = check_process(*entry.process, reinterpret_cast<HANDLE>(value));
    if (!difference.empty()) return difference;
  }
  const std::size_t handles = machine_->caller().process().handles().size();
  if (handles != current().handles.size())
    return fmt::format("{} handles, expected {}", handles, current().handles.size());
  return machine_->check();
}

std::string NtInterpreter::finish() {
  while (runs_.size() > 1)
    if (auto difference = perform({.call = Call::kDetach}); !difference.empty()) return difference;
  if (auto difference = check(); !difference.empty()) return difference;
  // A process may hold the only handle to another, which ends with it.
  std::vector<HANDLE> handles;
  for (const auto& [value, entry] : current().handles) {
    const HANDLE handle = reinterpret_cast<HANDLE>(value);
    handles.push_back(handle);
    if (entry.process == nullptr || entry.process == runs_.front() || entry.process->ended) continue;
    if ((entry.access & PROCESS_TERMINATE) == 0) continue;
    if (const NTSTATUS status = NtTerminateProcess(handle, 0); status != STATUS_SUCCESS)
      return fmt::format("no end: {:#x}", static_cast<std::uint32_t>(status));
    entry.process->ended = true;
    entry.process->handles.clear();
  }
  for (const HANDLE handle : handles)
    if (NtClose(handle) != STATUS_SUCCESS) return "a handle stays open";
  current().handles.clear();
  while (!current().regions.empty()) {
    const auto region = current().regions.begin();
    PVOID base = NtMachine::pointer(region->first * kPageBytes);
    SIZE_T size = 0;
    const NTSTATUS status = region->second.section != nullptr
                                ? NtUnmapViewOfSection(NtCurrentProcess(), base)
                                : NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, MEM_RELEASE);
    if (status != STATUS_SUCCESS) return fmt::format("a region stays: {:#x}", static_cast<std::uint32_t>(status));
    forget_region(current(), region);
  }
  mm::MemoryManager& manager = machine_->kernel().manager();
  manager.sections().drop_unused(machine_->caller().cpu());
  const NtMachine::Totals after = machine_->totals();
  if (after != before_)
    return fmt::format("stays: commit {}, active {}, slots {}, handles {}, names {}, spaces {}; were {} {} {} {} {} {}",
                       after.commit, after.active, after.slots, after.handles, after.names, after.spaces,
                       before_.commit, before_.active, before_.slots, before_.handles, before_.names, before_.spaces);
  if (const auto pages = manager.core().prototypes.pages().value(); pages != prototypes_before_)
    return fmt::format("{} pages of prototype PTEs stay", pages);
  {
    const LockGuard guard(manager.sections().lock);
    if (!manager.sections().areas().empty() || manager.sections().section_count() != 0) return "sections stay";
  }
  return machine_->check();
}

}  // namespace pagoda::nt::testing
