// NtCreateFile, NtOpenFile, and what can be asked and set of a file. Files are real ones; see nt/files.h for names.
#include "pagoda/nt/edge.h"
#include "pagoda/nt/unicode.h"

namespace pagoda::nt {

namespace {

constexpr ULONG kOptions = FILE_SYNCHRONOUS_IO_NONALERT | FILE_NON_DIRECTORY_FILE;
constexpr ULONG kShares = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
constexpr AccessMask kWriting = FILE_WRITE_DATA | FILE_APPEND_DATA;

struct Opening {
  HANDLE* out = nullptr;
  ACCESS_MASK desired = 0;
  const OBJECT_ATTRIBUTES* attributes = nullptr;
  IO_STATUS_BLOCK* io = nullptr;
  ULONG share = 0;
  ULONG disposition = FILE_OPEN;
  ULONG options = 0;
};

machine::FileCreation creation_of(ULONG disposition) {
  switch (disposition) {
    case FILE_CREATE:
      return machine::FileCreation::kCreateNew;
    case FILE_OPEN:
    case FILE_OVERWRITE:
      return machine::FileCreation::kOpenExisting;
    default:
      return machine::FileCreation::kOpenOrCreate;
  }
}

bool overwrites(ULONG disposition) {
  return disposition == FILE_SUPERSEDE || disposition == FILE_OVERWRITE || disposition == FILE_OVERWRITE_IF;
}

ULONG information_of(ULONG disposition, Files::Opened::How how) {
  if (how == Files::Opened::How::kCreated) return FILE_CREATED;
  if (disposition == FILE_SUPERSEDE) return FILE_SUPERSEDED;
  return overwrites(disposition) ? FILE_OVERWRITTEN : FILE_OPENED;
}

void finish(IO_STATUS_BLOCK* io, ULONG_PTR information) {
  *io = {};
  io->Information = information;
}

Result<> set_size(const Caller& caller, mm::FileStream& stream, ByteCount size) {
  return caller.kernel().manager().sections().set_file_size(caller.cpu(), stream, size);
}

Result<> open_file(const Opening& request) {
  auto* const caller = PAGODA_TRY(calling());
  PAGODA_TRY(probe(request.out, request.io, request.attributes));
  PAGODA_TRY(require(request.disposition <= FILE_OVERWRITE_IF && (request.options & ~kOptions) == 0 &&
                         (request.share & ~kShares) == 0 && request.desired != 0,
                     Status::kInvalidParameter));
  const auto name = PAGODA_TRY(captured_name(request.attributes));
  PAGODA_TRY(require(name.has_value(), Status::kObjectNameInvalid));
  Files& files = caller->kernel().files();
  auto opened = PAGODA_TRY(files.open(*name, creation_of(request.disposition)));

  const AccessMask granted = granted_access(ObjectType::kFile, request.desired);
  const bool asks_for_all = (request.desired & MAXIMUM_ALLOWED) != 0;
  const bool writes = (granted & kWriting) != 0 && !asks_for_all;
  PAGODA_TRY(require(opened.stream->file().writable() || (!writes && !overwrites(request.disposition)),
                     Status::kAccessDenied));
  bool may_write = opened.stream->file().writable();
  if (may_write && ((granted & kWriting) != 0 || overwrites(request.disposition))) {
    may_write = caller->kernel().manager().sections().flush_image(caller->cpu(), *opened.stream);
    PAGODA_TRY(require(may_write || (!writes && !overwrites(request.disposition)),
                       Status::kSharingViolation));  // It is an image.
  }
  if (overwrites(request.disposition) && opened.how == Files::Opened::How::kOpened)
    PAGODA_TRY(set_size(*caller, *opened.stream, ByteCount()));
  const AccessMask given = may_write ? granted : granted & ~kWriting;
  PAGODA_TRY(give_handle(*caller, std::make_shared<FileObject>(opened.stream), given,
                         inheritance_of(request.attributes), request.out));
  finish(request.io, information_of(request.disposition, opened.how));
  return {};
}

// --- NtQueryInformationFile, NtSetInformationFile ---

Result<> query_file(HANDLE handle, IO_STATUS_BLOCK* io, void* out, ULONG size, FILE_INFORMATION_CLASS what) {
  auto* const caller = PAGODA_TRY(calling());
  PAGODA_TRY(require(what == FileStandardInformation, Status::kInvalidInfoClass));
  PAGODA_TRY(require(size >= sizeof(FILE_STANDARD_INFORMATION), Status::kInfoLengthMismatch));
  PAGODA_TRY(probe(io, out));
  const auto file = PAGODA_TRY(object_from<FileObject>(*caller, handle, 0));
  const ByteCount bytes = file->stream()->size();
  FILE_STANDARD_INFORMATION info{};
  info.AllocationSize.QuadPart = static_cast<LONGLONG>(bytes_of(pages_of(bytes)).value());
  info.EndOfFile.QuadPart = static_cast<LONGLONG>(bytes.value());
  info.NumberOfLinks = 1;
  std::memcpy(out, &info, sizeof info);
  finish(io, sizeof info);
  return {};
}

Result<> set_file(HANDLE handle, IO_STATUS_BLOCK* io, const void* in, ULONG size, FILE_INFORMATION_CLASS what) {
  auto* const caller = PAGODA_TRY(calling());
  PAGODA_TRY(require(what == FileEndOfFileInformation, Status::kInvalidInfoClass));
  PAGODA_TRY(require(size >= sizeof(FILE_END_OF_FILE_INFORMATION), Status::kInfoLengthMismatch));
  PAGODA_TRY(probe(io, in));
  FILE_END_OF_FILE_INFORMATION info{};
  std::memcpy(&info, in, sizeof info);
  const auto file = PAGODA_TRY(object_from<FileObject>(*caller, handle, FILE_WRITE_DATA));
  PAGODA_TRY(require(info.EndOfFile.QuadPart >= 0, Status::kInvalidParameter));
  PAGODA_TRY(set_size(*caller, *file->stream(), ByteCount(static_cast<std::uint64_t>(info.EndOfFile.QuadPart))));
  finish(io, 0);
  return {};
}

}  // namespace
}  // namespace pagoda::nt

