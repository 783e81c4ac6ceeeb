// [host], [[disk]], [[page_file]] and [memory_manager].
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "pagoda/sim/testing/small_scenario.h"

namespace pagoda::sim::testing {
namespace {

using ::testing::HasSubstr;

const BadScenario kBadSystems[] = {
    {"memory = \"4MiB\"", "memory = 4", {"bad.toml:4: host.memory: must be text in quotes"}},
    {"paging = \"amd64\"", "paging = \"arm\"", {"bad.toml:5: host.paging: \"arm\" is not one of x86, pae, amd64"}},
    {"memory = \"4MiB\"", "memory = \"4MB\"", {"bad.toml:4: host.memory: ", "unknown unit \"MB\"", "\"64MiB\""}},
    {"memory = \"4MiB\"", "memory = \"4194304\"", {"bad.toml:4: host.memory: ", "has no unit", "\"64MiB\""}},
    {"memory = \"4MiB\"", "memory = \"99999999TiB\"", {"bad.toml:4: host.memory: ", "too large"}},
    {"memory = \"4MiB\"", "memory = \"99999999999999999999B\"", {"bad.toml:4: host.memory: ", "out of range"}},
    {"memory = \"4MiB\"", "memory = \"1000001B\"", {"bad.toml:4: host.memory: must be a multiple of 4KiB"}},
    {"memory = \"4MiB\"",
     "memory = \"252KiB\"",
     {"bad.toml:4: host.memory: a host of 252 KiB is too small to start; give it 256 KiB or more"}},
    {"memory = \"4MiB\"\npaging = \"amd64\"",
     "memory = \"8GiB\"\npaging = \"x86\"",
     {"bad.toml:4: host.memory: 8 GiB is more than x86 paging can address (4 GiB)", "amd64"}},
    {"memory = \"4MiB\"\npaging = \"amd64\"",
     "memory = \"512GiB\"\npaging = \"pae\"",
     {"bad.toml:4: host.memory: 512 GiB is more than pae paging can address (256 GiB)"}},
    {"memory = \"4MiB\"", "memory = \"32TiB\"", {"bad.toml:4: host.memory: 32 TiB is more than amd64 paging can"}},
    {"minimum = \"64KiB\", maximum = \"1MiB\"",
     "minimum = \"4MiB\"",
     {"bad.toml: host.memory: the working-set minimums of the processes (4 MiB) are more than the host can keep",
      "lower process.working_set.minimum or raise host.memory"}},
    {"name = \"a\"", "name = \"a\"\ncopies = 100", {"bad.toml: host.memory: the working-set minimums", "(6400 KiB)"}},
    {"[run]",
     "[[vm]]\nname = \"v\"\nmemory = \"2MiB\"\nworking_set = { minimum = \"4MiB\" }\n[run]",
     {"bad.toml: host.memory: the working-set minimums of the processes (4160 KiB)"}},
    {"[host]\nmemory = \"4MiB\"\npaging = \"amd64\"\nprocessors = 1\n", "", {"host: is missing"}},
    {"memory = \"4MiB\"", "", {"bad.toml:3: host.memory: is missing"}},
    {"memory = \"4MiB\"", "memory = \"4\\nMiB\\u001b[2J\"", {"bad.toml:4: host.memory: "}},
    {"processors = 1", "cpus = 1", {"bad.toml:6: host.cpus: is not a known key", "processors"}},
    {"processors = 1", "processors = 65", {"bad.toml:6: host.processors: must be a whole number from 1 to 64"}},
    {"processors = 1", "processors = 0", {"bad.toml:6: host.processors: must be a whole number from 1"}},
    {"latency = \"65us\"", "seek = \"65us\"", {"bad.toml:10: disk.seek: is not a known key", "latency"}},
    {"capacity = \"16MiB\"",
     "capacity = \"16MiB\"\nread_errors = 1.5",
     {"bad.toml:10: disk.read_errors: must be a number from 0 to 1"}},
    {"capacity = \"16MiB\"",
     "capacity = \"16MiB\"\nwrite_errors = \"0.1\"",
     {"bad.toml:10: disk.write_errors: must be a number from 0 to 1"}},
    {"[[disk]]", "[disk]", {"bad.toml:7: disk: must be an array of tables: [[disk]]"}},
    {"latency = \"65us\"", "latency = \"65\"", {"bad.toml:10: disk.latency: ", "has no unit", "\"65us\""}},
    {"latency = \"65us\"", "latency = \"65KiB\"", {"bad.toml:10: disk.latency: ", "unknown unit \"KiB\""}},
    {"latency = \"65us\"", "latency = \"11s\"", {"bad.toml:10: disk.latency: must be from 0 ns to 10"}},
    {"latency = \"65us\"", "reach = \"0B\"", {"bad.toml:10: disk.reach: must be at least 4KiB"}},
    {"latency = \"65us\"", "reach = \"5000B\"", {"bad.toml:10: disk.reach: must be a multiple of 4KiB"}},
    {"latency = \"65us\"", "bandwidth = \"0B\"", {"bad.toml:10: disk.bandwidth: must be at least 1KiB"}},
    {"[[page_file]]",
     "[[disk]]\nname = \"ssd\"\ncapacity = \"1MiB\"\n[[page_file]]",
     {"bad.toml:12: disk.name: there is a disk \"ssd\" already"}},
    {"capacity = \"16MiB\"", "capacity = \"0B\"", {"bad.toml:9: disk.capacity: must be at least 4KiB"}},
    {"capacity = \"16MiB\"",
     "capacity = \"16MiB\"\nstore = \"no-such-folder\"",
     {"bad.toml:10: disk.store: \"no-such-folder\" is not a folder", "\"memory\""}},
    {"name = \"ssd\"", "", {"bad.toml:7: disk.name: is missing"}},
    {"capacity = \"16MiB\"", "", {"bad.toml:7: disk.capacity: is missing"}},
    {"maximum = \"8MiB\"", "max = \"8MiB\"", {"bad.toml:14: page_file.max: is not a known key", "maximum"}},
    {"maximum = \"8MiB\"",
     "maximum = \"17MiB\"",
     {"bad.toml:14: page_file.maximum: 17 MiB is more than its disk \"ssd\" holds (16 MiB); make one smaller"}},
    {"minimum = \"4MiB\"\nmaximum = \"8MiB\"",
     "minimum = \"17MiB\"",
     {"bad.toml:13: page_file.minimum: 17 MiB is more than its disk \"ssd\" holds (16 MiB)"}},
    {"maximum = \"8MiB\"", "maximum = \"3MiB\"", {"bad.toml:14: page_file.maximum: is below the minimum"}},
    {"minimum = \"4MiB\"", "minimum = \"1023KiB\"", {"bad.toml:13: page_file.minimum: ", "at least 1MiB"}},
    {"[memory_manager]",
     "[[page_file]]\ndisk = \"ssd\"\nminimum = \"13MiB\"\n[memory_manager]",
     {"bad.toml: page_file.minimum: the minimums of the paging files on disk \"ssd\" are more than it holds (16 MiB)"}},
    {"disk = \"ssd\"", "disk = \"hdd\"", {"bad.toml:12: page_file.disk: there is no disk \"hdd\"; add a [[disk]]"}},
    {"disk = \"ssd\"", "", {"bad.toml:11: page_file.disk: is missing"}},
    {"minimum = \"4MiB\"", "", {"bad.toml:11: page_file.minimum: is missing"}},
    {"disk = \"ssd\"", "disk = \"a\\nb\"", {"bad.toml:12: page_file.disk: there is no disk \"a b\""}},
    {"read_cluster = 8", "cluster = 8", {"bad.toml:16: memory_manager.cluster: is not a known key", "read_cluster"}},
    {"read_cluster = 8", "plenty_free = \"2MiB\"", {"bad.toml:16: memory_manager.plenty_free: must be below half"}},
    {"read_cluster = 8", "commit_reserve = \"4MiB\"", {"bad.toml:16: memory_manager.commit_reserve: must be below"}},
    {"read_cluster = 8", "minimum_free = \"4KiB\"", {"bad.toml:16: memory_manager.minimum_free: must be at least"}},
    {"read_cluster = 8", "compression_store = \"2MiB\"", {"bad.toml:16: memory_manager.compression_store: must be"}},
    {"read_cluster = 8",
     "victims = \"lru\"",
     {"bad.toml:16: memory_manager.victims: \"lru\" is not one of clock, random"}},
    {"read_cluster = 8", "balance_period = \"0s\"", {"bad.toml:16: memory_manager.balance_period: must be from 100"}},
    {"read_cluster = 8", "read_cluster = 17", {"bad.toml:16: memory_manager.read_cluster: must be a whole number"}},
};

TEST(BadSystem, IsRefusedInOneLineWithFileLineKeyAndWhatToDo) { expect_refused(kBadSystems); }

TEST(BadScenario, TooManyPagingFiles) {
  std::string files;
  for (int i = 0; i < 16; ++i) files += "[[page_file]]\ndisk = \"ssd\"\nminimum = \"1MiB\"\n";
  std::string text = replaced(std::string(kSmall), "16MiB", "1GiB");
  EXPECT_THAT(refusal(replaced(text, "[memory_manager]", files + "[memory_manager]")),
              HasSubstr("there are 16 paging files already, the most there can be"));
}

}  // namespace
}  // namespace pagoda::sim::testing
