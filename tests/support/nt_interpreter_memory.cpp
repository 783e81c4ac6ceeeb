// The calls about regions and their pages: reference/nt.md section 7.
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

}  // namespace pagoda::nt::testing
