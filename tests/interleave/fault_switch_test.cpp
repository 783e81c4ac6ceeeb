// The interleavings find faults: each that was mended, and can be put back by a switch (base/interleave.h), is found within 10,000
// seeds.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "pagoda/base/interleave.h"
#include "tests/interleave/scenarios.h"

namespace pagoda::interleave {
namespace {

constexpr std::uint64_t kSeeds = 10'000;
// What the child's exit status says; a fault may as well end it by a signal.
constexpr int kNothingFound = 0;
constexpr int kFound = 1;

// In a process of its own, since a fault may end in a failed assertion or in a stuck fiber.
[[noreturn]] void look_for(FaultSwitch& fault) {
  const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  dup2(nowhere, STDERR_FILENO);
  fault.set(true);
  Scheduler scheduler;
  // Not every kind of world can show every fault: they take turns.
  for (std::uint64_t i = 0; i < kSeeds; ++i) {
    const Scenario& scenario = scenarios()[i % scenarios().size()];
    const std::uint64_t seed = 1 + i / scenarios().size();
    if (run(scheduler, scenario, seed).empty()) continue;
    // It has to be this fault: without it the same seed is well.
    fault.set(false);
    if (run(scheduler, scenario, seed).empty()) _exit(kFound);
    fault.set(true);
  }
  _exit(kNothingFound);
}

class FaultSwitches : public ::testing::TestWithParam<FaultSwitch*> {};

std::vector<FaultSwitch*> switches_of_mm() {
  std::vector<FaultSwitch*> switches = FaultSwitch::all();
  std::erase_if(switches, [](const FaultSwitch* fault) { return fault->name().starts_with("only_this_test"); });
  return switches;
}

INSTANTIATE_TEST_SUITE_P(Mended, FaultSwitches, ::testing::ValuesIn(switches_of_mm()),
                         [](const auto& fault) { return std::string(fault.param->name()); });

TEST_P(FaultSwitches, AFaultThatIsPutBackIsFound) {
  const pid_t child = fork();
  ASSERT_NE(child, -1);
  if (child == 0) look_for(*GetParam());
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) == kNothingFound) << "not in " << kSeeds << " seeds";
}

}  // namespace
}  // namespace pagoda::interleave
