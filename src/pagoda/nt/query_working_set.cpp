// NtQueryVirtualMemory, classes 1 and 4: what is in a working set. Source: reference/nt.md 7.4; Microsoft's
// QueryWorkingSetEx.
#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "pagoda/nt/memory_query.h"

namespace pagoda::nt {

namespace {

constexpr std::uint32_t kMostShares = 7;  // Three bits.

// What both classes tell of a page that the working set has.
std::uint32_t told_share_count(const mm::PageInfo& info) {
  return info.shared ? std::min(info.share_count, kMostShares) : 0;
}

struct ResidentPage {
  Vpn page;
  mm::PageInfo info;
};

// The slots of the working set in order of their pages.
std::vector<ResidentPage> resident_pages(mm::ProcessSpace& space, const mm::Processor& cpu) {
  std::vector<ResidentPage> pages;
  const LockGuard guard(space.lock);
  const mm::WorkingSet& set = space.working_set();
  for (std::uint32_t slot = 0; slot < set.end_slot(); ++slot) {
    if (!set[slot].is_valid()) continue;
    const mm::PageInfo info = space.page_info_locked(cpu, set[slot].page());
    if (info.place == mm::PagePlace::kWorkingSet) pages.push_back({set[slot].page(), info});
  }
  std::ranges::sort(pages, {}, &ResidentPage::page);
  return pages;
}

MEMORY_WORKING_SET_EX_BLOCK block_of(const mm::PageInfo& info, bool has_priorities) {
  MEMORY_WORKING_SET_EX_BLOCK block{};
  if (info.place != mm::PagePlace::kWorkingSet) {
    block.Invalid.Shared = info.shared ? 1 : 0;
    block.Invalid.SharedOriginal = info.original ? 1 : 0;
    return block;
  }
  block.Valid = 1;
  block.ShareCount = told_share_count(info) & kMostShares;
  block.Win32Protection = mm::page_from_protection(info.protection) & 0x7FF;
  block.Shared = info.shared ? 1 : 0;
  block.Locked = info.locked ? 1 : 0;
  block.LargePage = info.large ? 1 : 0;
  block.Priority = has_priorities ? info.priority & 7 : 0;
  block.SharedOriginal = info.original ? 1 : 0;
  return block;
}

// Records that are answered together: 4 KB.
constexpr std::size_t kRecordsAtOnce = kPageBytes / sizeof(MEMORY_WORKING_SET_EX_INFORMATION);

void answer_records(const Caller& caller, mm::ProcessSpace& space,
                    std::span<MEMORY_WORKING_SET_EX_INFORMATION> records) {
  const bool has_priorities = caller.kernel().has(Difference::kPagePriorities);
  const LockGuard guard(space.lock);
  for (MEMORY_WORKING_SET_EX_INFORMATION& record : records) {
    record.u1.Long = 0;
    const VirtualAddress address = address_of(record.VirtualAddress);
    if (address > space.highest_user()) continue;
    record.u1.VirtualAttributes = block_of(space.page_info_locked(caller.cpu(), address.vpn()), has_priorities);
  }
}

}  // namespace

Result<> query_working_set(const Caller& caller, const MemoryQuery& query) {
  constexpr SIZE_T kHeader = sizeof(ULONG_PTR);
  constexpr SIZE_T kLeast = sizeof(MEMORY_WORKING_SET_INFORMATION);
  PAGODA_TRY(require_length(query.size >= kLeast, kLeast, query.written));
  PAGODA_TRY(probe(query.out));
  const auto target = PAGODA_TRY(target_process(caller, query.process, PROCESS_QUERY_INFORMATION));
  const std::vector<ResidentPage> pages = resident_pages(target.space(), caller.cpu());
  // The count is told also where the list does not fit.
  auto* const out = static_cast<std::byte*>(query.out);
  const ULONG_PTR count = pages.size();
  std::memcpy(out, &count, sizeof count);
  const SIZE_T needed = kHeader + count * sizeof(MEMORY_WORKING_SET_BLOCK);
  PAGODA_TRY(require_length(query.size >= needed, needed, query.written));
  for (SIZE_T i = 0; i < count; ++i) {
    const mm::PageInfo& info = pages[i].info;
    MEMORY_WORKING_SET_BLOCK block{};
    block.Protection = mm::bits(info.protection) & 0x1F;
    block.ShareCount = told_share_count(info) & kMostShares;
    block.Shared = info.shared ? 1 : 0;
    block.VirtualPage = pages[i].page.value() & ((ULONG_PTR{1} << 52) - 1);
    std::memcpy(out + kHeader + i * sizeof block, &block, sizeof block);
  }
  if (query.written != nullptr) *query.written = needed;
  return {};
}

Result<> query_working_set_ex(const Caller& caller, const MemoryQuery& query) {
  constexpr SIZE_T kRecord = sizeof(MEMORY_WORKING_SET_EX_INFORMATION);
  const SIZE_T whole_records = std::max<SIZE_T>(query.size / kRecord, 1) * kRecord;
  PAGODA_TRY(require_length(query.size == whole_records, whole_records, query.written));
  PAGODA_TRY(probe(query.out));
  const auto target = PAGODA_TRY(target_process(caller, query.process, PROCESS_QUERY_INFORMATION));
  auto* const out = static_cast<std::byte*>(query.out);
  // The caller's are not reached under a lock.
  std::array<MEMORY_WORKING_SET_EX_INFORMATION, kRecordsAtOnce> records{};
  for (SIZE_T at = 0; at < query.size;) {
    const std::size_t count = std::min<std::size_t>(records.size(), (query.size - at) / kRecord);
    std::memcpy(records.data(), out + at, count * kRecord);
    answer_records(caller, target.space(), std::span(records).first(count));
    std::memcpy(out + at, records.data(), count * kRecord);
    at += count * kRecord;
  }
  if (query.written != nullptr) *query.written = query.size;
  return {};
}

}  // namespace pagoda::nt
