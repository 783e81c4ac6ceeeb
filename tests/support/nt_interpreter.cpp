// The calls: what the model expects of each, and what the kernel says.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "pagoda/mm/check/check.h"
#include "tests/support/nt_model.h"

namespace pagoda::nt::testing {

using machine::Access;
using mm::Protection;
using Call = NtOperation::Call;

namespace {

constexpr std::uint64_t kMostBytes = 4 * kPageBytes;  // That a call moves.
constexpr std::uint64_t kMostRegionPages = 512;       // Of a region that the manager places or that is at its base.
constexpr std::uint64_t kMostSectionPages = 256;
constexpr std::ptrdiff_t kMostProcesses = 4;
constexpr std::size_t kMostRuns = 4;
constexpr std::uint64_t kUnlockable = 8;  // Pages of the minimum that may not be locked.
constexpr std::uint64_t kGranule = kAllocationGranularity / kPageBytes;
constexpr ULONG kOther = MEM_RESET | MEM_RESET_UNDO | MEM_WRITE_WATCH | MEM_PHYSICAL | MEM_LARGE_PAGES;
constexpr ULONG kPlaceholders = MEM_RESERVE_PLACEHOLDER | MEM_REPLACE_PLACEHOLDER;
constexpr auto kNames = std::to_array<const char16_t*>({u"\\One", u"\\Two", u"\\ONE"});

bool has(ULONG type, ULONG bits) { return (type & bits) != 0; }

std::uint8_t byte_at(std::uint64_t value, std::uint64_t i) {
  return static_cast<std::uint8_t>(value + i * 13 + i / 256);
}

// reference/nt.md 7.1, the third row.
std::optional<Protection> protection_of(std::uint32_t page) {
  const std::uint32_t modifiers = page & (PAGE_GUARD | PAGE_NOCACHE | PAGE_WRITECOMBINE);
  if (!std::has_single_bit(page & 0xFF) || (page & ~0x7FFU) != 0 || std::popcount(modifiers) > 1) return std::nullopt;
  if ((page & PAGE_NOACCESS) != 0) return modifiers == 0 ? std::optional(Protection::kNoAccess) : std::nullopt;
  const auto base = static_cast<unsigned>(std::countr_zero(page & 0xFF));
  constexpr std::array<Protection, 8> kBases{
      Protection::kNoAccess, Protection::kReadOnly,    Protection::kReadWrite,        Protection::kWriteCopy,
      Protection::kExecute,  Protection::kExecuteRead, Protection::kExecuteReadWrite, Protection::kExecuteWriteCopy};
  const std::uint8_t modifier = modifiers == 0              ? std::uint8_t{0}
                                : modifiers == PAGE_GUARD   ? mm::kProtectionGuard
                                : modifiers == PAGE_NOCACHE ? mm::kProtectionNoCache
                                                            : mm::kProtectionWriteCombine;
  return with_modifier(kBases[base], modifier);
}

// The second row.
bool is_allocation_type(ULONG type, bool extended) {
  const ULONG allowed = MEM_COMMIT | MEM_RESERVE | MEM_TOP_DOWN | kOther | (extended ? kPlaceholders : 0);
  if (has(type, ~allowed) || !has(type, MEM_COMMIT | MEM_RESERVE | MEM_RESET | MEM_RESET_UNDO)) return false;
  if (has(type, MEM_RESET) && type != MEM_RESET) return false;
  if (has(type, MEM_RESET_UNDO) && type != MEM_RESET_UNDO) return false;
  if (has(type, MEM_PHYSICAL) && (!has(type, MEM_RESERVE) || has(type, MEM_COMMIT | MEM_LARGE_PAGES | MEM_WRITE_WATCH)))
    return false;
  if (has(type, MEM_WRITE_WATCH) && !has(type, MEM_RESERVE)) return false;
  return !has(type, MEM_LARGE_PAGES) || (has(type, MEM_COMMIT) && !has(type, MEM_WRITE_WATCH));
}

bool is_section_type(ULONG flags) {
  constexpr ULONG kTypes = SEC_COMMIT | SEC_RESERVE | SEC_IMAGE;
  constexpr ULONG kAll = kTypes | SEC_BASED | SEC_NO_CHANGE | SEC_NOCACHE | SEC_WRITECOMBINE | SEC_LARGE_PAGES;
  if ((flags & ~kAll) != 0 || !std::has_single_bit(flags & kTypes)) return false;
  return !has(flags, SEC_IMAGE) || (flags & ~(SEC_IMAGE | SEC_BASED)) == 0;
}

// The last byte that ZeroBits leaves; nothing if there are too many.
std::optional<std::uint64_t> ceiling_of(bool is_64_bit, std::uint64_t zero_bits) {
  if (!is_64_bit && zero_bits > 21) return std::nullopt;
  const std::uint64_t zeros = zero_bits < 32 ? 32 + zero_bits : static_cast<std::uint64_t>(std::countl_zero(zero_bits));
  if (zeros > 53) return std::nullopt;
  return ~std::uint64_t{0} >> zeros;
}

}  // namespace

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

// reference/nt.md 7.1.
std::string NtInterpreter::allocate(const NtOperation& o) {
  const bool extended = o.call == Call::kAllocateEx;
  const bool asks = extended && o.value != 0;
  const bool no_base = (o.nulls & NtOperation::kNoBase) != 0;
  const bool no_size = (o.nulls & NtOperation::kNoSize) != 0;
  const auto protection = protection_of(o.protect);
  const bool is_64_bit = highest_user_ > ~std::uint32_t{0};
  Limits limits = all();
  limits.top_down = has(o.type, MEM_TOP_DOWN);
  ProcessPointer process;
  Pages pages;
  RegionPlace region;
  std::uint64_t promised = 0;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (!extended) {
      const auto ceiling = ceiling_of(is_64_bit, o.zero_bits);
      if (o.zero_bits != 0 && !ceiling) return STATUS_INVALID_PARAMETER_3;
      if (o.zero_bits != 0) limits.last = std::min(limits.last, *ceiling >> kPageShift);
    }
    if (!is_allocation_type(o.type, extended)) return STATUS_INVALID_PARAMETER_5;
    if (!protection || is_write_copy(*protection)) return STATUS_INVALID_PAGE_PROTECTION;
    if (no_base || (!extended && no_size)) return STATUS_ACCESS_VIOLATION;
    if (asks) {
      const std::uint64_t alignment = o.zero_bits;
      const bool good =
          o.base == 0 && o.offset % kAllocationGranularity == 0 && o.offset <= highest_vad_ &&
          (o.commit == 0 || ((o.commit + 1) % kPageBytes == 0 && o.commit <= highest_vad_ && o.commit > o.offset)) &&
          (alignment == 0 || (std::has_single_bit(alignment) && alignment >= kAllocationGranularity));
      if (!good) return STATUS_INVALID_PARAMETER;
      limits.first = std::max(limits.first, o.offset >> kPageShift);
      if (o.commit != 0) limits.last = std::min(limits.last, o.commit >> kPageShift);
      if (alignment != 0) limits.alignment = alignment >> kPageShift;
    }
    if (no_size) return STATUS_ACCESS_VIOLATION;
    if (o.base > highest_vad_) return STATUS_INVALID_PARAMETER_2;
    if (o.size == 0 || o.size - 1 > highest_vad_ - o.base) return STATUS_INVALID_PARAMETER_4;
    if (const NTSTATUS status = find_space(h_[o.handle], PROCESS_VM_OPERATION, process); status != STATUS_SUCCESS)
      return status;
    pages = covering(o.base, o.size);
    if (!has(o.type, MEM_RESERVE) && o.base != 0) {
      region = region_of(*process, pages);
      if (region == process->regions.end()) return STATUS_CONFLICTING_ADDRESSES;
      if (region->second.section != nullptr) {
        if (!region->second.section->reserve) return STATUS_ALREADY_COMMITTED;
        if (const NTSTATUS status = may_protect(region->second, *protection); status != STATUS_SUCCESS) return status;
      }
      promised = pages.count;
      return STATUS_SUCCESS;
    }
    if (o.base != 0) {
      const std::uint64_t first = o.base >> kPageShift & ~(kGranule - 1);
      if (first == 0) return STATUS_INVALID_PARAMETER_2;
      pages = {first, pages.end() - first};
      if (overlaps(*process, pages)) return STATUS_CONFLICTING_ADDRESSES;
    } else {
      if (pages.count > all().last - all().first + 1) return STATUS_INVALID_PARAMETER_4;
      const auto gap = find_gap(*process, pages.count, limits);
      if (!gap) return STATUS_NO_MEMORY;
      pages.first = *gap;
    }
    if (has(o.type, MEM_COMMIT)) promised = pages.count;
    return STATUS_SUCCESS;
  }();
  const bool reserves = has(o.type, MEM_RESERVE) || o.base == 0;
  // Beyond what the model has room for.
  const std::uint64_t limit = machine_->kernel().manager().commit().limit.value();
  if (expected == STATUS_SUCCESS && reserves && pages.count > kMostRegionPages && promised <= limit) return "";