NTSTATUS NtCreateFile(PHANDLE out, ACCESS_MASK desired, POBJECT_ATTRIBUTES attributes, PIO_STATUS_BLOCK io,
                      PLARGE_INTEGER /*allocation_size*/, ULONG /*file_attributes*/, ULONG share, ULONG disposition,
                      ULONG options, PVOID /*ea_buffer*/, ULONG /*ea_length*/) {
  using namespace pagoda::nt;
  return answer(open_file({.out = out,
                           .desired = desired,
                           .attributes = attributes,
                           .io = io,
                           .share = share,
                           .disposition = disposition,
                           .options = options}));
}

NTSTATUS NtOpenFile(PHANDLE out, ACCESS_MASK desired, POBJECT_ATTRIBUTES attributes, PIO_STATUS_BLOCK io, ULONG share,
                    ULONG options) {
  using namespace pagoda::nt;
  return answer(open_file({.out = out,
                           .desired = desired,
                           .attributes = attributes,
                           .io = io,
                           .share = share,
                           .disposition = FILE_OPEN,
                           .options = options}));
}

NTSTATUS NtQueryInformationFile(HANDLE file, PIO_STATUS_BLOCK io, PVOID out, ULONG size, FILE_INFORMATION_CLASS what) {
  using namespace pagoda::nt;
  return answer(query_file(file, io, out, size, what));
}

NTSTATUS NtSetInformationFile(HANDLE file, PIO_STATUS_BLOCK io, PVOID in, ULONG size, FILE_INFORMATION_CLASS what) {
  using namespace pagoda::nt;
  return answer(set_file(file, io, in, size, what));
}
