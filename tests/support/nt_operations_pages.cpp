// Operations on pages of a region, as the kernel and the model perform them.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "tests/support/nt_interpreter.h"
#include "tests/support/nt_rules.h"

namespace pagoda::nt::testing::op {

using machine::Access;
using mm::Protection;

// --- Protecting: reference/nt.md 7.3 ---

std::string ProtectVirtualMemory::perform(Interpreter& in) const {
  constexpr ULONG kUntouched = 0xAAAAAAAA;
  const auto protection = protection_of(protect);
  ProcessPointer whose;
  Pages pages;
  ModelProcess::RegionPlace region;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (!protection) return STATUS_INVALID_PAGE_PROTECTION;
    if (range.no_base || range.no_size) return STATUS_ACCESS_VIOLATION;
    if (range.base > in.highest_vad()) return STATUS_INVALID_PARAMETER_2;
    if (range.size == 0 || range.size - 1 > in.highest_vad() - range.base) return STATUS_INVALID_PARAMETER_3;
    if (no_old) return STATUS_ACCESS_VIOLATION;
    const NTSTATUS status = in.find_space(in.handle(process), PROCESS_VM_OPERATION, whose);
    if (status != STATUS_SUCCESS) return status;
    pages = Pages::covering(range.base, range.size);
    region = whose->region_of(pages);
    if (region == whose->regions.end()) return STATUS_CONFLICTING_ADDRESSES;
    // A view asks what it was mapped with before it asks whether the pages are committed, and SEC_NO_CHANGE last.
    const NTSTATUS status_of_rights = region->second.may_protect(*protection);
    const bool is_refused = status_of_rights != STATUS_SUCCESS && status_of_rights != STATUS_INVALID_PAGE_PROTECTION;
    if (region->second.is_view() && is_refused) return status_of_rights;
    for (std::uint64_t page = pages.first; page < pages.end(); ++page)
      if (whose->rights(region, page) == Protection::kNone) return STATUS_NOT_COMMITTED;
    return status_of_rights;
  }();
  InOut in_out(range);
  ULONG old = kUntouched;
  const NTSTATUS got =
      NtProtectVirtualMemory(in.handle(process), in_out.base(), in_out.size(), protect, no_old ? nullptr : &old);
  const std::uint64_t wanted = expected == STATUS_SUCCESS && is_writable(*protection) ? pages.count : 0;
  if (auto difference = in.compare(*this, expected, got, wanted); !difference.empty()) return difference;
  if (auto difference = in_out.compare(*this, got == STATUS_SUCCESS, pages); !difference.empty()) return difference;
  const ULONG want_old =
      got == STATUS_SUCCESS ? page_from_protection(whose->pages.at(pages.first).protection) : kUntouched;
  if (old != want_old) return fmt::format("{}: was {:#x}, expected {:#x}", to_string(*this), old, want_old);
  if (got != STATUS_SUCCESS) return "";
  for (std::uint64_t page = pages.first; page < pages.end(); ++page) {
    ModelPage& model = whose->pages.at(page);
    whose->set_protection(model, region->second.for_page(model, *protection));
  }
  return "";
}

// --- Querying: reference/nt.md 7.4 ---

