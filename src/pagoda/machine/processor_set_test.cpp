#include "pagoda/machine/processor_set.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>
#include <vector>

namespace pagoda::machine {
namespace {

TEST(ProcessorSet, HoldsUpToSixtyFour) {
  ProcessorSet set;
  EXPECT_TRUE(set.empty());
  set.add(0);
  set.add(63);
  EXPECT_TRUE(set.contains(0) && set.contains(63));
  EXPECT_FALSE(set.contains(32));
  set.remove(0);
  set.remove(63);
  EXPECT_EQ(set, ProcessorSet());
}

TEST(ProcessorSet, HoldsMoreThanSixtyFour) {
  ProcessorSet set;
  set.add(64);
  set.add(2047);
  EXPECT_TRUE(set.contains(64) && set.contains(2047));
  EXPECT_FALSE(set.contains(0) || set.contains(65) || set.contains(128) || set.contains(5000));
  EXPECT_FALSE(set.empty());
  set.remove(2047);
  set.remove(5000);
  ProcessorSet other;
  other.add(64);
  EXPECT_EQ(set, other);  // Whatever was in it before.
  EXPECT_EQ(other, set);
  other.add(65);
  EXPECT_FALSE(set == other);
  set.remove(64);
  EXPECT_TRUE(set.empty());
  EXPECT_EQ(set, ProcessorSet());
}

RC_GTEST_PROP(ProcessorSet, IsASetOfNumbers, ()) {
  ProcessorSet set;
  std::set<unsigned> model;
  for (const auto& [number, added] : *rc::gen::arbitrary<std::vector<std::pair<std::uint8_t, bool>>>()) {
    if (added) {
      set.add(number);
      model.insert(number);
    } else {
      set.remove(number);
      model.erase(number);
    }
    RC_ASSERT(set.empty() == model.empty());
  }
  ProcessorSet same;
  for (const unsigned number : model) same.add(number);
  RC_ASSERT(set == same);
  for (unsigned number = 0; number < 300; ++number) RC_ASSERT(set.contains(number) == model.contains(number));
}

TEST(ProcessorSet, VisitsEachInOrder) {
  ProcessorSet set;
  for (const unsigned number : {1000U, 63U, 64U, 0U, 130U}) set.add(number);
  set.remove(130);
  std::vector<unsigned> visited;
  set.for_each([&](unsigned number) { visited.push_back(number); });
  EXPECT_EQ(visited, (std::vector<unsigned>{0, 63, 64, 1000}));
}

}  // namespace
}  // namespace pagoda::machine
