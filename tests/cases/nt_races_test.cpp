// Calls of the native API from several threads at once: each is done as if alone. What a call tells is what it did, and
// at the end the counters are what is there.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/nt.h"
#include "pagoda/nt/testing/nt_directory.h"
#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt::testing {
namespace {

constexpr SIZE_T kGranule = 0x1'0000;

VM_COUNTERS counters_of(HANDLE process = NtCurrentProcess()) {
  VM_COUNTERS counters{};
  EXPECT_EQ(NtQueryInformationProcess(process, ProcessVmCounters, &counters, sizeof(counters), nullptr),
            STATUS_SUCCESS);
  return counters;
}

// Runs `body(number)` on threads of the kernel, at once.
template <class Body>
void in_threads(NtMachine& m, unsigned count, const Body& body) {
  std::vector<std::jthread> threads;
  for (unsigned number = 0; number < count; ++number) {
    threads.emplace_back([&, number] {
      ASSERT_TRUE(Caller::enter(m.kernel()));
      body(number);
      ASSERT_TRUE(Caller::leave());
    });
  }
}

// NtFreeVirtualMemory must not look at a region, let go of the lock, and free what lies there by then.
TEST(NtRaces, AFreeAgainstAnAllocateKeepsTheVirtualSize) {
  NtMachine m({.frames = PageCount(2048), .processors = 3});
  void* const place = NtMachine::pointer(0x1000'0000);
  const auto free_region = [&](SIZE_T& size) {
    void* base = place;
    size = 0;
    return NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, MEM_RELEASE);
  };
  // Both reserve and free by turns at the same place, regions of different sizes.
  std::atomic<unsigned> wrong{0};
  in_threads(m, 2, [&](unsigned number) {
    for (unsigned i = 0; i < 100'000; ++i) {
      if (i % 2 == number) {
        void* base = place;
        SIZE_T size = number == 0 ? 3 * kGranule : kGranule;
        NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &size, MEM_RESERVE, PAGE_READWRITE);
      } else if (SIZE_T size = 0; free_region(size) == STATUS_SUCCESS && size != kGranule && size != 3 * kGranule) {
        ++wrong;
      }
    }
  });
  EXPECT_EQ(wrong, 0U) << "sizes freed that no region had";
  for (SIZE_T size = 0; free_region(size) == STATUS_SUCCESS;) {
  }
  EXPECT_EQ(counters_of().VirtualSize, 0U);
  EXPECT_LE(counters_of().PeakVirtualSize, 3 * kGranule);
  EXPECT_EQ(m.check(), "");
}

// Whoever writes at the end of a file writes behind what the others wrote.
TEST(NtRaces, AppendsDoNotOverlap) {
  constexpr unsigned kThreads = 3;
  constexpr unsigned kRecords = 200;
  constexpr ULONG kLength = 97;
  const NtDirectory directory;
  NtMachine m({.frames = PageCount(2048), .processors = kThreads + 1, .directory = directory.path()});
  HANDLE file = nullptr;
  ASSERT_EQ(open_file(file, u"\\??\\C:\\log", FILE_READ_DATA | FILE_WRITE_DATA, FILE_OPEN_IF), STATUS_SUCCESS);
  in_threads(m, kThreads, [&](unsigned number) {
    for (unsigned i = 0; i < kRecords; ++i) {
      const std::string record = fmt::format("{:>{}}\n", number * kRecords + i, kLength - 1);
      IO_STATUS_BLOCK io{};
      LARGE_INTEGER end{};
      end.QuadPart = -1;
      std::vector<char> bytes(record.begin(), record.end());
      ASSERT_EQ(NtWriteFile(file, nullptr, nullptr, nullptr, &io, bytes.data(), kLength, &end, nullptr),
                STATUS_SUCCESS);
      ASSERT_EQ(io.Information, kLength);
    }
  });
  // What was read without an offset is read by nobody else.
  std::array<std::vector<unsigned>, kThreads> found;
  HANDLE reader = nullptr;
  ASSERT_EQ(open_file(reader, u"\\??\\C:\\log", FILE_READ_DATA), STATUS_SUCCESS);
  in_threads(m, kThreads, [&](unsigned number) {
    std::array<char, kLength> bytes{};
    IO_STATUS_BLOCK io{};
    while (NtReadFile(reader, nullptr, nullptr, nullptr, &io, bytes.data(), kLength, nullptr, nullptr) ==
           STATUS_SUCCESS) {
      ASSERT_EQ(io.Information, kLength);
      found[number].push_back(static_cast<unsigned>(std::stoul(std::string(bytes.begin(), bytes.end()))));
    }
  });
  std::set<unsigned> all;
  std::size_t records = 0;
  for (const auto& some : found) {
    records += some.size();
    all.insert(some.begin(), some.end());
  }
  EXPECT_EQ(records, kThreads * kRecords);
  EXPECT_EQ(all.size(), kThreads * kRecords);
  EXPECT_EQ(NtClose(file), STATUS_SUCCESS);
  EXPECT_EQ(NtClose(reader), STATUS_SUCCESS);
  EXPECT_EQ(m.check(), "");
}

