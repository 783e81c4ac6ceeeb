// This computer cannot carry the simulated one: the run stops, and says so. What it would have become instead is a run
// with other disk errors than the scenario asked for.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "pagoda/base/testing/file_size_limit.h"
#include "pagoda/sim/simulation.h"

namespace pagoda::sim {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class HostFails : public ::testing::Test {
 protected:
  HostFails() { std::filesystem::create_directories(folder_ / "store"); }
  ~HostFails() override { std::filesystem::remove_all(folder_); }

  // A host of 1 MiB whose programs need more, above a disk with that store.
  [[nodiscard]] std::string host(std::string_view store, std::string_view processes) const {
    return fmt::format(
        "[host]\nmemory = '1MiB'\n[[disk]]\nname = 'd'\ncapacity = '16MiB'\nstore = '{}'\n"
        "[[page_file]]\ndisk = 'd'\nminimum = '8MiB'\n{}",
        store, processes);
  }
  [[nodiscard]] Scenario parsed(const std::string& text) const {
    auto scenario = parse_scenario(text, (folder_ / "s.toml").string());
    EXPECT_TRUE(scenario) << scenario.error().message;
    return std::move(*scenario);
  }
  [[nodiscard]] std::unique_ptr<Simulation> created(const std::string& text) const {
    auto simulation = Simulation::create(parsed(text), {});
    EXPECT_TRUE(simulation) << simulation.error().message;
    return std::move(*simulation);
  }

  const std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) / ("pagoda-host-fails-" + std::to_string(getpid()));
};

constexpr std::string_view kHungry =
    "[[process]]\nname = 'p'\nprogram = { kind = 'uniform', memory = '2MiB', operations = 20000, writes = 1 }\n";

TEST_F(HostFails, AWriteUnderAPagingFileStopsTheRunAndNamesTheFolder) {
  for (const std::string_view store : {"store", "memory"}) {
    const auto simulation = created(host(store, kHungry));
    const testing::FileSizeLimit limit(64_KiB);
    const auto result = simulation->run();
    ASSERT_FALSE(result) << store;
    const std::string place = store == "memory" ? "memory" : fmt::format("\"{}\"", (folder_ / "store").string());
    EXPECT_THAT(result.error().message, AllOf(StartsWith((folder_ / "s.toml").string() + ": disk \"d\": "),
                                              HasSubstr("cannot write its bytes in " + place + ": File too large"),
                                              HasSubstr("disk.store"), Not(HasSubstr("\n"))));
  }
}

// Simulated errors beside it change nothing: the real one is told.
TEST_F(HostFails, BesideInjectedErrorsTheRealOneIsTold) {
  std::string text = host("store", kHungry);
  text.insert(text.find("[[page_file]]"), "write_errors = 0.3\nread_errors = 0.3\n");
  const auto simulation = created(text);
  const testing::FileSizeLimit limit(64_KiB);
  const auto result = simulation->run();
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("File too large"));
}

TEST_F(HostFails, AWriteUnderAMappedFile) {
  std::ofstream(folder_ / "data") << std::string(1 << 20, 'x');
  const auto simulation = created(
      host("store",
           "[[process]]\nname = 'p'\nprogram = { kind = 'uniform', file = 'data', disk = 'd', operations = 20000, "
           "writes = 1 }\nworking_set = { minimum = '64KiB', maximum = '128KiB', hard = true }\n"
           "[memory_manager]\nmodified_maximum = '16KiB'\n"));
  const testing::FileSizeLimit limit(4_KiB);
  const auto result = simulation->run();
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr((folder_ / "store").string()));
}

TEST_F(HostFails, AWriteUnderADiskOfAGuest) {
  const std::string vm =
      "[[vm]]\nname = 'v'\nmemory = '2MiB'\n[[vm.disk]]\nname = 'inside'\ncapacity = '16MiB'\nstore = 'store'\n"
      "[[vm.page_file]]\ndisk = 'inside'\nminimum = '8MiB'\n"
      "[[vm.process]]\nname = 'p'\nprogram = { kind = 'uniform', memory = '4MiB', operations = 20000, writes = 1 }\n";
  std::string text = host("memory", vm);
  text.replace(text.find("1MiB"), 4, "8MiB");
  const auto simulation = created(text);
  const testing::FileSizeLimit limit(64_KiB);
  const auto result = simulation->run();
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message,
              AllOf(HasSubstr("disk \"inside\""), HasSubstr((folder_ / "store").string()), Not(HasSubstr("\n"))));
}

TEST_F(HostFails, APagingFileThatCannotBeMadeSaysItsOwnCause) {
  const Scenario scenario = parsed(host("store", kHungry));
  {
    const testing::FileSizeLimit limit(64_KiB);
    const auto simulation = Simulation::create(scenario, {});
    ASSERT_FALSE(simulation);
    EXPECT_THAT(simulation.error().message,
                AllOf(HasSubstr("cannot resize its bytes in"), HasSubstr((folder_ / "store").string()),
                      HasSubstr("File too large"), Not(HasSubstr("more memory"))));
  }
  std::filesystem::remove(folder_ / "store");
  const auto simulation = Simulation::create(scenario, {});
  ASSERT_FALSE(simulation);
  EXPECT_THAT(simulation.error().message,
              AllOf(HasSubstr("cannot make a file for its bytes in"), HasSubstr("No such file or directory")));
}

TEST_F(HostFails, ACopyOfAMappedFileThatCannotBeMade) {
  std::ofstream(folder_ / "data") << std::string(1 << 20, 'x');
  const Scenario scenario = parsed(
      host("store",
           "[[process]]\nname = 'p'\nprogram = { kind = 'uniform', file = 'data', disk = 'd', operations = 10 }\n"));
  const testing::FileSizeLimit limit(64_KiB);
  const auto simulation = Simulation::create(scenario, {});
  ASSERT_FALSE(simulation);
  EXPECT_THAT(simulation.error().message,
              AllOf(HasSubstr("process \"p\""), HasSubstr("a copy cannot be written to"),
                    HasSubstr((folder_ / "store").string()), HasSubstr("File too large"), Not(HasSubstr("\n"))));
  // Nothing of it is left.
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "store"));
}

}  // namespace
}  // namespace pagoda::sim
