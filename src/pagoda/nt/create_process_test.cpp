// NtCreateProcess and NtCreateProcessEx: forks, images, inherited handles. Beside reference/nt.md section 5.
#include <gtest/gtest.h>

#include <array>
#include <thread>

#include "pagoda/mm/testing/pe_builder.h"
#include "pagoda/nt/testing/nt_directory.h"
#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt {
namespace {

using testing::NtMachine;

constexpr std::uint64_t kPage = 0x1000;
constexpr std::uint64_t kRegion = 0x60000000;

NTSTATUS fork(HANDLE& out, HANDLE parent = NtCurrentProcess(), BOOLEAN inherit_handles = 0) {
  return NtCreateProcess(&out, PROCESS_ALL_ACCESS, nullptr, parent, inherit_handles, nullptr, nullptr, nullptr);
}

HANDLE forked(HANDLE parent = NtCurrentProcess(), BOOLEAN inherit_handles = 0) {
  HANDLE child = nullptr;
  PAGODA_CHECK_EQ(fork(child, parent, inherit_handles), STATUS_SUCCESS);
  return child;
}

// What a process reads, through an attachment.
std::uint64_t value_in(HANDLE process, std::uint64_t address) {
  std::uint64_t value = 0;
  PAGODA_CHECK_EQ(PagodaAttach(process), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::get(address, value), STATUS_SUCCESS);
  PAGODA_CHECK_EQ(PagodaDetach(), STATUS_SUCCESS);
  return value;
}

void put_in(HANDLE process, std::uint64_t address, std::uint64_t value) {
  PAGODA_CHECK_EQ(PagodaAttach(process), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::put(address, value), STATUS_SUCCESS);
  PAGODA_CHECK_EQ(PagodaDetach(), STATUS_SUCCESS);
}

VM_COUNTERS counters_of(HANDLE process) {
  VM_COUNTERS counters{};
  PAGODA_CHECK_EQ(NtQueryInformationProcess(process, ProcessVmCounters, &counters, sizeof counters, nullptr),
                  STATUS_SUCCESS);
  return counters;
}

enum class Handle : std::uint8_t { kNone, kGood, kBad, kWrongType, kWrongRights, kTerminated };

struct Misuse {
  const char* what;
  NTSTATUS status;
  ULONG flags = 0;
  Handle parent = Handle::kGood;
  ULONG job_member_level = 0;
  Handle section = Handle::kGood;  // kGood: of memory, not an image.
  Handle port = Handle::kNone;
};

constexpr auto kMisuses = std::to_array<Misuse>({
    {"unknown flag", STATUS_INVALID_PARAMETER, 0x100, Handle::kBad},
    {"no parent", STATUS_INVALID_PARAMETER, 0, Handle::kNone, 0, Handle::kBad},
    {"bad parent", STATUS_INVALID_HANDLE, 0, Handle::kBad, 1},
    {"parent is a section", STATUS_OBJECT_TYPE_MISMATCH, 0, Handle::kWrongType, 1},
    {"parent without CREATE_PROCESS", STATUS_ACCESS_DENIED, 0, Handle::kWrongRights, 1},
    {"parent has ended", STATUS_PROCESS_IS_TERMINATING, 0, Handle::kTerminated, 1},
    {"level in no job", STATUS_INVALID_PARAMETER, 0, Handle::kGood, 1, Handle::kBad},
    {"bad section", STATUS_INVALID_HANDLE, 0, Handle::kGood, 0, Handle::kBad},
    {"section is a process", STATUS_OBJECT_TYPE_MISMATCH, 0, Handle::kGood, 0, Handle::kWrongType, Handle::kBad},
    {"section without MAP_EXECUTE", STATUS_ACCESS_DENIED, 0, Handle::kGood, 0, Handle::kWrongRights, Handle::kBad},
    {"port", STATUS_INVALID_HANDLE, 0, Handle::kGood, 0, Handle::kGood, Handle::kBad},
    {"not an image", STATUS_SECTION_NOT_IMAGE},
});

TEST(NtCreateProcessEx, RefusesMisuseInOrderAndChangesNothing) {
  NtMachine m;
  const HANDLE parent = m.create_process();
  const HANDLE terminated = m.create_process();
  ASSERT_EQ(NtTerminateProcess(terminated, 0), STATUS_SUCCESS);
  LARGE_INTEGER size{};
  size.QuadPart = kPage;
  HANDLE section = nullptr;
  HANDLE reading = nullptr;
  ASSERT_EQ(NtCreateSection(&section, SECTION_ALL_ACCESS, nullptr, &size, PAGE_READWRITE, SEC_COMMIT, nullptr),
            STATUS_SUCCESS);
  ASSERT_EQ(NtCreateSection(&reading, SECTION_MAP_READ, nullptr, &size, PAGE_READWRITE, SEC_COMMIT, nullptr),
            STATUS_SUCCESS);
  const std::array<HANDLE, 6> parents{
      nullptr, parent, NtMachine::bad_handle(), section, m.with_access(parent, PROCESS_VM_READ), terminated};
  const std::array<HANDLE, 5> sections{nullptr, section, NtMachine::bad_handle(), parent, reading};
  for (const Misuse& row : kMisuses) {
    SCOPED_TRACE(row.what);
    const auto before = m.totals();
    HANDLE out = nullptr;
    const HANDLE port = row.port == Handle::kNone ? nullptr : NtMachine::bad_handle();
    EXPECT_EQ(
        NtCreateProcessEx(&out, PROCESS_ALL_ACCESS, nullptr, parents[static_cast<std::size_t>(row.parent)], row.flags,
                          sections[static_cast<std::size_t>(row.section)], port, nullptr, row.job_member_level),
        row.status);
    EXPECT_EQ(out, nullptr);
    EXPECT_EQ(m.totals(), before);
  }
  EXPECT_EQ(NtCreateProcessEx(nullptr, 0, nullptr, nullptr, 0x100, nullptr, nullptr, nullptr, 0),
            STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(m.check(), "");
}

TEST(NtCreateProcess, AForkReadsWhatItsParentHadAndThenEachWritesItsOwn) {
  NtMachine m;
  const auto before = m.totals();
  m.allocate(kRegion, 8 * kPage);
  for (std::uint64_t page = 0; page < 4; ++page)
    ASSERT_EQ(NtMachine::put(kRegion + page * kPage, page + 1), STATUS_SUCCESS);
  const auto with_region = m.totals();

  const HANDLE child = forked();
  EXPECT_GE(m.totals().commit, with_region.commit + 8);  // The child may write to all of it.
  EXPECT_EQ(counters_of(child).VirtualSize, 8 * kPage);
  ASSERT_EQ(NtMachine::put(kRegion, 100), STATUS_SUCCESS);
  EXPECT_EQ(value_in(child, kRegion), 1U);
  put_in(child, kRegion + kPage, 200);
  put_in(child, kRegion + 5 * kPage, 600);
  std::uint64_t value = 0;
  EXPECT_EQ(NtMachine::get(kRegion + kPage, value), STATUS_SUCCESS);
  EXPECT_EQ(value, 2U);
  EXPECT_EQ(NtMachine::get(kRegion + 5 * kPage, value), STATUS_SUCCESS);
  EXPECT_EQ(value, 0U);
  EXPECT_EQ(NtMachine::query(kRegion, child).Protect, PAGE_READWRITE);
  EXPECT_EQ(m.check(), "");

  // A clone of the clone, which outlives it.
  const HANDLE grandchild = forked(child);
  put_in(child, kRegion + 2 * kPage, 300);
  put_in(grandchild, kRegion + 3 * kPage, 400);
  EXPECT_EQ(NtClose(child), STATUS_SUCCESS);
  EXPECT_EQ(m.check(), "");
  EXPECT_EQ(value_in(grandchild, kRegion), 1U);
  EXPECT_EQ(value_in(grandchild, kRegion + kPage), 200U);
  EXPECT_EQ(value_in(grandchild, kRegion + 2 * kPage), 3U);
  EXPECT_EQ(value_in(grandchild, kRegion + 3 * kPage), 400U);
  EXPECT_EQ(value_in(grandchild, kRegion + 5 * kPage), 600U);
  EXPECT_EQ(NtMachine::get(kRegion + 3 * kPage, value), STATUS_SUCCESS);
  EXPECT_EQ(value, 4U);
  EXPECT_EQ(NtClose(grandchild), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::get(kRegion + 2 * kPage, value), STATUS_SUCCESS);
  EXPECT_EQ(value, 3U);
  EXPECT_EQ(m.check(), "");
  m.release(kRegion);
  EXPECT_EQ(m.check(), "");
  EXPECT_EQ(m.totals(), before);
}

TEST(NtCreateProcess, AForkThatCommitDoesNotCoverIsRefused) {
  NtMachine m;
  m.allocate(kRegion, 1000 * kPage);
  const auto before = m.totals();
  HANDLE child = nullptr;
  EXPECT_EQ(fork(child), STATUS_COMMITMENT_LIMIT);
  EXPECT_EQ(child, nullptr);
  EXPECT_EQ(m.totals(), before);
  EXPECT_EQ(m.check(), "");
}

TEST(NtCreateProcess, AForkHasViewsThatAreShared) {
  NtMachine m;
  const auto before = m.totals();
  LARGE_INTEGER section_size{};
  section_size.QuadPart = kPage;
  HANDLE section = nullptr;
  ASSERT_EQ(NtCreateSection(&section, SECTION_ALL_ACCESS, nullptr, &section_size, PAGE_READWRITE, SEC_COMMIT, nullptr),
            STATUS_SUCCESS);
  const auto map = [&](SECTION_INHERIT inherit) {
    PVOID base = nullptr;
    SIZE_T size = 0;
    PAGODA_CHECK_EQ(
        NtMapViewOfSection(section, NtCurrentProcess(), &base, 0, 0, nullptr, &size, inherit, 0, PAGE_READWRITE),
        STATUS_SUCCESS);
    return bits_of(base);
  };
  const std::uint64_t shared = map(ViewShare);
  const std::uint64_t unmapped = map(ViewUnmap);
  ASSERT_EQ(NtMachine::put(shared, 1), STATUS_SUCCESS);
  const HANDLE child = forked();
  EXPECT_EQ(NtMachine::query(unmapped, child).State, MEM_FREE);
  put_in(child, shared, 2);
  std::uint64_t value = 0;
  EXPECT_EQ(NtMachine::get(unmapped, value), STATUS_SUCCESS);
  EXPECT_EQ(value, 2U);
  EXPECT_EQ(counters_of(child).VirtualSize, kPage);
  EXPECT_EQ(m.check(), "");
  for (const HANDLE handle : {child, section}) EXPECT_EQ(NtClose(handle), STATUS_SUCCESS);
  for (const std::uint64_t view : {shared, unmapped})
    EXPECT_EQ(NtUnmapViewOfSection(NtCurrentProcess(), NtMachine::pointer(view)), STATUS_SUCCESS);
  EXPECT_EQ(m.totals(), before);
}

TEST(NtCreateProcess, HandlesAreInheritedIfTheyMayBeAndItIsAskedFor) {
  NtMachine m;
  const HANDLE plain = m.create_process();
  HANDLE marked = nullptr;
  ASSERT_EQ(
      NtDuplicateObject(NtCurrentProcess(), plain, NtCurrentProcess(), &marked, 0, OBJ_INHERIT, DUPLICATE_SAME_ACCESS),
      STATUS_SUCCESS);
  OBJECT_ATTRIBUTES attributes{.Length = sizeof(OBJECT_ATTRIBUTES), .Attributes = OBJ_INHERIT};
  LARGE_INTEGER size{};
  size.QuadPart = kPage;
  HANDLE section = nullptr;
  ASSERT_EQ(NtCreateSection(&section, SECTION_QUERY, &attributes, &size, PAGE_READWRITE, SEC_COMMIT, nullptr),
            STATUS_SUCCESS);
  const HANDLE heir = forked(NtCurrentProcess(), 1);
  const HANDLE stranger = forked();
  VM_COUNTERS counters{};
  const auto see = [&](HANDLE process) {
    return NtQueryInformationProcess(process, ProcessVmCounters, &counters, sizeof counters, nullptr);
  };
  SECTION_BASIC_INFORMATION info{};

  ASSERT_EQ(PagodaAttach(heir), STATUS_SUCCESS);
  EXPECT_EQ(see(plain), STATUS_INVALID_HANDLE);
  EXPECT_EQ(see(marked), STATUS_SUCCESS);
  EXPECT_EQ(NtQuerySection(section, SectionBasicInformation, &info, sizeof info, nullptr), STATUS_SUCCESS);
  EXPECT_EQ(NtExtendSection(section, &size), STATUS_ACCESS_DENIED);  // No more rights than its parent's.
  EXPECT_EQ(m.totals().handles, 2U);
  EXPECT_EQ(NtClose(marked), STATUS_SUCCESS);
  // The numbers between are free.
  HANDLE next = nullptr;
  ASSERT_EQ(NtDuplicateObject(NtCurrentProcess(), section, NtCurrentProcess(), &next, 0, 0, DUPLICATE_SAME_ACCESS),
            STATUS_SUCCESS);
  EXPECT_LE(bits_of(next), bits_of(section));
  ASSERT_EQ(PagodaDetach(), STATUS_SUCCESS);

  ASSERT_EQ(PagodaAttach(stranger), STATUS_SUCCESS);
  EXPECT_EQ(see(marked), STATUS_INVALID_HANDLE);
  EXPECT_EQ(m.totals().handles, 0U);
  ASSERT_EQ(PagodaDetach(), STATUS_SUCCESS);
  EXPECT_EQ(see(marked), STATUS_SUCCESS);
  EXPECT_EQ(m.check(), "");
}

TEST(NtCreateProcess, AnInheritedHandleKeepsTheName) {
  NtMachine m;
  std::u16string name = u"\\Kept";
  UNICODE_STRING string{static_cast<USHORT>(name.size() * 2), static_cast<USHORT>(name.size() * 2), name.data()};
  OBJECT_ATTRIBUTES attributes{.Length = sizeof(OBJECT_ATTRIBUTES), .ObjectName = &string, .Attributes = OBJ_INHERIT};
  LARGE_INTEGER size{};
  size.QuadPart = kPage;
  HANDLE section = nullptr;
  ASSERT_EQ(NtCreateSection(&section, SECTION_ALL_ACCESS, &attributes, &size, PAGE_READWRITE, SEC_COMMIT, nullptr),
            STATUS_SUCCESS);
  const HANDLE heir = forked(NtCurrentProcess(), 1);
  EXPECT_EQ(NtClose(section), STATUS_SUCCESS);
  ASSERT_EQ(NtOpenSection(&section, SECTION_QUERY, &attributes), STATUS_SUCCESS);
  EXPECT_EQ(NtClose(section), STATUS_SUCCESS);
  EXPECT_EQ(NtClose(heir), STATUS_SUCCESS);
  EXPECT_EQ(NtOpenSection(&section, SECTION_QUERY, &attributes), STATUS_OBJECT_NAME_NOT_FOUND);
}

TEST(NtCreateProcess, AForkReachesAsFarAsItsParent) {
  NtMachine m({.paging = machine::PteFormat::kX86, .user_range = mm::UserRange::kLarge});
  const HANDLE parent = m.create_process(PAGODA_PROCESS_LARGE_ADDRESS_AWARE);
  m.allocate(0xB0000000, kPage, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, parent);
  put_in(parent, 0xB0000000, 7);
  const HANDLE child = forked(parent);
  put_in(parent, 0xB0000000, 8);
  EXPECT_EQ(value_in(child, 0xB0000000), 7U);
  m.allocate(0xB8000000, kPage, MEM_RESERVE, PAGE_READWRITE, child);
  EXPECT_EQ(m.check(), "");
}

TEST(NtCreateProcess, AForkHasNoWindowsOfItsParentsFramesAndWatchesNothing) {
  NtMachine m;
  m.allocate(kRegion, kPage, MEM_RESERVE | MEM_PHYSICAL);
  ULONG_PTR frame = 0;
  ULONG_PTR count = 1;
  ASSERT_EQ(NtAllocateUserPhysicalPages(NtCurrentProcess(), &count, &frame), STATUS_SUCCESS);
  ASSERT_EQ(NtMapUserPhysicalPages(NtMachine::pointer(kRegion), 1, &frame), STATUS_SUCCESS);
  const std::uint64_t watched = m.allocate(0, kPage, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH);
  ASSERT_EQ(NtMachine::put(watched, 4), STATUS_SUCCESS);
  const HANDLE child = forked();
  EXPECT_EQ(NtMachine::query(kRegion, child).State, MEM_FREE);
  EXPECT_EQ(value_in(child, watched), 4U);
  EXPECT_EQ(NtResetWriteWatch(child, NtMachine::pointer(watched), kPage), STATUS_INVALID_PARAMETER_1);
  EXPECT_EQ(NtFreeUserPhysicalPages(child, &count, &frame), STATUS_CONFLICTING_ADDRESSES);
  EXPECT_EQ(count, 0U);
  // The parent's go on.
  EXPECT_EQ(NtMachine::put(kRegion, 1), STATUS_SUCCESS);
  EXPECT_EQ(NtResetWriteWatch(NtCurrentProcess(), NtMachine::pointer(watched), kPage), STATUS_SUCCESS);
  EXPECT_EQ(m.check(), "");
}

TEST(NtCreateProcess, AForkIsOneMomentOfAProcessThatRuns) {
  constexpr std::uint64_t kRounds = 3000;
  constexpr int kForks = 20;
  NtMachine m({.processors = 2});
  const auto before = m.totals();
  m.allocate(kRegion, 2 * kPage);
  std::uint64_t refused = 0;
  // The second page is written after the first: at any moment it is at most as far.
  std::thread writer([&] {
    PAGODA_CHECK(Caller::enter(m.kernel()).has_value());
    for (std::uint64_t round = 1; round <= kRounds; ++round) {
      if (NtMachine::put(kRegion, round) != STATUS_SUCCESS) ++refused;
      if (NtMachine::put(kRegion + kPage, round) != STATUS_SUCCESS) ++refused;
    }
  });
  for (int i = 0; i < kForks; ++i) {
    const HANDLE child = forked();
    const std::uint64_t first = value_in(child, kRegion);
    const std::uint64_t second = value_in(child, kRegion + kPage);
    EXPECT_LE(second, first);
    EXPECT_LE(first - second, 1U);
    EXPECT_EQ(value_in(child, kRegion), first);
    EXPECT_EQ(NtClose(child), STATUS_SUCCESS);
  }
  writer.join();
  EXPECT_EQ(refused, 0U);
  std::uint64_t value = 0;
  EXPECT_EQ(NtMachine::get(kRegion, value), STATUS_SUCCESS);
  EXPECT_EQ(value, kRounds);
  m.release(kRegion);
  EXPECT_EQ(m.check(), "");
  EXPECT_EQ(m.totals(), before);
}

// --- With a section ---

using mm::testing::PeBuilder;

PeBuilder program(mm::PeFormat format) {
  PeBuilder pe(format);
  pe.add({.name = ".text", .flags = mm::testing::kPeText, .bytes = mm::testing::pe_bytes(0x300, 1)});
  pe.add({.name = ".data", .flags = mm::testing::kPeData, .bytes = mm::testing::pe_bytes(0x200, 2)});
  return pe;
}

TEST(NtCreateProcess, AnImageIsMappedIntoTheNewProcess) {
  const testing::NtDirectory directory;
  const PeBuilder pe = program(mm::PeFormat::kPe32Plus);
  directory.write("program.exe", pe.build());
  NtMachine m({.directory = directory.path()});
  const auto before = m.totals();
  HANDLE section = nullptr;
  ASSERT_EQ(testing::create_image(section, u"\\program.exe"), STATUS_SUCCESS);
  HANDLE child = nullptr;
  ASSERT_EQ(NtCreateProcess(&child, PROCESS_ALL_ACCESS, nullptr, NtCurrentProcess(), 0, section, nullptr, nullptr),
            STATUS_SUCCESS);
  EXPECT_EQ(NtClose(section), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::query(pe.base, child).Type, MEM_IMAGE);
  EXPECT_EQ(NtMachine::query(pe.base, child).AllocationProtect, PAGE_EXECUTE_WRITECOPY);
  EXPECT_EQ(counters_of(child).VirtualSize, 3 * kPage);
  EXPECT_EQ(m.regions(), "");
  EXPECT_EQ(value_in(child, pe.base) & 0xFFFF, 0x5A4DU);

  // A fork of it has the image, and what the program wrote.
  const std::uint64_t data = pe.base + 2 * kPage;
  const std::uint64_t original = value_in(child, data);
  put_in(child, data, 5);
  const HANDLE grandchild = forked(child);
  put_in(child, data, 6);
  EXPECT_EQ(value_in(grandchild, data), 5U);
  HANDLE other = nullptr;
  ASSERT_EQ(testing::create_image(section, u"\\program.exe"), STATUS_SUCCESS);
  ASSERT_EQ(NtCreateProcess(&other, PROCESS_ALL_ACCESS, nullptr, NtCurrentProcess(), 0, section, nullptr, nullptr),
            STATUS_SUCCESS);
  EXPECT_EQ(value_in(other, data), original);
  EXPECT_EQ(m.check(), "");
  for (const HANDLE handle : {child, grandchild, other, section}) EXPECT_EQ(NtClose(handle), STATUS_SUCCESS);
  m.kernel().manager().sections().drop_unused(m.caller().cpu());
  EXPECT_EQ(m.check(), "");
  EXPECT_EQ(m.totals(), before);
}

TEST(NtCreateProcess, ALargeAddressAwareImageHasThreeGigabytesUnderThatSwitch) {
  for (const mm::UserRange range : {mm::UserRange::kNormal, mm::UserRange::kLarge}) {
    for (const bool aware : {false, true}) {
      const testing::NtDirectory directory;
      PeBuilder pe = program(mm::PeFormat::kPe32);
      if (aware) pe.characteristics |= mm::pe_image_flags::kLargeAddressAware;
      directory.write("program.exe", pe.build());
      NtMachine m({.paging = machine::PteFormat::kX86, .directory = directory.path(), .user_range = range});
      HANDLE section = nullptr;
      ASSERT_EQ(testing::create_image(section, u"\\program.exe"), STATUS_SUCCESS);
      HANDLE child = nullptr;
      ASSERT_EQ(NtCreateProcess(&child, PROCESS_ALL_ACCESS, nullptr, NtCurrentProcess(), 0, section, nullptr, nullptr),
                STATUS_SUCCESS);
      PVOID base = NtMachine::pointer(0xB0000000);
      SIZE_T size = kPage;
      const bool reaches = aware && range == mm::UserRange::kLarge;
      EXPECT_EQ(NtAllocateVirtualMemory(child, &base, 0, &size, MEM_RESERVE, PAGE_READWRITE),
                reaches ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER_2);
      EXPECT_EQ(m.check(), "");
    }
  }
}

}  // namespace
}  // namespace pagoda::nt
