// NtClose, NtDuplicateObject.
#include "pagoda/nt/edge.h"

namespace pagoda::nt {

namespace {

// Pseudo handles name themselves; closing one does nothing, as in NT.
Result<> close(HANDLE handle) {
  auto* const caller = PAGODA_TRY(calling());
  if (handle == NtCurrentProcess() || handle == NtCurrentThread()) return {};
  return caller->process().handles().close(handle_of(handle));
}

struct Duplication {
  HANDLE source_process = nullptr;
  HANDLE source = nullptr;
  HANDLE target_process = nullptr;
  HANDLE* out = nullptr;
  ACCESS_MASK desired = 0;
  ULONG attributes = 0;
  ULONG options = 0;
};

Result<> duplicate(const Duplication& request) {
  auto* const caller = PAGODA_TRY(calling());
  const auto source = PAGODA_TRY(object_from<Process>(*caller, request.source_process, PROCESS_DUP_HANDLE));
  const auto target = PAGODA_TRY(object_from<Process>(*caller, request.target_process, PROCESS_DUP_HANDLE));
  const auto found = PAGODA_TRY(referenced(*caller, *source, request.source));
  PAGODA_TRY(require(!target->is_terminating(), Status::kProcessIsTerminating));
  // There are no security descriptors, but a handle cannot give more than it was given.
  const ObjectType type = found.object->type();
  const AccessMask granted =
      (request.options & DUPLICATE_SAME_ACCESS) != 0 ? found.granted : granted_access(type, request.desired);
  PAGODA_TRY(require((granted & ~found.granted) == 0, Status::kAccessDenied));
  if (request.out != nullptr) {
    *request.out =
        handle_pointer(PAGODA_TRY(target->handles().insert(found.object, granted, inheritance_of(request.attributes))));
  }
  if ((request.options & DUPLICATE_CLOSE_SOURCE) != 0) {
    [[maybe_unused]] const auto closed = source->handles().close(handle_of(request.source), found.object.get());
  }
  return {};
}

}  // namespace
}  // namespace pagoda::nt

NTSTATUS NtClose(HANDLE handle) {
  using namespace pagoda::nt;
  return answer(close(handle));
}

NTSTATUS NtDuplicateObject(HANDLE source_process, HANDLE source, HANDLE target_process, PHANDLE out,
                           ACCESS_MASK desired, ULONG attributes, ULONG options) {
  using namespace pagoda::nt;
  return answer(duplicate({.source_process = source_process,
                           .source = source,
                           .target_process = target_process,
                           .out = out,
                           .desired = desired,
                           .attributes = attributes,
                           .options = options}));
}
