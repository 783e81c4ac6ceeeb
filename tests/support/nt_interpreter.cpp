#include "tests/support/nt_interpreter.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pagoda/mm/check/check.h"
#include "pagoda/mm/testing/reap.h"
#include "tests/support/nt_rules.h"

namespace pagoda::nt::testing {

using machine::Access;
using mm::Protection;

Interpreter::Interpreter(const World& world)
    : machine_(std::make_unique<NtMachine>(
          NtMachineConfig{.frames = PageCount(world.frames), .paging = world.paging, .processors = 1})),
      has_no_execute_(machine_->kernel().machine().paging().has_no_execute) {
  const Caller& caller = machine_->caller();
  highest_user_ = highest_user_address(caller).value();
  highest_vad_ = highest_vad_address(caller).value();
  before_ = machine_->totals();
  prototypes_before_ = machine_->kernel().manager().core().prototypes.pages().value();
  h_[Handles::kCurrent] = NtCurrentProcess();
  h_[Handles::kBad] = NtMachine::bad_handle();
  runs_.push_back(add_process(NtCurrentProcess()));
  current().is_first = true;
  make_processes();
  make_thread();
}

// Models know each other by handles, in circles perhaps.
Interpreter::~Interpreter() {
  for (const auto& weak : processes_)
    if (const auto process = weak.lock()) process->handles.clear();
}

// Two children, and handles to the first that grant less; and one that has ended.
void Interpreter::make_processes() {
  ModelProcess& first = current();
  for (const std::uint8_t place :
       {Handles::kProcesses, static_cast<std::uint8_t>(Handles::kProcesses + 1), Handles::kEnded}) {
    h_[place] = machine_->create_process();
    owners_[place] = current_process();
    first.handles[bits_of(h_[place])] = {ObjectType::kProcess, granted_access(ObjectType::kProcess, PROCESS_ALL_ACCESS),
                                         add_process(h_[place]), nullptr};
  }
  PAGODA_CHECK_EQ(NtTerminateProcess(h_[Handles::kEnded], 0), STATUS_SUCCESS);
  first.find(h_[Handles::kEnded])->process->ended = true;
  const ProcessPointer child = first.find(h_[Handles::kProcesses])->process;
  const auto weaker = [&](std::uint8_t place, AccessMask access) {
    h_[place] = machine_->with_access(h_[Handles::kProcesses], access);
    first.handles[bits_of(h_[place])] = {ObjectType::kProcess, granted_access(ObjectType::kProcess, access), child,
                                         nullptr};
  };
  weaker(Handles::kMayQuery, PROCESS_QUERY_INFORMATION | PROCESS_VM_READ);
  weaker(Handles::kMayOperate, PROCESS_VM_OPERATION | PROCESS_VM_WRITE);
}

// Its stack is a region of 64 KB, with one page and a guard page at its top.
void Interpreter::make_thread() {
  ModelProcess& first = current();
  h_[Handles::kThread] = machine_->create_thread();
  first.handles[bits_of(h_[Handles::kThread])] = {ObjectType::kThread, THREAD_ALL_ACCESS, nullptr, nullptr};
  PAGODA_STACK stack{};
  PAGODA_CHECK_EQ(PagodaQueryStack(h_[Handles::kThread], &stack), STATUS_SUCCESS);
  const std::uint64_t at = bits_of(stack.AllocationBase) >> kPageShift;
  first.regions[at] = {.count = kGranule, .protection = Protection::kReadWrite, .section = nullptr};
  for (std::uint64_t page = at; page < at + kGranule; ++page) first.pages[page] = {};
  first.pages.at(at + kGranule - 1).protection = Protection::kReadWrite;
  first.pages.at(at + kGranule - 2).protection = with_modifier(Protection::kReadWrite, mm::kProtectionGuard);
}

// --- The machine ---

Limits Interpreter::limits() const {
  return {.first = kGranule, .last = highest_vad_ >> kPageShift, .alignment = kGranule, .top_down = false};
}

std::uint64_t Interpreter::commit_limit() const { return machine_->kernel().manager().commit().limit.value(); }

// A region's page tables and a section's prototype PTEs cost something beside its pages.
bool Interpreter::is_short(std::uint64_t pages) const {
  constexpr std::uint64_t kOverhead = 16;
  const auto commit = machine_->kernel().manager().commit();
  return commit.charged.value() + pages + pages / 128 + kOverhead > commit.limit.value();
}

bool Interpreter::may_not_stay(std::uint64_t pages) const {
  const std::uint64_t most =
      pages * (machine::kMaxPagingLevels + 1);  // With a path of tables each, and prototype PTEs.
  return machine_->kernel().manager().core().resident.available() < PageCount(most);
}

// --- Handles ---

bool Interpreter::is_free(std::uint8_t place) const {
  if (place < Handles::kFirstMade || place >= Handles::kCount) return false;
  const auto owner = owners_[place].lock();
  return owner == nullptr || !owner->handles.contains(bits_of(h_[place]));
}

NTSTATUS Interpreter::find_process(HANDLE handle, AccessMask needed, ProcessPointer& out) const {
  if (handle == NtCurrentProcess()) {
    out = current_process();
    return STATUS_SUCCESS;
  }
  ModelEntry entry;
  const NTSTATUS status = find(handle, ObjectType::kProcess, needed, entry);
  out = entry.process;
  return status;
}

NTSTATUS Interpreter::find_space(HANDLE handle, AccessMask needed, ProcessPointer& out) const {
  const NTSTATUS status = find_process(handle, needed, out);
  if (status != STATUS_SUCCESS) return status;
  return out->ended ? STATUS_PROCESS_IS_TERMINATING : STATUS_SUCCESS;
}

// Closing the last handle removes the name.
std::shared_ptr<ModelSection> Interpreter::named(const std::u16string& name, Case rule) const {
  const auto small = [](char16_t unit) { return unit >= u'A' && unit <= u'Z' ? unit + (u'a' - u'A') : int{unit}; };
  const auto is_it = [&](const std::u16string& other) {
    return rule == Case::kCounts ? other == name : std::ranges::equal(other, name, {}, small, small);
  };
  std::shared_ptr<ModelSection> newest;
  for (const auto& weak : processes_)
    if (const auto process = weak.lock())
      for (const auto& [value, entry] : process->handles)
        if (const auto& section = entry.section; section != nullptr && is_it(section->name))
          if (newest == nullptr || section->number > newest->number) newest = section;
  return newest;
}

std::string Interpreter::take_handle(const Operation& operation, std::uint8_t place, HANDLE handle,
                                     const ProcessPointer& owner, ModelEntry entry) {
  const std::uint64_t value = bits_of(handle);
  if (value == 0 || value % 4 != 0 || owner->handles.contains(value))
    return fmt::format("{} gives handle {:#x}", to_string(operation), value);
  owner->handles[value] = std::move(entry);
  h_.at(place) = handle;
  owners_.at(place) = owner;
  return "";
}

// --- Processes ---

bool Interpreter::may_attach() const { return runs_.size() < kMostRuns; }

bool Interpreter::may_create_process() {
  std::erase_if(processes_, [](const auto& weak) { return weak.expired(); });
  return std::ranges::count_if(processes_, [](const auto& weak) { return !weak.lock()->ended; }) < kMostProcesses;
}

ProcessPointer Interpreter::add_process(HANDLE handle) {
  auto process = std::make_shared<ModelProcess>();
  processes_.push_back(process);
  read_limits(*process, handle);
  return process;
}

void Interpreter::read_limits(ModelProcess& process, HANDLE handle) {
  QUOTA_LIMITS limits{};
  PAGODA_CHECK_EQ(NtQueryInformationProcess(handle, ProcessQuotaLimits, &limits, sizeof limits, nullptr),
                  STATUS_SUCCESS);
  process.minimum = limits.MinimumWorkingSetSize / kPageBytes;
}

void Interpreter::end_process(const ProcessPointer& process) {
  process->ended = true;
  std::map<std::uint64_t, ModelEntry> closed;
  closed.swap(process->handles);
  leave_space(process);
}

void Interpreter::detach() {
  const ProcessPointer left = runs_.back();
  runs_.pop_back();
  leave_space(left);
}

// The regions of a process that has ended are freed when the last caller leaves it.
void Interpreter::leave_space(const ProcessPointer& process) const {
  if (process->ended && std::ranges::find(runs_, process) == runs_.end()) process->forget_all_regions();
}

// --- Comparing ---

std::string Interpreter::compare(const Operation& operation, NTSTATUS expected, NTSTATUS got,
                                 std::uint64_t pages_wanted) {
  if (got == expected) {
    if (NT_SUCCESS(got)) ++successes_.at(operation.index());
    return "";
  }
  const bool short_of =
      got == STATUS_COMMITMENT_LIMIT || got == STATUS_INSUFFICIENT_RESOURCES || got == STATUS_SECTION_TOO_BIG;
  // Handles are made last.
  const bool may_be_short = expected == STATUS_SUCCESS || expected == STATUS_PROCESS_IS_TERMINATING;
  if (may_be_short && short_of && is_short(pages_wanted)) return "";
  return fmt::format("{} gives {:#x}, expected {:#x}", to_string(operation), static_cast<std::uint32_t>(got),
                     static_cast<std::uint32_t>(expected));
}

std::string InOut::compare(const Operation& operation, bool success, Pages pages) const {
  const std::uint64_t want_base = success ? pages.first * kPageBytes : range_.base;
  const std::uint64_t want_size = success ? pages.count * kPageBytes : range_.size;
  if (bits_of(base_) == want_base && size_ == want_size) return "";
  return fmt::format("{} leaves {:#x}+{:#x}, expected {:#x}+{:#x}", to_string(operation), bits_of(base_), size_,
                     want_base, want_size);
}

std::string to_string(const MEMORY_BASIC_INFORMATION& i) {
  return fmt::format("{:#x}+{:#x} of {:#x} ({:#x}) state {:#x} protect {:#x} type {:#x}", bits_of(i.BaseAddress),
                     i.RegionSize, bits_of(i.AllocationBase), i.AllocationProtect, i.State, i.Protect, i.Type);
}

std::string Interpreter::perform(const Operation& operation) {
  return std::visit(
      [&](auto o) {
        if constexpr (requires { o.keep_to_model(); }) o.keep_to_model();
        return o.perform(*this);
      },
      operation);
}

// Region by region, and all bytes that can be read.
std::string Interpreter::check_process(ModelProcess& process, HANDLE handle) const {
  for (std::uint64_t at = 0; at <= highest_user_;) {
    const MEMORY_BASIC_INFORMATION got = NtMachine::query(at, handle);
    const MEMORY_BASIC_INFORMATION want = process.information(at >> kPageShift, highest_user_);
    if (to_string(got) != to_string(want))
      return fmt::format("region {}, expected {}", to_string(got), to_string(want));
    at += got.RegionSize;
  }
  ModelBytes bytes{};
  constexpr ModelBytes kZeros{};
  for (const auto& [number, page] : process.pages) {
    const Protection protection = process.rights(process.region_at(number), number);
    if (is_guard(protection) || !allows(protection, Access::kRead, has_no_execute_)) continue;
    const NTSTATUS status =
        NtReadVirtualMemory(handle, NtMachine::pointer(number * kPageBytes), bytes.data(), bytes.size(), nullptr);
    const ModelBytes* const model = process.bytes_of_page(number, false);
    if (status != STATUS_SUCCESS || bytes != (model == nullptr ? kZeros : *model))
      return fmt::format("page {:#x} reads {:#x} or has other bytes", number, static_cast<std::uint32_t>(status));
  }
  return "";
}

std::string Interpreter::check() {
  if (!current().ended)
    if (auto difference = check_process(current(), NtCurrentProcess()); !difference.empty()) return difference;
  for (const auto& [value, entry] : current().handles) {
    const bool has_all = (entry.access & PROCESS_ALL_ACCESS) == PROCESS_ALL_ACCESS;
    if (entry.process == nullptr || entry.process->ended || !has_all) continue;
    auto difference = check_process(*entry.process, reinterpret_cast<HANDLE>(value));
    if (!difference.empty()) return difference;
  }
  const std::size_t handles = machine_->caller().process().handles().size();
  if (handles != current().handles.size())
    return fmt::format("{} handles, expected {}", handles, current().handles.size());
  return machine_->check();
}

// --- The end ---

// A process may hold the only handle to another, which ends with it.
std::string Interpreter::close_everything() {
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
  return "";
}

std::string Interpreter::free_everything() const {
  while (!current().regions.empty()) {
    const auto region = current().regions.begin();
    PVOID base = NtMachine::pointer(region->first * kPageBytes);
    SIZE_T size = 0;
    const NTSTATUS status = region->second.is_view()
                                ? NtUnmapViewOfSection(NtCurrentProcess(), base)
                                : NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, MEM_RELEASE);
    if (status != STATUS_SUCCESS) return fmt::format("a region stays: {:#x}", static_cast<std::uint32_t>(status));
    current().forget_region(region);
  }
  return "";
}

