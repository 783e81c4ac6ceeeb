// A whole trace in memory, for benchmarks and replacement oracles: four bytes a record.
//
// Pages are numbered 0..n-1 in ascending order of their page number, so that tables over them are plain arrays.
// Immutable after construction; any number of threads may read it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/sim/trace/trace_info.h"
#include "pagoda/sim/trace/trace_reader.h"
#include "pagoda/sim/trace/trace_record.h"

namespace pagoda::sim {

class Trace {
 public:
  static Input<Trace> load(const std::string& path);
  // Reads what `reader` has, from the front.
  static Input<Trace> load(TraceReader& reader);

  [[nodiscard]] const TraceInfo& info() const { return info_; }
  [[nodiscard]] std::size_t size() const { return packed_.size(); }
  // The dense number of the page that record `i` touches, below info().pages.
  [[nodiscard]] std::uint32_t dense(std::size_t i) const { return packed_[i] >> 3; }
  [[nodiscard]] Vpn page(std::size_t i) const { return pages_[dense(i)]; }
  [[nodiscard]] TraceAccess access(std::size_t i) const { return TraceAccess::from_bits(packed_[i]); }

  // Page numbers by dense number.
  [[nodiscard]] std::span<const Vpn> pages() const { return pages_; }
  // The dense page numbers of all records: what replacement_oracles.h takes.
  [[nodiscard]] std::vector<std::uint32_t> dense_sequence() const;

 private:
  TraceInfo info_;
  std::vector<std::uint32_t> packed_;  // Dense number << 3 | access.
  std::vector<Vpn> pages_;
};

// Finds the dense number of a page among the ranges of a TraceInfo. Remembers the last range.
class DensePages {
 public:
  explicit DensePages(std::span<const VpnRange> ranges);
  // Returns kUnknown for a page in no range.
  std::uint64_t find(Vpn page);
  static constexpr std::uint64_t kUnknown = ~std::uint64_t{0};

 private:
  struct Range {
    std::uint64_t first = 0;
    std::uint64_t count = 0;
    std::uint64_t dense = 0;
  };
  std::vector<Range> ranges_;
  Range last_;
};

}  // namespace pagoda::sim