// One thread's random calls. All threads name the same few places, handles and names, in one process; so nearly
// every call may find that another has been there.
class Chaos {
 public:
  Chaos(std::uint64_t seed, HANDLE section) : random_(seed), section_(section) {}

  // What was told that cannot be; empty: nothing.
  std::string run(unsigned calls) {
    for (unsigned i = 0; i < calls && wrong_.empty(); ++i) step();
    return wrong_;
  }

 private:
  static constexpr std::uint64_t kPlaces = 4;
  static constexpr SIZE_T kMostPages = 48;

  [[nodiscard]] PVOID place() { return NtMachine::pointer(0x2000'0000 + random_.below(kPlaces) * 0x10'0000); }
  [[nodiscard]] PVOID page() { return static_cast<char*>(place()) + random_.below(kMostPages) * kPageBytes; }
  [[nodiscard]] SIZE_T some_bytes() { return (1 + random_.below(8)) * kPageBytes; }
  [[nodiscard]] ULONG rights() {
    constexpr std::array kRights{PAGE_READWRITE, PAGE_READONLY, PAGE_NOACCESS, PAGE_READWRITE | PAGE_GUARD};
    return static_cast<ULONG>(kRights[random_.below(kRights.size())]);
  }
  // A handle that some thread may have: those of the test's own begin the table.
  [[nodiscard]] HANDLE some_handle() { return handle_pointer(16 + 4 * random_.below(12)); }

  void expect(bool holds, const char* what) {
    if (!holds) wrong_ = what;
  }

  void step() {
    switch (random_.below(14)) {
      case 1:
        return change();
      case 2:
        return free_some();
      case 3:
        return protect();
      case 4:
        return query();
      case 5:
        return copy();
      case 6:
        return lock();
      case 7:
        return watch();
      case 8:
        return view();
      case 9:
        return handles();
      case 10:
        return names();
      case 11:
        return limits();
      case 12:
        return processes();
      default:
        return reserve();
    }
  }