  PVOID base = NtMachine::pointer(o.base);
  SIZE_T size = o.size;
  PVOID* const base_at = no_base ? nullptr : &base;
  SIZE_T* const size_at = no_size ? nullptr : &size;
  MEM_ADDRESS_REQUIREMENTS requirements{NtMachine::pointer(o.offset), NtMachine::pointer(o.commit), o.zero_bits};
  MEM_EXTENDED_PARAMETER parameter{};
  parameter.Type = MemExtendedParameterAddressRequirements;
  parameter.Pointer = &requirements;
  const NTSTATUS got = extended
                           ? NtAllocateVirtualMemoryEx(h_[o.handle], base_at, size_at, o.type, o.protect,
                                                       asks ? &parameter : nullptr, asks ? 1 : 0)
                           : NtAllocateVirtualMemory(h_[o.handle], base_at, o.zero_bits, size_at, o.type, o.protect);
  if (auto difference = compare(o, expected, got, promised); !difference.empty()) return difference;
  if (auto difference = compare_in_out(o, pages, got == STATUS_SUCCESS, base, size); !difference.empty())
    return difference;
  if (got != STATUS_SUCCESS) return "";
  if (reserves) {
    process->regions[pages.first] = {.count = pages.count, .protection = *protection, .section = nullptr};
    for (std::uint64_t page = pages.first; page < pages.end(); ++page)
      process->pages[page].protection = has(o.type, MEM_COMMIT) ? *protection : Protection::kNone;
    return promised > limit ? to_string(o) + " succeeds beyond the limit" : "";
  }
  for (std::uint64_t page = pages.first; page < pages.end(); ++page) {
    Page& model = process->pages.at(page);
    if (region->second.section != nullptr)
      region->second.section->committed.insert(region->second.section_page + (page - region->first));
    set_protection(*process, model, in_region(region->second, model, *protection));
  }
  return "";
}

