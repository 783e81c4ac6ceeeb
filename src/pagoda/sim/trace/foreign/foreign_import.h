// Reads a trace of another tool, and turns it into raw references.
//
//   DecompressedFile -> lines or records -> ForeignParser -> every page of an access -> TraceReducer
//
// A line that the format does not know ends the import with an error that names it, or is counted and left out. The
// last line may be cut: without its line feed it is left out, and that is told, if it does not read as a whole one.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "pagoda/base/input_error.h"
#include "pagoda/sim/trace/foreign/decompressed_file.h"
#include "pagoda/sim/trace/foreign/foreign_formats.h"
#include "pagoda/sim/trace/trace_info.h"
#include "pagoda/sim/trace/trace_reducer.h"
#include "pagoda/sim/trace/trace_writer.h"

namespace pagoda::sim {

enum class BadRecords { kRefuse, kSkip };

struct ForeignTotals {
  std::uint64_t records = 0;      // Lines, blank ones and remarks too; or records of a binary format.
  std::uint64_t references = 0;   // One for each page of each access; two where it reads and writes.
  std::uint64_t bad_records = 0;  // Left out.
  std::string first_bad;          // "in.txt:7: \"hello\" does not begin with ..."; empty if there is none.
  bool end_is_cut = false;        // The last record was, and was left out.
};

// Told about every 16 MiB: bytes (decompressed) and records read so far.
using ForeignProgress = std::function<void(std::uint64_t bytes, std::uint64_t records)>;

// Reads `file` to its end into `reducer`, which is not flushed. Fails as DecompressedFile::read does, and with the
// first bad record under kRefuse.
Input<ForeignTotals> import_foreign(DecompressedFile& file, const ForeignFormat& format, TraceReducer& reducer,
                                    BadRecords bad_records, const ForeignProgress& progress = {});

struct ForeignTrace {
  TraceInfo info;
  ForeignTotals totals;
};

// Makes a page trace of `file` at `path`, reduced with the window of `options`; source and space are the format's.
// Fails as import_foreign and TraceWriter do, and if there is no reference in it; then `path` is as it was.
Input<ForeignTrace> write_foreign(DecompressedFile& file, const ForeignFormat& format, const std::string& path,
                                  TraceWriterOptions options, BadRecords bad_records,
                                  const ForeignProgress& progress = {});

}  // namespace pagoda::sim
