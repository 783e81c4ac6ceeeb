// Random Nt* calls on small machines, against a model of plain maps (tests/support/nt_model.h).
//
// Each sequence runs in a child process, so that a failed assertion too is a finding: the operations lie in memory that
// both share. A failing sequence is shrunk by leaving out operations and printed as a regression test.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <new>
#include <numeric>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "tests/support/nt_model.h"

namespace pagoda::nt::testing {
namespace {

// Five million operations in all where code is optimised.
#ifdef NDEBUG
constexpr std::size_t kOperations = 300'000;
#else
constexpr std::size_t kOperations = 12'000;
#endif
constexpr std::size_t kCheckEvery = 2000;
constexpr int kMostShrinks = 600;
constexpr std::uint64_t kSeeds = 6;

// What a child leaves behind.
struct Blackboard {
  std::size_t count;  // Operations begun.
  std::array<std::uint64_t, NtOperation::kCalls> successes;
  std::array<char, 4096> message;
  std::array<NtOperation, kOperations> operations;
};
static_assert(std::is_trivially_copyable_v<NtOperation>);

Blackboard& blackboard() {
  static Blackboard& board = *[] {
    void* memory = mmap(nullptr, sizeof(Blackboard), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    PAGODA_CHECK(memory != MAP_FAILED);
    return static_cast<Blackboard*>(memory);
  }();
  return board;
}

// Runs `body` in a child; what it returns, or how the child died.
std::string in_child(const std::function<std::string()>& body) {
  Blackboard& board = blackboard();
  board.message[0] = '\0';
  const pid_t child = fork();
  if (child == 0) {
    const std::string message = body();
    std::strncpy(board.message.data(), message.c_str(), board.message.size() - 1);
    _exit(message.empty() ? 0 : 1);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return "no child";
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return "";
  if (board.message[0] != '\0') return board.message.data();
  return WIFSIGNALED(status) ? "died of signal " + std::to_string(WTERMSIG(status)) : "died";
}

// Leaves out runs of operations, long ones first, as long as the rest still fails.
std::vector<NtOperation> shrink(const NtWorld& world, std::vector<NtOperation> operations) {
  int tries = 0;
  for (std::size_t length = operations.size() / 2; length > 0; length /= 2) {
    for (std::size_t at = 0; at < operations.size() && ++tries < kMostShrinks;) {
      std::vector<NtOperation> fewer(operations.begin(), operations.begin() + static_cast<std::ptrdiff_t>(at));
      const std::size_t after = std::min(at + length, operations.size());
      fewer.insert(fewer.end(), operations.begin() + static_cast<std::ptrdiff_t>(after), operations.end());
      if (in_child([&] { return replay(world, fewer); }).empty()) {
        at += length;
      } else {
        operations = std::move(fewer);
      }
    }
  }
  return operations;
}

class NtRandom : public ::testing::TestWithParam<std::tuple<machine::PteFormat, std::uint64_t>> {};
INSTANTIATE_TEST_SUITE_P(Seeds, NtRandom,
                         ::testing::Combine(::testing::Values(machine::PteFormat::kAmd64, machine::PteFormat::kPae,
                                                              machine::PteFormat::kX86),
                                            ::testing::Range<std::uint64_t>(0, kSeeds)));

TEST_P(NtRandom, AgreesWithTheModelAndGivesEverythingBack) {
  const auto [paging, seed] = GetParam();
  // Small ones run out of memory, and page all the time.
  const NtWorld world{.paging = paging, .frames = seed % 3 == 0 ? 160U : seed % 3 == 1 ? 300U : 800U};
  Blackboard& board = blackboard();
  const std::string message = in_child([&] {
    Random random(seed);
    NtInterpreter interpreter(world);
    for (std::size_t i = 0; i < kOperations; ++i) {
      const NtOperation& operation = *new (&board.operations.at(i)) NtOperation(interpreter.next(random));
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
    EXPECT_EQ(board.count, kOperations);
    EXPECT_GT(std::accumulate(board.successes.begin(), board.successes.end(), std::uint64_t{0}), kOperations / 4);
    for (std::size_t call = 0; call < NtOperation::kCalls; ++call) {
      const auto kind = static_cast<NtOperation::Call>(call);
      if (kind == NtOperation::Call::kExtendSection || kind == NtOperation::Call::kFlush) continue;  // Need a file.
      EXPECT_GT(board.successes.at(call), 15U) << "call " << call;
    }
    return;
  }
  const std::vector<NtOperation> failing(board.operations.begin(),
                                         board.operations.begin() + static_cast<std::ptrdiff_t>(board.count));
  const std::vector<NtOperation> shortest = shrink(world, failing);
  ADD_FAILURE() << "seed " << seed << ": " << message << "\nshrunk to " << shortest.size() << " operations:\n"
                << in_child([&] { return replay(world, shortest); }) << "\n"
                << as_test(world, shortest);
}

}  // namespace
}  // namespace pagoda::nt::testing