namespace {

constexpr SIZE_T kWorkingSetRecord = sizeof(MEMORY_WORKING_SET_EX_INFORMATION);

// The least size of the class.
SIZE_T size_of(MEMORY_INFORMATION_CLASS what) {
  switch (what) {
    case MemoryWorkingSetInformation:
      return sizeof(MEMORY_WORKING_SET_INFORMATION);
    case MemoryMappedFilenameInformation:
      return 0;  // Only once it is known that there is a name.
    case MemoryRegionInformation:
      return offsetof(MEMORY_REGION_INFORMATION, CommitSize);  // Vista's.
    case MemoryWorkingSetExInformation:
      return kWorkingSetRecord;
    default:
      return sizeof(MEMORY_BASIC_INFORMATION);
  }
}

template <class Information>
Information first_in(std::span<const std::byte> buffer) {
  Information info{};
  std::memcpy(&info, buffer.data(), sizeof info);
  return info;
}

NTSTATUS expect_query(const Interpreter& in, const QueryVirtualMemory& o, MEMORY_INFORMATION_CLASS what, SIZE_T size,
                      ProcessPointer& whose) {
  if (what > MemoryWorkingSetExInformation) return STATUS_INVALID_INFO_CLASS;
  const bool of_working_set = what == MemoryWorkingSetInformation || what == MemoryWorkingSetExInformation;
  if (!of_working_set && o.address > in.highest_user()) return STATUS_INVALID_PARAMETER;
  if (size < size_of(what) || (what == MemoryWorkingSetExInformation && size % kWorkingSetRecord != 0))
    return STATUS_INFO_LENGTH_MISMATCH;
  if (o.no_buffer) return STATUS_ACCESS_VIOLATION;
  const NTSTATUS status = in.find_space(in.handle(o.process), PROCESS_QUERY_INFORMATION, whose);
  if (status != STATUS_SUCCESS) return status;
  if (what == MemoryMappedFilenameInformation) return STATUS_INVALID_ADDRESS;
  const bool is_free = whose->region_at(o.address >> kPageShift) == whose->regions.end();
  return what == MemoryRegionInformation && is_free ? STATUS_INVALID_ADDRESS : STATUS_SUCCESS;
}

std::string compare_region(const ModelRegion& region, std::uint64_t first, const MEMORY_REGION_INFORMATION& info) {
  const ULONG type = region.is_view() ? MEMORY_REGION_MAPPED_PAGE_FILE : MEMORY_REGION_PRIVATE;
  const bool same = bits_of(info.AllocationBase) == first * kPageBytes &&
                    info.RegionSize == region.count * kPageBytes && info.RegionType == type &&
                    info.AllocationProtect == page_from_protection(region.protection);
  return same ? "" : "another region";
}

// `model`: null if there is no region.
std::string compare_page(const ModelPage* model, const MEMORY_WORKING_SET_EX_INFORMATION& record) {
  const auto& block = record.u1.VirtualAttributes;
  if (block.Valid != 0 && model == nullptr) return "valid without a region";
  const ModelPage page = model != nullptr ? *model : ModelPage{};
  if (block.Valid != 0 && block.Win32Protection != page_from_protection(page.protection))
    return "valid with other rights";
  if ((block.Locked != 0) != page.is_locked()) return "locked or not";
  if (block.Valid != 0 && (block.Shared != 0) == page.is_private) return "shared or not";
  return "";
}

// What the call says about the address, against the model.
std::string compare_answer(const Interpreter& in, ModelProcess& whose, std::uint64_t address,
                           MEMORY_INFORMATION_CLASS what, std::span<const std::byte> buffer, SIZE_T written) {
  const std::uint64_t page = address >> kPageShift;
  const auto region = whose.region_at(page);
  if (what == MemoryBasicInformation) {
    const std::string got = to_string(first_in<MEMORY_BASIC_INFORMATION>(buffer));
    const std::string want = to_string(whose.information(page, in.highest_user()));
    const bool same = written == sizeof(MEMORY_BASIC_INFORMATION) && got == want;
    return same ? "" : fmt::format("{}, expected {}", got, want);
  }
  if (what == MemoryRegionInformation)
    return compare_region(region->second, region->first, first_in<MEMORY_REGION_INFORMATION>(buffer));
  if (what == MemoryWorkingSetExInformation) {
    const bool known = address <= in.highest_user() && region != whose.regions.end();
    return compare_page(known ? &whose.pages.at(page) : nullptr, first_in<MEMORY_WORKING_SET_EX_INFORMATION>(buffer));
  }
  return "";
}

}  // namespace

std::string QueryVirtualMemory::perform(Interpreter& in) const {
  constexpr SIZE_T kUntouched = ~SIZE_T{0};
  std::array<std::byte, kPageBytes> buffer{};
  const SIZE_T bytes = std::min<SIZE_T>(size, buffer.size());
  const auto what_class = static_cast<MEMORY_INFORMATION_CLASS>(what & 0x7FFFFFFF);
  ProcessPointer whose;
  const NTSTATUS expected = expect_query(in, *this, what_class, bytes, whose);
  PVOID at = NtMachine::pointer(address);
  if (what_class == MemoryWorkingSetExInformation)
    for (SIZE_T record = 0; record + kWorkingSetRecord <= bytes; record += kWorkingSetRecord)
      std::memcpy(&buffer.at(record), &address, sizeof address);
  SIZE_T written = kUntouched;
  const NTSTATUS got =
      NtQueryVirtualMemory(in.handle(process), at, what_class, no_buffer ? nullptr : buffer.data(), bytes, &written);
  // How long the list is, the model does not know.
  if (what_class == MemoryWorkingSetInformation && expected == STATUS_SUCCESS && got == STATUS_INFO_LENGTH_MISMATCH)
    return "";
  if (auto difference = in.compare(*this, expected, got); !difference.empty()) return difference;
  if (got != STATUS_SUCCESS) {
    const bool tells = got == STATUS_INFO_LENGTH_MISMATCH;  // What is needed.
    return (written != kUntouched) == tells ? "" : to_string(*this) + " told a length, or none";
  }
  const std::string difference = compare_answer(in, *whose, address, what_class, buffer, written);
  return difference.empty() ? "" : to_string(*this) + ": " + difference;
}

