// The reduction must not change what LRU and OPT do with K frames or more, and must lose nothing that was done to a
// page.
#include "pagoda/sim/trace/trace_reducer.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstdint>
#include <map>
#include <vector>

#include "pagoda/sim/trace/replacement_oracles.h"

namespace pagoda::sim {
namespace {

class Collector final : public TraceSink {
 public:
  void append(const TraceRecord& record) override { records.push_back(record); }
  std::vector<TraceRecord> records;
};

struct RawReference {
  std::uint32_t page = 0;
  TraceAccess access;
};

std::vector<TraceRecord> reduce(const std::vector<RawReference>& raw, std::uint64_t window,
                                std::uint64_t* rest = nullptr) {
  Collector collector;
  TraceReducer reducer(window, collector);
  for (const RawReference& reference : raw) reducer.reference(Vpn(reference.page), reference.access);
  const std::uint64_t left = reducer.flush();
  if (rest != nullptr) *rest = left;
  return collector.records;
}

std::vector<std::uint32_t> pages_of_records(const std::vector<TraceRecord>& records) {
  std::vector<std::uint32_t> pages;
  for (const TraceRecord& record : records) pages.push_back(static_cast<std::uint32_t>(record.page.value()));
  return pages;
}

// Streams with some locality: mostly near the last page, sometimes anywhere.
std::vector<RawReference> random_stream(std::uint32_t page_count) {
  std::vector<RawReference> raw;
  std::uint32_t page = 0;
  const auto steps = *rc::gen::scale(6.0, rc::gen::container<std::vector<std::uint32_t>>(
                                              rc::gen::resize(100, rc::gen::inRange<std::uint32_t>(0, 1 << 20))));
  for (const std::uint32_t step : steps) {
    if (step % 4 == 0) {
      page = (step >> 6) % page_count;
    } else if (step % 4 != 1) {
      page = (page + (step >> 6) % 3) % page_count;
    }
    raw.push_back({page, TraceAccess::from_bits(1 + (step >> 3) % 7)});
  }
  return raw;
}

RC_GTEST_PROP(TraceReducer, KeepsLruAndOptMissesExactFromWindowOn, ()) {
  const std::uint32_t page_count = *rc::gen::inRange<std::uint32_t>(1, 16);
  const std::uint64_t window = *rc::gen::inRange<std::uint64_t>(1, 10);
  const std::vector<RawReference> raw = *rc::gen::noShrink(rc::gen::exec([&] { return random_stream(page_count); }));
  std::vector<std::uint32_t> raw_pages;
  for (const RawReference& reference : raw) raw_pages.push_back(reference.page);
  const std::vector<std::uint32_t> reduced = pages_of_records(reduce(raw, window));
  RC_ASSERT(reduced.size() <= raw_pages.size());
  for (std::uint64_t frames = window; frames <= page_count + 1; ++frames) {
    const PageCount memory(frames);
    RC_ASSERT(count_lru_misses(raw_pages, page_count, memory) == count_lru_misses(reduced, page_count, memory));
    RC_ASSERT(count_opt_misses(raw_pages, page_count, memory) == count_opt_misses(reduced, page_count, memory));
  }
}

RC_GTEST_PROP(TraceReducer, LosesNoAccessAndNoRawReference, ()) {
  const std::vector<RawReference> raw = *rc::gen::noShrink(rc::gen::exec([] { return random_stream(12); }));
  const std::uint64_t window = *rc::gen::inRange<std::uint64_t>(1, 14);
  std::uint64_t total = 0;
  const std::vector<TraceRecord> reduced = reduce(raw, window, &total);
  std::map<std::uint32_t, unsigned> done;
  std::map<std::uint32_t, unsigned> kept;
  for (const RawReference& reference : raw) done[reference.page] |= reference.access.bits();
  for (const TraceRecord& record : reduced) {
    kept[static_cast<std::uint32_t>(record.page.value())] |= record.access.bits();
    total += record.raw_references;
  }
  RC_ASSERT(done == kept);
  RC_ASSERT(total == raw.size());
}

TEST(TraceReducer, MergesNeighbours) {
  std::uint64_t rest = 0;
  const auto records =
      reduce({{1, kTraceRead}, {1, kTraceWrite}, {2, kTraceExecute}, {1, kTraceRead}, {1, kTraceRead}}, 1, &rest);
  EXPECT_EQ(records, (std::vector<TraceRecord>{
                         {Vpn(1), 1, kTraceRead | kTraceWrite}, {Vpn(2), 2, kTraceExecute}, {Vpn(1), 1, kTraceRead}}));
  EXPECT_EQ(rest, 1U);
}

TEST(TraceReducer, DropsTheMiddleOfThreeInAWindow) {
  // Three pages in turn, five rounds: a window of three keeps the first and the last of each.
  std::vector<RawReference> raw;
  for (std::uint32_t i = 0; i < 15; ++i) raw.push_back({i % 3, i == 4 ? kTraceWrite : kTraceRead});
  EXPECT_EQ(pages_of_records(reduce(raw, 2)).size(), 15U);
  const auto records = reduce(raw, 3);
  EXPECT_EQ(pages_of_records(records), (std::vector<std::uint32_t>{0, 1, 2, 0, 1, 2}));
  EXPECT_EQ(records[4].access, kTraceRead | kTraceWrite);  // The dropped write went to the reference behind it.
}

TEST(TraceReducer, BeginsAfreshAfterAFlush) {
  Collector collector;
  TraceReducer reducer(8, collector);
  for (int round = 0; round < 2; ++round) {
    for (std::uint64_t i = 0; i < 9; ++i) reducer.reference(Vpn(i % 3), kTraceRead);
    EXPECT_EQ(reducer.flush(), 0U);
  }
  EXPECT_EQ(pages_of_records(collector.records), (std::vector<std::uint32_t>{0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2}));
}

}  // namespace
}  // namespace pagoda::sim
