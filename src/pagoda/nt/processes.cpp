// Ending processes, and threads: NtTerminateProcess and Pagoda's own calls. Making processes: create_process.cpp.
#include "pagoda/nt/edge.h"

namespace pagoda::nt {

namespace {

// A process that ends itself keeps running here until its threads detach; its handles are closed at once.
Result<> terminate_process(HANDLE handle) {
  auto* const caller = PAGODA_TRY(calling());
  // NT: no handle means the caller's own process.
  const auto process =
      PAGODA_TRY(object_from<Process>(*caller, handle == nullptr ? NtCurrentProcess() : handle, PROCESS_TERMINATE));
  PAGODA_TRY(require(process != caller->kernel().first_process(), Status::kAccessDenied));
  return require(process->terminate(), Status::kProcessIsTerminating);
}

Result<> create_thread(HANDLE* out, HANDLE process_handle, SIZE_T reserve, SIZE_T commit) {
  auto* const caller = PAGODA_TRY(calling());
  PAGODA_TRY(probe(out));
  const auto process = PAGODA_TRY(object_from<Process>(*caller, process_handle, PROCESS_CREATE_THREAD));
  const auto thread = PAGODA_TRY(Thread::create(caller->cpu(), process, ByteCount(reserve), ByteCount(commit)));
  return give_handle(*caller, thread, THREAD_ALL_ACCESS, HandleTable::Inheritance::kNo, out);
}

Result<> query_stack(HANDLE handle, PAGODA_STACK* out) {
  auto* const caller = PAGODA_TRY(calling());
  PAGODA_TRY(probe(out));
  const auto thread = PAGODA_TRY(object_from<Thread>(*caller, handle, 0));
  const auto stack = PAGODA_TRY(thread->stack());
  *out = {pointer_to(stack.base), pointer_to(stack.limit), pointer_to(stack.allocation_base)};
  return {};
}

Result<> set_privilege(HANDLE handle, ULONG number, BOOLEAN enable, BOOLEAN* was_held) {
  auto* const caller = PAGODA_TRY(calling());
  const auto privilege = privilege_of(number);
  PAGODA_TRY(require(privilege.has_value(), Status::kInvalidParameter));
  const auto process = PAGODA_TRY(object_from<Process>(*caller, handle, PROCESS_ALL_ACCESS));
  Token& token = process->token();
  const bool before = enable != 0 ? token.give(*privilege) : token.take(*privilege);
  if (was_held != nullptr) *was_held = before ? 1 : 0;
  return {};
}

Result<> attach(HANDLE handle) {
  auto* const caller = PAGODA_TRY(calling());
  if (handle == NtCurrentProcess()) return caller->attach(caller->process_pointer(), caller->thread());
  const auto found = PAGODA_TRY(referenced(*caller, caller->process(), handle));
  const bool is_thread = found.object->type() == ObjectType::kThread;
  const auto object = PAGODA_TRY(is_thread ? found.as(ObjectType::kThread, THREAD_ALL_ACCESS)
                                           : found.as(ObjectType::kProcess, PROCESS_ALL_ACCESS));
  if (!is_thread) return caller->attach(std::static_pointer_cast<Process>(object), nullptr);
  const auto thread = std::static_pointer_cast<Thread>(object);
  return caller->attach(thread->process(), thread);
}

Result<> detach() {
  auto* const caller = PAGODA_TRY(calling());
  return caller->detach();
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