// reference/nt.md 7.2.
std::string NtInterpreter::free(const NtOperation& o) {
  const bool no_base = (o.nulls & NtOperation::kNoBase) != 0;
  const bool no_size = (o.nulls & NtOperation::kNoSize) != 0;
  ProcessPointer process;
  Pages pages;
  RegionPlace region;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (o.type != MEM_DECOMMIT && o.type != MEM_RELEASE) return STATUS_INVALID_PARAMETER_4;
    if (no_base || no_size) return STATUS_ACCESS_VIOLATION;
    if (o.base > highest_vad_) return STATUS_INVALID_PARAMETER_2;
    if (o.size != 0 && o.size - 1 > highest_vad_ - o.base) return STATUS_INVALID_PARAMETER_3;
    if (const NTSTATUS status = find_space(h_[o.handle], PROCESS_VM_OPERATION, process); status != STATUS_SUCCESS)
      return status;
    region = region_at(*process, o.base >> kPageShift);
    if (region == process->regions.end()) return STATUS_MEMORY_NOT_ALLOCATED;
    pages = o.size == 0 ? Pages{region->first, region->second.count} : covering(o.base, o.size);
    if (pages.end() > region->first + region->second.count) return STATUS_UNABLE_TO_FREE_VM;
    if (region->second.section != nullptr) return STATUS_UNABLE_TO_DELETE_SECTION;
    if (o.size == 0 && o.base >> kPageShift != region->first) return STATUS_FREE_VM_NOT_AT_BASE;
    return STATUS_SUCCESS;
  }();
  PVOID base = NtMachine::pointer(o.base);
  SIZE_T size = o.size;
  const NTSTATUS got = NtFreeVirtualMemory(h_[o.handle], no_base ? nullptr : &base, no_size ? nullptr : &size, o.type);
  if (auto difference = compare(o, expected, got); !difference.empty()) return difference;
  if (auto difference = compare_in_out(o, pages, got == STATUS_SUCCESS, base, size); !difference.empty())
    return difference;
  if (got != STATUS_SUCCESS) return "";
  for (std::uint64_t page = pages.first; page < pages.end(); ++page) forget(*process, page);
  if (o.type == MEM_DECOMMIT) return "";
  for (std::uint64_t page = pages.first; page < pages.end(); ++page) process->pages.erase(page);
  const std::uint64_t first = region->first;
  const Region whole = region->second;
  process->regions.erase(region);
  const auto rest = [&](std::uint64_t at, std::uint64_t end) {
    if (at < end) process->regions[at] = {.count = end - at, .protection = whole.protection, .section = nullptr};
  };
  rest(first, pages.first);
  rest(pages.end(), first + whole.count);
  return "";
}

// reference/nt.md 7.3.
std::string NtInterpreter::protect(const NtOperation& o) {
  const bool no_base = (o.nulls & NtOperation::kNoBase) != 0;
  const bool no_size = (o.nulls & NtOperation::kNoSize) != 0;
  const bool no_out = (o.nulls & NtOperation::kNoOut) != 0;
  const auto protection = protection_of(o.protect);
  ProcessPointer process;
  Pages pages;
  RegionPlace region;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (!protection) return STATUS_INVALID_PAGE_PROTECTION;
    if (no_base || no_size) return STATUS_ACCESS_VIOLATION;
    if (o.base > highest_vad_) return STATUS_INVALID_PARAMETER_2;
    if (o.size == 0 || o.size - 1 > highest_vad_ - o.base) return STATUS_INVALID_PARAMETER_3;
    if (no_out) return STATUS_ACCESS_VIOLATION;
    if (const NTSTATUS status = find_space(h_[o.handle], PROCESS_VM_OPERATION, process); status != STATUS_SUCCESS)
      return status;
    pages = covering(o.base, o.size);
    region = region_of(*process, pages);
    if (region == process->regions.end()) return STATUS_CONFLICTING_ADDRESSES;
    for (std::uint64_t page = pages.first; page < pages.end(); ++page)
      if (rights(region->second, region->first, page, process->pages.at(page)) == Protection::kNone)
        return STATUS_NOT_COMMITTED;
    return may_protect(region->second, *protection);
  }();
  PVOID base = NtMachine::pointer(o.base);
  SIZE_T size = o.size;
  ULONG old = 0xAAAAAAAA;
  const NTSTATUS got = NtProtectVirtualMemory(h_[o.handle], no_base ? nullptr : &base, no_size ? nullptr : &size,
                                              o.protect, no_out ? nullptr : &old);
  const std::uint64_t wanted = expected == STATUS_SUCCESS && is_writable(*protection) ? pages.count : 0;
  if (auto difference = compare(o, expected, got, wanted); !difference.empty()) return difference;
  if (auto difference = compare_in_out(o, pages, got == STATUS_SUCCESS, base, size); !difference.empty())
    return difference;
  const ULONG want_old =
      got == STATUS_SUCCESS ? page_from_protection(process->pages.at(pages.first).protection) : 0xAAAAAAAA;
  if (old != want_old) return fmt::format("{}: was {:#x}, expected {:#x}", to_string(o), old, want_old);
  if (got != STATUS_SUCCESS) return "";
  for (std::uint64_t page = pages.first; page < pages.end(); ++page) {
    Page& model = process->pages.at(page);
    set_protection(*process, model, in_region(region->second, model, *protection));
  }
  return "";
}

