// NtReadFile, NtWriteFile, NtFlushBuffersFile: through the pages that views of the file show.
#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "pagoda/nt/edge.h"
#include "pagoda/nt/files.h"

namespace pagoda::nt {

namespace {

// Offsets that mean a place (public documentation of ByteOffset).
constexpr LONGLONG kEndOfFile = -1;        // NT: FILE_WRITE_TO_END_OF_FILE.
constexpr LONGLONG kCurrentPosition = -2;  // NT: FILE_USE_FILE_POINTER_POSITION.

// What is moved at once. A choice.
using TransferBuffer = std::array<std::byte, 4 * kPageBytes>;

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

// Where a transfer begins, and whether it goes on from where the last one through the same object ended.
struct Place {
  FileOffset offset;
  bool is_current = false;
};

// `bytes(offset)`: how many bytes there are to move.
template <class Bytes>
Result<Place> place_of(std::optional<LONGLONG> asked, FileObject& file, const Bytes& bytes) {
  if (!asked || *asked == kCurrentPosition) return Place{file.take_position(bytes), true};
  PAGODA_TRY(require(*asked >= 0, Status::kInvalidParameter));
  return Place{FileOffset(static_cast<std::uint64_t>(*asked))};
}

// The caller's offset, which is read once.
std::optional<LONGLONG> asked_offset(const Transfer& request) {
  return request.offset == nullptr ? std::nullopt : std::optional(request.offset->QuadPart);
}

// Moves the bytes part by part through a buffer of the kernel's: the caller's memory may fault, and is reached under no
// lock. `move(part of the buffer, where in the transfer)` says how many it moved; a transfer ends where fewer come.
template <class Move>
Result<ByteCount> in_parts(std::size_t length, const Move& move) {
  TransferBuffer bounce;
  std::size_t done = 0;
  do {
    const std::span<std::byte> part = std::span(bounce).first(std::min(bounce.size(), length - done));
    const Result<ByteCount> moved = move(part, done);
    if (!moved && moved.error() == Status::kEndOfFile && done > 0) break;  // It was cut meanwhile.
    if (!moved) return moved;
    done += moved->value();
    if (moved->value() < part.size()) break;
  } while (done < length);
  return ByteCount(done);
}

Result<> finish(const Transfer& request, FileObject& file, const Place& place, ByteCount planned,
                const Result<ByteCount>& done) {
  const ByteCount moved = done.value_or(ByteCount());
  if (place.is_current) {
    if (moved != planned) file.end_early(place.offset + planned, place.offset + moved);
  } else if (done) {
    file.set_position(place.offset + moved);
  }
  if (!done) return fail(done.error());
  *request.io = {};
  request.io->Information = moved.value();
  return {};
}

Result<> read(const Transfer& request) {
  auto* const caller = PAGODA_TRY(calling());
  const auto file = PAGODA_TRY(file_of(*caller, request, FILE_READ_DATA));
  ByteCount planned;
  const Place place = PAGODA_TRY(place_of(asked_offset(request), *file, [&](FileOffset at) {
    const std::uint64_t size = file->stream()->size().value();
    planned = ByteCount(at.value() < size ? std::min<std::uint64_t>(request.length, size - at.value()) : 0);
    return planned;
  }));
  auto* const to = static_cast<std::byte*>(request.buffer);
  mm::Sections& sections = caller->kernel().manager().sections();
  const auto done = in_parts(request.length, [&](std::span<std::byte> part, std::size_t at) {
    auto moved = sections.read(caller->cpu(), file->stream(), place.offset + ByteCount(at), part);
    if (moved && !moved->is_zero()) std::memcpy(to + at, part.data(), moved->value());
    return moved;
  });
  return finish(request, *file, place, planned, done);
}

Result<> write(const Transfer& request) {
  auto* const caller = PAGODA_TRY(calling());
  auto found = file_of(*caller, request, FILE_WRITE_DATA);
  // The right to append is enough to write at the end.
  const auto asked = asked_offset(request);
  const bool at_end = asked == kEndOfFile;
  if (!found && found.error() == Status::kAccessDenied && at_end) found = file_of(*caller, request, FILE_APPEND_DATA);
  if (!found) return fail(found.error());
  FileObject& file = **found;
  const ByteCount length(request.length);
  mm::Sections& sections = caller->kernel().manager().sections();
  Place place;
  if (at_end) {
    place.offset = PAGODA_TRY(sections.make_room(caller->cpu(), *file.stream(), std::nullopt, length));
  } else {
    place = PAGODA_TRY(place_of(asked, file, [&](FileOffset) { return length; }));
  }
  const auto* const from = static_cast<const std::byte*>(request.buffer);
  const auto done = in_parts(request.length, [&](std::span<std::byte> part, std::size_t at) {
    if (!part.empty()) std::memcpy(part.data(), from + at, part.size());
    return sections.write(caller->cpu(), file.stream(), place.offset + ByteCount(at), part);
  });
  return finish(request, file, place, length, done);
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