std::string Interpreter::leftovers() {
  mm::MemoryManager& manager = machine_->kernel().manager();
  mm::testing::reap(manager, machine_->caller().cpu());
  manager.sections().drop_unused(machine_->caller().cpu());
  const NtMachine::Totals after = machine_->totals();
  if (after != before_)
    return fmt::format("stays: commit {}, active {}, slots {}, handles {}, names {}, spaces {}; were {} {} {} {} {} {}",
                       after.commit, after.active, after.slots, after.handles, after.names, after.spaces,
                       before_.commit, before_.active, before_.slots, before_.handles, before_.names, before_.spaces);
  if (const auto pages = manager.core().prototypes.pages().value(); pages != prototypes_before_)
    return fmt::format("{} pages of prototype PTEs stay", pages);
  const LockGuard guard(manager.sections().lock);
  return manager.sections().areas().empty() && manager.sections().section_count() == 0 ? "" : "sections stay";
}

std::string Interpreter::finish() {
  while (is_attached())
    if (auto difference = perform(op::Detach{}); !difference.empty()) return difference;
  if (auto difference = check(); !difference.empty()) return difference;
  if (auto difference = close_everything(); !difference.empty()) return difference;
  if (auto difference = free_everything(); !difference.empty()) return difference;
  if (auto difference = leftovers(); !difference.empty()) return difference;
  return machine_->check();
}

}  // namespace pagoda::nt::testing