// reference/nt.md 7.4.
std::string NtInterpreter::query(const NtOperation& o) {
  std::array<std::byte, 4096> buffer{};
  const bool no_out = (o.nulls & NtOperation::kNoOut) != 0;
  const SIZE_T size = std::min<SIZE_T>(o.size, buffer.size());
  const auto what = static_cast<MEMORY_INFORMATION_CLASS>(o.type & 0x7FFFFFFF);
  const std::uint64_t page = o.base >> kPageShift;
  constexpr SIZE_T kRecord = sizeof(MEMORY_WORKING_SET_EX_INFORMATION);
  SIZE_T needed = sizeof(MEMORY_BASIC_INFORMATION);
  ProcessPointer process;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (what > MemoryWorkingSetExInformation) return STATUS_INVALID_INFO_CLASS;
    const bool of_working_set = what == MemoryWorkingSetInformation || what == MemoryWorkingSetExInformation;
    if (!of_working_set && o.base > highest_user_) return STATUS_INVALID_PARAMETER;
    if (what == MemoryRegionInformation) needed = sizeof(MEMORY_REGION_INFORMATION);
    if (what == MemoryMappedFilenameInformation) needed = sizeof(MEMORY_SECTION_NAME);
    if (what == MemoryWorkingSetInformation) needed = sizeof(MEMORY_WORKING_SET_INFORMATION);
    if (what == MemoryWorkingSetExInformation) needed = kRecord;
    if (size < needed || (what == MemoryWorkingSetExInformation && size % kRecord != 0))
      return STATUS_INFO_LENGTH_MISMATCH;
    if (no_out) return STATUS_ACCESS_VIOLATION;
    if (const NTSTATUS status = find_space(h_[o.handle], PROCESS_QUERY_INFORMATION, process); status != STATUS_SUCCESS)
      return status;
    if (what == MemoryMappedFilenameInformation) return STATUS_INVALID_ADDRESS;
    const bool is_free = region_at(*process, page) == process->regions.end();
    return what == MemoryRegionInformation && is_free ? STATUS_INVALID_ADDRESS : STATUS_SUCCESS;
  }();
  if (what == MemoryWorkingSetExInformation) {
    const PVOID address = NtMachine::pointer(o.base);
    for (SIZE_T at = 0; at + kRecord <= size; at += kRecord) std::memcpy(&buffer[at], &address, sizeof address);
  }
  SIZE_T written = ~SIZE_T{0};
  const NTSTATUS got = NtQueryVirtualMemory(h_[o.handle], NtMachine::pointer(o.base), what,
                                            no_out ? nullptr : buffer.data(), size, &written);
  // How long the list is, the model does not know.
  if (what == MemoryWorkingSetInformation && expected == STATUS_SUCCESS && got == STATUS_INFO_LENGTH_MISMATCH)
    return "";
  if (auto difference = compare(o, expected, got); !difference.empty()) return difference;
  if (got != STATUS_SUCCESS) return written == ~SIZE_T{0} ? "" : to_string(o) + " wrote a length";
  if (what == MemoryBasicInformation) {
    const MEMORY_BASIC_INFORMATION want = information(*process, page);
    MEMORY_BASIC_INFORMATION info{};
    std::memcpy(&info, buffer.data(), sizeof info);
    const auto text = [](const MEMORY_BASIC_INFORMATION& i) {
      return fmt::format("{:#x}+{:#x} of {:#x} ({:#x}) state {:#x} protect {:#x} type {:#x}", bits_of(i.BaseAddress),
                         i.RegionSize, bits_of(i.AllocationBase), i.AllocationProtect, i.State, i.Protect, i.Type);
    };
    if (written != sizeof info || text(info) != text(want))
      return fmt::format("{}: {}, expected {}", to_string(o), text(info), text(want));
  }
  const auto region = region_at(*process, page);
  if (what == MemoryRegionInformation) {
    MEMORY_REGION_INFORMATION info{};
    std::memcpy(&info, buffer.data(), sizeof info);
    const ULONG type = region->second.section != nullptr ? MEMORY_REGION_MAPPED_PAGE_FILE : MEMORY_REGION_PRIVATE;
    if (bits_of(info.AllocationBase) != region->first * kPageBytes ||
        info.RegionSize != region->second.count * kPageBytes || info.RegionType != type ||
        info.AllocationProtect != page_from_protection(region->second.protection))
      return to_string(o) + ": another region";
  }
  if (what == MemoryWorkingSetExInformation) {
    MEMORY_WORKING_SET_EX_INFORMATION record{};
    std::memcpy(&record, buffer.data(), sizeof record);
    const auto& block = record.u1.VirtualAttributes;
    const bool known = o.base <= highest_user_ && region != process->regions.end();
    if (block.Valid != 0 && !known) return to_string(o) + ": valid without a region";
    const Page model = known ? process->pages.at(page) : Page{};
    if (block.Valid != 0 && block.Win32Protection != page_from_protection(model.protection))
      return to_string(o) + ": valid with other rights";
    if ((block.Locked != 0) != model.is_locked()) return to_string(o) + ": locked or not";
    if (block.Valid != 0 && (block.Shared != 0) == model.is_private) return to_string(o) + ": shared or not";
  }
  return "";
}

