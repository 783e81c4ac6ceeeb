// Objects, handles and names: how user code holds on to processes, threads, sections and files. NT: Ob.
//
//   handle --(table of a process)--> object, with the rights that the handle was given
//   name ---(one namespace)--------> object with at least one handle
//
// An object lives as long as a shared_ptr to it: handles hold one, and so does whatever uses the object meanwhile.
//
// Invariants:
//   [OB1] Handles are multiples of 4, not zero; the two low bits of a handle that a caller passes do not count.
//   [OB2] An object counts its handles, and the calls that are about to give one out (ObjectUse); the end of the last
//         one removes its name.
//   [OB3] A table that was closed stays empty.
// Locking: each handle table and the namespace have a lock of their own, ranked before all of mm's; never two at a
// time, and nothing is called under them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pagoda/base/lock.h"
#include "pagoda/base/status.h"

namespace pagoda::nt {

enum class ObjectType : std::uint8_t { kProcess, kThread, kSection, kFile };

// What a handle may be used for, bit by bit. NT: ACCESS_MASK.
using AccessMask = std::uint32_t;

namespace access_rights {
inline constexpr AccessMask kMaximumAllowed = 0x02000000;
inline constexpr AccessMask kGenericAll = 0x10000000;
inline constexpr AccessMask kGenericExecute = 0x20000000;
inline constexpr AccessMask kGenericWrite = 0x40000000;
inline constexpr AccessMask kGenericRead = 0x80000000;
}  // namespace access_rights

// What the generic rights mean for a type. NT: GENERIC_MAPPING.
struct GenericMapping {
  AccessMask read = 0;
  AccessMask write = 0;
  AccessMask execute = 0;
  AccessMask all = 0;
};
[[nodiscard]] const GenericMapping& generic_mapping(ObjectType type);
// The rights that a request for `desired` is given: there are no security descriptors, so all of them.
[[nodiscard]] AccessMask granted_access(ObjectType type, AccessMask desired);

class Namespace;

class Object {
 public:
  virtual ~Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  [[nodiscard]] ObjectType type() const { return type_; }

 protected:
  explicit Object(ObjectType type) : type_(type) {}

 private:
  friend class HandleTable;
  friend class Namespace;
  friend class ObjectUse;

  void add_handle() { ++handles_; }
  void drop_handle();

  const ObjectType type_;
  std::atomic<std::uint32_t> handles_ = 0;  // And ObjectUses.
  Namespace* names_ = nullptr;              // That knows it; set before others see the object.
  std::u16string key_;                      // There: without case.
};

// Counts like a handle while it lives: between the object's being found or named and its new handle it keeps its name.
class ObjectUse {
 public:
  explicit ObjectUse(std::shared_ptr<Object> object) : object_(std::move(object)) { object_->add_handle(); }
  ObjectUse(ObjectUse&&) = default;
  ObjectUse& operator=(ObjectUse&&) = delete;
  ~ObjectUse() {
    if (object_ != nullptr) object_->drop_handle();
  }

  [[nodiscard]] const std::shared_ptr<Object>& object() const { return object_; }

 private:
  std::shared_ptr<Object> object_;
};

using Handle = std::uint64_t;

// The handles of one process.
class HandleTable {
 public:
  HandleTable();
  HandleTable(const HandleTable&) = delete;
  HandleTable& operator=(const HandleTable&) = delete;
  ~HandleTable();

  // Whether a child process may be given the handle, too. NT: OBJ_INHERIT.
  enum class Inheritance : std::uint8_t { kNo, kYes };
  // Fails with: kProcessIsTerminating (the table was closed).
  Result<Handle> insert(std::shared_ptr<Object> object, AccessMask granted, Inheritance inheritance = Inheritance::kNo);
  // A new process's table gets its parent's handles that may be inherited, with their numbers.
  void inherit(const HandleTable& parent);
  struct Referenced {
    std::shared_ptr<Object> object;
    AccessMask granted = 0;

    // The object, if it is one of the type and the handle grants what is needed.
    // Fails with: kObjectTypeMismatch, kAccessDenied, in this order.
    [[nodiscard]] Result<std::shared_ptr<Object>> as(ObjectType type, AccessMask needed) const;
  };
  // An object of any type. Fails with: kInvalidHandle.
  Result<Referenced> reference(Handle handle) const;
  // Fails with: kInvalidHandle (also, if an object is named, where the handle refers to another).
  Result<> close(Handle handle, const Object* expected = nullptr);
  // For good: its process ends.
  void close_all();
  [[nodiscard]] std::size_t size() const;

 private:
  struct Entry {
    std::shared_ptr<Object> object;  // None: the entry is free.
    AccessMask granted = 0;
    Inheritance inheritance = Inheritance::kNo;
  };
  // The index of a handle's entry.
  static std::size_t index_of(Handle handle);

  mutable Lock lock_;
  std::vector<Entry> entries_ PAGODA_GUARDED_BY(lock_);
  std::vector<std::size_t> free_ PAGODA_GUARDED_BY(lock_);
  bool closed_ PAGODA_GUARDED_BY(lock_) = false;
};

// The names of a kernel's objects. There are no directories: a whole path is one name. Who looks for a name says
// whether case counts; names that differ by nothing else are different.
class Namespace {
 public:
  enum class Case : std::uint8_t { kCounts, kIgnored };  // The latter: OBJ_CASE_INSENSITIVE.

  Namespace();

  // Gives a new object a name that nothing has that `find` would find. Requires: an ObjectUse of it.
  // Fails with: kObjectNameCollision.
  Result<> add(const std::shared_ptr<Object>& object, const std::u16string& name, Case rule);
  // Of several that differ in case alone, the one that was named last.
  // Fails with: kObjectNameNotFound or kObjectTypeMismatch.
  Result<ObjectUse> find(const std::u16string& name, ObjectType type, Case rule) const;
  // Takes the object's name away, if no handle to it is left, nor a use.
  void remove_unused(const Object& object);
  [[nodiscard]] std::size_t size() const;

 private:
  struct Named {
    std::u16string name;
    std::weak_ptr<Object> object;
  };
  // Null: there is none.
  std::shared_ptr<Object> look_up(const std::u16string& name, Case rule) const PAGODA_REQUIRES(lock_);

  mutable Lock lock_;
  // By their names without case; among equals, in the order in which they were named.
  std::multimap<std::u16string, Named> objects_ PAGODA_GUARDED_BY(lock_);
};

}  // namespace pagoda::nt
