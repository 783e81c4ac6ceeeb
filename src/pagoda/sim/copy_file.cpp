#include "pagoda/sim/copy_file.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <span>
#include <vector>

#include "pagoda/base/write_at.h"

namespace pagoda::sim {

namespace {

using Side = CopyOutcome::Side;

constexpr std::size_t kPartBytes = std::size_t{1} << 20;

// A run of bytes that are not a hole.
struct DataRun {
  off_t first = 0;
  off_t end = 0;
};

// The first run of data at or behind `at`, cut at `end`; empty, and at `end`, if only a hole follows. A file system that
// does not know of holes has data throughout.
DataRun next_data(int file, off_t at, off_t end) {
  const off_t first = lseek(file, at, SEEK_DATA);
  if (first < 0) return errno == ENXIO ? DataRun{end, end} : DataRun{at, end};
  const off_t hole = lseek(file, first, SEEK_HOLE);
  return {std::min(first, end), hole < 0 ? end : std::min(hole, end)};
}

CopyOutcome copy_run(int source, int target, DataRun run, std::span<std::byte> part) {
  while (run.first < run.end) {
    const std::size_t wanted = std::min(part.size(), static_cast<std::size_t>(run.end - run.first));
    const ssize_t n = pread(source, part.data(), wanted, run.first);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return {.failed = Side::kSource, .error = n < 0 ? errno : 0};
    if (const int error = write_at(target, part.first(static_cast<std::size_t>(n)), run.first); error != 0)
      return {.failed = Side::kTarget, .error = error};
    run.first += n;
  }
  return {};
}

}  // namespace

CopyOutcome copy_file(int source, int target, ByteCount size) {
  const auto end = static_cast<off_t>(size.value());
  const off_t source_end = lseek(source, 0, SEEK_END);
  if (source_end < end) return {.failed = Side::kSource, .error = source_end < 0 ? errno : 0};
  if (ftruncate(target, end) != 0) return {.failed = Side::kTarget, .error = errno};
  std::vector<std::byte> part(kPartBytes);
  for (off_t at = 0; at < end;) {
    const DataRun run = next_data(source, at, end);
    if (const CopyOutcome outcome = copy_run(source, target, run, part); outcome.failed != Side::kNone) return outcome;
    at = run.end;
  }
  return {};
}

}  // namespace pagoda::sim