  void reserve() {
    PVOID base = place();
    const SIZE_T asked = (2 + random_.below(2)) * 16 * kPageBytes;
    SIZE_T size = asked;
    const ULONG type =
        MEM_RESERVE | (random_.chance(0.85) ? MEM_COMMIT : 0) | (random_.chance(0.2) ? MEM_WRITE_WATCH : 0);
    PVOID const where = base;
    if (NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &size, type, PAGE_READWRITE) == STATUS_SUCCESS)
      expect(base == where && size == asked, "reserved something else than was asked for");
  }
  void change() {
    PVOID base = page();
    SIZE_T size = some_bytes();
    NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &size, random_.chance(0.7) ? MEM_COMMIT : MEM_RESET,
                            PAGE_READWRITE);
  }
  void free_some() {
    // Parts, or what there was of a region a moment ago.
    const bool whole = random_.chance(0.7);
    PVOID base = page();
    MEMORY_BASIC_INFORMATION info{};
    NtQueryVirtualMemory(NtCurrentProcess(), base, MemoryBasicInformation, &info, sizeof info, nullptr);
    if (info.Type == MEM_MAPPED && random_.chance(0.3)) NtUnmapViewOfSection(NtCurrentProcess(), base);
    if (whole && info.State != MEM_FREE) base = info.AllocationBase;
    PVOID const where = base;
    const SIZE_T asked = whole ? 0 : some_bytes();
    SIZE_T size = asked;
    const ULONG how = random_.chance(0.7) ? MEM_RELEASE : MEM_DECOMMIT;
    if (NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, how) != STATUS_SUCCESS) return;
    expect(base == where, "freed elsewhere");
    const bool tells_size = asked != 0 || how == MEM_RELEASE;  // Decommitting a whole region does not (nt/version.h).
    expect((size != 0) == tells_size, "told the size of what it freed, or did not");
    expect(asked == 0 ? size <= kMostPages * kPageBytes : size == asked, "freed a size that no region had");
  }
  void protect() {
    PVOID base = random_.chance(0.3) ? place() : page();
    SIZE_T size = some_bytes();
    ULONG old = 0;
    NtProtectVirtualMemory(NtCurrentProcess(), &base, &size, rights(), &old);
  }
  void query() {
    PVOID const at = page();
    MEMORY_BASIC_INFORMATION basic{};
    expect(NtQueryVirtualMemory(NtCurrentProcess(), at, MemoryBasicInformation, &basic, sizeof basic, nullptr) ==
               STATUS_SUCCESS,
           "a query failed");
    expect(basic.BaseAddress == at && basic.RegionSize != 0, "a query told of another page");
    MEMORY_REGION_INFORMATION region{};
    if (NtQueryVirtualMemory(NtCurrentProcess(), at, MemoryRegionInformation, &region, sizeof region, nullptr) ==
        STATUS_SUCCESS)
      expect(region.CommitSize <= region.RegionSize && region.RegionSize <= kMostPages * kPageBytes,
             "a region that none ever was");
    std::array<MEMORY_WORKING_SET_EX_INFORMATION, 5> pages{};
    for (auto& record : pages) record.VirtualAddress = page();
    expect(NtQueryVirtualMemory(NtCurrentProcess(), nullptr, MemoryWorkingSetExInformation, pages.data(), sizeof pages,
                                nullptr) == STATUS_SUCCESS,
           "a query of pages failed");
    const VM_COUNTERS counters = counters_of();
    expect(counters.VirtualSize <= counters.PeakVirtualSize && counters.PeakVirtualSize <= 64U << 20,
           "a virtual size that never was");
  }
  void copy() {
    std::array<std::uint64_t, 600> words{};
    words.fill(random_.next());
    SIZE_T done = 0;
    char* const at = static_cast<char*>(page()) + 8 * random_.below(100);
    if (random_.chance(0.5)) {
      NtWriteVirtualMemory(NtCurrentProcess(), at, words.data(), sizeof words, &done);
    } else {
      NtReadVirtualMemory(NtCurrentProcess(), at, words.data(), sizeof words, &done);
    }
    expect(done <= sizeof words, "more was copied than was asked for");
  }
  void lock() {
    PVOID base = page();
    SIZE_T size = some_bytes();
    if (random_.chance(0.5)) {
      NtLockVirtualMemory(NtCurrentProcess(), &base, &size, MAP_PROCESS);
    } else {
      NtUnlockVirtualMemory(NtCurrentProcess(), &base, &size, MAP_PROCESS);
    }
  }
  void watch() {
    PVOID const base = page();
    const SIZE_T size = some_bytes();
    std::array<PVOID, 16> written{};
    ULONG_PTR count = written.size();
    ULONG granularity = 0;
    if (NtGetWriteWatch(NtCurrentProcess(), random_.chance(0.5) ? WRITE_WATCH_FLAG_RESET : 0, base, size,
                        written.data(), &count, &granularity) != STATUS_SUCCESS)
      return;
    for (ULONG_PTR i = 0; i < count; ++i)
      expect(written[i] >= base && written[i] < static_cast<char*>(base) + size, "a page of another range was written");
  }
  void view() {
    if (random_.chance(0.4)) {
      NtUnmapViewOfSection(NtCurrentProcess(), page());
      return;
    }
    PVOID base = place();
    SIZE_T size = 0;
    if (NtMapViewOfSection(section_, NtCurrentProcess(), &base, 0, 0, nullptr, &size, ViewShare, 0, PAGE_READWRITE) ==
        STATUS_SUCCESS)
      expect(size == 16 * kPageBytes, "a view of another size");
  }
  void handles() {
    HANDLE out = nullptr;
    switch (random_.below(3)) {
      case 0:
        NtDuplicateObject(NtCurrentProcess(), some_handle(), NtCurrentProcess(), &out, 0, 0,
                          DUPLICATE_SAME_ACCESS | (random_.chance(0.3) ? DUPLICATE_CLOSE_SOURCE : 0));
        break;
      case 1: {
        LARGE_INTEGER size{};
        size.QuadPart = 16 * kPageBytes;
        NtCreateSection(&out, SECTION_ALL_ACCESS, nullptr, &size, PAGE_READWRITE, SEC_COMMIT, nullptr);
        break;
      }
      default:
        NtClose(some_handle());
    }
  }
  void names() {
    std::u16string text = random_.chance(0.5) ? u"\\one" : u"\\two";
    UNICODE_STRING string{static_cast<USHORT>(text.size() * 2), static_cast<USHORT>(text.size() * 2), text.data()};
    OBJECT_ATTRIBUTES attributes{.Length = sizeof(OBJECT_ATTRIBUTES), .ObjectName = &string, .Attributes = OBJ_OPENIF};
    HANDLE out = nullptr;
    LARGE_INTEGER size{};
    size.QuadPart = kPageBytes;
    const NTSTATUS made =
        NtCreateSection(&out, SECTION_ALL_ACCESS, &attributes, &size, PAGE_READWRITE, SEC_COMMIT, nullptr);
    expect(made == STATUS_SUCCESS || made == STATUS_OBJECT_NAME_EXISTS, "a section is neither there nor made");
    // Named as long as there is a handle: this thread's, unless another closes it by its number.
    HANDLE again = nullptr;
    if (NtOpenSection(&again, SECTION_ALL_ACCESS, &attributes) == STATUS_SUCCESS) NtClose(again);
    NtClose(out);
  }
  void limits() {
    QUOTA_LIMITS limits{};
    (random_.chance(0.5) ? limits.MinimumWorkingSetSize : limits.MaximumWorkingSetSize) =
        (100 + random_.below(400)) * kPageBytes;
    NtSetInformationProcess(NtCurrentProcess(), ProcessQuotaLimits, &limits, sizeof limits);
    QUOTA_LIMITS now{};
    expect(
        NtQueryInformationProcess(NtCurrentProcess(), ProcessQuotaLimits, &now, sizeof now, nullptr) == STATUS_SUCCESS,
        "no limits");
    expect(now.MinimumWorkingSetSize <= now.MaximumWorkingSetSize, "a minimum above the maximum");
  }
  void processes() {
    if (random_.chance(0.5)) {
      HANDLE thread = nullptr;
      if (PagodaCreateThread(&thread, NtCurrentProcess(), 16 * kPageBytes, kPageBytes) != STATUS_SUCCESS) return;
      PAGODA_STACK stack{};
      if (PagodaQueryStack(thread, &stack) == STATUS_SUCCESS) {
        PVOID base = stack.AllocationBase;
        SIZE_T size = 0;
        NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, MEM_RELEASE);
      }
      NtClose(thread);
      return;
    }
    HANDLE child = nullptr;
    if (NtCreateProcessEx(&child, PROCESS_ALL_ACCESS, nullptr, NtCurrentProcess(), 0, nullptr, nullptr, nullptr, 0) !=
        STATUS_SUCCESS)
      return;
    NtTerminateProcess(child, 0);
    NtClose(child);
  }

  Random random_;
  HANDLE section_;
  std::string wrong_;
};

