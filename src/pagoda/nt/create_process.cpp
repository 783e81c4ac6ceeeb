// NtCreateProcess, NtCreateProcessEx, PagodaCreateProcess. Source: reference/nt.md section 5; the order of the checks
// is a choice after public documentation (docs/nt-choices.md).
#include "pagoda/mm/section/pe_image.h"
#include "pagoda/nt/edge.h"
#include "pagoda/nt/section_object.h"

namespace pagoda::nt {

namespace {

constexpr ULONG kFlags =
    PROCESS_CREATE_FLAGS_BREAKAWAY | PROCESS_CREATE_FLAGS_NO_DEBUG_INHERIT | PROCESS_CREATE_FLAGS_INHERIT_HANDLES;

struct ProcessCreation {
  HANDLE* out = nullptr;
  ACCESS_MASK desired = 0;
  const OBJECT_ATTRIBUTES* attributes = nullptr;
  HANDLE parent = nullptr;
  ULONG flags = 0;
  HANDLE section = nullptr;
  HANDLE debug_port = nullptr;
  HANDLE exception_port = nullptr;
  ULONG job_member_level = 0;
};

// With the parent's limits and privileges, and nothing in it.
Result<std::shared_ptr<Process>> create_empty(const Caller& caller, const Target& parent, mm::UserRange range) {
  mm::SpaceConfig config{.range = range};
  {
    const LockGuard guard(parent.space().lock);
    config.limits = parent.space().working_set().limits();
  }
  return caller.kernel().create_process(caller.cpu(), config, parent.process->token().privileges());
}

Result<std::shared_ptr<Process>> create_of_image(const Caller& caller, const Target& parent, mm::Section& section) {
  const bool is_large = section.image()->is_large_address_aware();
  auto process = create_empty(caller, parent, is_large ? caller.kernel().user_range() : mm::UserRange::kNormal);
  if (!process) return process;
  // The view is there for children that are cloned.
  PAGODA_TRY((*process)->use_space()->space().map_view(
      caller.cpu(), section, {.protection = mm::Protection::kExecuteWriteCopy, .inherit = mm::Inherit::kShare}));
  return process;
}

Result<> create(const ProcessCreation& request) {
  auto* const called_by = PAGODA_TRY(calling());
  const Caller& caller = *called_by;
  PAGODA_TRY(probe(request.out));
  PAGODA_TRY(require((request.flags & ~kFlags) == 0, Status::kInvalidParameter));
  PAGODA_TRY(require(request.parent != nullptr, Status::kInvalidParameter));
  const auto parent = PAGODA_TRY(target_process(caller, request.parent, PROCESS_CREATE_PROCESS));
  // A job that it could be a member of, and ports, do not exist.
  PAGODA_TRY(require(request.job_member_level == 0, Status::kInvalidParameter));
  std::shared_ptr<SectionObject> section;
  if (request.section != nullptr) {
    section = PAGODA_TRY(object_from<SectionObject>(caller, request.section, SECTION_MAP_EXECUTE));
  }
  PAGODA_TRY(require(request.debug_port == nullptr && request.exception_port == nullptr, Status::kInvalidHandle));
  PAGODA_TRY(require(section == nullptr || section->section().image() != nullptr, Status::kSectionNotImage));

  const auto process =
      PAGODA_TRY(section != nullptr ? create_of_image(caller, parent, section->section())
                                    : caller.kernel().clone_process(caller.cpu(), parent.space(),
                                                                    parent.process->token().privileges()));
  if ((request.flags & PROCESS_CREATE_FLAGS_INHERIT_HANDLES) != 0)
    process->handles().inherit(parent.process->handles());
  return give_handle(caller, process, request.desired, inheritance_of(request.attributes), request.out);
}

Result<> create_empty_process(HANDLE* out, ACCESS_MASK desired, HANDLE parent_handle, ULONG flags) {
  auto* const caller = PAGODA_TRY(calling());
  PAGODA_TRY(probe(out));
  PAGODA_TRY(require((flags & ~PAGODA_PROCESS_LARGE_ADDRESS_AWARE) == 0, Status::kInvalidParameter));
  const auto parent = PAGODA_TRY(target_process(*caller, parent_handle, PROCESS_CREATE_PROCESS));
  const bool is_large = (flags & PAGODA_PROCESS_LARGE_ADDRESS_AWARE) != 0;
  const auto process =
      PAGODA_TRY(create_empty(*caller, parent, is_large ? caller->kernel().user_range() : mm::UserRange::kNormal));
  return give_handle(*caller, process, desired, HandleTable::Inheritance::kNo, out);
}

}  // namespace
}  // namespace pagoda::nt

NTSTATUS NtCreateProcess(PHANDLE out, ACCESS_MASK desired, POBJECT_ATTRIBUTES attributes, HANDLE parent,
                         BOOLEAN inherit_handles, HANDLE section, HANDLE debug_port, HANDLE exception_port) {
  using namespace pagoda::nt;
  return answer(create({.out = out,
                        .desired = desired,
                        .attributes = attributes,
                        .parent = parent,
                        .flags = inherit_handles != 0 ? PROCESS_CREATE_FLAGS_INHERIT_HANDLES : 0,
                        .section = section,
                        .debug_port = debug_port,
                        .exception_port = exception_port}));
}

NTSTATUS NtCreateProcessEx(PHANDLE out, ACCESS_MASK desired, POBJECT_ATTRIBUTES attributes, HANDLE parent, ULONG flags,
                           HANDLE section, HANDLE debug_port, HANDLE exception_port, ULONG job_member_level) {
  using namespace pagoda::nt;
  return answer(create({.out = out,
                        .desired = desired,
                        .attributes = attributes,
                        .parent = parent,
                        .flags = flags,
                        .section = section,
                        .debug_port = debug_port,
                        .exception_port = exception_port,
                        .job_member_level = job_member_level}));
}

NTSTATUS PagodaCreateProcess(PHANDLE out, ACCESS_MASK desired, HANDLE parent, ULONG flags) {
  using namespace pagoda::nt;
  return answer(create_empty_process(out, desired, parent, flags));
}