// reference/nt.md 7.5.
std::string NtInterpreter::lock(const NtOperation& o) {
  const bool locks = o.call == Call::kLock;
  const bool no_base = (o.nulls & NtOperation::kNoBase) != 0;
  const bool no_size = (o.nulls & NtOperation::kNoSize) != 0;
  const std::size_t kind = o.type == MAP_SYSTEM ? 1 : 0;
  ProcessPointer process;
  Pages pages;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (no_base || no_size) return STATUS_ACCESS_VIOLATION;
    if (o.type != MAP_PROCESS && o.type != MAP_SYSTEM) return STATUS_INVALID_PARAMETER;
    if (o.size == 0 || o.base + (o.size - 1) < o.base) return STATUS_INVALID_PARAMETER;
    pages = covering(o.base, o.size);
    if (pages.end() - 1 > highest_vad_ >> kPageShift) return STATUS_INVALID_PARAMETER;
    if (o.type == MAP_SYSTEM && !current().may_lock) return STATUS_PRIVILEGE_NOT_HELD;
    if (const NTSTATUS status = find_space(h_[o.handle], PROCESS_VM_OPERATION, process); status != STATUS_SUCCESS)
      return status;
    if (!locks) {
      if (pages.count > process->pages.size()) return STATUS_NOT_LOCKED;
      for (std::uint64_t at = pages.first; at < pages.end(); ++at) {
        const auto page = process->pages.find(at);
        if (page == process->pages.end() || !page->second.locked.at(kind)) return STATUS_NOT_LOCKED;
      }
      return STATUS_SUCCESS;
    }
    const auto region = region_of(*process, pages);
    if (region == process->regions.end()) return STATUS_ACCESS_VIOLATION;
    std::uint64_t more = 0;
    for (std::uint64_t at = pages.first; at < pages.end(); ++at) {
      const Page& page = process->pages.at(at);
      if (base_of(page.protection) == Protection::kNone) return STATUS_ACCESS_VIOLATION;
      if (!page.is_locked()) ++more;
    }
    if (process->locked + more + kUnlockable > process->minimum) return STATUS_WORKING_SET_QUOTA;
    for (std::uint64_t at = pages.first; at < pages.end(); ++at)
      if (const NTSTATUS status = touch(*process, at, Access::kRead, false); status != STATUS_SUCCESS) return status;
    for (std::uint64_t at = pages.first; at < pages.end(); ++at)
      if (process->pages.at(at).locked.at(kind)) return STATUS_WAS_LOCKED;
    return STATUS_SUCCESS;
  }();
  PVOID base = NtMachine::pointer(o.base);
  SIZE_T size = o.size;
  PVOID* const base_at = no_base ? nullptr : &base;
  SIZE_T* const size_at = no_size ? nullptr : &size;
  const NTSTATUS got = locks ? NtLockVirtualMemory(h_[o.handle], base_at, size_at, o.type)
                             : NtUnlockVirtualMemory(h_[o.handle], base_at, size_at, o.type);
  if (auto difference = compare(o, expected, got); !difference.empty()) return difference;
  if (auto difference = compare_in_out(o, pages, NT_SUCCESS(got), base, size); !difference.empty()) return difference;
  if (!NT_SUCCESS(got)) return "";
  for (std::uint64_t at = pages.first; at < pages.end(); ++at) {
    Page& page = process->pages.at(at);
    if (page.is_locked()) --process->locked;
    page.locked.at(kind) = locks;
    if (page.is_locked()) ++process->locked;
  }
  return "";
}

// reference/nt.md 7.6.
std::string NtInterpreter::copy(const NtOperation& o) {
  const bool writes = o.call == Call::kWrite;
  const bool no_out = (o.nulls & NtOperation::kNoOut) != 0;
  // A long range is one that the call refuses.
  const bool wraps = o.size != 0 && (o.base > highest_user_ || o.size - 1 > highest_user_ - o.base);
  const std::uint64_t size = wraps || o.size <= kMostBytes ? o.size : o.size % kMostBytes;
  std::vector<std::uint8_t> bytes(std::min(size, kMostBytes) + 1, 0xAA);
  for (std::uint64_t i = 0; writes && i < bytes.size(); ++i) bytes[i] = byte_at(o.value, i);
  std::vector<std::uint8_t> want = bytes;
  std::uint64_t done = 0;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (wraps) return STATUS_ACCESS_VIOLATION;
    if (size == 0) return STATUS_SUCCESS;
    if (no_out) return STATUS_ACCESS_VIOLATION;
    ProcessPointer process;
    if (const NTSTATUS status = find_space(h_[o.handle], writes ? PROCESS_VM_WRITE : PROCESS_VM_READ, process);
        status != STATUS_SUCCESS)
      return status;
    while (done < size) {
      const std::uint64_t page = (o.base + done) >> kPageShift;
      const std::uint64_t at = (o.base + done) % kPageBytes;
      const std::uint64_t count = std::min(size - done, kPageBytes - at);
      if (touch(*process, page, writes ? Access::kWrite : Access::kRead, process.get() != &current()) != STATUS_SUCCESS)
        return STATUS_PARTIAL_COPY;
      if (Bytes* const model = bytes_of_page(*process, page, writes); writes)
        std::memcpy(model->data() + at, bytes.data() + done, count);
      else if (model != nullptr)
        std::memcpy(want.data() + done, model->data() + at, count);
      else
        std::memset(want.data() + done, 0, count);
      done += count;
    }
    return STATUS_SUCCESS;
  }();
  SIZE_T moved = ~SIZE_T{0};
  const PVOID address = NtMachine::pointer(o.base);
  const NTSTATUS got = writes
                           ? NtWriteVirtualMemory(h_[o.handle], address, no_out ? nullptr : bytes.data(), size, &moved)
                           : NtReadVirtualMemory(h_[o.handle], address, no_out ? nullptr : bytes.data(), size, &moved);
  if (auto difference = compare(o, expected, got); !difference.empty()) return difference;
  const bool tells = got == STATUS_SUCCESS || got == STATUS_PARTIAL_COPY;
  if (moved != (tells ? done : ~SIZE_T{0})) return fmt::format("{} moved {}, expected {}", to_string(o), moved, done);
  return bytes == want ? "" : to_string(o) + " gives other bytes";
}