// --- Locking: reference/nt.md 7.5 ---

namespace {

std::size_t lock_kind(std::uint32_t type) { return type == MAP_SYSTEM ? 1 : 0; }

// What a call that locks or unlocks looks at first.
template <class Op>
NTSTATUS expect_lockable(Interpreter& in, const Op& o, ProcessPointer& whose, Pages& pages) {
  const Range& range = o.range;
  if (range.no_base || range.no_size) return STATUS_ACCESS_VIOLATION;
  if (o.type != MAP_PROCESS && o.type != MAP_SYSTEM) return STATUS_INVALID_PARAMETER;
  if (range.size == 0 || range.base + (range.size - 1) < range.base) return STATUS_INVALID_PARAMETER;
  pages = Pages::covering(range.base, range.size);
  if (pages.end() - 1 > in.highest_vad() >> kPageShift) return STATUS_INVALID_PARAMETER;
  if (o.type == MAP_SYSTEM && !in.current().may_lock) return STATUS_PRIVILEGE_NOT_HELD;
  return in.find_space(in.handle(o.process), PROCESS_VM_OPERATION, whose);
}

NTSTATUS expect_lock(const Interpreter& in, ModelProcess& whose, Pages pages, std::size_t kind) {
  if (whose.region_of(pages) == whose.regions.end()) return STATUS_ACCESS_VIOLATION;
  std::uint64_t more = 0;
  for (std::uint64_t at = pages.first; at < pages.end(); ++at) {
    const ModelPage& page = whose.pages.at(at);
    if (base_of(page.protection) == Protection::kNone) return STATUS_ACCESS_VIOLATION;
    if (!page.is_locked()) ++more;
  }
  if (whose.locked + more + kUnlockable > whose.minimum) return STATUS_WORKING_SET_QUOTA;
  for (std::uint64_t at = pages.first; at < pages.end(); ++at) {
    const NTSTATUS status = whose.touch(at, Access::kRead, false, in.has_no_execute());
    if (status != STATUS_SUCCESS) return status;
  }
  for (std::uint64_t at = pages.first; at < pages.end(); ++at)
    if (whose.pages.at(at).locked.at(kind)) return STATUS_WAS_LOCKED;
  return STATUS_SUCCESS;
}

NTSTATUS expect_unlock(const ModelProcess& whose, Pages pages, std::size_t kind) {
  if (pages.count > whose.pages.size()) return STATUS_NOT_LOCKED;
  for (std::uint64_t at = pages.first; at < pages.end(); ++at) {
    const auto page = whose.pages.find(at);
    if (page == whose.pages.end() || !page->second.locked.at(kind)) return STATUS_NOT_LOCKED;
  }
  return STATUS_SUCCESS;
}

}  // namespace

std::string LockVirtualMemory::perform(Interpreter& in) const {
  ProcessPointer whose;
  Pages pages;
  NTSTATUS expected = expect_lockable(in, *this, whose, pages);
  if (expected == STATUS_SUCCESS) expected = expect_lock(in, *whose, pages, lock_kind(type));
  InOut in_out(range);
  const NTSTATUS got = NtLockVirtualMemory(in.handle(process), in_out.base(), in_out.size(), type);
  if (NT_SUCCESS(expected) && got == STATUS_WORKING_SET_QUOTA && in.may_not_stay(pages.count)) return "";
  if (auto difference = in.compare(*this, expected, got); !difference.empty()) return difference;
  if (auto difference = in_out.compare(*this, NT_SUCCESS(got), pages); !difference.empty()) return difference;
  for (std::uint64_t at = pages.first; NT_SUCCESS(got) && at < pages.end(); ++at)
    whose->set_locked(whose->pages.at(at), lock_kind(type), true);
  return "";
}

std::string UnlockVirtualMemory::perform(Interpreter& in) const {
  ProcessPointer whose;
  Pages pages;
  NTSTATUS expected = expect_lockable(in, *this, whose, pages);
  if (expected == STATUS_SUCCESS) expected = expect_unlock(*whose, pages, lock_kind(type));
  InOut in_out(range);
  const NTSTATUS got = NtUnlockVirtualMemory(in.handle(process), in_out.base(), in_out.size(), type);
  if (auto difference = in.compare(*this, expected, got); !difference.empty()) return difference;
  if (auto difference = in_out.compare(*this, NT_SUCCESS(got), pages); !difference.empty()) return difference;
  for (std::uint64_t at = pages.first; NT_SUCCESS(got) && at < pages.end(); ++at)
    whose->set_locked(whose->pages.at(at), lock_kind(type), false);
  return "";
}

}  // namespace pagoda::nt::testing::op
