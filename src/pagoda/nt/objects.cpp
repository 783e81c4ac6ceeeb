#include "pagoda/nt/objects.h"

#include <iterator>
#include <optional>
#include <utility>

#include "pagoda/nt/unicode.h"

namespace pagoda::nt {

namespace {

// READ_CONTROL and SYNCHRONIZE, which every generic right includes; the other standard rights. Source: Microsoft's
// public documentation of ACCESS_MASK and of each type's rights.
constexpr AccessMask kReadControl = 0x00020000;
constexpr AccessMask kSynchronize = 0x00100000;
constexpr AccessMask kStandardRightsRequired = 0x000F0000;
constexpr AccessMask kQueryInformation = 0x400;  // Of a process.
constexpr AccessMask kQueryLimitedInformation = 0x1000;

constexpr GenericMapping kProcessMapping{.read = kReadControl | 0x410,
                                         .write = kReadControl | 0xBEB,
                                         .execute = kReadControl | kSynchronize,
                                         .all = 0x1F1FFF};
constexpr GenericMapping kThreadMapping{
    .read = kReadControl | 0x48, .write = kReadControl | 0x37, .execute = kReadControl | kSynchronize, .all = 0x1F03FF};
constexpr GenericMapping kSectionMapping{.read = kReadControl | 0x5,
                                         .write = kReadControl | 0x2,
                                         .execute = kReadControl | 0x8,
                                         .all = kStandardRightsRequired | 0x1F};
constexpr GenericMapping kFileMapping{.read = kReadControl | kSynchronize | 0x89,
                                      .write = kReadControl | kSynchronize | 0x116,
                                      .execute = kReadControl | kSynchronize | 0xA0,
                                      .all = 0x1F01FF};

constexpr Handle kHandleStep = 4;

}  // namespace

const GenericMapping& generic_mapping(ObjectType type) {
  switch (type) {
    case ObjectType::kProcess:
      return kProcessMapping;
    case ObjectType::kThread:
      return kThreadMapping;
    case ObjectType::kSection:
      return kSectionMapping;
    case ObjectType::kFile:
      break;
  }
  return kFileMapping;
}

AccessMask granted_access(ObjectType type, AccessMask desired) {
  const GenericMapping& mapping = generic_mapping(type);
  AccessMask granted = desired & ~(access_rights::kGenericAll | access_rights::kGenericExecute |
                                   access_rights::kGenericWrite | access_rights::kGenericRead);
  if ((desired & access_rights::kGenericRead) != 0) granted |= mapping.read;
  if ((desired & access_rights::kGenericWrite) != 0) granted |= mapping.write;
  if ((desired & access_rights::kGenericExecute) != 0) granted |= mapping.execute;
  if ((desired & (access_rights::kGenericAll | access_rights::kMaximumAllowed)) != 0) granted |= mapping.all;
  // Who may ask for everything may ask for the little that PROCESS_QUERY_LIMITED_INFORMATION allows.
  if (type == ObjectType::kProcess && (granted & kQueryInformation) != 0) granted |= kQueryLimitedInformation;
  return granted & mapping.all;
}

// The last shared_ptr deletes the object itself, outside of all locks.
void Object::drop_handle() {
  if (--handles_ == 0 && names_ != nullptr) names_->remove_unused(*this);
}

HandleTable::HandleTable() : lock_(LockRank(LockClass::kObjects, 0)) {}

HandleTable::~HandleTable() { close_all(); }

std::size_t HandleTable::index_of(Handle handle) {
  return static_cast<std::size_t>(handle / kHandleStep) - 1;  // Handle 0 gives an index that no table has.
}

Result<Handle> HandleTable::insert(std::shared_ptr<Object> object, AccessMask granted, Inheritance inheritance) {
  const ObjectUse use(object);  // Should it be refused, its name goes after the lock.
  const LockGuard guard(lock_);
  if (closed_) return fail(Status::kProcessIsTerminating);
  object->add_handle();
  std::size_t index = entries_.size();
  if (free_.empty()) {
    entries_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  entries_[index] = {std::move(object), granted, inheritance};
  return (index + 1) * kHandleStep;
}

void HandleTable::inherit(const HandleTable& parent) {
  std::vector<Entry> inherited;
  std::vector<std::size_t> gaps;
  {
    const LockGuard guard(parent.lock_);
    for (const Entry& entry : parent.entries_) {
      const bool passes = entry.object != nullptr && entry.inheritance == Inheritance::kYes;
      // Counted while the parent's handle keeps the name.
      if (passes) entry.object->add_handle();
      if (!passes) gaps.push_back(inherited.size());
      inherited.push_back(passes ? entry : Entry{});
    }
  }
  const LockGuard guard(lock_);
  PAGODA_CHECK(entries_.empty() && !closed_);
  entries_ = std::move(inherited);
  free_ = std::move(gaps);
}

Result<HandleTable::Referenced> HandleTable::reference(Handle handle) const {
  const LockGuard guard(lock_);
  const std::size_t index = index_of(handle);
  if (index >= entries_.size() || entries_[index].object == nullptr) return fail(Status::kInvalidHandle);
  return Referenced{entries_[index].object, entries_[index].granted};
}

Result<std::shared_ptr<Object>> HandleTable::Referenced::as(ObjectType type, AccessMask needed) const {
  if (object->type() != type) return fail(Status::kObjectTypeMismatch);
  if ((needed & ~granted) != 0) return fail(Status::kAccessDenied);
  return object;
}

Result<> HandleTable::close(Handle handle, const Object* expected) {
  Entry closed;
  {
    const LockGuard guard(lock_);
    const std::size_t index = index_of(handle);
    if (index >= entries_.size() || entries_[index].object == nullptr) return fail(Status::kInvalidHandle);
    if (expected != nullptr && entries_[index].object.get() != expected) return fail(Status::kInvalidHandle);
    closed = std::exchange(entries_[index], {});
    free_.push_back(index);
  }
  closed.object->drop_handle();
  return {};
}

void HandleTable::close_all() {
  std::vector<Entry> closed;
  {
    const LockGuard guard(lock_);
    closed = std::exchange(entries_, {});
    free_.clear();
    closed_ = true;
  }
  for (const Entry& entry : closed)
    if (entry.object != nullptr) entry.object->drop_handle();
}

std::size_t HandleTable::size() const {
  const LockGuard guard(lock_);
  return entries_.size() - free_.size();
}

Namespace::Namespace() : lock_(LockRank(LockClass::kObjects, 0)) {}

std::shared_ptr<Object> Namespace::look_up(const std::u16string& name, Case rule) const {
  const auto [begin, end] = objects_.equal_range(folded(name));
  std::shared_ptr<Object> newest;
  for (auto entry = begin; entry != end; ++entry) {
    if (rule == Case::kCounts && entry->second.name != name) continue;
    if (auto object = entry->second.object.lock()) newest = std::move(object);
  }
  return newest;
}

Result<> Namespace::add(const std::shared_ptr<Object>& object, const std::u16string& name, Case rule) {
  const LockGuard guard(lock_);
  if (look_up(name, rule) != nullptr) return fail(Status::kObjectNameCollision);
  const auto entry = objects_.insert({folded(name), {name, object}});
  object->names_ = this;
  object->key_ = entry->first;
  return {};
}

Result<ObjectUse> Namespace::find(const std::u16string& name, ObjectType type, Case rule) const {
  std::optional<ObjectUse> use;
  {
    const LockGuard guard(lock_);
    if (auto object = look_up(name, rule)) use.emplace(std::move(object));
  }
  if (!use) return fail(Status::kObjectNameNotFound);
  if (use->object()->type() != type) return fail(Status::kObjectTypeMismatch);
  return std::move(*use);
}

void Namespace::remove_unused(const Object& object) {
  const LockGuard guard(lock_);
  if (object.handles_ != 0) return;  // It was opened by name meanwhile.
  const auto [begin, end] = objects_.equal_range(object.key_);
  for (auto entry = begin; entry != end;) {
    const auto named = entry->second.object.lock();
    entry = named == nullptr || named.get() == &object ? objects_.erase(entry) : std::next(entry);
  }
}

std::size_t Namespace::size() const {
  const LockGuard guard(lock_);
  return objects_.size();
}

}  // namespace pagoda::nt
