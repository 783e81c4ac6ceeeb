// NtCurrentProcess() and NtCurrentThread(): handles of a process and of a thread wherever a handle is asked for, so that
// a call that wants another object says STATUS_OBJECT_TYPE_MISMATCH (issue 10; reference/nt.md 6.1, 6.2).
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <vector>

#include "pagoda/nt/testing/nt_directory.h"
#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt {
namespace {

using testing::NtMachine;

// A call with a handle of the type as one of its parameters, all others of which are good.
struct Call {
  const char* what;
  ObjectType type;
  std::function<NTSTATUS(HANDLE)> make;
};

constexpr std::uint64_t kBase = 0x10000000;
constexpr SIZE_T kSize = 0x1000;

// A base and a size that a call may change.
struct Range {
  PVOID base = NtMachine::pointer(kBase);
  SIZE_T size = kSize;
};

std::vector<Call> calls_with_a_process() {
  constexpr auto kType = ObjectType::kProcess;
  std::vector<Call> calls;
  const auto add = [&](const char* what, std::function<NTSTATUS(HANDLE)> make) {
    calls.push_back({what, kType, std::move(make)});
  };
  add("NtAllocateVirtualMemory", [r = Range{}](HANDLE h) mutable {
    return NtAllocateVirtualMemory(h, &r.base, 0, &r.size, MEM_RESERVE, PAGE_READWRITE);
  });
  add("NtAllocateVirtualMemoryEx", [r = Range{}](HANDLE h) mutable {
    return NtAllocateVirtualMemoryEx(h, &r.base, &r.size, MEM_RESERVE, PAGE_READWRITE, nullptr, 0);
  });
  add("NtFreeVirtualMemory",
      [r = Range{}](HANDLE h) mutable { return NtFreeVirtualMemory(h, &r.base, &r.size, MEM_DECOMMIT); });
  add("NtProtectVirtualMemory", [r = Range{}](HANDLE h) mutable {
    ULONG old = 0;
    return NtProtectVirtualMemory(h, &r.base, &r.size, PAGE_READONLY, &old);
  });
  for (const auto what : {MemoryBasicInformation, MemoryWorkingSetInformation, MemoryMappedFilenameInformation,
                          MemoryRegionInformation, MemoryWorkingSetExInformation})
    add("NtQueryVirtualMemory", [what](HANDLE h) {
      std::array<MEMORY_WORKING_SET_EX_INFORMATION, 64> out{};
      return NtQueryVirtualMemory(h, NtMachine::pointer(kBase), what, out.data(), sizeof out, nullptr);
    });
  add("NtLockVirtualMemory",
      [r = Range{}](HANDLE h) mutable { return NtLockVirtualMemory(h, &r.base, &r.size, MAP_PROCESS); });
  add("NtUnlockVirtualMemory",
      [r = Range{}](HANDLE h) mutable { return NtUnlockVirtualMemory(h, &r.base, &r.size, MAP_PROCESS); });
  add("NtReadVirtualMemory", [](HANDLE h) {
    char byte = 0;
    return NtReadVirtualMemory(h, NtMachine::pointer(kBase), &byte, 1, nullptr);
  });
  add("NtWriteVirtualMemory", [](HANDLE h) {
    char byte = 0;
    return NtWriteVirtualMemory(h, NtMachine::pointer(kBase), &byte, 1, nullptr);
  });
  add("NtFlushVirtualMemory", [r = Range{}](HANDLE h) mutable {
    IO_STATUS_BLOCK io{};
    return NtFlushVirtualMemory(h, &r.base, &r.size, &io);
  });
  add("NtGetWriteWatch", [](HANDLE h) {
    std::array<PVOID, 1> pages{};
    ULONG_PTR count = 1;
    ULONG granularity = 0;
    return NtGetWriteWatch(h, 0, NtMachine::pointer(kBase), kSize, pages.data(), &count, &granularity);
  });
  add("NtResetWriteWatch", [](HANDLE h) { return NtResetWriteWatch(h, NtMachine::pointer(kBase), kSize); });
  add("NtAllocateUserPhysicalPages", [](HANDLE h) {
    ULONG_PTR count = 1;
    ULONG_PTR frame = 0;
    return NtAllocateUserPhysicalPages(h, &count, &frame);
  });
  add("NtFreeUserPhysicalPages", [](HANDLE h) {
    ULONG_PTR count = 1;
    ULONG_PTR frame = 0;
    return NtFreeUserPhysicalPages(h, &count, &frame);
  });
  add("NtUnmapViewOfSection", [](HANDLE h) { return NtUnmapViewOfSection(h, NtMachine::pointer(kBase)); });
  add("NtUnmapViewOfSectionEx", [](HANDLE h) { return NtUnmapViewOfSectionEx(h, NtMachine::pointer(kBase), 0); });
  add("NtQueryInformationProcess", [](HANDLE h) {
    VM_COUNTERS out{};
    return NtQueryInformationProcess(h, ProcessVmCounters, &out, sizeof out, nullptr);
  });
  add("NtSetInformationProcess", [](HANDLE h) {
    QUOTA_LIMITS limits{};
    return NtSetInformationProcess(h, ProcessQuotaLimits, &limits, sizeof limits);
  });
  add("NtTerminateProcess", [](HANDLE h) { return NtTerminateProcess(h, 0); });
  add("NtCreateProcess, the parent", [](HANDLE h) {
    HANDLE out = nullptr;
    return NtCreateProcess(&out, PROCESS_ALL_ACCESS, nullptr, h, 0, nullptr, nullptr, nullptr);
  });
  add("NtDuplicateObject, the source process", [](HANDLE h) {
    HANDLE out = nullptr;
    return NtDuplicateObject(h, NtCurrentProcess(), NtCurrentProcess(), &out, 0, 0, DUPLICATE_SAME_ACCESS);
  });
  add("NtDuplicateObject, the target process", [](HANDLE h) {
    HANDLE out = nullptr;
    return NtDuplicateObject(NtCurrentProcess(), NtCurrentProcess(), h, &out, 0, 0, DUPLICATE_SAME_ACCESS);
  });
  add("PagodaCreateProcess, the parent", [](HANDLE h) {
    HANDLE out = nullptr;
    return PagodaCreateProcess(&out, PROCESS_ALL_ACCESS, h, 0);
  });
  add("PagodaCreateThread", [](HANDLE h) {
    HANDLE out = nullptr;
    return PagodaCreateThread(&out, h, 64 << 10, 4096);
  });
  add("PagodaSetPrivilege", [](HANDLE h) { return PagodaSetPrivilege(h, SE_LOCK_MEMORY_PRIVILEGE, 1, nullptr); });
  return calls;
}

std::vector<Call> calls_with_a_section(HANDLE section) {
  constexpr auto kType = ObjectType::kSection;
  return {
      {"NtMapViewOfSection", kType,
       [](HANDLE h) {
         PVOID base = nullptr;
         SIZE_T size = 0;
         return NtMapViewOfSection(h, NtCurrentProcess(), &base, 0, 0, nullptr, &size, ViewShare, 0, PAGE_READONLY);
       }},
      {"NtMapViewOfSectionEx", kType,
       [](HANDLE h) {
         PVOID base = nullptr;
         SIZE_T size = 0;
         return NtMapViewOfSectionEx(h, NtCurrentProcess(), &base, nullptr, &size, 0, PAGE_READONLY, nullptr, 0);
       }},
      {"NtMapViewOfSection, the process", ObjectType::kProcess,
       [section](HANDLE h) {
         PVOID base = nullptr;
         SIZE_T size = 0;
         return NtMapViewOfSection(section, h, &base, 0, 0, nullptr, &size, ViewShare, 0, PAGE_READONLY);
       }},
      {"NtQuerySection", kType,
       [](HANDLE h) {
         SECTION_BASIC_INFORMATION out{};
         return NtQuerySection(h, SectionBasicInformation, &out, sizeof out, nullptr);
       }},
      {"NtExtendSection", kType,
       [](HANDLE h) {
         LARGE_INTEGER size{};
         return NtExtendSection(h, &size);
       }},
      {"NtCreateProcess, the section", kType,
       [](HANDLE h) {
         HANDLE out = nullptr;
         return NtCreateProcess(&out, PROCESS_ALL_ACCESS, nullptr, NtCurrentProcess(), 0, h, nullptr, nullptr);
       }},
  };
}

std::vector<Call> calls_with_a_file() {
  constexpr auto kType = ObjectType::kFile;
  const auto create = [](ULONG flags) {
    return [flags](HANDLE h) {
      HANDLE out = nullptr;
      return NtCreateSection(&out, SECTION_ALL_ACCESS, nullptr, nullptr, PAGE_READONLY, flags, h);
    };
  };
  return {
      {"NtCreateSection of data", kType, create(SEC_COMMIT)},
      {"NtCreateSection of an image", kType, create(SEC_IMAGE)},
      {"NtReadFile", kType,
       [](HANDLE h) {
         IO_STATUS_BLOCK io{};
         LARGE_INTEGER at{};
         char byte = 0;
         return NtReadFile(h, nullptr, nullptr, nullptr, &io, &byte, 1, &at, nullptr);
       }},
      {"NtWriteFile", kType,
       [](HANDLE h) {
         IO_STATUS_BLOCK io{};
         LARGE_INTEGER at{};
         char byte = 0;
         return NtWriteFile(h, nullptr, nullptr, nullptr, &io, &byte, 1, &at, nullptr);
       }},
      {"NtFlushBuffersFile", kType,
       [](HANDLE h) {
         IO_STATUS_BLOCK io{};
         return NtFlushBuffersFile(h, &io);
       }},
      {"NtQueryInformationFile", kType,
       [](HANDLE h) {
         IO_STATUS_BLOCK io{};
         FILE_STANDARD_INFORMATION out{};
         return NtQueryInformationFile(h, &io, &out, sizeof out, FileStandardInformation);
       }},
      {"NtSetInformationFile", kType,
       [](HANDLE h) {
         IO_STATUS_BLOCK io{};
         FILE_END_OF_FILE_INFORMATION in{};
         return NtSetInformationFile(h, &io, &in, sizeof in, FileEndOfFileInformation);
       }},
  };
}

class PseudoHandles : public ::testing::TestWithParam<machine::PteFormat> {
 protected:
  PseudoHandles() : m({.paging = GetParam(), .directory = directory_.path()}) {}