// Everything that is in the process, region by region.
void free_all_regions() {
  std::uint64_t at = 0;
  MEMORY_BASIC_INFORMATION info{};
  while (NtQueryVirtualMemory(NtCurrentProcess(), NtMachine::pointer(at), MemoryBasicInformation, &info, sizeof info,
                              nullptr) == STATUS_SUCCESS) {
    if (info.State != MEM_FREE && info.Type == MEM_PRIVATE) {
      PVOID base = info.AllocationBase;
      SIZE_T size = 0;
      ASSERT_EQ(NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, MEM_RELEASE), STATUS_SUCCESS);
    } else if (info.State != MEM_FREE) {
      ASSERT_EQ(NtUnmapViewOfSection(NtCurrentProcess(), info.AllocationBase), STATUS_SUCCESS);
    }
    at += info.RegionSize;
  }
}

class NtChaos : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(NtChaos, LeavesCountersThatAreWhatIsThere) {
  constexpr unsigned kThreads = 4;
  NtMachine m({.frames = PageCount(8192), .processors = kThreads + 1, .paging_file = 32_MiB});
  HANDLE section = nullptr;
  LARGE_INTEGER size{};
  size.QuadPart = 16 * kPageBytes;
  ASSERT_EQ(NtCreateSection(&section, SECTION_ALL_ACCESS, nullptr, &size, PAGE_READWRITE, SEC_COMMIT, nullptr),
            STATUS_SUCCESS);
  const NtMachine::Totals before = m.totals();
  const std::size_t names = m.kernel().names().size();

  std::array<std::string, kThreads> wrong;
  in_threads(m, kThreads,
             [&](unsigned number) { wrong[number] = Chaos(GetParam() * kThreads + number, section).run(4000); });
  for (const std::string& what : wrong) EXPECT_EQ(what, "");
  EXPECT_EQ(m.check(), "");

  free_all_regions();
  for (Handle handle = 4; handle < 4 * 20'000; handle += 4)
    if (handle_pointer(handle) != section) static_cast<void>(NtClose(handle_pointer(handle)));
  EXPECT_EQ(m.kernel().names().size(), names);
  const VM_COUNTERS counters = counters_of();
  EXPECT_EQ(counters.VirtualSize, 0U);
  EXPECT_EQ(counters.PagefileUsage, 0U);
  EXPECT_EQ(counters.WorkingSetSize, 0U);
  EXPECT_EQ(m.totals().commit, before.commit);
  EXPECT_EQ(m.totals().handles, before.handles);
  EXPECT_EQ(m.totals().spaces, before.spaces);
  EXPECT_EQ(m.check(), "");
}

INSTANTIATE_TEST_SUITE_P(Seeds, NtChaos, ::testing::Range(std::uint64_t{1}, std::uint64_t{9}));

}  // namespace
}  // namespace pagoda::nt::testing
