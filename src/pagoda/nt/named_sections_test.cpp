// Sections by their names: created, opened, found with and without regard to case, gone with their last handle.
#include <gtest/gtest.h>

#include <string>

#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt {
namespace {

using testing::NtMachine;

constexpr LONGLONG kSize = 0x1000;

NTSTATUS named(HANDLE& out, std::u16string name, bool creates, ULONG attribute_bits = 0) {
  UNICODE_STRING string{static_cast<USHORT>(name.size() * 2), static_cast<USHORT>(name.size() * 2), name.data()};
  OBJECT_ATTRIBUTES attributes{
      .Length = sizeof(OBJECT_ATTRIBUTES), .ObjectName = &string, .Attributes = attribute_bits};
  LARGE_INTEGER size{};
  size.QuadPart = kSize;
  return creates ? NtCreateSection(&out, SECTION_ALL_ACCESS, &attributes, &size, PAGE_READWRITE, SEC_COMMIT, nullptr)
                 : NtOpenSection(&out, SECTION_MAP_READ, &attributes);
}

std::uint64_t map(HANDLE section, ULONG protect = PAGE_READWRITE) {
  PVOID base = nullptr;
  SIZE_T size = 0;
  PAGODA_CHECK_EQ(NtMapViewOfSection(section, NtCurrentProcess(), &base, 0, 0, nullptr, &size, ViewUnmap, 0, protect),
                  STATUS_SUCCESS);
  return bits_of(base);
}

TEST(NamedSections, AreFoundWhileAHandleIsOpen) {
  NtMachine m;
  const auto before = m.totals();
  HANDLE first = nullptr;
  HANDLE second = nullptr;
  EXPECT_EQ(named(second, u"\\BaseNamedObjects\\Shared", false), STATUS_OBJECT_NAME_NOT_FOUND);
  ASSERT_EQ(named(first, u"\\BaseNamedObjects\\Shared", true), STATUS_SUCCESS);
  EXPECT_EQ(named(second, u"\\BaseNamedObjects\\Shared", true), STATUS_OBJECT_NAME_COLLISION);
  EXPECT_EQ(named(second, u"no root", false), STATUS_OBJECT_NAME_INVALID);
  EXPECT_EQ(named(second, u"", false), STATUS_OBJECT_NAME_INVALID);
  EXPECT_EQ(second, nullptr);
  ASSERT_EQ(named(second, u"\\BaseNamedObjects\\Shared", false), STATUS_SUCCESS);
  // The handle grants what was asked for.
  PVOID base = nullptr;
  SIZE_T size = 0;
  EXPECT_EQ(NtMapViewOfSection(second, NtCurrentProcess(), &base, 0, 0, nullptr, &size, ViewUnmap, 0, PAGE_READWRITE),
            STATUS_ACCESS_DENIED);
  const std::uint64_t writer = map(first);
  const std::uint64_t reader = map(second, PAGE_READONLY);
  std::uint64_t value = 0;
  EXPECT_EQ(NtMachine::put(writer, 123), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::get(reader, value), STATUS_SUCCESS);
  EXPECT_EQ(value, 123U);
  HANDLE third = nullptr;
  EXPECT_EQ(named(third, u"\\BaseNamedObjects\\Shared", true, OBJ_OPENIF), STATUS_OBJECT_NAME_EXISTS);
  for (const HANDLE handle : {first, second, third}) EXPECT_EQ(NtClose(handle), STATUS_SUCCESS);
  EXPECT_EQ(named(third, u"\\BaseNamedObjects\\Shared", false), STATUS_OBJECT_NAME_NOT_FOUND);
  // Views keep the memory.
  EXPECT_EQ(NtMachine::get(reader, value), STATUS_SUCCESS);
  EXPECT_EQ(m.check(), "");
  EXPECT_EQ(NtUnmapViewOfSection(NtCurrentProcess(), NtMachine::pointer(reader + 5)), STATUS_SUCCESS);
  EXPECT_EQ(NtUnmapViewOfSection(NtCurrentProcess(), NtMachine::pointer(writer)), STATUS_SUCCESS);
  EXPECT_EQ(m.totals(), before);
}

TEST(NamedSections, AreFoundWithoutRegardToCaseIfTheAttributesSaySo) {
  NtMachine m;
  const auto before = m.totals();
  HANDLE first = nullptr;
  HANDLE second = nullptr;
  HANDLE other = nullptr;
  ASSERT_EQ(named(first, u"\\Shared", true), STATUS_SUCCESS);
  EXPECT_EQ(named(other, u"\\SHARED", false), STATUS_OBJECT_NAME_NOT_FOUND);
  EXPECT_EQ(named(other, u"\\SHARED", true, OBJ_CASE_INSENSITIVE), STATUS_OBJECT_NAME_COLLISION);
  EXPECT_EQ(other, nullptr);
  ASSERT_EQ(named(second, u"\\SHARED", false, OBJ_CASE_INSENSITIVE), STATUS_SUCCESS);
  const std::uint64_t writer = map(first);
  const std::uint64_t reader = map(second, PAGE_READONLY);
  std::uint64_t value = 0;
  EXPECT_EQ(NtMachine::put(writer, 123), STATUS_SUCCESS);
  EXPECT_EQ(NtMachine::get(reader, value), STATUS_SUCCESS);
  EXPECT_EQ(value, 123U);
  HANDLE third = nullptr;
  EXPECT_EQ(named(third, u"\\SHARED", true, OBJ_OPENIF | OBJ_CASE_INSENSITIVE), STATUS_OBJECT_NAME_EXISTS);
  // Where case counts, it is the name of another section.
  ASSERT_EQ(named(other, u"\\SHARED", true, OBJ_OPENIF), STATUS_SUCCESS);
  const std::uint64_t alone = map(other);
  EXPECT_EQ(NtMachine::get(alone, value), STATUS_SUCCESS);
  EXPECT_EQ(value, 0U);
  EXPECT_EQ(m.check(), "");
  for (const std::uint64_t view : {writer, reader, alone})
    EXPECT_EQ(NtUnmapViewOfSection(NtCurrentProcess(), NtMachine::pointer(view)), STATUS_SUCCESS);
  for (const HANDLE handle : {first, second, third, other}) EXPECT_EQ(NtClose(handle), STATUS_SUCCESS);
  EXPECT_EQ(m.totals(), before);
}

}  // namespace
}  // namespace pagoda::nt
