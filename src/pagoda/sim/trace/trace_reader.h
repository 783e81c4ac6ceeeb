// Reads a trace file: VMPT2, or VMPT1 in a zstd frame.
//
//   open -> info known, whole file checked -> next_batch ... next_batch -> 0 -> rewind
//
// Opening reads the (compressed) file into memory and checks its seal, so that a damaged file is refused before a
// record of it is used. A VMPT1 file has no seal and no figures: opening decodes it once to count, which also checks
// zstd's own checksum.
//
// Raw references: the format tells them about every 2^20, behind the records they belong to. The reader spreads them
// evenly over those records, so that a replayer can charge each record for the computing that it stands for; they sum
// up to `info().references`. It holds the records between two ticks for that, at most 2^20 at a time in a recorded
// trace.
//
// Errors: InputError in one line (missing; not a trace; truncated; damaged; trailing bytes; impossible page). They
// stick. Locking: none; a reader belongs to one thread. Readers of one file are independent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/sim/trace/trace_info.h"
#include "pagoda/sim/trace/trace_record.h"

namespace pagoda::sim {

// How many records to read at a time.
inline constexpr std::size_t kTraceBatch = 1024;

class TraceReader {
 public:
  static Input<TraceReader> open(const std::string& path);
  // The same for a file that is in memory; `name` is for messages.
  static Input<TraceReader> from_bytes(std::string name, std::vector<std::uint8_t> file);
  TraceReader(TraceReader&&) noexcept;
  TraceReader& operator=(TraceReader&&) noexcept;
  ~TraceReader();

  [[nodiscard]] const TraceInfo& info() const { return info_; }
  [[nodiscard]] const std::string& name() const { return name_; }

  // Fills `records` from its front and says how many; 0 only at the end of the trace (or if `records` is empty).
  Input<std::size_t> next_batch(std::span<TraceRecord> records);
  // Back to the first record. Cheap; clears nothing but the place (an error of the file comes again).
  void rewind();

 private:
  class ByteStream;

  explicit TraceReader(std::string name);
  Input<> read_header();
  Input<> read_summary();
  Input<> fill_segment();
  Input<> finish();
  std::unexpected<InputError> damaged(std::string what) const;

  std::string name_;
  std::unique_ptr<ByteStream> stream_;
  TraceInfo info_;
  std::size_t header_bytes_ = 0;
  std::optional<std::uint64_t> record_bytes_;  // What the header promises; VMPT2 only.

  // The records between two ticks: page << 3 | access.
  std::vector<std::uint64_t> segment_;
  std::size_t emitted_ = 0;                // Records of segment_.
  std::uint64_t leading_references_ = 0;   // Belong to the segment's first record,
  std::uint64_t spread_references_ = 0;    // to all of them evenly,
  std::uint64_t trailing_references_ = 0;  // to the last one.
  std::uint64_t spread_error_ = 0;
  std::uint64_t page_ = 0;     // The last one decoded.
  std::uint64_t records_ = 0;  // Decoded so far.
  std::uint64_t references_ = 0;
  bool at_end_ = false;
  std::optional<InputError> error_;
};

}  // namespace pagoda::sim
