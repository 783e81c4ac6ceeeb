#include "pagoda/sim/trace/trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "pagoda/base/status.h"

namespace pagoda::sim {

namespace {
constexpr std::uint64_t kDensePagesMax = std::uint64_t{1}
                                         << 29;  // 2 TiB of distinct pages: the access takes three bits of 32.
}  // namespace

DensePages::DensePages(std::span<const VpnRange> ranges) {
  std::uint64_t dense = 0;
  for (const VpnRange& range : ranges) {
    ranges_.push_back({range.first.value(), range.count.value(), dense});
    dense += range.count.value();
  }
}

std::uint64_t DensePages::find(Vpn page) {
  // Below the range the difference wraps to something large.
  if (page.value() - last_.first >= last_.count) {
    const auto after = std::ranges::upper_bound(ranges_, page.value(), {}, &Range::first);
    if (after == ranges_.begin()) return kUnknown;
    const Range& range = *std::prev(after);
    if (page.value() - range.first >= range.count) return kUnknown;
    last_ = range;
  }
  return last_.dense + (page.value() - last_.first);
}

Input<Trace> Trace::load(const std::string& path) {
  TraceReader reader = PAGODA_TRY(TraceReader::open(path));
  return load(reader);
}

Input<Trace> Trace::load(TraceReader& reader) {
  reader.rewind();
  Trace trace;
  trace.info_ = reader.info();
  if (trace.info_.pages.value() > kDensePagesMax) {
    return bad_input(fmt::format("{}: touches {} pages, more than fit into memory; replay it instead of loading it",
                                 reader.name(), trace.info_.pages.value()));
  }
  for (const VpnRange& range : trace.info_.ranges) {
    for (Vpn page = range.first; page != range.end(); ++page) trace.pages_.push_back(page);
  }
  DensePages dense(trace.info_.ranges);
  std::array<TraceRecord, kTraceBatch> batch;
  for (;;) {
    const std::size_t count = PAGODA_TRY(reader.next_batch(batch));
    if (count == 0) return trace;
    for (const TraceRecord& record : std::span(batch).first(count)) {
      const std::uint64_t number = dense.find(record.page);
      if (number == DensePages::kUnknown) {
        return bad_input(fmt::format("{}: damaged: page {:#x} is in no range of its header; record or copy it again",
                                     reader.name(), record.page.value()));
      }
      trace.packed_.push_back(static_cast<std::uint32_t>(number << 3 | record.access.bits()));
    }
  }
}

std::vector<std::uint32_t> Trace::dense_sequence() const {
  std::vector<std::uint32_t> sequence(packed_.size());
  std::ranges::transform(packed_, sequence.begin(), [](std::uint32_t packed) { return packed >> 3; });
  return sequence;
}

}  // namespace pagoda::sim