std::string NtInterpreter::access(const NtOperation& o) {
  const Access kind = o.call == Call::kStore   ? Access::kWrite
                      : o.call == Call::kFetch ? Access::kExecute
                                               : Access::kRead;
  const std::uint64_t size = o.call == Call::kFetch ? 1 : o.size % (kMostBytes + 1);
  std::vector<std::uint8_t> bytes(size, 0xAA);
  for (std::uint64_t i = 0; kind == Access::kWrite && i < size; ++i) bytes[i] = byte_at(o.value, i);
  std::vector<std::uint8_t> want = bytes;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    for (std::uint64_t done = 0; done < size;) {
      if (o.base + done > highest_user_ || o.base + done < o.base) return STATUS_ACCESS_VIOLATION;
      const std::uint64_t page = (o.base + done) >> kPageShift;
      const std::uint64_t at = (o.base + done) % kPageBytes;
      const std::uint64_t count = std::min(size - done, kPageBytes - at);
      if (const NTSTATUS status = touch(current(), page, kind, false); status != STATUS_SUCCESS) return status;
      if (kind != Access::kExecute) {
        Bytes* const model = bytes_of_page(current(), page, kind == Access::kWrite);
        if (kind == Access::kWrite)
          std::memcpy(model->data() + at, bytes.data() + done, count);
        else if (model != nullptr)
          std::memcpy(want.data() + done, model->data() + at, count);
        else
          std::memset(want.data() + done, 0, count);
      }
      done += count;
    }
    return STATUS_SUCCESS;
  }();
  const PVOID address = NtMachine::pointer(o.base);
  NTSTATUS got = STATUS_SUCCESS;
  if (o.call == Call::kLoad) got = PagodaLoad(address, bytes.data(), size);
  if (o.call == Call::kStore) got = PagodaStore(address, bytes.data(), size);
  if (o.call == Call::kFetch) got = PagodaFetch(address);
  if (auto difference = compare(o, expected, got); !difference.empty()) return difference;
  return bytes == want || kind == Access::kExecute ? "" : to_string(o) + " gives other bytes";
}

// --- Sections: reference/nt.md section 6 ---

namespace {

// A name as a call wants it; 0 and 4 to 7: none.
struct NamedAttributes {
  explicit NamedAttributes(std::uint64_t value) {
    if (value >= 1 && value <= kNames.size()) text = kNames.at(value - 1);
    name = {static_cast<USHORT>(text.size() * 2), static_cast<USHORT>(text.size() * 2), text.data()};
    attributes.Length = sizeof attributes;
    attributes.ObjectName = &name;
    attributes.Attributes = (value & 2) != 0 ? OBJ_OPENIF : 0;
    folded = text == u"\\ONE" ? u"\\One" : text;
  }
  NamedAttributes(const NamedAttributes&) = delete;
  NamedAttributes& operator=(const NamedAttributes&) = delete;
  [[nodiscard]] bool opens() const { return attributes.Attributes != 0; }

  std::u16string text;
  std::u16string folded;
  UNICODE_STRING name{};
  OBJECT_ATTRIBUTES attributes{};
};

AccessMask section_access(Protection protection) {
  if (base_of(protection) == Protection::kNone) return SECTION_MAP_READ;
  AccessMask access = 0;
  if (is_executable(protection)) access |= SECTION_MAP_EXECUTE;
  if (is_writable(protection)) return access | SECTION_MAP_WRITE;
  return base_of(protection) == Protection::kExecute ? access : access | SECTION_MAP_READ;
}

}  // namespace

std::string NtInterpreter::took_handle(const NtOperation& o, HANDLE handle, const ProcessPointer& owner, Entry entry) {
  const std::uint64_t value = bits_of(handle);
  if (value == 0 || value % 4 != 0 || owner->handles.contains(value))
    return fmt::format("{} gives handle {:#x}", to_string(o), value);
  owner->handles[value] = std::move(entry);
  h_[o.out] = handle;
  owners_[o.out] = owner;
  return "";
}

std::string NtInterpreter::create_section(const NtOperation& o) {
  if (!is_free(o.out)) return "";
  const bool no_out = (o.nulls & NtOperation::kNoOut) != 0;
  const bool no_size = (o.nulls & NtOperation::kNoSize) != 0;
  const auto protection = protection_of(o.protect);
  const HANDLE file = h_[o.handle2];
  const std::uint64_t asked = no_size ? 0 : o.size;
  const std::uint64_t pages = asked / kPageBytes + (asked % kPageBytes != 0 ? 1 : 0);
  NamedAttributes named_by(o.value);
  const auto existing = named_by.folded.empty() ? nullptr : named(named_by.folded);
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (!is_section_type(o.type)) return STATUS_INVALID_PARAMETER_6;
    if (!protection || *protection == Protection::kNoAccess || base_of(*protection) != *protection)
      return STATUS_INVALID_PAGE_PROTECTION;
    if (no_out) return STATUS_ACCESS_VIOLATION;
    if (has(o.type, SEC_IMAGE) && file == nullptr) return STATUS_INVALID_FILE_FOR_SECTION;
    if (file == nullptr && asked == 0) return STATUS_INVALID_PARAMETER_4;
    if (file != nullptr)
      return current().handles.contains(bits_of(file) & ~std::uint64_t{3}) ? STATUS_OBJECT_TYPE_MISMATCH
                                                                           : STATUS_INVALID_HANDLE;
    if (existing != nullptr) return named_by.opens() ? STATUS_OBJECT_NAME_EXISTS : STATUS_OBJECT_NAME_COLLISION;
    return STATUS_SUCCESS;
  }();
  const bool reserve = has(o.type, SEC_RESERVE);
  const std::uint64_t limit = machine_->kernel().manager().commit().limit.value();
  const std::uint64_t refused = reserve ? std::uint64_t{1} << 34 : limit + 1;  // At the latest.
  if (expected == STATUS_SUCCESS && pages > kMostSectionPages && pages < refused) return "";
  HANDLE handle = nullptr;
  LARGE_INTEGER size{};
  size.QuadPart = static_cast<LONGLONG>(o.size);
  const NTSTATUS got = NtCreateSection(no_out ? nullptr : &handle, o.access, &named_by.attributes,
                                       no_size ? nullptr : &size, o.protect, o.type, file);
  if (auto difference = compare(o, expected, got, pages); !difference.empty()) return difference;
  if (!NT_SUCCESS(got)) return handle == nullptr ? "" : to_string(o) + " gives a handle";
  auto section = existing;
  if (section == nullptr) {
    section = std::make_shared<Section>();
    section->reserve = reserve;
    section->no_change = has(o.type, SEC_NO_CHANGE);
    section->pages = pages;
    section->protection = *protection;
    section->name = named_by.folded;
  }
  return took_handle(o, handle, runs_.back(),
                     {ObjectType::kSection, granted_access(ObjectType::kSection, o.access), nullptr, section});
}

