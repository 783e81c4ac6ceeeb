// NtQueryVirtualMemory. Source: reference/nt.md 7.4.
#include "pagoda/nt/memory_query.h"
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

Result<> query_basic(const Caller& caller, const MemoryQuery& query) {
  PAGODA_TRY(require(query.address <= highest_user_address(caller), Status::kInvalidParameter));
  constexpr SIZE_T kRecord = sizeof(MEMORY_BASIC_INFORMATION);
  PAGODA_TRY(require_length(query.size >= kRecord, kRecord, query.written));
  PAGODA_TRY(probe(query.out));
  const auto target = PAGODA_TRY(target_process(caller, query.process, PROCESS_QUERY_INFORMATION));
  const auto region = PAGODA_TRY(target.space().query(caller.cpu(), query.address));
  return give(basic_information(region), query);
}

// A region as a whole. Its commit is what the VAD promised; records of Vista and 7 end before it.
Result<> query_region(const Caller& caller, const MemoryQuery& query) {
  PAGODA_TRY(require(query.address <= highest_user_address(caller), Status::kInvalidParameter));
  constexpr SIZE_T kWithoutCommit = offsetof(MEMORY_REGION_INFORMATION, CommitSize);
  PAGODA_TRY(require_length(query.size >= kWithoutCommit, kWithoutCommit, query.written));
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
  return give(info, query, query.size < sizeof info ? kWithoutCommit : sizeof info);
}

// The file that the address is mapped from, by its name in NT's terms. What is mapped there is looked up before the length
// is looked at, and how much would do is told in any case.
Result<> query_mapped_file(const Caller& caller, const MemoryQuery& query) {
  PAGODA_TRY(require(query.address <= highest_user_address(caller), Status::kInvalidParameter));
  PAGODA_TRY(probe(query.out));
  const auto target = PAGODA_TRY(target_process(caller, query.process, PROCESS_QUERY_INFORMATION));
  const auto file = PAGODA_TRY(target.space().mapped_file(query.address));
  const std::u16string name = to_utf16(file->name());
  const SIZE_T bytes = name.size() * sizeof(WCHAR);
  const SIZE_T needed = sizeof(MEMORY_SECTION_NAME) + bytes + sizeof(WCHAR);
  if (query.written != nullptr) *query.written = needed;
  PAGODA_TRY(require(query.size >= sizeof(MEMORY_SECTION_NAME), Status::kInfoLengthMismatch));
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
