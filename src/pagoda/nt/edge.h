// What every Nt* call does at its edge: find out who calls, look at parameters in NT's order, resolve handles, and turn
// what comes back into an NTSTATUS.
//
// A call is written as a function that returns Result<>, with PAGODA_TRY for each check, and wrapped by `answer`. It
// writes through its caller's pointers only at its end.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "pagoda/mm/pte/protection.h"
#include "pagoda/nt.h"
#include "pagoda/nt/caller.h"

namespace pagoda::nt {

// --- Results ---
constexpr NTSTATUS nt_status(Status status) { return static_cast<NTSTATUS>(status); }
template <class T>
constexpr NTSTATUS answer(const Result<T>& result) {
  return result ? STATUS_SUCCESS : nt_status(result.error());
}
// Fails unless the condition holds.
constexpr Result<> require(bool condition, Status otherwise) {
  if (condition) return {};
  return fail(otherwise);
}
// NT probes; here a null pointer is what can be told from a good one.
template <class... Pointers>
constexpr Result<> probe(const Pointers*... pointers) {
  return require(((pointers != nullptr) && ...), Status::kAccessViolation);
}

// Of a caller's buffer for an information class: fails with kInfoLengthMismatch unless it `fits`, and then says how many
// bytes are needed, where the caller wants to know.
template <class Length>
constexpr Result<> require_length(bool fits, Length needed, Length* told) {
  if (!fits && told != nullptr) *told = needed;
  return require(fits, Status::kInfoLengthMismatch);
}

// More than any array of a caller's has.
inline constexpr ULONG_PTR kAbsurdCount = std::numeric_limits<ULONG_PTR>::max() / sizeof(ULONG_PTR);

// Whether a caller's flags have any of the bits.
constexpr bool has(ULONG flags, ULONG bits) { return (flags & bits) != 0; }

// --- Addresses ---
inline std::uint64_t bits_of(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }
inline VirtualAddress address_of(const void* pointer) { return VirtualAddress(bits_of(pointer)); }
inline void* pointer_to(VirtualAddress address) { return reinterpret_cast<void*>(address.value()); }
inline Handle handle_of(HANDLE handle) { return bits_of(handle); }
inline HANDLE handle_pointer(Handle handle) { return reinterpret_cast<HANDLE>(handle); }

// --- Who calls ---
// Fails with: kInvalidHandle (a thread that is in no kernel has no handles).
inline Result<Caller*> calling() {
  Caller* const caller = Caller::current();
  if (caller == nullptr) return fail(Status::kInvalidHandle);
  return caller;
}

// --- Handles ---
// A process and its space, kept for the length of the call.
struct Target {
  std::shared_ptr<Process> process;
  SpaceUse use;

  [[nodiscard]] mm::ProcessSpace& space() const { return use.space(); }
};
// What a handle of the process refers to. The pseudo handles are the caller's own in every process, and are allowed
// everything: NtCurrentProcess() its process, NtCurrentThread() its thread.
// Fails with: kInvalidHandle (also for the thread of a caller that runs as none).
Result<HandleTable::Referenced> referenced(const Caller& caller, const Process& process, HANDLE handle);
// The same of the caller's process, for an object of the type.
// Fails with: kInvalidHandle, kObjectTypeMismatch, kAccessDenied, in this order.
Result<std::shared_ptr<Object>> referenced(const Caller& caller, HANDLE handle, ObjectType type, AccessMask needed);
template <class T>
Result<std::shared_ptr<T>> object_from(const Caller& caller, HANDLE handle, AccessMask needed) {
  return std::static_pointer_cast<T>(PAGODA_TRY(referenced(caller, handle, T::kType, needed)));
}
// A process with its space.
// Fails with: what object_from says, kProcessIsTerminating.
Result<Target> target_process(const Caller& caller, HANDLE handle, AccessMask needed);
// What a handle's attributes (OBJ_) say; null: none were given.
HandleTable::Inheritance inheritance_of(ULONG attributes);
HandleTable::Inheritance inheritance_of(const OBJECT_ATTRIBUTES* attributes);
Namespace::Case case_of(const OBJECT_ATTRIBUTES* attributes);
// A new handle of the caller's process, written to `out`.
// Fails with: kProcessIsTerminating.
Result<> give_handle(const Caller& caller, std::shared_ptr<Object> object, AccessMask desired,
                     HandleTable::Inheritance inheritance, HANDLE* out);

// --- Ranges (reference/nt.md section 7) ---
// Pages that a caller's base and size name; size zero is refused by `pages_covering`.
inline VirtualAddress page_start(VpnRange pages) { return VirtualAddress(pages.first); }
inline SIZE_T byte_size(VpnRange pages) { return bytes_of(pages.count).value(); }
// Whether a range that begins at or below `highest` ends there too. One of no size does.
inline bool ends_by(VirtualAddress base, ByteCount size, VirtualAddress highest) {
  return size.is_zero() || size.value() - 1 <= (highest - base).value();
}
// The highest address at which a region of any process of the kernel may lie. NT: MM_HIGHEST_VAD_ADDRESS, which does
// not ask whose space it is; under /3GB, the space itself has the last word.
VirtualAddress highest_vad_address(const Caller& caller);
VirtualAddress highest_user_address(const Caller& caller);
// The whole region that holds the address.
std::optional<VpnRange> region_at(mm::ProcessSpace& space, VirtualAddress address);

}  // namespace pagoda::nt