std::string NtInterpreter::open_section(const NtOperation& o) {
  if (!is_free(o.out)) return "";
  const bool no_out = (o.nulls & NtOperation::kNoOut) != 0;
  NamedAttributes named_by(o.value % 8);
  const auto existing = named_by.folded.empty() ? nullptr : named(named_by.folded);
  const NTSTATUS expected = no_out                    ? STATUS_ACCESS_VIOLATION
                            : named_by.folded.empty() ? STATUS_OBJECT_NAME_INVALID
                            : existing == nullptr     ? STATUS_OBJECT_NAME_NOT_FOUND
                                                      : STATUS_SUCCESS;
  HANDLE handle = nullptr;
  const NTSTATUS got = NtOpenSection(no_out ? nullptr : &handle, o.access, &named_by.attributes);
  if (auto difference = compare(o, expected, got); !difference.empty()) return difference;
  if (got != STATUS_SUCCESS) return "";
  return took_handle(o, handle, runs_.back(),
                     {ObjectType::kSection, granted_access(ObjectType::kSection, o.access), nullptr, existing});
}

std::string NtInterpreter::query_section(const NtOperation& o) {
  const bool no_out = (o.nulls & NtOperation::kNoOut) != 0;
  const auto what = static_cast<SECTION_INFORMATION_CLASS>(o.type & 0x7FFFFFFF);
  std::array<std::byte, 128> buffer{};
  const SIZE_T size = std::min<SIZE_T>(o.size, buffer.size());
  Entry entry;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (what != SectionBasicInformation && what != SectionImageInformation) return STATUS_INVALID_INFO_CLASS;
    if (size <
        (what == SectionBasicInformation ? sizeof(SECTION_BASIC_INFORMATION) : sizeof(SECTION_IMAGE_INFORMATION)))
      return STATUS_INFO_LENGTH_MISMATCH;
    if (no_out) return STATUS_ACCESS_VIOLATION;
    const NTSTATUS status = find(current(), h_[o.handle], ObjectType::kSection, SECTION_QUERY, entry);
    if (status != STATUS_SUCCESS) return status;
    return what == SectionBasicInformation ? STATUS_SUCCESS : STATUS_SECTION_NOT_IMAGE;
  }();
  const NTSTATUS got = NtQuerySection(h_[o.handle], what, no_out ? nullptr : buffer.data(), size, nullptr);
  if (auto difference = compare(o, expected, got); !difference.empty()) return difference;
  if (got != STATUS_SUCCESS) return "";
  SECTION_BASIC_INFORMATION info{};
  std::memcpy(&info, buffer.data(), sizeof info);
  const Section& section = *entry.section;
  const ULONG attributes = (section.reserve ? SEC_RESERVE : SEC_COMMIT) | (section.no_change ? SEC_NO_CHANGE : 0);
  const bool same = info.BaseAddress == nullptr && info.AllocationAttributes == attributes &&
                    static_cast<std::uint64_t>(info.MaximumSize.QuadPart) == section.pages * kPageBytes;
  return same ? "" : to_string(o) + ": another section";
}

std::string NtInterpreter::extend_section(const NtOperation& o) {
  const bool no_size = (o.nulls & NtOperation::kNoSize) != 0;
  Entry entry;
  NTSTATUS expected = STATUS_ACCESS_VIOLATION;
  if (!no_size) {
    expected = find(current(), h_[o.handle], ObjectType::kSection, SECTION_EXTEND_SIZE, entry);
    if (expected == STATUS_SUCCESS) expected = STATUS_SECTION_NOT_EXTENDED;
  }
  LARGE_INTEGER size{};
  size.QuadPart = static_cast<LONGLONG>(o.size);
  const NTSTATUS got = NtExtendSection(h_[o.handle], no_size ? nullptr : &size);
  if (auto difference = compare(o, expected, got); !difference.empty()) return difference;
  return static_cast<std::uint64_t>(size.QuadPart) == o.size ? "" : to_string(o) + " changes the size";
}

