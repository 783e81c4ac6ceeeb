// Allocating and freeing, as the kernel and the model do it.
#include <algorithm>
#include <bit>
#include <optional>

#include "tests/support/nt_interpreter.h"
#include "tests/support/nt_rules.h"

namespace pagoda::nt::testing::op {

using mm::Protection;

// --- Allocating: reference/nt.md 7.1 ---

namespace {

// What both calls that allocate have in common.
class Allocation {
 public:
  template <class Op>
  Allocation(Interpreter& in, const Op& o)
      : in_(in),
        o_(o),
        range_(o.range),
        process_handle_(in.handle(o.process)),
        type_(o.type),
        protection_(protection_of(o.protect)),
        reserves_(has(o.type, MEM_RESERVE) || o.range.base == 0),
        limits_(in.limits()) {
    limits_.top_down = has(o.type, MEM_TOP_DOWN);
  }

  // Where the call may place the region.
  [[nodiscard]] Limits& limits() { return limits_; }
  // What is wrong with the constants.
  [[nodiscard]] NTSTATUS expect_constants(bool extended) const {
    if (!extended && has_unknown_type(type_) && in_.has(Difference::kPlainUnknownType)) return STATUS_INVALID_PARAMETER;
    if (!is_allocation_type(type_, extended)) return STATUS_INVALID_PARAMETER_5;
    if (!protection_) return STATUS_INVALID_PAGE_PROTECTION;
    const bool commits_only = has(type_, MEM_COMMIT) && !has(type_, MEM_RESERVE);
    return is_write_copy(*protection_) && !commits_only ? STATUS_INVALID_PAGE_PROTECTION : STATUS_SUCCESS;
  }
  // And with all else, once the call has read its range.
  NTSTATUS expect_pages();
  // Beyond what the model has room for.
  [[nodiscard]] bool is_too_large() const {
    return reserves_ && pages_.count > kMostRegionPages && promised_ <= in_.commit_limit();
  }
  // The call gave this; changes the model as the call did.
  std::string conclude(const InOut& in_out, NTSTATUS expected, NTSTATUS got);

 private:
  NTSTATUS expect_commit();
  NTSTATUS expect_reserve();
  void reserve();
  void commit();

