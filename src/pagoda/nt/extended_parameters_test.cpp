// MEM_EXTENDED_PARAMETER of NtAllocateVirtualMemoryEx and NtMapViewOfSectionEx: which are taken, in which order they are
// looked at, and what the calls say. Beside reference/nt.md 7.1 (last line) and Microsoft's VirtualAlloc2.
#include "pagoda/nt/extended_parameters.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt {
namespace {

using testing::NtMachine;

constexpr std::uint64_t kPage = 0x1000;
constexpr std::uint64_t kHighestUser = 0x7FFFFFEFFFF;
constexpr std::uint64_t kLarge = 0x200000;

MEM_EXTENDED_PARAMETER parameter(MEM_EXTENDED_PARAMETER_TYPE type, std::uint64_t value) {
  MEM_EXTENDED_PARAMETER out{};
  out.Type = static_cast<std::uint8_t>(type);
  out.ULong64 = value;
  return out;
}
MEM_EXTENDED_PARAMETER node(std::uint64_t number) { return parameter(MemExtendedParameterNumaNode, number); }
MEM_EXTENDED_PARAMETER attributes(std::uint64_t flags) { return parameter(MemExtendedParameterAttributeFlags, flags); }
MEM_EXTENDED_PARAMETER requirements(const MEM_ADDRESS_REQUIREMENTS* asked) {
  return parameter(MemExtendedParameterAddressRequirements, bits_of(asked));
}

struct Call {
  std::uint64_t base = 0;
  SIZE_T size = kPage;
  ULONG type = MEM_RESERVE;
  ULONG protect = PAGE_READWRITE;
  HANDLE process = NtCurrentProcess();
};

NTSTATUS allocate(std::vector<MEM_EXTENDED_PARAMETER> parameters, Call call = {}) {
  PVOID base = NtMachine::pointer(call.base);
  const NTSTATUS status = NtAllocateVirtualMemoryEx(call.process, &base, &call.size, call.type, call.protect,
                                                    parameters.data(), static_cast<ULONG>(parameters.size()));
  if (!NT_SUCCESS(status)) return status;
  call.size = 0;
  PAGODA_CHECK_EQ(NtFreeVirtualMemory(call.process, &base, &call.size, MEM_RELEASE), STATUS_SUCCESS);
  return status;
}

class ExtendedParameters : public ::testing::TestWithParam<machine::PteFormat> {
 protected:
  NtMachine m{{.frames = PageCount(2048), .paging = GetParam()}};
};
INSTANTIATE_TEST_SUITE_P(PagingModes, ExtendedParameters,
                         ::testing::Values(machine::PteFormat::kAmd64, machine::PteFormat::kPae,
                                           machine::PteFormat::kX86));

TEST_P(ExtendedParameters, EachKindIsTakenOnceAndTheOthersAreRefused) {
  MEM_ADDRESS_REQUIREMENTS any{};
  EXPECT_EQ(allocate({}), STATUS_SUCCESS);
  EXPECT_EQ(allocate({requirements(&any), node(0), attributes(0)}), STATUS_SUCCESS);
  EXPECT_EQ(allocate({requirements(&any), requirements(&any)}), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(allocate({node(0), node(0)}), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(allocate({attributes(0), node(0), attributes(0)}), STATUS_INVALID_PARAMETER);
  for (const auto type : {MemExtendedParameterInvalidType, MemExtendedParameterPartitionHandle,
                          MemExtendedParameterUserPhysicalHandle, MemExtendedParameterMax})
    EXPECT_EQ(allocate({node(0), parameter(type, 0)}), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(allocate({requirements(nullptr)}), STATUS_ACCESS_VIOLATION);
  PVOID base = nullptr;
  SIZE_T size = kPage;
  EXPECT_EQ(NtAllocateVirtualMemoryEx(NtCurrentProcess(), &base, &size, MEM_RESERVE, PAGE_READWRITE, nullptr, 1),
            STATUS_INVALID_PARAMETER);
  EXPECT_EQ(m.regions(), "");
}

TEST_P(ExtendedParameters, NodesAreThoseThatThereAre) {
  EXPECT_EQ(allocate({node(0)}), STATUS_SUCCESS);
  EXPECT_EQ(allocate({node(NUMA_NO_PREFERRED_NODE)}), STATUS_SUCCESS);
  EXPECT_EQ(allocate({node(1)}), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(allocate({node(64)}), STATUS_INVALID_PARAMETER);
}

TEST_P(ExtendedParameters, AttributesAreHintsOrWhatTheMemoryIs) {
  constexpr ULONG kNonpaged = MEM_EXTENDED_PARAMETER_NONPAGED;
  constexpr ULONG kNonpagedLarge = MEM_EXTENDED_PARAMETER_NONPAGED_LARGE;
  constexpr ULONG kHints = MEM_EXTENDED_PARAMETER_GRAPHICS | MEM_EXTENDED_PARAMETER_ZERO_PAGES_OPTIONAL;
  const ByteCount large = m.kernel().machine().paging().coverage(2);
  const Call plain{.type = MEM_RESERVE | MEM_COMMIT};
  const Call window{.type = MEM_RESERVE | MEM_PHYSICAL};
  const Call in_large{.size = large.value(), .type = MEM_RESERVE | MEM_COMMIT | MEM_LARGE_PAGES};
  EXPECT_EQ(allocate({attributes(kHints)}, plain), STATUS_SUCCESS);
  EXPECT_EQ(allocate({attributes(kNonpaged)}, plain), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(allocate({attributes(kNonpagedLarge)}, plain), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(allocate({attributes(kHints | kNonpaged)}, window), STATUS_SUCCESS);
  EXPECT_EQ(allocate({attributes(kNonpagedLarge)}, window), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(allocate({attributes(kNonpaged | kNonpagedLarge)}, in_large), STATUS_SUCCESS);
  EXPECT_EQ(allocate({attributes(MEM_EXTENDED_PARAMETER_NONPAGED_HUGE)}, in_large), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(allocate({attributes(std::uint64_t{1} << 40)}, plain), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(m.check(), "");
}

// Rows of 7.1 in the order in which the call looks, each with what comes later wrong too.
TEST(ExtendedAllocation, RefusesMisuseInOrderAndWithoutNumbers) {
  NtMachine m;
  MEM_ADDRESS_REQUIREMENTS any{};
  const HANDLE nobody = NtMachine::bad_handle();
  struct Row {
    const char* what;
    NTSTATUS status;
    std::vector<MEM_EXTENDED_PARAMETER> parameters;
    Call call;
  };
  for (const Row& row : std::vector<Row>{
           {"a parameter", STATUS_INVALID_PARAMETER, {node(7)}, {.size = 0, .protect = 0, .process = nobody}},
           {"the type", STATUS_INVALID_PARAMETER, {}, {.size = 0, .type = MEM_COMMIT | MEM_RESET, .protect = 0}},
           {"placeholder, committed",
            STATUS_INVALID_PARAMETER,
            {},
            {.type = MEM_RESERVE | MEM_COMMIT | MEM_RESERVE_PLACEHOLDER, .protect = 0}},
           {"replaced, not reserved", STATUS_INVALID_PARAMETER, {}, {.type = MEM_REPLACE_PLACEHOLDER, .protect = 0}},
           {"the protection",
            STATUS_INVALID_PAGE_PROTECTION,
            {requirements(&any)},
            {.base = 0x10000, .size = 0, .protect = 0}},
           {"requirements and a base",
            STATUS_INVALID_PARAMETER,
            {requirements(&any)},
            {.base = 0x10000, .process = nobody}},
           {"the base", STATUS_INVALID_PARAMETER, {}, {.base = kHighestUser + 1, .process = nobody}},
           {"no size", STATUS_INVALID_PARAMETER, {}, {.size = 0, .process = nobody}},
           {"beyond the top", STATUS_INVALID_PARAMETER, {}, {.base = 0x10000, .size = ~SIZE_T{0}, .process = nobody}},
           {"the handle", STATUS_INVALID_HANDLE, {}, {.process = nobody}},
           {"large pages at a base between them",
            STATUS_INVALID_PARAMETER,
            {},
            {.base = 0x10010000, .size = kLarge, .type = MEM_RESERVE | MEM_COMMIT | MEM_LARGE_PAGES}},
       }) {
    SCOPED_TRACE(row.what);
    EXPECT_EQ(allocate(row.parameters, row.call), row.status);
    EXPECT_EQ(m.regions(), "");
  }
}

TEST(ExtendedAllocation, RequirementsReachTheHighestUserAddress) {
  NtMachine m;
  const auto with = [](std::uint64_t lowest, std::uint64_t highest) {
    MEM_ADDRESS_REQUIREMENTS asked{NtMachine::pointer(lowest), NtMachine::pointer(highest), 0};
    return allocate({requirements(&asked)});
  };
  EXPECT_EQ(with(0, kHighestUser), STATUS_SUCCESS);
  EXPECT_EQ(with(0, kHighestUser + kPage), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(with(0x20000, 0x1FFFF), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(with(kHighestUser + 1, 0), STATUS_INVALID_PARAMETER);
}

TEST(ExtendedMapping, RefusesMisuseInOrderAndWithoutNumbers) {
  NtMachine m;
  LARGE_INTEGER section_size{.QuadPart = 4 * kPage};
  HANDLE section = nullptr;
  ASSERT_EQ(NtCreateSection(&section, SECTION_ALL_ACCESS, nullptr, &section_size, PAGE_READWRITE, SEC_COMMIT, nullptr),
            STATUS_SUCCESS);
  const HANDLE nobody = NtMachine::bad_handle();
  struct Row {
    const char* what;
    NTSTATUS status;
    std::vector<MEM_EXTENDED_PARAMETER> parameters;
    Call call;
  };
  for (const Row& row : std::vector<Row>{
           {"a parameter", STATUS_INVALID_PARAMETER, {node(1)}, {.type = 0, .protect = 0, .process = nobody}},
           {"the type", STATUS_INVALID_PARAMETER, {}, {.type = MEM_COMMIT, .protect = 0, .process = nobody}},
           {"the protection",
            STATUS_INVALID_PAGE_PROTECTION,
            {},
            {.base = kHighestUser + 1, .type = 0, .protect = 0, .process = nobody}},
           {"the base", STATUS_INVALID_PARAMETER, {}, {.base = kHighestUser + 1, .type = 0, .process = nobody}},
           {"attributes",
            STATUS_INVALID_PARAMETER,
            {attributes(MEM_EXTENDED_PARAMETER_NONPAGED_LARGE)},
            {.type = 0, .process = nobody}},
           {"the handle", STATUS_INVALID_HANDLE, {node(0), attributes(0)}, {.type = 0, .process = nobody}},
           {"write-combining paging-file memory",
            STATUS_INVALID_PARAMETER,
            {},
            {.type = 0, .protect = PAGE_READWRITE | PAGE_WRITECOMBINE}},
           {"nothing", STATUS_SUCCESS, {node(0), attributes(MEM_EXTENDED_PARAMETER_GRAPHICS)}, {.type = 0}},
       }) {
    SCOPED_TRACE(row.what);
    PVOID base = NtMachine::pointer(row.call.base);
    SIZE_T size = row.call.size;
    EXPECT_EQ(NtMapViewOfSectionEx(section, row.call.process, &base, nullptr, &size, row.call.type, row.call.protect,
                                   const_cast<MEM_EXTENDED_PARAMETER*>(row.parameters.data()),
                                   static_cast<ULONG>(row.parameters.size())),
              row.status);
  }
  EXPECT_EQ(m.check(), "");
}

}  // namespace
}  // namespace pagoda::nt