  void expect_mismatches(const std::vector<Call>& calls) {
    const std::string regions = m.regions();
    const auto before = m.totals();
    for (const Call& call : calls) {
      SCOPED_TRACE(call.what);
      if (call.type != ObjectType::kProcess) {
        EXPECT_EQ(call.make(NtCurrentProcess()), STATUS_OBJECT_TYPE_MISMATCH);
      }
      if (call.type != ObjectType::kThread) {
        EXPECT_EQ(call.make(NtCurrentThread()), STATUS_OBJECT_TYPE_MISMATCH);
      }
      EXPECT_EQ(call.make(NtMachine::bad_handle()), STATUS_INVALID_HANDLE);
    }
    EXPECT_EQ(m.regions(), regions);
    EXPECT_EQ(m.totals(), before);
  }
  void expect_mismatches_of_all() {
    HANDLE section = nullptr;
    LARGE_INTEGER size{};
    size.QuadPart = kSize;
    ASSERT_EQ(NtCreateSection(&section, SECTION_ALL_ACCESS, nullptr, &size, PAGE_READWRITE, SEC_COMMIT, nullptr),
              STATUS_SUCCESS);
    expect_mismatches(calls_with_a_process());
    expect_mismatches(calls_with_a_section(section));
    expect_mismatches(calls_with_a_file());
    expect_mismatches({{"PagodaQueryStack", ObjectType::kThread, [](HANDLE h) {
                          PAGODA_STACK out{};
                          return PagodaQueryStack(h, &out);
                        }}});
    EXPECT_EQ(NtClose(section), STATUS_SUCCESS);
  }

