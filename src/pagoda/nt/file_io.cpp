// NtReadFile, NtWriteFile, NtFlushBuffersFile: through the pages that views of the file show.
#include "pagoda/nt/edge.h"
#include "pagoda/nt/files.h"

namespace pagoda::nt {

namespace {

// Offsets that mean a place (public documentation of ByteOffset).
constexpr LONGLONG kEndOfFile = -1;        // NT: FILE_WRITE_TO_END_OF_FILE.
constexpr LONGLONG kCurrentPosition = -2;  // NT: FILE_USE_FILE_POINTER_POSITION.

struct Transfer {
  HANDLE file = nullptr;
  HANDLE event = nullptr;
  IO_STATUS_BLOCK* io = nullptr;
  void* buffer = nullptr;
  ULONG length = 0;
  const LARGE_INTEGER* offset = nullptr;
};

Result<std::shared_ptr<FileObject>> file_of(const Caller& caller, const Transfer& request, AccessMask needed) {
  PAGODA_TRY(probe(request.io));
  PAGODA_TRY(require(request.length == 0 || request.buffer != nullptr, Status::kAccessViolation));
  auto file = object_from<FileObject>(caller, request.file, needed);
  if (!file) return file;
  // There are no event objects, so none has a handle.
  PAGODA_TRY(require(request.event == nullptr, Status::kInvalidHandle));
  return file;
}

Result<FileOffset> offset_of(const Transfer& request, const FileObject& file) {
  if (request.offset == nullptr || request.offset->QuadPart == kCurrentPosition) return file.position();
  PAGODA_TRY(require(request.offset->QuadPart >= 0, Status::kInvalidParameter));
  return FileOffset(static_cast<std::uint64_t>(request.offset->QuadPart));
}

void finish(const Transfer& request, FileObject& file, FileOffset offset, ByteCount done) {
  file.set_position(offset + done);
  *request.io = {};
  request.io->Information = done.value();
}

Result<> read(const Transfer& request) {
  auto* const caller = PAGODA_TRY(calling());
  const auto file = PAGODA_TRY(file_of(*caller, request, FILE_READ_DATA));
  const auto offset = PAGODA_TRY(offset_of(request, *file));
  const auto done = PAGODA_TRY(caller->kernel().manager().sections().read(
      caller->cpu(), file->stream(), offset, {static_cast<std::byte*>(request.buffer), request.length}));
  finish(request, *file, offset, done);
  return {};
}

Result<> write(const Transfer& request) {
  auto* const caller = PAGODA_TRY(calling());
  auto file = file_of(*caller, request, FILE_WRITE_DATA);
  // The right to append is enough to write at the end.
  const bool at_end = request.offset != nullptr && request.offset->QuadPart == kEndOfFile;
  if (!file && file.error() == Status::kAccessDenied && at_end) file = file_of(*caller, request, FILE_APPEND_DATA);
  if (!file) return fail(file.error());
  const auto offset = PAGODA_TRY(at_end ? Result<FileOffset>(FileOffset((*file)->stream()->size().value()))
                                        : offset_of(request, **file));
  const auto done = PAGODA_TRY(caller->kernel().manager().sections().write(
      caller->cpu(), (*file)->stream(), offset, {static_cast<const std::byte*>(request.buffer), request.length}));
  finish(request, **file, offset, done);
  return {};
}

Result<> flush(HANDLE handle, IO_STATUS_BLOCK* io) {
  auto* const caller = PAGODA_TRY(calling());
  PAGODA_TRY(probe(io));
  auto file = object_from<FileObject>(*caller, handle, FILE_WRITE_DATA);
  if (!file && file.error() == Status::kAccessDenied) file = object_from<FileObject>(*caller, handle, FILE_APPEND_DATA);
  if (!file) return fail(file.error());
  PAGODA_TRY(caller->kernel().manager().sections().flush(caller->cpu(), *(*file)->stream(), FileOffset(), ByteCount()));
  *io = {};
  return {};
}

}  // namespace
}  // namespace pagoda::nt

NTSTATUS NtReadFile(HANDLE file, HANDLE event, PIO_APC_ROUTINE /*apc*/, PVOID /*context*/, PIO_STATUS_BLOCK io,
                    PVOID buffer, ULONG length, PLARGE_INTEGER offset, PULONG /*key*/) {
  using namespace pagoda::nt;
  return answer(read({.file = file, .event = event, .io = io, .buffer = buffer, .length = length, .offset = offset}));
}

NTSTATUS NtWriteFile(HANDLE file, HANDLE event, PIO_APC_ROUTINE /*apc*/, PVOID /*context*/, PIO_STATUS_BLOCK io,
                     PVOID buffer, ULONG length, PLARGE_INTEGER offset, PULONG /*key*/) {
  using namespace pagoda::nt;
  return answer(write({.file = file, .event = event, .io = io, .buffer = buffer, .length = length, .offset = offset}));
}

NTSTATUS NtFlushBuffersFile(HANDLE file, PIO_STATUS_BLOCK io) {
  using namespace pagoda::nt;
  return answer(flush(file, io));
}
