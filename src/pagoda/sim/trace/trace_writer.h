// Writes a trace file in the format of docs/trace-format.md.
//
// Records are compressed into a spool file that has no name; `publish` puts header, records and seal into a temporary
// file beside the target and renames it. So the target never exists half-written, and a writer that dies leaves nothing
// behind.
//
// Invariants:
//   1. After `publish` the target holds exactly the records appended so far; more can be appended and published again.
//   2. The first error sticks: appending becomes a no-op and `publish` returns it.
// Locking: none; one thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/sim/trace/trace_info.h"
#include "pagoda/sim/trace/trace_record.h"

namespace pagoda::sim {

struct TraceWriterOptions {
  std::string source = "unknown";
  std::string space = "guest-virtual";
  std::string program;       // Its name only: a command line may hold what should not be handed on.
  std::uint64_t window = 1;  // What the records were reduced with.
  int level = 9;             // zstd's, 1 to 22. cc1 (5.9 M records): 6.9 MB at 3, 6.1 at 9 (0.6 s), 5.8 at 19.
};

class TraceWriter final : public TraceSink {
 public:
  // Fails if the directory of `path` cannot be written, or if `path` exists and is no regular file.
  static Input<std::unique_ptr<TraceWriter>> create(std::string path, TraceWriterOptions options);
  ~TraceWriter() override;

  // Needs a page below kTracePageLimit and an access that is not empty.
  void append(const TraceRecord& record) override;
  // Raw references after the last record.
  void append_references(std::uint64_t count);

  // Makes the target hold what was appended so far, and says what that is. `ending` is for TraceInfo::ending.
  Input<TraceInfo> publish(std::string ending = {});

 private:
  struct Spool;

  TraceWriter(std::string path, TraceWriterOptions options, std::unique_ptr<Spool> spool);
  void tick();
  void flush_buffer();

  static constexpr std::size_t kBufferBytes = 64 << 10;

  const std::string path_;
  const TraceWriterOptions options_;
  std::unique_ptr<Spool> spool_;
  TraceCensus census_;
  Vpn page_;                             // The last record's.
  std::uint64_t untold_references_ = 0;  // Since the last tick.
  std::uint64_t record_bytes_ = 0;       // Behind the buffer.
  std::size_t buffered_ = 0;
  std::array<std::uint8_t, kBufferBytes> buffer_{};
};

}  // namespace pagoda::sim
