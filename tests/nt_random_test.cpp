// Random Nt* calls on small machines, against a model of plain maps (tests/support/nt_model.h).
//
// Each sequence runs in a child process, so that a failed assertion too is a finding: the operations lie in memory that
// both share. A failing sequence is shrunk by leaving out operations and printed as a regression test.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <new>
#include <numeric>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "pagoda/base/testing/effort.h"
#include "tests/support/in_child.h"
#include "tests/support/nt_interpreter.h"

namespace pagoda::nt::testing {
namespace {

constexpr std::size_t kMostOperations = 300'000;  // Of a sequence, whatever the effort.
constexpr std::size_t kCheckEvery = 2000;
constexpr int kMostShrinks = 600;
constexpr std::uint64_t kSeeds = 6;

// What a child leaves behind.
struct Blackboard {
  std::size_t count;  // Operations begun.
  std::array<std::uint64_t, kKindCount> successes;
  std::array<Operation, kMostOperations> operations;
};
static_assert(std::is_trivially_copyable_v<Operation>);

Blackboard& blackboard() {
  static Blackboard& board = *static_cast<Blackboard*>(pagoda::testing::shared_memory(sizeof(Blackboard)));
  return board;
}

class NtRandom : public ::testing::TestWithParam<std::tuple<machine::PteFormat, std::uint64_t>> {};
INSTANTIATE_TEST_SUITE_P(Seeds, NtRandom,
                         ::testing::Combine(::testing::Values(machine::PteFormat::kAmd64, machine::PteFormat::kPae,
                                                              machine::PteFormat::kX86),
                                            ::testing::Range<std::uint64_t>(0, kSeeds)));

TEST_P(NtRandom, AgreesWithTheModelAndGivesEverythingBack) {
  const auto [paging, seed] = GetParam();
  // Small ones run out of memory, and page all the time.
  const World world{.paging = paging, .frames = seed % 3 == 0 ? 160U : seed % 3 == 1 ? 300U : 800U};
  // 18 sequences: five million operations in all at the effort of 10.
  const std::size_t planned = std::min(pagoda::testing::effort(30'000), kMostOperations);
  Blackboard& board = blackboard();
  const std::string message = pagoda::testing::in_child([&] {
    Random random(seed);
    Interpreter interpreter(world);
    for (std::size_t i = 0; i < planned; ++i) {
      const Operation& operation = *new (&board.operations.at(i)) Operation(interpreter.next(random));
      board.count = i + 1;
      if (auto difference = interpreter.perform(operation); !difference.empty()) return difference;
      if ((i + 1) % kCheckEvery != 0) continue;
      if (auto difference = interpreter.check(); !difference.empty()) return difference;
    }
    board.successes = interpreter.successes();
    return interpreter.finish();
  });
  if (message.empty()) {
    // A random test whose calls all fail proves nothing.
    EXPECT_EQ(board.count, planned);
    EXPECT_GT(std::accumulate(board.successes.begin(), board.successes.end(), std::uint64_t{0}), planned / 4);
    for (std::size_t kind = 0; kind < kKindCount; ++kind) {
      if (kind == Operation(op::ExtendSection{}).index() || kind == Operation(op::FlushVirtualMemory{}).index())
        continue;  // Need a file.
      EXPECT_GT(board.successes.at(kind), planned / 20'000) << name_of_kind(kind);
    }
    return;
  }
  const std::vector<Operation> failing(board.operations.begin(),
                                       board.operations.begin() + static_cast<std::ptrdiff_t>(board.count));
  const std::vector<Operation> shortest = pagoda::testing::shrink(
      failing, kMostShrinks, [&](const std::vector<Operation>& some) { return replay(world, some); });
  ADD_FAILURE() << "seed " << seed << ": " << message << "\nshrunk to " << shortest.size() << " operations:\n"
                << pagoda::testing::in_child([&] { return replay(world, shortest); }) << "\n"
                << as_test(world, shortest);
}

}  // namespace
}  // namespace pagoda::nt::testing