  Interpreter& in_;
  Operation o_;
  Range range_;
  HANDLE process_handle_;
  ULONG type_;
  std::optional<Protection> protection_;
  bool reserves_;
  Limits limits_;
  ProcessPointer process_;
  Pages pages_;
  ModelProcess::RegionPlace region_;
  std::uint64_t promised_ = 0;
};

NTSTATUS Allocation::expect_pages() {
  if (range_.base > in_.highest_vad()) return STATUS_INVALID_PARAMETER_2;
  if (range_.size == 0 || range_.size - 1 > in_.highest_vad() - range_.base) return STATUS_INVALID_PARAMETER_4;
  const NTSTATUS status = in_.find_space(process_handle_, PROCESS_VM_OPERATION, process_);
  if (status != STATUS_SUCCESS) return status;
  if (reserves_ && is_write_copy(*protection_)) return STATUS_INVALID_PAGE_PROTECTION;
  pages_ = Pages::covering(range_.base, range_.size);
  return reserves_ ? expect_reserve() : expect_commit();
}

NTSTATUS Allocation::expect_commit() {
  region_ = process_->region_of(pages_);
  if (region_ == process_->regions.end()) return STATUS_CONFLICTING_ADDRESSES;
  if (region_->second.is_view()) {
    const NTSTATUS status = region_->second.may_protect(*protection_);
    if (status != STATUS_SUCCESS) return status;
  } else if (is_write_copy(*protection_)) {
    return STATUS_INVALID_PAGE_PROTECTION;
  }
  promised_ = pages_.count;
  return STATUS_SUCCESS;
}

NTSTATUS Allocation::expect_reserve() {
  if (range_.base != 0) {
    const std::uint64_t first = range_.base >> kPageShift & ~(kGranule - 1);
    if (first == 0) return STATUS_INVALID_PARAMETER_2;
    pages_ = {first, pages_.end() - first};
    if (process_->overlaps(pages_)) return STATUS_CONFLICTING_ADDRESSES;
  } else {
    const Limits anywhere = in_.limits();
    if (pages_.count > anywhere.last - anywhere.first + 1) return STATUS_INVALID_PARAMETER_4;
    const auto gap = process_->find_gap(pages_.count, limits_);
    if (!gap) return STATUS_NO_MEMORY;
    pages_.first = *gap;
  }
  if (has(type_, MEM_COMMIT)) promised_ = pages_.count;
  return STATUS_SUCCESS;
}

std::string Allocation::conclude(const InOut& in_out, NTSTATUS expected, NTSTATUS got) {
  if (auto difference = in_.compare(o_, expected, got, promised_); !difference.empty()) return difference;
  if (auto difference = in_out.compare(o_, got == STATUS_SUCCESS, pages_); !difference.empty()) return difference;
  if (got != STATUS_SUCCESS) return "";
  if (!reserves_) {
    commit();
    return "";
  }
  reserve();
  return promised_ > in_.commit_limit() ? to_string(o_) + " succeeds beyond the limit" : "";
}

void Allocation::reserve() {
  process_->regions[pages_.first] = {.count = pages_.count, .protection = *protection_, .section = nullptr};
  for (std::uint64_t page = pages_.first; page < pages_.end(); ++page)
    process_->pages[page].protection = has(type_, MEM_COMMIT) ? *protection_ : Protection::kNone;
}

void Allocation::commit() {
  const ModelRegion& region = region_->second;
  for (std::uint64_t page = pages_.first; page < pages_.end(); ++page) {
    ModelPage& model = process_->pages.at(page);
    if (region.is_view() && region.section->reserve)
      region.section->committed.insert(ModelProcess::section_page(region_, page));
    process_->set_protection(model, region.for_page(model, *protection_));
  }
}

}  // namespace

void AllocateVirtualMemory::keep_to_model() {
  if (is_allocation_type(type, false)) type &= ~kOther;
}

std::string AllocateVirtualMemory::perform(Interpreter& in) const {
  Allocation allocation(in, *this);
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (zero_bits != 0) {
      const auto ceiling = ceiling_of(in.is_64_bit(), zero_bits);
      if (!ceiling) return STATUS_INVALID_PARAMETER_3;
      allocation.limits().last = std::min(allocation.limits().last, *ceiling >> kPageShift);
    }
    if (const NTSTATUS status = allocation.expect_constants(false); status != STATUS_SUCCESS) return status;
    if (range.no_base || range.no_size) return STATUS_ACCESS_VIOLATION;
    return allocation.expect_pages();
  }();
  if (expected == STATUS_SUCCESS && allocation.is_too_large()) return "";
  InOut in_out(range);
  const NTSTATUS got =
      NtAllocateVirtualMemory(in.handle(process), in_out.base(), zero_bits, in_out.size(), type, protect);
  return allocation.conclude(in_out, expected, got);
}

void AllocateVirtualMemoryEx::keep_to_model() {
  if (is_allocation_type(type, true)) type &= ~(kOther | kPlaceholders);
}

