// For tests: the trace of another tool, given as text, and what Pagoda reads from it.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pagoda/sim/trace/foreign/decompressed_file.h"
#include "pagoda/sim/trace/foreign/foreign_formats.h"
#include "pagoda/sim/trace/foreign/foreign_import.h"
#include "pagoda/sim/trace/foreign/recognise.h"

namespace pagoda::sim {

class RecordCollector final : public TraceSink {
 public:
  void append(const TraceRecord& record) override { records.push_back(record); }
  std::vector<TraceRecord> records;
};

inline DecompressedFile foreign_file(std::string_view text) {
  auto file = DecompressedFile::from_bytes("in.txt", {text.begin(), text.end()});
  EXPECT_TRUE(file.has_value()) << file.error().message;
  return std::move(*file);
}

// What the text is recognised as, or the message why not.
inline std::string recognised(std::string_view text) {
  const auto format = recognise(foreign_file(text));
  return format ? std::string((*format)->name) : format.error().message;
}

struct ForeignRead {
  Input<ForeignTotals> totals;
  std::vector<TraceRecord> records;
};

// Reads `text` as `format`, with a window of one page: only neighbours are merged.
inline ForeignRead read_foreign(std::string_view format, std::string_view text,
                                BadRecords bad_records = BadRecords::kRefuse) {
  DecompressedFile file = foreign_file(text);
  const ForeignFormat* const found = find_foreign_format(format);
  EXPECT_NE(found, nullptr) << format;
  if (found == nullptr) return {bad_input("no such format"), {}};
  RecordCollector collector;
  TraceReducer reducer(1, collector);
  auto totals = import_foreign(file, *found, reducer, bad_records);
  reducer.flush();
  return {std::move(totals), std::move(collector.records)};
}

}  // namespace pagoda::sim