// reference/nt.md 6.2.
std::string NtInterpreter::map_view(const NtOperation& o) {
  const bool no_base = (o.nulls & NtOperation::kNoBase) != 0;
  const bool no_size = (o.nulls & NtOperation::kNoSize) != 0;
  const bool no_offset = (o.nulls & NtOperation::kNoOut) != 0;
  const auto protection = protection_of(o.protect);
  const std::uint64_t offset = no_offset ? 0 : o.offset;
  const auto inherit = static_cast<ULONG>(o.value & 0xFF);
  Limits limits = all();
  limits.top_down = has(o.type, MEM_TOP_DOWN);
  ProcessPointer process;
  Entry entry;
  Pages pages;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (inherit != ViewShare && inherit != ViewUnmap) return STATUS_INVALID_PARAMETER_8;
    if (has(o.type, ~(MEM_TOP_DOWN | MEM_LARGE_PAGES | MEM_DOS_LIM | SEC_NO_CHANGE | MEM_RESERVE)))
      return STATUS_INVALID_PARAMETER_9;
    if (!protection) return STATUS_INVALID_PAGE_PROTECTION;
    if (no_base || no_size) return STATUS_ACCESS_VIOLATION;
    if (o.base > highest_vad_ || (o.size != 0 && o.size - 1 > highest_vad_ - o.base)) return STATUS_INVALID_PARAMETER_3;
    if (o.zero_bits != 0) {
      const auto ceiling = ceiling_of(highest_user_ > ~std::uint32_t{0}, o.zero_bits);
      if (!ceiling || o.base > *ceiling) return STATUS_INVALID_PARAMETER_4;
      limits.last = std::min(limits.last, *ceiling >> kPageShift);
    }
    if (const NTSTATUS status = find_space(h_[o.handle2], PROCESS_VM_OPERATION, process); status != STATUS_SUCCESS)
      return status;
    const NTSTATUS status = find(current(), h_[o.handle], ObjectType::kSection, section_access(*protection), entry);
    if (status != STATUS_SUCCESS) return status;
    const Section& section = *entry.section;
    if (o.base % kAllocationGranularity != 0 || offset % kAllocationGranularity != 0) return STATUS_MAPPED_ALIGNMENT;
    if (!is_compatible(section.protection, *protection)) return STATUS_SECTION_PROTECTION;
    if (offset >= section.pages * kPageBytes) return STATUS_INVALID_VIEW_SIZE;
    const std::uint64_t rest = section.pages - offset / kPageBytes;
    pages.count = o.size == 0 ? rest : covering(0, o.size).count;
    if (pages.count > rest) return STATUS_INVALID_VIEW_SIZE;
    if (o.commit > pages.count * kPageBytes) return STATUS_INVALID_PARAMETER_5;
    if (has(o.type, MEM_RESERVE)) return STATUS_INVALID_PARAMETER_9;
    if (is_write_combine(*protection)) return STATUS_INVALID_PARAMETER_10;
    if (o.base == 0) {
      const auto gap = find_gap(*process, pages.count, limits);
      if (!gap) return STATUS_NO_MEMORY;
      pages.first = *gap;
      return STATUS_SUCCESS;
    }
    pages.first = o.base >> kPageShift;
    if (pages.end() - 1 > all().last) return STATUS_INVALID_PARAMETER_3;
    return overlaps(*process, pages) ? STATUS_CONFLICTING_ADDRESSES : STATUS_SUCCESS;
  }();
  PVOID base = NtMachine::pointer(o.base);
  SIZE_T size = o.size;
  LARGE_INTEGER at{};
  at.QuadPart = static_cast<LONGLONG>(o.offset);
  const NTSTATUS got = NtMapViewOfSection(h_[o.handle], h_[o.handle2], no_base ? nullptr : &base, o.zero_bits, o.commit,
                                          no_offset ? nullptr : &at, no_size ? nullptr : &size,
                                          static_cast<SECTION_INHERIT>(inherit), o.type, o.protect);
  if (auto difference = compare(o, expected, got, 2 * pages.count); !difference.empty()) return difference;
  if (auto difference = compare_in_out(o, pages, got == STATUS_SUCCESS, base, size); !difference.empty())
    return difference;
  if (got != STATUS_SUCCESS) return "";
  process->regions[pages.first] = {.count = pages.count,
                                   .protection = *protection,
                                   .section = entry.section,
                                   .section_page = offset / kPageBytes,
                                   .no_change = entry.section->no_change || has(o.type, SEC_NO_CHANGE)};
  for (std::uint64_t page = pages.first; page < pages.end(); ++page)
    process->pages[page] = {.protection = *protection, .is_private = false, .locked = {}};
  const std::uint64_t committed = o.commit / kPageBytes + (o.commit % kPageBytes != 0 ? 1 : 0);
  for (std::uint64_t i = 0; entry.section->reserve && i < committed; ++i)
    entry.section->committed.insert(offset / kPageBytes + i);
  return "";
}

std::string NtInterpreter::unmap_view(const NtOperation& o) {
  ProcessPointer process;
  RegionPlace region;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (const NTSTATUS status = find_space(h_[o.handle], PROCESS_VM_OPERATION, process); status != STATUS_SUCCESS)
      return status;
    if (o.base > highest_user_) return STATUS_NOT_MAPPED_VIEW;
    region = region_at(*process, o.base >> kPageShift);
    const bool is_view = region != process->regions.end() && region->second.section != nullptr;
    return is_view ? STATUS_SUCCESS : STATUS_NOT_MAPPED_VIEW;
  }();
  const PVOID base = NtMachine::pointer(o.base);
  const NTSTATUS got =
      o.type != 0 ? NtUnmapViewOfSectionEx(h_[o.handle], base, 0) : NtUnmapViewOfSection(h_[o.handle], base);
  if (auto difference = compare(o, expected, got); !difference.empty()) return difference;
  if (got == STATUS_SUCCESS) forget_region(*process, region);
  return "";
}

std::string NtInterpreter::flush(const NtOperation& o) {
  const bool no_base = (o.nulls & NtOperation::kNoBase) != 0;
  const bool no_size = (o.nulls & NtOperation::kNoSize) != 0;
  const bool no_out = (o.nulls & NtOperation::kNoOut) != 0;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (no_base || no_size || no_out) return STATUS_ACCESS_VIOLATION;
    if (o.base > highest_user_ || (o.size != 0 && o.size - 1 > highest_user_ - o.base)) return STATUS_INVALID_PARAMETER;
    ProcessPointer process;
    if (const NTSTATUS status = find_space(h_[o.handle], PROCESS_VM_OPERATION, process); status != STATUS_SUCCESS)
      return status;
    const auto region = region_at(*process, o.base >> kPageShift);
    return region == process->regions.end() ? STATUS_NOT_MAPPED_VIEW : STATUS_NOT_MAPPED_DATA;
  }();
  PVOID base = NtMachine::pointer(o.base);
  SIZE_T size = o.size;
  IO_STATUS_BLOCK io{};
  const NTSTATUS got =
      NtFlushVirtualMemory(h_[o.handle], no_base ? nullptr : &base, no_size ? nullptr : &size, no_out ? nullptr : &io);
  if (auto difference = compare(o, expected, got); !difference.empty()) return difference;
  return compare_in_out(o, {}, false, base, size);
}

// --- Handles and processes ---

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

// Its regions are gone when nobody runs in it any more.
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

// --- All of it ---

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
