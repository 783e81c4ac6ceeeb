#include "pagoda/policy/policies/balloon_watch.h"

#include <gtest/gtest.h>

namespace pagoda::policy {
namespace {

constexpr Duration kPatience = 4_s;

// The balloon of one machine, looked at each second.
class Watched {
 public:
  bool dead(PageCount target, PageCount actual) {
    watch_.look({.target = target, .actual = actual, .moved_at = {}}, now_, kPatience);
    now_ += 1_s;
    return watch_.is_dead();
  }
  [[nodiscard]] PageCount moved() const { return watch_.moved(); }

 private:
  BalloonWatch watch_;
  Time now_;
};

TEST(BalloonWatch, ABalloonAtItsTargetIsNeverDead) {
  Watched balloon;
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(balloon.dead(10_pages, 10_pages));
}

TEST(BalloonWatch, OneThatDoesNotMoveIsDeadAfterItsPatienceAndAliveWhenItMoves) {
  Watched balloon;
  EXPECT_FALSE(balloon.dead(0_pages, 0_pages));
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(balloon.dead(100_pages, 0_pages)) << i;
  EXPECT_TRUE(balloon.dead(100_pages, 0_pages));
  EXPECT_FALSE(balloon.dead(100_pages, 1_pages));
  EXPECT_EQ(balloon.moved(), 1_pages);
}

TEST(BalloonWatch, ASlowOneIsAliveAndADeflationIsAMoveToo) {
  Watched balloon;
  for (std::uint64_t i = 0; i < 50; ++i) EXPECT_FALSE(balloon.dead(100_pages, PageCount(i)));
  for (std::uint64_t i = 50; i > 0; --i) EXPECT_FALSE(balloon.dead(0_pages, PageCount(i)));
  EXPECT_EQ(balloon.moved(), 0_pages);
}

// Whoever changes his mind each second learns of it all the same.
TEST(BalloonWatch, NewOrdersDoNotExcuseIt) {
  Watched balloon;
  EXPECT_FALSE(balloon.dead(0_pages, 0_pages));
  for (std::uint64_t i = 0; i < 4; ++i) EXPECT_FALSE(balloon.dead(PageCount(100 + i), 0_pages));
  EXPECT_TRUE(balloon.dead(200_pages, 0_pages));
}

}  // namespace
}  // namespace pagoda::policy