std::string AllocateVirtualMemoryEx::perform(Interpreter& in) const {
  Allocation allocation(in, *this);
  const NTSTATUS numbered = [&]() -> NTSTATUS {
    const bool good =
        lowest % kAllocationGranularity == 0 && lowest <= in.highest_user() &&
        (highest == 0 || ((highest + 1) % kPageBytes == 0 && highest <= in.highest_user() && highest > lowest)) &&
        (alignment == 0 || (std::has_single_bit(alignment) && alignment >= kAllocationGranularity));
    if (asks && !good) return STATUS_INVALID_PARAMETER;
    if (const NTSTATUS status = allocation.expect_constants(true); status != STATUS_SUCCESS) return status;
    if (range.no_base) return STATUS_ACCESS_VIOLATION;
    if (asks) {
      if (range.base != 0) return STATUS_INVALID_PARAMETER;
      Limits& limits = allocation.limits();
      limits.first = std::max(limits.first, lowest >> kPageShift);
      if (highest != 0) limits.last = std::min(limits.last, highest >> kPageShift);
      if (alignment != 0) limits.alignment = alignment >> kPageShift;
    }
    if (range.no_size) return STATUS_ACCESS_VIOLATION;
    return allocation.expect_pages();
  }();
  const NTSTATUS expected = without_number(numbered);
  if (expected == STATUS_SUCCESS && allocation.is_too_large()) return "";
  InOut in_out(range);
  MEM_ADDRESS_REQUIREMENTS requirements{NtMachine::pointer(lowest), NtMachine::pointer(highest), alignment};
  MEM_EXTENDED_PARAMETER parameter{};
  parameter.Type = MemExtendedParameterAddressRequirements;
  parameter.Pointer = &requirements;
  const NTSTATUS got = NtAllocateVirtualMemoryEx(in.handle(process), in_out.base(), in_out.size(), type, protect,
                                                 asks ? &parameter : nullptr, asks ? 1 : 0);
  return allocation.conclude(in_out, expected, got);
}

// --- Freeing: reference/nt.md 7.2 ---

void FreeVirtualMemory::keep_to_model() {
  if (has(type, MEM_RELEASE)) type &= ~(MEM_COALESCE_PLACEHOLDERS | MEM_PRESERVE_PLACEHOLDER);
}

std::string FreeVirtualMemory::perform(Interpreter& in) const {
  ProcessPointer whose;
  Pages pages;
  ModelProcess::RegionPlace region;
  const NTSTATUS expected = [&]() -> NTSTATUS {
    if (type != MEM_DECOMMIT && type != MEM_RELEASE) return STATUS_INVALID_PARAMETER_4;
    if (range.no_base || range.no_size) return STATUS_ACCESS_VIOLATION;
    if (range.base > in.highest_vad()) return STATUS_INVALID_PARAMETER_2;
    if (range.size != 0 && range.size - 1 > in.highest_vad() - range.base) return STATUS_INVALID_PARAMETER_3;
    const NTSTATUS status = in.find_space(in.handle(process), PROCESS_VM_OPERATION, whose);
    if (status != STATUS_SUCCESS) return status;
    region = whose->region_at(range.base >> kPageShift);
    if (region == whose->regions.end()) return STATUS_MEMORY_NOT_ALLOCATED;
    pages = range.size == 0 ? Pages{region->first, region->second.count} : Pages::covering(range.base, range.size);
    if (pages.end() > region->first + region->second.count) return STATUS_UNABLE_TO_FREE_VM;
    if (region->second.is_view()) return STATUS_UNABLE_TO_DELETE_SECTION;
    if (range.size == 0 && range.base >> kPageShift != region->first) return STATUS_FREE_VM_NOT_AT_BASE;
    return STATUS_SUCCESS;
  }();
  InOut in_out(range);
  const NTSTATUS got = NtFreeVirtualMemory(in.handle(process), in_out.base(), in_out.size(), type);
  if (auto difference = in.compare(*this, expected, got); !difference.empty()) return difference;
  const bool tells_none = range.size == 0 && type == MEM_DECOMMIT && in.has(Difference::kDecommitOfAllTellsNone);
  const Pages told{pages.first, tells_none ? 0 : pages.count};
  if (auto difference = in_out.compare(*this, got == STATUS_SUCCESS, told); !difference.empty()) return difference;
  if (got != STATUS_SUCCESS) return "";
  for (std::uint64_t page = pages.first; page < pages.end(); ++page) whose->forget(page);
  if (type == MEM_DECOMMIT) return "";
  for (std::uint64_t page = pages.first; page < pages.end(); ++page) whose->pages.erase(page);
  const std::uint64_t first = region->first;
  const ModelRegion whole = region->second;
  whose->regions.erase(region);
  const auto keep = [&](std::uint64_t at, std::uint64_t end) {
    if (at < end) whose->regions[at] = {.count = end - at, .protection = whole.protection, .section = nullptr};
  };
  keep(first, pages.first);
  keep(pages.end(), first + whole.count);
  return "";
}

}  // namespace pagoda::nt::testing::op
