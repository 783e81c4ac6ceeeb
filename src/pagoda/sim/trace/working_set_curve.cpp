#include "pagoda/sim/trace/working_set_curve.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "pagoda/base/status.h"
#include "pagoda/sim/trace/trace.h"

namespace pagoda::sim {

namespace {

// Counts the distinct pages of one window length.
class WindowCounter {
 public:
  WindowCounter(std::uint64_t window, std::uint64_t page_count) : point_{window, 0, 0, {}}, seen_in_(page_count, 0) {}

  // A reference to page `dense` after `at` raw references; `at` never falls.
  void reference(std::uint64_t dense, std::uint64_t at) {
    close_until(at);
    std::uint64_t& seen = seen_in_[dense];
    if (seen == number_) return;
    seen = number_;
    ++distinct_;
  }

  WorkingSetPoint finish(std::uint64_t references) {
    close_until(references);
    if (point_.windows == 0 && references != 0) close();
    if (point_.windows != 0) point_.mean_pages = static_cast<double>(sum_) / static_cast<double>(point_.windows);
    return point_;
  }

 private:
  void close_until(std::uint64_t at) {
    if (at < end_) [[likely]]
      return;
    close();
    // Windows without a record: nothing new was touched, which the reduction does not tell from touching the same
    // pages.
    const std::uint64_t skipped = (at - end_) / point_.window;
    end_ += (skipped + 1) * point_.window;
  }
  void close() {
    sum_ += distinct_;
    point_.largest = std::max(point_.largest, PageCount(distinct_));
    ++point_.windows;
    ++number_;
    distinct_ = 0;
  }

  WorkingSetPoint point_;
  std::vector<std::uint64_t> seen_in_;  // The number of the window that saw the page last.
  std::uint64_t number_ = 1;
  std::uint64_t distinct_ = 0;
  std::uint64_t sum_ = 0;
  std::uint64_t end_ = point_.window;  // The end of the window under way.
};

}  // namespace

Input<std::vector<WorkingSetPoint>> working_set_curve(TraceReader& reader, std::span<const std::uint64_t> windows) {
  reader.rewind();
  std::vector<WindowCounter> counters;
  counters.reserve(windows.size());
  for (const std::uint64_t window : windows) counters.emplace_back(window, reader.info().pages.value());
  DensePages dense(reader.info().ranges);
  std::array<TraceRecord, kTraceBatch> batch;
  std::array<std::pair<std::uint64_t, std::uint64_t>, kTraceBatch> places;
  std::uint64_t at = 0;
  for (;;) {
    const std::size_t count = PAGODA_TRY(reader.next_batch(batch));
    if (count == 0) break;
    for (std::size_t i = 0; i < count; ++i) {
      places[i] = {dense.find(batch[i].page), at};
      if (places[i].first == DensePages::kUnknown) {
        return bad_input(fmt::format("{}: damaged: page {:#x} is in no range of its header; copy or record it again",
                                     reader.name(), batch[i].page.value()));
      }
      at += batch[i].raw_references;
    }
    for (WindowCounter& counter : counters) {
      for (std::size_t i = 0; i < count; ++i) counter.reference(places[i].first, places[i].second);
    }
  }
  std::vector<WorkingSetPoint> curve;
  curve.reserve(counters.size());
  for (WindowCounter& counter : counters) curve.push_back(counter.finish(at));
  return curve;
}

}  // namespace pagoda::sim
