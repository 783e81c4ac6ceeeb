// The thread that looks for equal pages keeps to its rates, which may change while it runs.
#include "pagoda/mm/threads/combine_thread.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "pagoda/mm/testing/combiner_test_base.h"

namespace pagoda::mm {
namespace {

class CombineThreadTest : public testing::CombinerTest {
 protected:
  CombineThreadTest() {
    EXPECT_EQ(thread.name(), "combine thread");
    EXPECT_EQ(thread.due(t.cpu().now()), kNever) << "nobody takes part";
    EXPECT_TRUE(combiner().allow(t.space()));
    std::vector<std::uint64_t> words;
    for (unsigned i = 0; i < 300; ++i) words.push_back(i + 1);
    static_cast<void>(fill(t.space(), 0, words));
  }

  // Pages that it looks at in the time.
  std::uint64_t scanned_in(Duration time) {
    const std::uint64_t before = t.manager().counters().sharing_scanned;
    const Time end = t.cpu().now() + time;
    while (thread.due(t.cpu().now()) < end) {
      t.cpu().advance_to(thread.due(t.cpu().now()));
      thread.run(t.cpu());
    }
    t.cpu().advance_to(end);
    return t.manager().counters().sharing_scanned - before;
  }

  SystemThread& thread = *t.manager().system_threads()[4];
};

TEST_P(CombineThreadTest, KeepsToTheRatesOfItsTunables) {
  const std::uint64_t scanned = scanned_in(1_s);
  EXPECT_LE(scanned, 1024U + 103U) << "ShareRateMax: reference overcommit-facts.md 1.2";
  EXPECT_GE(scanned, 900U);
}

// KubeVirt's loop steers KSM by pages a wake and the sleep between (reference overcommit-facts.md 5).
TEST_P(CombineThreadTest, TakesAnotherRateWhileItRuns) {
  static_cast<void>(scanned_in(1_s));
  combiner().set_scan_rate({.of_space = PageCount(100), .in_all = PageCount(100), .period = 20_ms});
  EXPECT_EQ(combiner().scan_rate().in_all, PageCount(100));
  EXPECT_NEAR(static_cast<double>(scanned_in(1_s)), 5000, 200);
  combiner().set_scan_rate({.of_space = PageCount(100), .in_all = PageCount(7), .period = 500_ms});
  EXPECT_LE(scanned_in(2_s), 5 * 7U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(CombineThreadTest, ASlowRateIsNoMoreSlowAsSoonAsItIsTold) {
  combiner().set_scan_rate({.of_space = PageCount(1), .in_all = PageCount(1), .period = 1000_s});
  static_cast<void>(scanned_in(1_s));
  combiner().set_scan_rate({.of_space = PageCount(10), .in_all = PageCount(10), .period = 100_ms});
  EXPECT_GE(scanned_in(1_s), 90U);
}

TEST_P(CombineThreadTest, ARateOfZeroIsASwitch) {
  combiner().set_scan_rate({.of_space = PageCount(10), .in_all = PageCount(0), .period = 100_ms});
  EXPECT_EQ(thread.due(t.cpu().now()), kNever);
  thread.run(t.cpu());
  EXPECT_EQ(t.manager().counters().sharing_scanned, 0U);
  combiner().set_scan_rate({.of_space = PageCount(10), .in_all = PageCount(10), .period = 100_ms});
  EXPECT_EQ(thread.due(t.cpu().now()), t.cpu().now());
}

INSTANTIATE_TEST_SUITE_P(Modes, CombineThreadTest, testing::all_modes(), testing::name_of_mode);

}  // namespace
}  // namespace pagoda::mm
