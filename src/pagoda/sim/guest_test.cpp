#include "pagoda/sim/guest.h"

#include <gtest/gtest.h>

#include "pagoda/sim/simulation.h"

namespace pagoda::sim {
namespace {

// Whichever processor of the host takes it: one that was idle is behind.
TEST(Guests, ALateMachineDoesNothingBeforeItStarts) {
  const auto scenario = parse_scenario(
      "[host]\nmemory = '16MiB'\nprocessors = 4\n[[vm]]\nname = 'v'\nmemory = '2MiB'\nguest = 'plain'\ncopies = 4\n"
      "every = '3ms'\n[[vm.process]]\nname = 'p'\nprogram = { kind = 'uniform', memory = '64KiB', operations = 100 }\n",
      "s.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  const auto run = run_scenario(*scenario, {.verify = true});
  ASSERT_TRUE(run) << run.error().message;
  for (std::size_t vm = 0; vm < run->vms.size(); ++vm)
    EXPECT_GT(run->processes.at(vm).finished, run->vms[vm].started) << run->vms[vm].name;
}

}  // namespace
}  // namespace pagoda::sim
