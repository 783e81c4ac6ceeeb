#include "pagoda/hv/gpa_map.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "pagoda/base/random.h"

namespace pagoda::hv {
namespace {

GpaRange range(std::uint32_t first, std::uint64_t count, std::uint64_t backing, GpaKind kind = GpaKind::kMemory) {
  return {.frames = {Gfn(first), PageCount(count)}, .backing = Vpn(backing), .kind = kind};
}

TEST(GpaMap, RefusesEmptyAndEndlessRangesAndFramesThatAreTaken) {
  GpaMap map;
  EXPECT_EQ(map.add(range(10, 0, 1)).error(), Status::kInvalidParameter);
  EXPECT_EQ(map.add(range(10, kNoGfn.value(), 1)).error(), Status::kInvalidParameter);
  ASSERT_TRUE(map.add(range(10, 10, 100)));
  for (const auto& taken : {range(10, 1, 1), range(19, 1, 1), range(0, 11, 1), range(15, 100, 1), range(0, 100, 1)})
    EXPECT_EQ(map.add(taken).error(), Status::kConflictingAddresses);
  EXPECT_EQ(map.ranges().size(), 1U);
  EXPECT_TRUE(map.add(range(20, 1, 1)));
  EXPECT_TRUE(map.add(range(0, 10, 1)));
}

TEST(GpaMap, MemoryIsNotWhatIsMappedFromFilesNorWhatIsNotThere) {
  GpaMap map;
  ASSERT_TRUE(map.add(range(0, 10, 100)));
  ASSERT_TRUE(map.add(range(10, 10, 300)));
  ASSERT_TRUE(map.add(range(20, 5, 500, GpaKind::kDirectMap)));
  EXPECT_TRUE(map.is_memory({Gfn(0), PageCount(20)})) << "two ranges, one after the other";
  EXPECT_FALSE(map.is_memory({Gfn(0), PageCount(0)}));
  EXPECT_FALSE(map.is_memory({Gfn(0), PageCount(21)}));
  EXPECT_FALSE(map.is_memory({Gfn(24), PageCount(2)}));
  EXPECT_FALSE(map.is_memory({Gfn(1000), PageCount(1)}));
  EXPECT_FALSE(map.is_memory({Gfn(5), PageCount(~std::uint64_t{0})}));
}

// Random ranges, some with the same backing, against plain maps of single frames.
TEST(GpaMap, FindsInBothDirectionsWhatAPlainMapFinds) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Random random(seed);
    GpaMap map;
    std::map<std::uint32_t, std::uint64_t> pages;  // By guest frame.
    for (int i = 0; i < 30; ++i) {
      const GpaRange next =
          range(static_cast<std::uint32_t>(random.below(600)), 1 + random.below(40), 1000 + random.below(400));
      const bool taken =
          std::ranges::any_of(pages, [&](const auto& page) { return next.frames.contains(Gfn(page.first)); });
      ASSERT_EQ(map.add(next).has_value(), !taken);
      if (taken) continue;
      for (std::uint64_t at = 0; at < next.frames.count.value(); ++at)
        pages[static_cast<std::uint32_t>(next.frames.first.value() + at)] = next.backing.value() + at;
    }
    for (std::uint32_t frame = 0; frame < 700; ++frame) {
      const GpaRange* const found = map.find(Gfn(frame));
      const auto expected = pages.find(frame);
      ASSERT_EQ(found != nullptr, expected != pages.end()) << frame;
      if (found != nullptr) {
        ASSERT_EQ(found->page_of(Gfn(frame)).value(), expected->second);
      }
    }
    for (int i = 0; i < 50; ++i) {
      const VpnRange asked{Vpn(990 + random.below(460)), PageCount(1 + random.below(50))};
      std::multiset<std::pair<std::uint32_t, std::uint64_t>> visited;
      std::multiset<std::pair<std::uint32_t, std::uint64_t>> expected;
      map.for_each_frame(asked, [&](Gfn frame, Vpn page) { visited.insert({frame.value(), page.value()}); });
      for (const auto& [frame, page] : pages)
        if (page >= asked.first.value() && page < asked.end().value()) expected.insert({frame, page});
      ASSERT_EQ(visited, expected) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace pagoda::hv
