#include "pagoda/base/bitmap.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <ostream>

namespace pagoda {
namespace {

using Model = std::vector<bool>;

// At most so many clear bits in a row, from the first one at or after `from`.
BitRange clear_run(const Model& model, std::size_t from, std::size_t most) {
  std::size_t first = std::min(from, model.size());
  while (first < model.size() && model[first]) ++first;
  std::size_t count = 0;
  while (count < most && first + count < model.size() && !model[first + count]) ++count;
  return {first, count};
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

void apply(Bitmap& bitmap, Model& model, const Operation& operation) {
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
      if (const BitRange run = clear_run(model, operation.a, operation.b % 70 + 1); !run.empty()) {
        bitmap.set(run);
        std::fill_n(model.begin() + static_cast<std::ptrdiff_t>(run.first), run.count, true);
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

void compare(const Bitmap& bitmap, const Model& model) {
  RC_ASSERT(bitmap.size() == model.size());
  RC_ASSERT(bitmap.count() == static_cast<std::size_t>(std::ranges::count(model, true)));
  for (std::size_t bit = 0; bit < model.size(); ++bit) RC_ASSERT(bitmap.test(bit) == model[bit]);
}

RC_GTEST_PROP(Bitmap, BehavesAsAVectorOfBools, ()) {
  const auto operation = rc::gen::build<Operation>(
      rc::gen::set(&Operation::kind,
                   rc::gen::element(Operation::Kind::kToggle, Operation::Kind::kToggle, Operation::Kind::kSetRun,
                                    Operation::Kind::kSetRun, Operation::Kind::kGrow, Operation::Kind::kShrink)),
      rc::gen::set(&Operation::a, rc::gen::inRange<std::size_t>(0, 1000)),
      rc::gen::set(&Operation::b, rc::gen::inRange<std::size_t>(0, 1000)));
  const auto operations = *rc::gen::container<std::vector<Operation>>(operation);
  const auto size = *rc::gen::inRange<std::size_t>(0, 300);
  Bitmap bitmap(size);
  Model model(size);
  for (const Operation& each : operations) {
    apply(bitmap, model, each);
    compare(bitmap, model);
  }
}

RC_GTEST_PROP(Bitmap, FindsTheNextOfEachKind, (const std::vector<bool>& bits)) {
  // Repeated bits make runs that cross words.
  const auto repeat = *rc::gen::inRange<std::size_t>(1, 40);
  Model model;
  for (const bool bit : bits) model.insert(model.end(), repeat, bit);
  Bitmap bitmap(model.size());
  for (std::size_t bit = 0; bit < model.size(); ++bit)
    if (model[bit]) bitmap.set(bit);
  const auto from = *rc::gen::inRange<std::size_t>(0, model.size() + 2);
  const auto next = [&](bool kind) {
    std::size_t at = std::min(from, model.size());
    while (at < model.size() && model[at] != kind) ++at;
    return at;
  };
  RC_ASSERT(bitmap.next_clear(from) == next(false));
  RC_ASSERT(bitmap.next_set(from) == next(true));
}

TEST(Bitmap, FullHasNoClearBit) {
  Bitmap bitmap(3);
  bitmap.set({0, 3});
  EXPECT_EQ(bitmap.next_clear(0), 3U);
  EXPECT_EQ(Bitmap().next_clear(0), 0U);
}

TEST(BitmapDeathTest, ShrinkingOverSetBitsDies) {
  Bitmap bitmap(100);
  bitmap.set(80);
  EXPECT_DEATH(bitmap.resize(80), "check failed");
}

#if PAGODA_DCHECKS
TEST(BitmapDeathTest, SettingTwiceDies) {
  Bitmap bitmap(10);
  bitmap.set(3);
  EXPECT_DEATH(bitmap.set(3), "check failed");
  EXPECT_DEATH(bitmap.clear(4), "check failed");
  EXPECT_DEATH(static_cast<void>(bitmap.test(10)), "check failed");
}
#endif

}  // namespace
}  // namespace pagoda
