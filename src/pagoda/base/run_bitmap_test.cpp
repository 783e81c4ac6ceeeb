#include "pagoda/base/run_bitmap.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <ostream>

namespace pagoda {
namespace {

using Model = std::vector<bool>;

// The longest run of clear bits that begins at `first`, cut at `wanted`.
std::size_t run_at(const Model& model, std::size_t first, std::size_t wanted) {
  std::size_t count = 0;
  while (count < wanted && first + count < model.size() && !model[first + count]) ++count;
  return count;
}

// find_clear_run's contract, as a search that tries every place.
BitRange expected_run(const Model& model, std::size_t wanted, std::size_t from) {
  BitRange best{0, 0};
  from = std::min(from, model.size());
  for (std::size_t i = 0; i < model.size(); ++i) {
    const std::size_t first = (from + i) % model.size();
    // A run is met at its first bit: its begin, or where the search begins.
    if (first != 0 && first != from && !model[first - 1]) continue;
    const std::size_t count = run_at(model, first, wanted);
    if (count > best.count) best = {first, count};
    if (best.count == wanted) break;
  }
  return best;
}

struct Operation {
  enum class Kind { kToggle, kSetRun, kGrow, kShrink } kind = Kind::kToggle;
  std::size_t a = 0;
  std::size_t b = 0;
};

// As C++ that a regression test can hold.
std::ostream& operator<<(std::ostream& out, const Operation& operation) {
  static constexpr std::array<const char*, 4> kNames{"kToggle", "kSetRun", "kGrow", "kShrink"};
  return out << "{Operation::Kind::" << kNames[static_cast<std::size_t>(operation.kind)] << ", " << operation.a << ", "
             << operation.b << "}";
}

void apply(RunBitmap& bitmap, Model& model, const Operation& operation) {
  switch (operation.kind) {
    case Operation::Kind::kToggle:
      if (model.empty()) return;
      if (const std::size_t bit = operation.a % model.size(); model[bit]) {
        bitmap.clear(bit);
        model[bit] = false;
      } else {
        bitmap.set(bit);
        model[bit] = true;
      }
      return;
    case Operation::Kind::kSetRun:
      if (const auto run = bitmap.find_clear_run(operation.b % 300 + 1, operation.a)) {
        bitmap.set(*run);
        std::fill_n(model.begin() + static_cast<std::ptrdiff_t>(run->first), run->count, true);
      }
      return;
    case Operation::Kind::kGrow:
      bitmap.resize(model.size() + operation.a % 100);
      model.resize(model.size() + operation.a % 100);
      return;
    case Operation::Kind::kShrink: {
      const auto last = std::find(model.rbegin(), model.rend(), true);
      const auto used = static_cast<std::size_t>(model.rend() - last);
      const std::size_t size = used + (model.size() - used) / 2;
      bitmap.resize(size);
      model.resize(size);
      return;
    }
  }
}

void compare(const RunBitmap& bitmap, const Model& model) {
  RC_ASSERT(bitmap.size() == model.size());
  RC_ASSERT(bitmap.count() == static_cast<std::size_t>(std::ranges::count(model, true)));
  for (std::size_t bit = 0; bit < model.size(); ++bit) RC_ASSERT(bitmap.test(bit) == model[bit]);
}

RC_GTEST_PROP(RunBitmap, BehavesAsAVectorOfBools, ()) {
  const auto operation = rc::gen::build<Operation>(
      rc::gen::set(&Operation::kind,
                   rc::gen::element(Operation::Kind::kToggle, Operation::Kind::kToggle, Operation::Kind::kSetRun,
                                    Operation::Kind::kSetRun, Operation::Kind::kGrow, Operation::Kind::kShrink)),
      rc::gen::set(&Operation::a, rc::gen::inRange<std::size_t>(0, 1000)),
      rc::gen::set(&Operation::b, rc::gen::inRange<std::size_t>(0, 1000)));
  const auto operations = *rc::gen::container<std::vector<Operation>>(operation);
  const auto size = *rc::gen::inRange<std::size_t>(0, 300);
  RunBitmap bitmap(size);
  Model model(size);
  for (const Operation& each : operations) {
    apply(bitmap, model, each);
    compare(bitmap, model);
    const BitRange expected = expected_run(model, each.b % 40 + 1, each.a);
    const auto found = bitmap.find_clear_run(each.b % 40 + 1, each.a);
    RC_ASSERT(found.value_or(BitRange{0, 0}).count == expected.count);
    if (found) RC_ASSERT(found->first == expected.first);
  }
}

RC_GTEST_PROP(RunBitmap, FindsTheRunThatItsContractNames, (const std::vector<bool>& bits)) {
  // Repeated bits make runs that cross words.
  const auto repeat = *rc::gen::inRange<std::size_t>(1, 80);
  Model model;
  for (const bool bit : bits) model.insert(model.end(), repeat, bit);
  RunBitmap bitmap(model.size());
  for (std::size_t bit = 0; bit < model.size(); ++bit)
    if (model[bit]) bitmap.set(bit);

  const auto wanted = *rc::gen::inRange<std::size_t>(1, 400);
  const auto from = *rc::gen::inRange<std::size_t>(0, model.size() + 2);
  const BitRange expected = expected_run(model, wanted, from);
  const auto found = bitmap.find_clear_run(wanted, from);
  RC_ASSERT(found.has_value() == (expected.count > 0));
  if (found) {
    RC_ASSERT(found->first == expected.first);
    RC_ASSERT(found->count == expected.count);
  }
  const auto clear =
      std::find(model.begin() + static_cast<std::ptrdiff_t>(std::min(from, model.size())), model.end(), false);
  RC_ASSERT(bitmap.bits().next_clear(from) ==
            std::max(static_cast<std::size_t>(clear - model.begin()), std::min(from, model.size())));
}

TEST(RunBitmap, RunGoesOnPastTheHintOnTheSecondSearch) {
  RunBitmap bitmap(100);
  for (std::size_t bit = 52; bit < 100; ++bit) bitmap.set(bit);
  bitmap.set(9);
  // From 50 there are two clear bits; from the start, 10 to 51 is long enough and lies on both sides of the hint.
  const auto run = bitmap.find_clear_run(42, 50);
  ASSERT_TRUE(run);
  EXPECT_EQ(run->first, 10U);
  EXPECT_EQ(run->count, 42U);
}

TEST(RunBitmap, ShorterRunWhenNoneIsLongEnough) {
  RunBitmap bitmap(64);
  for (std::size_t bit = 0; bit < 64; bit += 4) bitmap.set(bit);
  const auto run = bitmap.find_clear_run(8, 30);
  ASSERT_TRUE(run);
  EXPECT_EQ(run->first, 33U);  // 30 and 31 are met first, but are only two.
  EXPECT_EQ(run->count, 3U);
}

TEST(RunBitmap, WantingMoreThanThereIsGetsAll) {
  RunBitmap bitmap(70);
  const auto run = bitmap.find_clear_run(~std::size_t{0}, 0);
  ASSERT_TRUE(run);
  EXPECT_EQ(run->first, 0U);
  EXPECT_EQ(run->count, 70U);
}

TEST(RunBitmap, FullOrEmptyHasNoRun) {
  RunBitmap bitmap(3);
  bitmap.set({0, 3});
  EXPECT_FALSE(bitmap.find_clear_run(1, 0));
  EXPECT_EQ(bitmap.bits().next_clear(0), 3U);
  EXPECT_FALSE(RunBitmap().find_clear_run(1, 0));
}

TEST(RunBitmapDeathTest, ShrinkingOverSetBitsDies) {
  RunBitmap bitmap(100);
  bitmap.set(80);
  EXPECT_DEATH(bitmap.resize(80), "check failed");
}

}  // namespace
}  // namespace pagoda
