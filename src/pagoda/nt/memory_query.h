// What the classes of NtQueryVirtualMemory have in common. Each looks at its parameters in NT's order, which is not the
// same for all. Source: reference/nt.md 7.4.
#pragma once

#include <cstring>

#include "pagoda/nt/edge.h"

namespace pagoda::nt {

struct MemoryQuery {
  HANDLE process = nullptr;
  VirtualAddress address;
  PVOID out = nullptr;
  SIZE_T size = 0;
  SIZE_T* written = nullptr;  // May be null.
};

// Writes as much of the record as the caller's version of it has.
template <class Record>
Result<> give(const Record& record, const MemoryQuery& query, SIZE_T size = sizeof(Record)) {
  std::memcpy(query.out, &record, size);
  if (query.written != nullptr) *query.written = size;
  return {};
}

// Classes 1 and 4: the working set as a list, and what it has at given addresses.
// Fails with: kInfoLengthMismatch, kAccessViolation, and what target_process says.
Result<> query_working_set(const Caller& caller, const MemoryQuery& query);
Result<> query_working_set_ex(const Caller& caller, const MemoryQuery& query);

}  // namespace pagoda::nt
