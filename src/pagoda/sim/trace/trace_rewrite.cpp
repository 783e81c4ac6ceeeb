#include "pagoda/sim/trace/trace_rewrite.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "pagoda/base/status.h"
#include "pagoda/sim/trace/trace_reducer.h"

namespace pagoda::sim {

namespace {}  // namespace

Input<TraceInfo> rewrite_trace(TraceReader& reader, const std::string& path, TraceWriterOptions options) {
  reader.rewind();
  const TraceInfo& info = reader.info();
  options.source = info.source;
  options.space = info.space;
  if (options.program.empty()) options.program = info.program;
  const bool reduce = options.window > info.window;
  options.window = std::max(options.window, info.window);
  const std::uint64_t window = options.window;
  const std::unique_ptr<TraceWriter> writer = PAGODA_TRY(TraceWriter::create(path, std::move(options)));
  TraceReducer reducer(reduce ? window : 1, *writer);
  std::array<TraceRecord, kTraceBatch> batch;
  std::uint64_t told = 0;
  for (;;) {
    const std::size_t count = PAGODA_TRY(reader.next_batch(batch));
    if (count == 0) break;
    for (const TraceRecord& record : std::span(batch).first(count)) {
      told += record.raw_references;
      if (reduce) {
        reducer.reference(record.page, record.access, record.raw_references);
      } else {
        writer->append(record);
      }
    }
  }
  // A trace without records may still have counted references.
  writer->append_references(reducer.flush() + (info.references - told));
  return writer->publish(info.ending);
}

}  // namespace pagoda::sim
