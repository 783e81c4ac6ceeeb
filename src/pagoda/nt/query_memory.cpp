// NtQueryVirtualMemory. Source: reference/nt.md 7.4.
#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "pagoda/nt/edge.h"
#include "pagoda/nt/unicode.h"

namespace pagoda::nt {

namespace {

ULONG state_of(mm::MemoryState state) {
  switch (state) {
    case mm::MemoryState::kFree:
      return MEM_FREE;
    case mm::MemoryState::kReserved:
      return MEM_RESERVE;
    case mm::MemoryState::kCommitted:
      break;
  }
  return MEM_COMMIT;
}

ULONG type_of(mm::MemoryType type) {
  switch (type) {
    case mm::MemoryType::kPrivate:
      return MEM_PRIVATE;
    case mm::MemoryType::kMapped:
      return MEM_MAPPED;
    case mm::MemoryType::kImage:
      break;
  }
  return MEM_IMAGE;
}

MEMORY_BASIC_INFORMATION basic_information(const mm::RegionInfo& region) {
  MEMORY_BASIC_INFORMATION info{};
  info.BaseAddress = pointer_to(region.base);
  info.RegionSize = region.size.value();
  info.State = state_of(region.state);
  if (region.state == mm::MemoryState::kFree) {
    info.Protect = PAGE_NOACCESS;
    return info;
  }
  info.AllocationBase = pointer_to(region.allocation_base);
  info.AllocationProtect = mm::page_from_protection(region.allocation_protection);
  info.Protect = region.state == mm::MemoryState::kReserved ? 0 : mm::page_from_protection(region.protection);
  info.Type = type_of(region.type);
  return info;
}

template <class Record>
Result<> give(const Record& record, PVOID out, SIZE_T* written) {
  std::memcpy(out, &record, sizeof record);
  if (written != nullptr) *written = sizeof record;
  return {};
}

struct MemoryQuery {
  HANDLE process = nullptr;
  VirtualAddress address;
  PVOID out = nullptr;
  SIZE_T size = 0;
  SIZE_T* written = nullptr;
};

Result<> query_basic(const Caller& caller, const MemoryQuery& query) {
  PAGODA_TRY(require(query.address <= highest_user_address(caller), Status::kInvalidParameter));
  PAGODA_TRY(require(query.size >= sizeof(MEMORY_BASIC_INFORMATION), Status::kInfoLengthMismatch));
  PAGODA_TRY(probe(query.out));
  const auto target = PAGODA_TRY(target_process(caller, query.process, PROCESS_QUERY_INFORMATION));
  const auto region = PAGODA_TRY(target.space().query(caller.cpu(), query.address));
  return give(basic_information(region), query.out, query.written);
}

// A region as a whole. Its commit is what the VAD promised.
Result<> query_region(const Caller& caller, const MemoryQuery& query) {
  PAGODA_TRY(require(query.address <= highest_user_address(caller), Status::kInvalidParameter));
  PAGODA_TRY(require(query.size >= sizeof(MEMORY_REGION_INFORMATION), Status::kInfoLengthMismatch));
  PAGODA_TRY(probe(query.out));
  const auto target = PAGODA_TRY(target_process(caller, query.process, PROCESS_QUERY_INFORMATION));
  mm::ProcessSpace& space = target.space();
  PAGODA_TRY(require(query.address <= space.highest_user(), Status::kInvalidParameter));
  const auto region = space.allocation(query.address);
  PAGODA_TRY(require(region.has_value(), Status::kInvalidAddress));
  MEMORY_REGION_INFORMATION info{};
  info.AllocationBase = pointer_to(page_start(region->pages));
  info.AllocationProtect = mm::page_from_protection(region->protection);
  switch (region->type) {
    case mm::MemoryType::kPrivate:
      info.RegionType = MEMORY_REGION_PRIVATE;
      break;
    case mm::MemoryType::kImage:
      info.RegionType = MEMORY_REGION_MAPPED_IMAGE;
      break;
    case mm::MemoryType::kMapped:
      info.RegionType = region->maps_file ? MEMORY_REGION_MAPPED_DATA_FILE : MEMORY_REGION_MAPPED_PAGE_FILE;
      break;
  }
  info.RegionSize = byte_size(region->pages);
  info.CommitSize = bytes_of(region->commit_charge).value();
  return give(info, query.out, query.written);
}

// One page of a working set as the classes 1 and 4 tell it.
struct ResidentPage {
  Vpn page;
  mm::Protection protection = mm::Protection::kNone;
  std::uint32_t share_count = 0;
  bool shared = false;
  bool locked = false;
  bool large = false;
};

constexpr std::uint32_t kMostShares = 7;  // Three bits.

std::optional<ResidentPage> resident_page(mm::ProcessSpace& space, const mm::Processor& cpu, Vpn page)
    PAGODA_REQUIRES(space.lock) {
  const mm::PageInfo info = space.page_info_locked(cpu, page);
  if (info.place != mm::PagePlace::kWorkingSet) return std::nullopt;
  return ResidentPage{.page = page,
                      .protection = info.protection,
                      .share_count = info.shared ? info.share_count : 0,
                      .shared = info.shared,
                      .locked = info.locked,
                      .large = info.large};
}

// The slots of the working set in order of their pages.
std::vector<ResidentPage> resident_pages(mm::ProcessSpace& space, const mm::Processor& cpu) {
  std::vector<ResidentPage> pages;
  const LockGuard guard(space.lock);
  const mm::WorkingSet& set = space.working_set();
  for (std::uint32_t slot = 0; slot < set.end_slot(); ++slot) {
    if (!set[slot].is_valid()) continue;
    if (const auto page = resident_page(space, cpu, set[slot].page())) pages.push_back(*page);
  }
  std::ranges::sort(pages, {}, &ResidentPage::page);
  return pages;
}

Result<> query_working_set(const Caller& caller, const MemoryQuery& query) {
  constexpr SIZE_T kHeader = sizeof(ULONG_PTR);
  PAGODA_TRY(require(query.size >= sizeof(MEMORY_WORKING_SET_INFORMATION), Status::kInfoLengthMismatch));
  PAGODA_TRY(probe(query.out));
  const auto target = PAGODA_TRY(target_process(caller, query.process, PROCESS_QUERY_INFORMATION));
  const std::vector<ResidentPage> pages = resident_pages(target.space(), caller.cpu());
  // The count is told also where the list does not fit.
  auto* const out = static_cast<std::byte*>(query.out);
  const ULONG_PTR count = pages.size();
  std::memcpy(out, &count, sizeof count);
  const SIZE_T needed = kHeader + count * sizeof(MEMORY_WORKING_SET_BLOCK);
  PAGODA_TRY(require(query.size >= needed, Status::kInfoLengthMismatch));
  for (SIZE_T i = 0; i < count; ++i) {
    MEMORY_WORKING_SET_BLOCK block{};
    block.Protection = mm::bits(pages[i].protection) & 0x1F;
    block.ShareCount = std::min(pages[i].share_count, kMostShares) & kMostShares;
    block.Shared = pages[i].shared ? 1 : 0;
    block.VirtualPage = pages[i].page.value() & ((ULONG_PTR{1} << 52) - 1);
    std::memcpy(out + kHeader + i * sizeof block, &block, sizeof block);
  }
  if (query.written != nullptr) *query.written = needed;
  return {};
}

// Records that are answered together: 4 KB.
constexpr std::size_t kRecordsAtOnce = kPageBytes / sizeof(MEMORY_WORKING_SET_EX_INFORMATION);

void answer_working_set_ex(mm::ProcessSpace& space, const mm::Processor& cpu,
                           std::span<MEMORY_WORKING_SET_EX_INFORMATION> records) {
  const LockGuard guard(space.lock);
  for (MEMORY_WORKING_SET_EX_INFORMATION& record : records) {
    record.u1.Long = 0;
    const VirtualAddress address = address_of(record.VirtualAddress);
    const auto found = address <= space.highest_user() ? resident_page(space, cpu, address.vpn()) : std::nullopt;
    if (!found) continue;
    MEMORY_WORKING_SET_EX_BLOCK& block = record.u1.VirtualAttributes;
    block.Valid = 1;
    block.ShareCount = std::min(found->share_count, kMostShares) & kMostShares;
    block.Win32Protection = mm::page_from_protection(found->protection) & 0x7FF;
    block.Shared = found->shared ? 1 : 0;
    block.LargePage = found->large ? 1 : 0;
    block.Locked = found->locked ? 1 : 0;
  }
}

Result<> query_working_set_ex(const Caller& caller, const MemoryQuery& query) {
  constexpr SIZE_T kRecord = sizeof(MEMORY_WORKING_SET_EX_INFORMATION);
  PAGODA_TRY(require(query.size >= kRecord && query.size % kRecord == 0, Status::kInfoLengthMismatch));
  PAGODA_TRY(probe(query.out));
  const auto target = PAGODA_TRY(target_process(caller, query.process, PROCESS_QUERY_INFORMATION));
  auto* const out = static_cast<std::byte*>(query.out);
  // The caller's are not reached under a lock.
  std::array<MEMORY_WORKING_SET_EX_INFORMATION, kRecordsAtOnce> records{};
  for (SIZE_T at = 0; at < query.size;) {
    const std::size_t count = std::min<std::size_t>(records.size(), (query.size - at) / kRecord);
    std::memcpy(records.data(), out + at, count * kRecord);
    answer_working_set_ex(target.space(), caller.cpu(), std::span(records).first(count));
    std::memcpy(out + at, records.data(), count * kRecord);
    at += count * kRecord;
  }
  if (query.written != nullptr) *query.written = query.size;
  return {};
}

// The file that the address is mapped from, by its name in NT's terms.
Result<> query_mapped_file(const Caller& caller, const MemoryQuery& query) {
  PAGODA_TRY(require(query.address <= highest_user_address(caller), Status::kInvalidParameter));
  PAGODA_TRY(require(query.size >= sizeof(MEMORY_SECTION_NAME), Status::kInfoLengthMismatch));
  PAGODA_TRY(probe(query.out));
  const auto target = PAGODA_TRY(target_process(caller, query.process, PROCESS_QUERY_INFORMATION));
  const auto file = PAGODA_TRY(target.space().mapped_file(query.address));
  const std::u16string name = to_utf16(file->name());
  const SIZE_T bytes = name.size() * sizeof(WCHAR);
  const SIZE_T needed = sizeof(MEMORY_SECTION_NAME) + bytes + sizeof(WCHAR);
  if (query.written != nullptr) *query.written = needed;  // How much would do is told in any case.
  PAGODA_TRY(require(query.size >= needed, Status::kBufferOverflow));
  auto* const units = static_cast<std::byte*>(query.out) + sizeof(MEMORY_SECTION_NAME);
  MEMORY_SECTION_NAME info{};
  info.SectionFileName = {static_cast<USHORT>(bytes), static_cast<USHORT>(bytes + sizeof(WCHAR)),
                          reinterpret_cast<WCHAR*>(units)};
  std::memcpy(query.out, &info, sizeof info);
  std::memcpy(units, name.c_str(), bytes + sizeof(WCHAR));
  return {};
}

Result<> query_memory(const MemoryQuery& query, MEMORY_INFORMATION_CLASS what) {
  auto* const caller = PAGODA_TRY(calling());
  switch (what) {
    case MemoryBasicInformation:
      return query_basic(*caller, query);
    case MemoryWorkingSetInformation:
      return query_working_set(*caller, query);
    case MemoryMappedFilenameInformation:
      return query_mapped_file(*caller, query);
    case MemoryRegionInformation:
      return query_region(*caller, query);
    case MemoryWorkingSetExInformation:
      return query_working_set_ex(*caller, query);
    default:
      return fail(Status::kInvalidInfoClass);
  }
}

}  // namespace
}  // namespace pagoda::nt

NTSTATUS NtQueryVirtualMemory(HANDLE process, PVOID base, MEMORY_INFORMATION_CLASS what, PVOID out, SIZE_T size,
                              PSIZE_T written) {
  using namespace pagoda::nt;
  return answer(query_memory(
      {.process = process, .address = address_of(base), .out = out, .size = size, .written = written}, what));
}
