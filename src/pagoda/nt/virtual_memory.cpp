// NtAllocateVirtualMemory, NtFreeVirtualMemory, NtProtectVirtualMemory. Checks stand in the order of reference/nt.md
// 7.1 to 7.3.
#include "pagoda/mm/process/placement.h"
#include "pagoda/nt/edge.h"
#include "pagoda/nt/extended_parameters.h"

namespace pagoda::nt {

namespace {

constexpr ULONG kAllocationTypes = MEM_COMMIT | MEM_RESERVE | MEM_RESET | MEM_RESET_UNDO | MEM_TOP_DOWN |
                                   MEM_WRITE_WATCH | MEM_PHYSICAL | MEM_LARGE_PAGES;
constexpr ULONG kExtendedAllocationTypes = kAllocationTypes | MEM_RESERVE_PLACEHOLDER | MEM_REPLACE_PLACEHOLDER;

// The second row of 7.1, but for bits that are unknown.
Result<> check_allocation_type(ULONG type) {
  constexpr auto kBad = Status::kInvalidParameter5;
  PAGODA_TRY(require(has(type, MEM_COMMIT | MEM_RESERVE | MEM_RESET | MEM_RESET_UNDO), kBad));
  PAGODA_TRY(require(!has(type, MEM_RESET) || type == MEM_RESET, kBad));
  PAGODA_TRY(require(!has(type, MEM_RESET_UNDO) || type == MEM_RESET_UNDO, kBad));
  if (has(type, MEM_PHYSICAL)) {
    PAGODA_TRY(require(has(type, MEM_RESERVE), kBad));
    PAGODA_TRY(require(!has(type, MEM_COMMIT | MEM_RESET | MEM_LARGE_PAGES | MEM_WRITE_WATCH), kBad));
  }
  PAGODA_TRY(require(!has(type, MEM_WRITE_WATCH) || has(type, MEM_RESERVE), kBad));
  if (has(type, MEM_LARGE_PAGES)) {
    PAGODA_TRY(require(has(type, MEM_COMMIT), kBad));
    PAGODA_TRY(require(!has(type, MEM_WRITE_WATCH), kBad));
  }
  return {};
}

// The third row of 7.1. A region that is only committed may be a view, which allows more: its kind decides then.
Result<mm::Protection> allocation_protection(ULONG type, ULONG protect) {
  auto protection = mm::protection_from_page(protect);
  const bool commits_only = has(type, MEM_COMMIT) && !has(type, MEM_RESERVE);
  if (protection && mm::is_write_copy(*protection) && !commits_only) return fail(Status::kInvalidPageProtection);
  return protection;
}

struct Allocation {
  HANDLE process = nullptr;
  PVOID* base = nullptr;
  SIZE_T* size = nullptr;
  PVOID asked_base = nullptr;  // What `base` said: read once, it may change at any time.
  ULONG type = 0;
  ULONG protect = 0;
  mm::PlacementWishes wishes;
};

// COMMIT, RESET or RESET_UNDO: nothing is reserved.
Result<> change_existing(const Caller& caller, const Allocation& request, const Target& target, VpnRange pages,
                         mm::Protection protection) {
  const VirtualAddress base = page_start(pages);
  const ByteCount size(byte_size(pages));
  mm::ProcessSpace& space = target.space();
  if (has(request.type, MEM_RESET)) {
    PAGODA_TRY(space.reset(caller.cpu(), base, size));
  } else if (has(request.type, MEM_RESET_UNDO)) {
    PAGODA_TRY(space.undo_reset(caller.cpu(), base, size));
  } else {
    PAGODA_TRY(space.commit(caller.cpu(), base, size, protection));
  }
  *request.base = pointer_to(page_start(pages));
  *request.size = byte_size(pages);
  return {};
}

mm::VadType region_type(ULONG type) {
  if (has(type, MEM_WRITE_WATCH)) return mm::VadType::kWriteWatch;
  if (has(type, MEM_PHYSICAL)) return mm::VadType::kAwe;
  return has(type, MEM_LARGE_PAGES) ? mm::VadType::kLargePages : mm::VadType::kNone;
}

mm::Placeholder placeholder_of(ULONG type) {
  if (has(type, MEM_RESERVE_PLACEHOLDER)) return mm::Placeholder::kReserve;
  return has(type, MEM_REPLACE_PLACEHOLDER) ? mm::Placeholder::kReplace : mm::Placeholder::kNo;
}

// After everything that depends on ZeroBits, the type's bits, the protection and the base.
Result<> allocate(const Caller& caller, const Allocation& request, mm::Protection protection) {
  PAGODA_TRY(probe(request.size));
  const VirtualAddress base = address_of(request.asked_base);
  const ByteCount size(*request.size);
  const VirtualAddress highest = highest_vad_address(caller);
  PAGODA_TRY(require(base <= highest, Status::kInvalidParameter2));
  PAGODA_TRY(require(!size.is_zero() && ends_by(base, size, highest), Status::kInvalidParameter4));
  const auto target = PAGODA_TRY(target_process(caller, request.process, PROCESS_VM_OPERATION));
  PAGODA_TRY(require(!has(request.type, MEM_LARGE_PAGES) || caller.process().token().holds(Privilege::kLockMemory),
                     Status::kPrivilegeNotHeld));

  const bool reserves =
      has(request.type, MEM_RESERVE) || (base.value() == 0 && !has(request.type, MEM_RESET | MEM_RESET_UNDO));
  PAGODA_TRY(require(!reserves || !mm::is_write_copy(protection), Status::kInvalidPageProtection));
  // Large pages cannot be committed later.
  PAGODA_TRY(require(reserves || !has(request.type, MEM_LARGE_PAGES), Status::kInvalidParameter5));
  if (!reserves) return change_existing(caller, request, target, *mm::pages_covering(base, size), protection);
  const auto region = PAGODA_TRY(target.space().reserve(
      caller.cpu(), {.base = base.value() == 0 ? std::nullopt : std::optional(base),
                     .size = size,
                     .protection = protection,
                     .commit = has(request.type, MEM_COMMIT) ? mm::MemCommit::kYes : mm::MemCommit::kNo,
                     .direction = has(request.type, MEM_TOP_DOWN) ? mm::Direction::kTopDown : mm::Direction::kBottomUp,
                     .type = region_type(request.type),
                     .wishes = base.value() == 0 ? request.wishes : mm::PlacementWishes{},
                     .placeholder = placeholder_of(request.type)}));
  *request.base = pointer_to(page_start(region));
  *request.size = byte_size(region);
  return {};
}

Result<> allocate_plain(Allocation request, ULONG_PTR zero_bits) {
  auto* const caller = PAGODA_TRY(calling());
  const auto ceiling = PAGODA_TRY(mm::zero_bits_ceiling(caller->kernel().machine().paging(), zero_bits));
  if (zero_bits != 0) request.wishes.highest = ceiling;
  PAGODA_TRY(require(!has(request.type, ~kAllocationTypes), caller->kernel().has(Difference::kPlainUnknownType)
                                                                ? Status::kInvalidParameter
                                                                : Status::kInvalidParameter5));
  PAGODA_TRY(check_allocation_type(request.type));
  const auto protection = PAGODA_TRY(allocation_protection(request.type, request.protect));
  PAGODA_TRY(
      require(!has(request.type, MEM_PHYSICAL) || request.protect == PAGE_READWRITE, Status::kInvalidParameter6));
  PAGODA_TRY(probe(request.base));
  request.asked_base = *request.base;
  return allocate(*caller, request, protection);
}

// In the order of Windows 10: the parameters themselves, the type, the protection, then what depends on the base.
Result<> allocate_extended(Allocation request, std::span<const MEM_EXTENDED_PARAMETER> asked) {
  constexpr auto kBad = Status::kInvalidParameter;
  auto* const caller = PAGODA_TRY(calling());
  const ExtendedParameters parameters = PAGODA_TRY(extended_parameters(*caller, asked));
  PAGODA_TRY(require(!has(request.type, ~kExtendedAllocationTypes), kBad));
  PAGODA_TRY(check_allocation_type(request.type));
  const bool is_placeholder = has(request.type, MEM_RESERVE_PLACEHOLDER);
  PAGODA_TRY(require(!is_placeholder || request.type == (MEM_RESERVE | MEM_RESERVE_PLACEHOLDER), kBad));
  PAGODA_TRY(require(!has(request.type, MEM_REPLACE_PLACEHOLDER) || has(request.type, MEM_RESERVE), kBad));
  const auto protection = PAGODA_TRY(allocation_protection(request.type, request.protect));
  PAGODA_TRY(require(!is_placeholder || request.protect == PAGE_NOACCESS, kBad));
  PAGODA_TRY(require(!has(request.type, MEM_PHYSICAL) || request.protect == PAGE_READWRITE, kBad));
  PAGODA_TRY(probe(request.base));
  request.asked_base = *request.base;
  PAGODA_TRY(check_parameters(parameters, request.asked_base, request.type));
  request.wishes = parameters.requirements.value_or(mm::PlacementWishes{});
  return allocate(*caller, request, protection);
}

// A type of NtFreeVirtualMemory that releases.
Result<mm::ReleaseMode> release_mode(ULONG type) {
  switch (type & ~MEM_RELEASE) {
    case 0:
      return mm::ReleaseMode::kFree;
    case MEM_PRESERVE_PLACEHOLDER:
      return mm::ReleaseMode::kPreservePlaceholder;
    case MEM_COALESCE_PLACEHOLDERS:
      return mm::ReleaseMode::kCoalescePlaceholders;
    default:
      return fail(Status::kInvalidParameter4);
  }
}

Result<> free_memory(HANDLE process, PVOID* base_address, SIZE_T* region_size, ULONG type) {
  auto* const caller = PAGODA_TRY(calling());
  const bool releases = has(type, MEM_RELEASE);
  PAGODA_TRY(require(releases || type == MEM_DECOMMIT, Status::kInvalidParameter4));
  const auto mode = PAGODA_TRY(releases ? release_mode(type) : mm::ReleaseMode::kFree);
  PAGODA_TRY(probe(base_address, region_size));
  const VirtualAddress base = address_of(*base_address);
  const ByteCount size(*region_size);
  const VirtualAddress highest = highest_vad_address(*caller);
  PAGODA_TRY(require(base <= highest, Status::kInvalidParameter2));
  PAGODA_TRY(require(ends_by(base, size, highest), Status::kInvalidParameter3));
  const auto target = PAGODA_TRY(target_process(*caller, process, PROCESS_VM_OPERATION));

  mm::Processor& cpu = caller->cpu();
  const VpnRange pages =
      PAGODA_TRY(releases ? target.space().release(cpu, base, size, mode) : target.space().decommit(cpu, base, size));
  *base_address = pointer_to(page_start(pages));
  const bool tells_none = !releases && size.is_zero() && caller->kernel().has(Difference::kDecommitOfAllTellsNone);
  *region_size = tells_none ? 0 : byte_size(pages);
  return {};
}

Result<> protect_memory(HANDLE process, PVOID* base_address, SIZE_T* region_size, ULONG protect, ULONG* old_protect) {
  auto* const caller = PAGODA_TRY(calling());
  const auto protection = PAGODA_TRY(mm::protection_from_page(protect));
  PAGODA_TRY(probe(base_address, region_size));
  const VirtualAddress base = address_of(*base_address);
  const ByteCount size(*region_size);
  const VirtualAddress highest = highest_vad_address(*caller);
  PAGODA_TRY(require(base <= highest, Status::kInvalidParameter2));
  PAGODA_TRY(require(!size.is_zero() && ends_by(base, size, highest), Status::kInvalidParameter3));
  PAGODA_TRY(probe(old_protect));
  const auto target = PAGODA_TRY(target_process(*caller, process, PROCESS_VM_OPERATION));

  const auto old = PAGODA_TRY(target.space().protect(caller->cpu(), base, size, protection));
  const VpnRange pages = *mm::pages_covering(base, size);
  *base_address = pointer_to(page_start(pages));
  *region_size = byte_size(pages);
  *old_protect = mm::page_from_protection(old);
  return {};
}

}  // namespace
}  // namespace pagoda::nt

