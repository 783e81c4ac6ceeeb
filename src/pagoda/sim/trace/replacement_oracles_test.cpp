// The oracles against slow but obvious ones on random streams, and against the recorded table on the shipped traces.
#include "pagoda/sim/trace/replacement_oracles.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "pagoda/sim/trace/trace.h"

namespace pagoda::sim {
namespace {

using Pages = std::vector<std::uint32_t>;

// Evicts the resident page for which `rank` (time now, index in memory) is smallest.
template <class Rank>
std::uint64_t count_slowly(const Pages& pages, std::size_t frames, bool move_on_hit, Rank rank) {
  Pages memory;  // In order of arrival, or of last use.
  std::uint64_t misses = 0;
  for (std::size_t now = 0; now < pages.size(); ++now) {
    const auto found = std::ranges::find(memory, pages[now]);
    if (found != memory.end()) {
      if (move_on_hit) std::rotate(found, found + 1, memory.end());
      continue;
    }
    ++misses;
    if (memory.size() == frames) {
      std::size_t victim = 0;
      for (std::size_t i = 1; i < memory.size(); ++i) {
        if (rank(now, memory, i) < rank(now, memory, victim)) victim = i;
      }
      memory.erase(memory.begin() + static_cast<std::ptrdiff_t>(victim));
    }
    memory.push_back(pages[now]);
  }
  return misses;
}

std::uint64_t slow_clock(const Pages& pages, std::size_t frames) {
  struct Frame {
    std::uint32_t page;
    bool referenced;
  };
  std::vector<Frame> ring;
  std::size_t hand = 0;
  std::uint64_t misses = 0;
  for (const std::uint32_t page : pages) {
    const auto found = std::ranges::find(ring, page, &Frame::page);
    if (found != ring.end()) {
      found->referenced = true;
      continue;
    }
    ++misses;
    if (ring.size() < frames) {
      ring.push_back({page, true});
      continue;
    }
    for (; ring[hand].referenced; hand = (hand + 1) % frames) ring[hand].referenced = false;
    ring[hand] = {page, true};
    hand = (hand + 1) % frames;
  }
  return misses;
}

RC_GTEST_PROP(ReplacementOracles, EqualTheObviousOnes, ()) {
  const auto page_count = *rc::gen::inRange<std::uint32_t>(1, 12);
  const Pages pages = *rc::gen::container<Pages>(rc::gen::inRange<std::uint32_t>(0, page_count));
  const std::vector<std::uint64_t> curve = lru_miss_curve(pages, page_count);
  RC_ASSERT(curve.size() == page_count + 1U);
  RC_ASSERT(curve[0] == pages.size());
  const auto oldest = [](std::size_t, const Pages&, std::size_t i) { return i; };
  const auto nearest_use = [&](std::size_t now, const Pages& memory, std::size_t i) {
    const auto from = pages.begin() + static_cast<std::ptrdiff_t>(now);
    return -(std::find(from, pages.end(), memory[i]) - from);
  };
  for (std::size_t frames = 1; frames <= page_count; ++frames) {
    const PageCount memory(frames);
    const std::uint64_t lru = count_lru_misses(pages, page_count, memory);
    RC_ASSERT(lru == count_slowly(pages, frames, true, oldest));
    RC_ASSERT(lru == curve[frames]);
    RC_ASSERT(count_fifo_misses(pages, page_count, memory) == count_slowly(pages, frames, false, oldest));
    RC_ASSERT(count_opt_misses(pages, page_count, memory) == count_slowly(pages, frames, false, nearest_use));
    RC_ASSERT(count_clock_misses(pages, page_count, memory) == slow_clock(pages, frames));
  }
}

TEST(ReplacementOracles, LongStreamsCompactTheSlotsOfTheCurve) {
  Pages pages;
  std::uint64_t state = 1;
  for (int i = 0; i < 20'000; ++i) {
    state = state * 6364136223846793005 + 1442695040888963407;
    pages.push_back(static_cast<std::uint32_t>((state >> 40) % 300 * ((state >> 33) % 7) / 6));
  }
  const std::vector<std::uint64_t> curve = lru_miss_curve(pages, 300);
  for (const std::uint64_t frames : {1, 2, 10, 77, 150, 299, 300}) {
    EXPECT_EQ(curve[frames], count_lru_misses(pages, 300, PageCount(frames))) << frames;
  }
}

// What an independent simulator counted on the same traces, checked by it against libCacheSim.
struct Row {
  std::uint64_t frames, lru, opt, clock, fifo;
};
struct Table {
  const char* trace;
  std::uint64_t records, references, pages, written;
  std::vector<Row> rows;
};

void PrintTo(const Table& table, std::ostream* out) { *out << table.trace; }

const Table kTables[] = {
    {"boot_phys",
     4228790,
     687711415,
     23121,
     19686,
     {{1156, 85557, 63591, 85820, 96324},
      {2312, 68174, 50311, 68487, 72492},
      {4624, 55563, 39882, 57325, 59665},
      {11560, 44429, 24860, 43266, 47657}}},
    {"file_phys",
     5637801,
     1388679493,
     31969,
     28534,
     {{1598, 102737, 76339, 103940, 122566},
      {3196, 83232, 60685, 84251, 93734},
      {6393, 67464, 44907, 67867, 72980},
      {15984, 35363, 31969, 36239, 39046}}},
    {"cc1",
     5943006,
     1058230778,
     8770,
     5356,
     {{438, 449523, 213220, 490171, 704971},
      {877, 99346, 51673, 105589, 157221},
      {1754, 22144, 14404, 23410, 36475},
      {4385, 9934, 8770, 10301, 11808}}},
    {"sort",
     1619033,
     431366587,
     3718,
     3545,
     {{185, 407819, 229961, 408650, 442684},
      {371, 260218, 128731, 260330, 276057},
      {743, 132421, 55995, 133179, 141136},
      {1859, 8032, 7064, 9325, 17371}}},
    {"sqlite",
     348497,
     687218684,
     3193,
     2712,
     {{319, 125926, 54646, 129411, 119305}, {638, 36055, 16520, 36210, 40044}, {1596, 7011, 4520, 6999, 7243}}},
    {"gzip",
     45044,
     513765498,
     295,
     153,
     {{88, 2623, 888, 3491, 3837}, {147, 751, 398, 772, 1039}, {206, 308, 295, 316, 339}}},
};

class RecordedTraces : public testing::TestWithParam<Table> {};

TEST_P(RecordedTraces, MissAsTheTableSays) {
  const Table& table = GetParam();
  const std::string path = std::string(PAGODA_SOURCE_DIR) + "/data/traces/" + table.trace + ".vmpt.zst";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there: too large to be shipped with the source";
  const Input<Trace> loaded = Trace::load(path);
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
  const Trace& trace = *loaded;
  EXPECT_EQ(trace.info().records, table.records);
  EXPECT_EQ(trace.info().references, table.references);
  EXPECT_EQ(trace.info().pages, PageCount(table.pages));
  EXPECT_EQ(trace.info().pages_written, PageCount(table.written));
  const Pages pages = trace.dense_sequence();
  const auto page_count = static_cast<std::uint32_t>(table.pages);
  const std::vector<std::uint64_t> curve = lru_miss_curve(pages, page_count);
  for (const Row& row : table.rows) {
    SCOPED_TRACE(row.frames);
    const PageCount frames(row.frames);
    EXPECT_EQ(count_lru_misses(pages, page_count, frames), row.lru);
    EXPECT_EQ(curve[row.frames], row.lru);
    EXPECT_EQ(count_opt_misses(pages, page_count, frames), row.opt);
    EXPECT_EQ(count_clock_misses(pages, page_count, frames), row.clock);
    EXPECT_EQ(count_fifo_misses(pages, page_count, frames), row.fifo);
  }
}

INSTANTIATE_TEST_SUITE_P(ReplacementOracles, RecordedTraces, testing::ValuesIn(kTables),
                         [](const auto& param_info) { return std::string(param_info.param.trace); });

}  // namespace
}  // namespace pagoda::sim
