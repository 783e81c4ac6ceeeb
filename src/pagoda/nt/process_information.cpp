// NtSetInformationProcess, NtQueryInformationProcess: working-set limits and counters. Source: reference/nt.md
// section 9.
#include <algorithm>
#include <numeric>

#include "pagoda/nt/edge.h"

namespace pagoda::nt {

namespace {

// What a minimum may not be below, and how much a maximum leaves of what is available (reference/nt.md section 9).
constexpr PageCount kSmallestWorkingSet{20};
constexpr PageCount kLeftAvailable{512};
constexpr ULONG kHardFlags = QUOTA_LIMITS_HARDWS_MIN_ENABLE | QUOTA_LIMITS_HARDWS_MIN_DISABLE |
                             QUOTA_LIMITS_HARDWS_MAX_ENABLE | QUOTA_LIMITS_HARDWS_MAX_DISABLE;

// A machine of few pages: half of what is available.
PageCount largest_working_set(const mm::MemoryManager& manager) {
  const PageCount available = manager.available();
  const PageCount most = available - std::min(kLeftAvailable, available / 2);
  return std::max(most, kSmallestWorkingSet);
}

mm::WorkingSet::Limits current_limits(mm::ProcessSpace& space) {
  const LockGuard guard(space.lock);
  return space.working_set().limits();
}

Result<> set_working_set(const Caller& caller, const Target& target, const QUOTA_LIMITS& asked, ULONG flags) {
  constexpr SIZE_T kEmpty = ~SIZE_T{0};
  if (asked.MinimumWorkingSetSize == kEmpty && asked.MaximumWorkingSetSize == kEmpty) {
    [[maybe_unused]] const PageCount trimmed = target.space().empty_working_set(caller.cpu());
    return {};
  }
  bool clipped = false;
  PAGODA_TRY(target.space().change_limits(
      caller.cpu(), [&](const mm::WorkingSet::Limits& now) -> Result<mm::WorkingSet::Limits> {
        mm::WorkingSet::Limits limits = now;
        if (asked.MinimumWorkingSetSize != 0) limits.minimum = pages_of(ByteCount(asked.MinimumWorkingSetSize));
        if (asked.MaximumWorkingSetSize != 0) limits.maximum = pages_of(ByteCount(asked.MaximumWorkingSetSize));
        PAGODA_TRY(require(limits.minimum <= limits.maximum, Status::kBadWorkingSetLimit));
        const mm::WorkingSet::Limits wanted = limits;
        limits.maximum = std::min(limits.maximum, largest_working_set(caller.kernel().manager()));
        limits.minimum = std::max(limits.minimum, kSmallestWorkingSet);
        limits.maximum = std::max(limits.maximum, limits.minimum);
        PAGODA_TRY(
            require(limits.minimum <= now.minimum || caller.process().token().holds(Privilege::kIncreaseBasePriority),
                    Status::kPrivilegeNotHeld));
        if ((flags & QUOTA_LIMITS_HARDWS_MAX_ENABLE) != 0) limits.kind = mm::WorkingSet::Limits::Maximum::kHard;
        if ((flags & QUOTA_LIMITS_HARDWS_MAX_DISABLE) != 0) limits.kind = mm::WorkingSet::Limits::Maximum::kSoft;
        clipped = limits.minimum != wanted.minimum || limits.maximum != wanted.maximum;
        return limits;
      }));
  return require(!clipped, Status::kWorkingSetLimitRange);
}

Result<> set_information(HANDLE process, PROCESSINFOCLASS what, const void* in, ULONG size) {
  auto* const caller = PAGODA_TRY(calling());
  PAGODA_TRY(require(what == ProcessQuotaLimits, Status::kInvalidInfoClass));
  PAGODA_TRY(require(size == sizeof(QUOTA_LIMITS) || size == sizeof(QUOTA_LIMITS_EX), Status::kInfoLengthMismatch));
  PAGODA_TRY(probe(in));
  QUOTA_LIMITS_EX limits{};
  std::memcpy(&limits, in, size);
  const auto both = [&](ULONG a, ULONG b) { return (limits.Flags & (a | b)) == (a | b); };
  PAGODA_TRY(require((limits.Flags & ~kHardFlags) == 0 &&
                         !both(QUOTA_LIMITS_HARDWS_MIN_ENABLE, QUOTA_LIMITS_HARDWS_MIN_DISABLE) &&
                         !both(QUOTA_LIMITS_HARDWS_MAX_ENABLE, QUOTA_LIMITS_HARDWS_MAX_DISABLE),
                     Status::kInvalidParameter));
  const auto target = PAGODA_TRY(target_process(*caller, process, PROCESS_SET_QUOTA));
  QUOTA_LIMITS plain{};
  std::memcpy(&plain, &limits, sizeof plain);
  return set_working_set(*caller, target, plain, limits.Flags);
}

QUOTA_LIMITS_EX quota_limits(const Target& target) {
  const mm::WorkingSet::Limits limits = current_limits(target.space());
  QUOTA_LIMITS_EX out{};
  out.PagedPoolLimit = ~SIZE_T{0};  // There are no quotas of pool.
  out.NonPagedPoolLimit = ~SIZE_T{0};
  out.MinimumWorkingSetSize = bytes_of(limits.minimum).value();
  out.MaximumWorkingSetSize = bytes_of(limits.maximum).value();
  out.PagefileLimit = ~SIZE_T{0};
  out.TimeLimit.QuadPart = -1;
  out.Flags = QUOTA_LIMITS_HARDWS_MIN_DISABLE |
              (limits.kind == mm::WorkingSet::Limits::Maximum::kHard ? QUOTA_LIMITS_HARDWS_MAX_ENABLE
                                                                     : QUOTA_LIMITS_HARDWS_MAX_DISABLE);
  return out;
}

VM_COUNTERS_EX vm_counters(const Target& target) {
  const mm::ProcessSpace::Statistics statistics = target.space().statistics();
  VM_COUNTERS_EX out{};
  out.PeakVirtualSize = bytes_of(statistics.peak_reserved).value();
  out.VirtualSize = bytes_of(statistics.reserved).value();
  out.PageFaultCount =
      static_cast<ULONG>(std::accumulate(statistics.faults.begin(), statistics.faults.end(), std::uint64_t{0}));
  out.PeakWorkingSetSize = bytes_of(statistics.peak_working_set).value();
  out.WorkingSetSize = bytes_of(statistics.working_set).value();
  out.PagefileUsage = bytes_of(statistics.commit).value();
  out.PeakPagefileUsage = bytes_of(statistics.peak_commit).value();
  out.PrivateUsage = out.PagefileUsage;
  return out;
}

struct ProcessQuery {
  HANDLE process = nullptr;
  void* out = nullptr;
  ULONG size = 0;
  ULONG* written = nullptr;
};

// Records grew from version to version: an older one is the beginning of a newer one, and is still taken.
template <class Older, class Record, class Make>
Result<> query(const Caller& caller, const ProcessQuery& request, AccessMask access, const Make& make) {
  constexpr ULONG kOlder = sizeof(Older);
  PAGODA_TRY(require_length(request.size == sizeof(Record) || request.size == kOlder, kOlder, request.written));
  PAGODA_TRY(probe(request.out));
  const auto target = PAGODA_TRY(target_process(caller, request.process, access));
  const Record record = make(target);
  std::memcpy(request.out, &record, request.size);
  if (request.written != nullptr) *request.written = request.size;
  return {};
}

Result<> query_information(const ProcessQuery& request, PROCESSINFOCLASS what) {
  auto* const caller = PAGODA_TRY(calling());
  const AccessMask access =
      caller->kernel().has(Difference::kLimitedQueries) ? PROCESS_QUERY_LIMITED_INFORMATION : PROCESS_QUERY_INFORMATION;
  switch (what) {
    case ProcessQuotaLimits:
      return query<QUOTA_LIMITS, QUOTA_LIMITS_EX>(*caller, request, access, quota_limits);
    case ProcessVmCounters:
      return query<VM_COUNTERS, VM_COUNTERS_EX>(*caller, request, access, vm_counters);
    default:
      return fail(Status::kInvalidInfoClass);
  }
}

}  // namespace
}  // namespace pagoda::nt

NTSTATUS NtSetInformationProcess(HANDLE process, PROCESSINFOCLASS what, PVOID in, ULONG size) {
  using namespace pagoda::nt;
  return answer(set_information(process, what, in, size));
}

NTSTATUS NtQueryInformationProcess(HANDLE process, PROCESSINFOCLASS what, PVOID out, ULONG size, PULONG written) {
  using namespace pagoda::nt;
  return answer(query_information({.process = process, .out = out, .size = size, .written = written}, what));
}
