// Ending processes, and threads: NtTerminateProcess and Pagoda's own calls. Making processes: create_process.cpp.
#include "pagoda/nt/edge.h"

namespace pagoda::nt {

namespace {

// A process that ends itself goes on running here until its threads detach; its handles are gone at once.
Result<> terminate_process(HANDLE handle) {
  const auto caller = calling();
  if (!caller) return fail(caller.error());
  // NT: no handle means the caller's own process.
  const auto process = process_from(**caller, handle == nullptr ? NtCurrentProcess() : handle, PROCESS_TERMINATE);
  if (!process) return fail(process.error());
  PAGODA_TRY(require(*process != (*caller)->kernel().first_process(), Status::kAccessDenied));
  return require((*process)->terminate(), Status::kProcessIsTerminating);
}

Result<> create_thread(HANDLE* out, HANDLE process_handle, SIZE_T reserve, SIZE_T commit) {
  const auto caller = calling();
  if (!caller) return fail(caller.error());
  PAGODA_TRY(probe(out));
  const auto process = process_from(**caller, process_handle, PROCESS_CREATE_THREAD);
  if (!process) return fail(process.error());
  const auto thread = Thread::create((*caller)->cpu(), *process, ByteCount(reserve), ByteCount(commit));
  if (!thread) return fail(thread.error());
  give_handle(**caller, *thread, THREAD_ALL_ACCESS, HandleTable::Inheritance::kNo, out);
  return {};
}

Result<> query_stack(HANDLE handle, PAGODA_STACK* out) {
  const auto caller = calling();
  if (!caller) return fail(caller.error());
  PAGODA_TRY(probe(out));
  const auto thread = thread_from(**caller, handle, 0);
  if (!thread) return fail(thread.error());
  const auto stack = (*thread)->stack();
  if (!stack) return fail(stack.error());
  *out = {pointer_to(stack->base), pointer_to(stack->limit), pointer_to(stack->allocation_base)};
  return {};
}

Result<> set_privilege(HANDLE handle, ULONG number, BOOLEAN enable, BOOLEAN* was_held) {
  const auto caller = calling();
  if (!caller) return fail(caller.error());
  const auto privilege = privilege_of(number);
  PAGODA_TRY(require(privilege.has_value(), Status::kInvalidParameter));
  const auto process = process_from(**caller, handle, PROCESS_ALL_ACCESS);
  if (!process) return fail(process.error());
  Token& token = (*process)->token();
  const bool before = enable != 0 ? token.give(*privilege) : token.take(*privilege);
  if (was_held != nullptr) *was_held = before ? 1 : 0;
  return {};
}

Result<> attach(HANDLE handle) {
  const auto caller = calling();
  if (!caller) return fail(caller.error());
  if (handle == NtCurrentProcess()) return (*caller)->attach((*caller)->process_pointer(), (*caller)->thread());
  const auto found = (*caller)->process().handles().reference(handle_of(handle));
  if (!found) return fail(found.error());
  if (found->object->type() == ObjectType::kThread) {
    const auto thread = thread_from(**caller, handle, THREAD_ALL_ACCESS);
    if (!thread) return fail(thread.error());
    return (*caller)->attach((*thread)->process(), *thread);
  }
  const auto process = process_from(**caller, handle, PROCESS_ALL_ACCESS);
  if (!process) return fail(process.error());
  return (*caller)->attach(*process, nullptr);
}

Result<> detach() {
  const auto caller = calling();
  if (!caller) return fail(caller.error());
  return (*caller)->detach();
}

}  // namespace
}  // namespace pagoda::nt

NTSTATUS NtTerminateProcess(HANDLE process, NTSTATUS /*exit_status*/) {
  using namespace pagoda::nt;
  return answer(terminate_process(process));
}

NTSTATUS PagodaCreateThread(PHANDLE out, HANDLE process, SIZE_T reserve, SIZE_T commit) {
  using namespace pagoda::nt;
  return answer(create_thread(out, process, reserve, commit));
}

NTSTATUS PagodaQueryStack(HANDLE thread, PAGODA_STACK* out) {
  using namespace pagoda::nt;
  return answer(query_stack(thread, out));
}

NTSTATUS PagodaSetPrivilege(HANDLE process, ULONG privilege, BOOLEAN enable, BOOLEAN* was_held) {
  using namespace pagoda::nt;
  return answer(set_privilege(process, privilege, enable, was_held));
}

NTSTATUS PagodaAttach(HANDLE process_or_thread) {
  using namespace pagoda::nt;
  return answer(attach(process_or_thread));
}

NTSTATUS PagodaDetach() {
  using namespace pagoda::nt;
  return answer(detach());
}
