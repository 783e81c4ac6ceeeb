// Handles, rights, names, privileges.
#include "pagoda/nt/objects.h"

#include <gtest/gtest.h>

#include "pagoda/nt/testing/nt_machine.h"
#include "pagoda/nt/unicode.h"

namespace pagoda::nt {
namespace {

using testing::NtMachine;
using Case = Namespace::Case;

class Thing : public Object {
 public:
  explicit Thing(ObjectType type = ObjectType::kSection) : Object(type) {}
};

TEST(HandleTable, HandlesAreMultiplesOfFourAndUsedAgain) {
  HandleTable table;
  const Handle first = *table.insert(std::make_shared<Thing>(), 1);
  const Handle second = *table.insert(std::make_shared<Thing>(), 1);
  EXPECT_EQ(first, 4U);
  EXPECT_EQ(second, 8U);
  EXPECT_TRUE(table.close(first));
  EXPECT_EQ(table.insert(std::make_shared<Thing>(), 1), first);
  EXPECT_EQ(table.size(), 2U);
}

TEST(HandleTable, LooksAtHandleThenTypeThenRights) {
  HandleTable table;
  const Handle handle = *table.insert(std::make_shared<Thing>(ObjectType::kFile), 0x3);
  for (const Handle none : {Handle{0}, handle + 4, ~Handle{0}})
    EXPECT_EQ(table.reference(none).error(), Status::kInvalidHandle);
  const auto found = table.reference(handle);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->as(ObjectType::kSection, 4).error(), Status::kObjectTypeMismatch);
  EXPECT_EQ(found->as(ObjectType::kFile, 4).error(), Status::kAccessDenied);
  EXPECT_TRUE(found->as(ObjectType::kFile, 3));
  EXPECT_TRUE(table.reference(handle + 3));  // The low two bits do not count.
  EXPECT_TRUE(table.close(handle));
  EXPECT_EQ(table.close(handle).error(), Status::kInvalidHandle);
}

TEST(HandleTable, ObjectLivesUntilTheLastReference) {
  HandleTable table;
  auto thing = std::make_shared<Thing>();
  const std::weak_ptr<Thing> alive = thing;
  const Handle first = *table.insert(thing, 1);
  const Handle second = *table.insert(std::move(thing), 1);
  EXPECT_TRUE(table.close(first));
  auto held = table.reference(second);
  EXPECT_TRUE(table.close(second));
  EXPECT_FALSE(alive.expired());
  held = fail(Status::kInvalidHandle);
  EXPECT_TRUE(alive.expired());
}

TEST(HandleTable, StaysEmptyOnceItIsClosed) {
  HandleTable table;
  auto thing = std::make_shared<Thing>();
  const std::weak_ptr<Thing> alive = thing;
  ASSERT_TRUE(table.insert(thing, 1));
  table.close_all();
  EXPECT_EQ(table.insert(std::move(thing), 1).error(), Status::kProcessIsTerminating);
  EXPECT_EQ(table.size(), 0U);
  EXPECT_TRUE(alive.expired());
}

TEST(HandleTable, ClosesAHandleOnlyIfItIsWhatItWas) {
  HandleTable table;
  const auto thing = std::make_shared<Thing>();
  const auto other = std::make_shared<Thing>();
  const Handle handle = *table.insert(thing, 1);
  EXPECT_EQ(table.close(handle, other.get()).error(), Status::kInvalidHandle);
  EXPECT_TRUE(table.close(handle, thing.get()));
}

// Another thread closes the last handle between the object's being found by its name and its getting a new one.
TEST(Namespace, AnObjectThatIsBeingOpenedKeepsItsName) {
  Namespace names;
  HandleTable table;
  const auto thing = std::make_shared<Thing>();
  auto made = std::make_unique<ObjectUse>(thing);
  ASSERT_TRUE(names.add(thing, u"\\name", Case::kCounts));
  const Handle first = *table.insert(thing, 1);
  made.reset();
  {
    const auto found = names.find(u"\\name", ObjectType::kSection, Case::kCounts);
    ASSERT_TRUE(table.close(first));
    ASSERT_TRUE(table.insert(found->object(), 1));
  }
  EXPECT_TRUE(names.find(u"\\name", ObjectType::kSection, Case::kCounts));
}

TEST(Namespace, NamesGoWithTheLastHandle) {
  Namespace names;
  HandleTable table;
  auto thing = std::make_shared<Thing>();
  const auto handle = [&] {
    const ObjectUse use(thing);
    EXPECT_TRUE(names.add(thing, u"\\BaseNamedObjects\\Größe", Case::kCounts));
    return *table.insert(thing, 1);
  }();
  EXPECT_EQ(names.find(u"\\BaseNamedObjects\\Größe", ObjectType::kFile, Case::kCounts).error(),
            Status::kObjectTypeMismatch);
  EXPECT_TRUE(table.close(handle));
  // The object is still referenced, but its name is free.
  EXPECT_EQ(names.find(u"\\BaseNamedObjects\\Größe", ObjectType::kSection, Case::kCounts).error(),
            Status::kObjectNameNotFound);
  EXPECT_EQ(names.size(), 0U);
  EXPECT_TRUE(names.add(std::make_shared<Thing>(), u"\\BaseNamedObjects\\Größe", Case::kCounts));
}

TEST(Namespace, WhoAsksSaysWhetherCaseCounts) {
  Namespace names;
  HandleTable table;
  const auto named = [&](const std::u16string& name, Case rule) -> Result<std::shared_ptr<Thing>> {
    const auto thing = std::make_shared<Thing>();
    const ObjectUse use(thing);
    PAGODA_TRY(names.add(thing, name, rule));
    static_cast<void>(PAGODA_TRY(table.insert(thing, 1)));
    return thing;
  };
  const auto found = [&](const std::u16string& name, Case rule) -> Result<std::shared_ptr<Object>> {
    return PAGODA_TRY(names.find(name, ObjectType::kSection, rule)).object();
  };
  const auto first = named(u"\\Größe", Case::kCounts);
  ASSERT_TRUE(first);
  EXPECT_EQ(found(u"\\Größe", Case::kCounts), *first);
  EXPECT_EQ(found(u"\\GRÖßE", Case::kCounts).error(), Status::kObjectNameNotFound);
  EXPECT_EQ(found(u"\\GRÖßE", Case::kIgnored), *first);
  EXPECT_EQ(found(u"\\Große", Case::kIgnored).error(), Status::kObjectNameNotFound);
  EXPECT_EQ(named(u"\\größe", Case::kIgnored).error(), Status::kObjectNameCollision);
  EXPECT_EQ(named(u"\\Größe", Case::kCounts).error(), Status::kObjectNameCollision);
  // Another name, where case counts; where it does not, the newer one is found.
  const auto second = named(u"\\größe", Case::kCounts);
  ASSERT_TRUE(second);
  EXPECT_EQ(names.size(), 2U);
  EXPECT_EQ(found(u"\\Größe", Case::kCounts), *first);
  EXPECT_EQ(found(u"\\größe", Case::kCounts), *second);
  EXPECT_EQ(found(u"\\GRÖßE", Case::kIgnored), *second);
  // Each goes alone.
  EXPECT_TRUE(table.close(4));
  EXPECT_EQ(names.size(), 1U);
  EXPECT_EQ(found(u"\\Größe", Case::kCounts).error(), Status::kObjectNameNotFound);
  EXPECT_EQ(found(u"\\Größe", Case::kIgnored), *second);
  EXPECT_TRUE(table.close(8));
  EXPECT_EQ(names.size(), 0U);
}

TEST(GrantedAccess, GenericRightsAreMappedByType) {
  EXPECT_EQ(granted_access(ObjectType::kSection, GENERIC_READ), READ_CONTROL | SECTION_QUERY | SECTION_MAP_READ);
  EXPECT_EQ(granted_access(ObjectType::kSection, MAXIMUM_ALLOWED), SECTION_ALL_ACCESS);
  EXPECT_EQ(granted_access(ObjectType::kProcess, PROCESS_VM_READ), PROCESS_VM_READ);
  EXPECT_EQ(granted_access(ObjectType::kFile, GENERIC_ALL), FILE_ALL_ACCESS);
}

TEST(Unicode, RoundTripsAndRefusesLoneSurrogates) {
  EXPECT_EQ(to_utf16("a€😀"), u"a€😀");
  EXPECT_EQ(to_utf8(u"a€😀"), "a€😀");
  EXPECT_EQ(to_utf8(std::u16string(1, char16_t{0xD800})), std::nullopt);
  EXPECT_EQ(to_utf8(std::u16string(1, char16_t{0xDC00})), std::nullopt);
}

TEST(Unicode, ChecksObjectAttributes) {
  std::u16string text = u"\\Name";
  const auto of = [&](USHORT bytes) {
    return UNICODE_STRING{bytes, static_cast<USHORT>(text.size() * 2), text.data()};
  };
  UNICODE_STRING name = of(10);
  OBJECT_ATTRIBUTES attributes{.Length = sizeof(OBJECT_ATTRIBUTES), .ObjectName = &name};
  EXPECT_EQ(captured_name(&attributes)->value(), u"\\Name");
  EXPECT_EQ(captured_name(nullptr).value(), std::nullopt);
  name = of(0);
  EXPECT_EQ(captured_name(&attributes).value(), std::nullopt);
  name = of(9);
  EXPECT_EQ(captured_name(&attributes).error(), Status::kObjectNameInvalid);
  name = of(12);
  EXPECT_EQ(captured_name(&attributes).error(), Status::kObjectNameInvalid);
  name = of(2);  // "\" alone.
  EXPECT_EQ(captured_name(&attributes).error(), Status::kObjectNameInvalid);
  text[0] = u'N';
  name = of(10);
  EXPECT_EQ(captured_name(&attributes).error(), Status::kObjectNameInvalid);
  attributes.Length = 8;
  EXPECT_EQ(captured_name(&attributes).error(), Status::kInvalidParameter);
}

TEST(NtDuplicateObject, GivesNoMoreThanTheSourceHas) {
  NtMachine m;
  const auto before = m.totals();
  const HANDLE child = m.create_process();
  const HANDLE reader = m.with_access(child, PROCESS_VM_READ);
  HANDLE out = nullptr;
  EXPECT_EQ(NtDuplicateObject(NtCurrentProcess(), reader, NtCurrentProcess(), &out, PROCESS_VM_WRITE, 0, 0),
            STATUS_ACCESS_DENIED);
  EXPECT_EQ(NtDuplicateObject(NtCurrentProcess(), NtMachine::bad_handle(), NtCurrentProcess(), &out, 0, 0, 0),
            STATUS_INVALID_HANDLE);
  EXPECT_EQ(NtDuplicateObject(reader, reader, NtCurrentProcess(), &out, 0, 0, 0), STATUS_ACCESS_DENIED);
  EXPECT_EQ(out, nullptr);
  // A handle of the child to itself, used by the child.
  ASSERT_EQ(
      NtDuplicateObject(NtCurrentProcess(), child, child, &out, 0, 0, DUPLICATE_SAME_ACCESS | DUPLICATE_CLOSE_SOURCE),
      STATUS_SUCCESS);
  EXPECT_EQ(NtClose(child), STATUS_INVALID_HANDLE);
  // The child's handle to itself keeps it; ending it lets go.
  EXPECT_EQ(NtClose(reader), STATUS_SUCCESS);
  EXPECT_EQ(m.totals().spaces, before.spaces + 1);
}

TEST(NtClose, PseudoHandlesCannotBeClosed) {
  const NtMachine m;
  EXPECT_EQ(NtClose(NtCurrentProcess()), STATUS_SUCCESS);
  EXPECT_EQ(NtClose(NtCurrentThread()), STATUS_SUCCESS);
  EXPECT_EQ(NtClose(nullptr), STATUS_INVALID_HANDLE);
  EXPECT_EQ(NtClose(NtMachine::bad_handle()), STATUS_INVALID_HANDLE);
}

}  // namespace
}  // namespace pagoda::nt