  const testing::NtDirectory directory_;  // Outlives the machine.
  NtMachine m;
};

TEST_P(PseudoHandles, AreOfTheirTypesInEveryCall) {
  expect_mismatches_of_all();
  EXPECT_EQ(m.check(), "");
}

TEST_P(PseudoHandles, AreOfTheirTypesForAThreadToo) {
  const HANDLE thread = m.create_thread();
  ASSERT_EQ(PagodaAttach(thread), STATUS_SUCCESS);
  expect_mismatches_of_all();
  PAGODA_STACK stack{};
  EXPECT_EQ(PagodaQueryStack(NtCurrentThread(), &stack), STATUS_SUCCESS);
  // Both can be attached to, as the thread that runs.
  for (const HANDLE pseudo : {NtCurrentProcess(), NtCurrentThread()}) {
    EXPECT_EQ(PagodaAttach(pseudo), STATUS_SUCCESS);
    EXPECT_EQ(PagodaQueryStack(NtCurrentThread(), &stack), STATUS_SUCCESS);
    EXPECT_EQ(PagodaDetach(), STATUS_SUCCESS);
  }
  EXPECT_EQ(PagodaDetach(), STATUS_SUCCESS);
  EXPECT_EQ(m.check(), "");
}

TEST_P(PseudoHandles, OfAThreadThatThereIsNotAreInvalidWhereAThreadIsWanted) {
  PAGODA_STACK stack{};
  HANDLE out = nullptr;
  EXPECT_EQ(PagodaQueryStack(NtCurrentThread(), &stack), STATUS_INVALID_HANDLE);
  EXPECT_EQ(PagodaAttach(NtCurrentThread()), STATUS_INVALID_HANDLE);
  EXPECT_EQ(NtDuplicateObject(NtCurrentProcess(), NtCurrentThread(), NtCurrentProcess(), &out, 0, 0, 0),
            STATUS_INVALID_HANDLE);
}

INSTANTIATE_TEST_SUITE_P(All, PseudoHandles,
                         ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                           machine::PteFormat::kAmd64),
                         [](const auto& test) { return std::string(machine::paging_mode(test.param).name); });

}  // namespace
}  // namespace pagoda::nt
