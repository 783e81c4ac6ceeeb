// NtCreatePagingFile. Source: reference/nt.md section 8.
#include "pagoda/nt/edge.h"
#include "pagoda/nt/unicode.h"

namespace pagoda::nt {

namespace {

constexpr ByteCount kSmallest = 1_MiB;
constexpr unsigned kPagingDisk = 0;

Result<> create_paging_file(const UNICODE_STRING* name, const LARGE_INTEGER* minimum_size,
                            const LARGE_INTEGER* maximum_size) {
  auto* const caller = PAGODA_TRY(calling());
  PAGODA_TRY(require(caller->process().token().holds(Privilege::kCreatePagefile), Status::kPrivilegeNotHeld));
  mm::MemoryManager& manager = caller->kernel().manager();
  PAGODA_TRY(require(manager.paging_files().size() < mm::PagingFiles::kMaxFiles, Status::kTooManyPagingFiles));
  PAGODA_TRY(probe(name, minimum_size, maximum_size));
  const LONGLONG least = minimum_size->QuadPart;
  const LONGLONG most = maximum_size->QuadPart;
  const ByteCount minimum(static_cast<std::uint64_t>(least));
  const ByteCount maximum(static_cast<std::uint64_t>(most));
  PAGODA_TRY(require(least >= 0 && minimum >= kSmallest, Status::kInvalidParameter2));
  PAGODA_TRY(require(
      most >= 0 && maximum >= minimum && pages_of(maximum) <= mm::largest_paging_file(manager.machine().paging()),
      Status::kInvalidParameter3));
  const auto text = to_utf8(folded(PAGODA_TRY(captured(*name))));
  PAGODA_TRY(require(text && text->starts_with('\\') && !text->ends_with('\\'), Status::kObjectNameInvalid));
  return manager.add_paging_file({.name = *text, .disk = kPagingDisk, .minimum = minimum, .maximum = maximum});
}

}  // namespace
}  // namespace pagoda::nt

NTSTATUS NtCreatePagingFile(PUNICODE_STRING name, PLARGE_INTEGER minimum, PLARGE_INTEGER maximum, ULONG /*priority*/) {
  using namespace pagoda::nt;
  return answer(create_paging_file(name, minimum, maximum));
}