NTSTATUS NtAllocateVirtualMemory(HANDLE process, PVOID* base, ULONG_PTR zero_bits, PSIZE_T size, ULONG type,
                                 ULONG protect) {
  using namespace pagoda::nt;
  return answer(
      allocate_plain({.process = process, .base = base, .size = size, .type = type, .protect = protect}, zero_bits));
}

NTSTATUS NtAllocateVirtualMemoryEx(HANDLE process, PVOID* base, PSIZE_T size, ULONG type, ULONG protect,
                                   PMEM_EXTENDED_PARAMETER parameters, ULONG count) {
  using namespace pagoda::nt;
  if (count != 0 && parameters == nullptr) return STATUS_INVALID_PARAMETER;
  return answer(with_plain_status(allocate_extended(
      {.process = process, .base = base, .size = size, .type = type, .protect = protect}, {parameters, count})));
}

NTSTATUS NtFreeVirtualMemory(HANDLE process, PVOID* base, PSIZE_T size, ULONG type) {
  using namespace pagoda::nt;
  return answer(free_memory(process, base, size, type));
}

NTSTATUS NtProtectVirtualMemory(HANDLE process, PVOID* base, PSIZE_T size, ULONG protect, PULONG old_protect) {
  using namespace pagoda::nt;
  return answer(protect_memory(process, base, size, protect, old_protect));
}
