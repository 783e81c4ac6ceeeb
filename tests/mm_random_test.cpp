// Random operations on small machines, against a model of plain maps (tests/support/mm_model.h).
//
// Each sequence runs in a child process, so that a failed assertion too is a finding: the operations lie in memory that
// both share. A failing sequence is shrunk by leaving out operations and printed as a regression test.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <new>
#include <string>
#include <type_traits>
#include <vector>

#include "pagoda/base/testing/effort.h"
#include "tests/support/in_child.h"
#include "tests/support/mm_interpreter.h"

namespace pagoda::mm::testing {
namespace {

using pagoda::testing::effort;

constexpr std::size_t kMostOperations = 200'000;  // Of a sequence, whatever the effort.
constexpr int kMostShrinks = 400;

// What a child leaves behind.
struct Blackboard {
  World world;
  std::size_t count;  // Operations begun.
  Counters counters;  // Of all sequences that agreed.
  Operation operations[kMostOperations];
};
static_assert(std::is_trivially_copyable_v<Operation> && std::is_trivially_copyable_v<World>);

Blackboard& blackboard() {
  static Blackboard& board = *static_cast<Blackboard*>(pagoda::testing::shared_memory(sizeof(Blackboard)));
  return board;
}

std::string replay_in_child(const World& world, const std::vector<Operation>& operations) {
  return pagoda::testing::in_child([&] { return replay(world, operations); });
}

void add(Counters& sum, const Counters& more) {
  for (std::size_t kind = 0; kind < kFaultKinds; ++kind) sum.faults[kind] += more.faults[kind];
  sum.page_file_pages_read += more.page_file_pages_read;
  sum.page_file_pages_written += more.page_file_pages_written;
  sum.mapped_file_pages_read += more.mapped_file_pages_read;
  sum.mapped_file_pages_written += more.mapped_file_pages_written;
  sum.read_errors += more.read_errors;
  sum.write_errors += more.write_errors;
  sum.pages_zeroed_by_thread += more.pages_zeroed_by_thread;
  sum.zero_pages_found += more.zero_pages_found;
  sum.pages_compressed += more.pages_compressed;
  sum.pages_decompressed += more.pages_decompressed;
  sum.pages_incompressible += more.pages_incompressible;
  sum.pages_evicted += more.pages_evicted;
  sum.pages_repurposed += more.pages_repurposed;
  sum.pages_replaced += more.pages_replaced;
  sum.pages_trimmed += more.pages_trimmed;
  sum.shortages += more.shortages;
  sum.commit_refusals += more.commit_refusals;
  sum.page_tables_freed += more.page_tables_freed;
}

void expect_agreement(
    std::uint64_t seed, std::size_t operations, std::size_t check_every,
    const std::function<void(World&)>& change = [](World&) {}) {
  operations = std::min(operations, kMostOperations);
  Blackboard& board = blackboard();
  Random random(seed);
  board.world = World::random(random);
  change(board.world);
  const std::string message = pagoda::testing::in_child([&] {
    Interpreter interpreter(board.world);
    for (std::size_t i = 0; i < operations; ++i) {
      Operation& operation = *new (&board.operations[i]) Operation(interpreter.next(random));
      board.count = i + 1;
      if (auto difference = interpreter.perform(operation); !difference.empty()) return difference;
      if ((i + 1) % check_every != 0) continue;
      if (auto findings = interpreter.check(); !findings.empty()) return findings;
    }
    std::string difference = interpreter.finish();
    add(board.counters, interpreter.counters());
    return difference;
  });
  if (message.empty()) return;
  const World world = board.world;
  const std::vector<Operation> failing(&board.operations[0], &board.operations[board.count]);
  const std::vector<Operation> shortest = pagoda::testing::shrink(
      failing, kMostShrinks, [&](const std::vector<Operation>& some) { return replay(world, some); });
  ADD_FAILURE() << "seed " << seed << ": " << message << "\nshrunk to " << shortest.size() << " operations:\n"
                << replay_in_child(world, shortest) << "\n"
                << as_test(world, shortest);
}

class MmRandom : public ::testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, MmRandom, ::testing::Range<std::uint64_t>(0, 20));

TEST_P(MmRandom, AgreesWithTheModelAfterEachOperation) {
  for (std::uint64_t i = 0; i < effort(); ++i) {
    expect_agreement(1000 + GetParam() * 10 + i, 1000, 1);
    if (HasFailure()) return;
  }
}

TEST_P(MmRandom, AgreesWithTheModelOverLongRuns) { expect_agreement(1 + GetParam(), effort(3000), 100); }

// A random test that never pages proves nothing: this one sees every kind of fault and every way out of a shortage.
TEST(MmRandomLarge, ReachesEveryCornerOfTheManager) {
  blackboard().counters = {};
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    expect_agreement(5000 + seed, 3000, 1000, [&](World& world) {
      world.processors = 2;
      world.yields = seed % 2 == 0;
      world.read_errors = seed % 3 == 0 ? 0.05 : 0;
      world.write_errors = seed % 3 == 1 ? 0.05 : 0;
      world.compression_budget = seed % 2 == 0 ? 2 : 0;
      world.most_compressed = 48;
    });
  }
  const Counters& c = blackboard().counters;
  for (std::size_t kind = 0; kind < kFaultKinds; ++kind) {
    if (static_cast<FaultKind>(kind) == FaultKind::kSpurious) continue;  // Takes two threads.
    EXPECT_GT(c.faults[kind], 0U) << name(static_cast<FaultKind>(kind));
  }
  EXPECT_GT(c.page_file_pages_read, 1000U);
  EXPECT_GT(c.page_file_pages_written, 1000U);
  EXPECT_GT(c.mapped_file_pages_read, 1000U);
  EXPECT_GT(c.mapped_file_pages_written, 1000U);
  EXPECT_GT(c.read_errors, 10U);
  EXPECT_GT(c.write_errors, 10U);
  EXPECT_GT(c.pages_zeroed_by_thread, 100U);
  EXPECT_GT(c.zero_pages_found, 10U);
  EXPECT_GT(c.pages_compressed, 1000U);
  EXPECT_GT(c.pages_decompressed, 100U);
  EXPECT_GT(c.pages_incompressible, 100U);
  EXPECT_GT(c.pages_evicted, 100U);
  EXPECT_GT(c.pages_repurposed, 1000U);
  EXPECT_GT(c.pages_replaced, 100U);
  EXPECT_GT(c.pages_trimmed, 1000U);
  EXPECT_GT(c.shortages, 10U);
  EXPECT_GT(c.commit_refusals, 10U);
  EXPECT_GT(c.page_tables_freed, 100U);
  if (HasFailure()) {
    for (std::size_t kind = 0; kind < kFaultKinds; ++kind)
      ADD_FAILURE() << name(static_cast<FaultKind>(kind)) << " " << c.faults[kind];
  }
}

TEST(MmRandomLarge, AgreesWithTheModelOnALargerMachine) {
  expect_agreement(77, effort(20'000), 5000, [](World& world) {
    world.frames = 1000;
    world.spaces = 3;
    world.processors = 2;
    world.paging_files = 2;
    world.file_maximum = 2000;
    world.commit_reserve = 64;
    world.minimum_free = 26;
    world.plenty_free = 64;
  });
}

}  // namespace
}  // namespace pagoda::mm::testing
