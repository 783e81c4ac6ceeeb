#include "tests/interleave/scenarios.h"

#include <fmt/format.h>

#include <array>
#include <utility>
#include <vector>

#include "tests/torture/keeper.h"
#include "tests/torture/worker.h"

namespace pagoda::interleave {

namespace {

using mm::torture::Operation;
using mm::torture::Weights;
using mm::torture::World;
using mm::torture::WorldConfig;

// The manager's threads, by their place in MemoryManager::system_threads.
enum Thread : unsigned { kReaper, kModifiedWriter, kMappedWriter, kBalance, kCombiner, kZeroer };

struct Choice {
  Operation operation;
  unsigned weight;
};

Weights choose(std::initializer_list<Choice> choices) {
  Weights weights{};
  for (const Choice& choice : choices) weights[static_cast<std::size_t>(choice.operation)] = choice.weight;
  return weights;
}

// Two processors in two processes, a few pages each, hardly any memory beside them.
WorldConfig small(Random& random) {
  WorldConfig config{.seed = random.next()};
  config.tlb = machine::TlbGeometry::kRealistic;
  config.frames = PageCount(72 + random.below(40));
  config.workers = 2;
  config.processes = 2;
  config.regions = 1;
  config.region_pages = PageCount(2 + random.below(9));
  config.paging_sections = 0;
  config.file_sections = 0;
  config.section_pages = PageCount(2 + random.below(6));
  config.paging_file = 1_MiB;
  // An operation takes about a microsecond: transfers end during the next one, or not before many.
  constexpr std::array kLatencies{Duration(100), 2_us, 20_us};
  config.disk_latency = kLatencies[random.below(kLatencies.size())];
  config.tunables = mm::Tunables{.minimum_free = PageCount(10),
                                 .plenty_free = PageCount(16),
                                 .modified_maximum = PageCount(8),
                                 .commit_reserve = PageCount(16),
                                 .balance_period = 100_us};
  config.limits = mm::WorkingSet::Limits{.minimum = PageCount(2), .maximum = PageCount(8 + random.below(16))};
  config.keepers = {};
  return config;
}
WorldConfig small(Random& random, std::initializer_list<Choice> choices, std::vector<unsigned> keepers = {}) {
  WorldConfig config = small(random);
  config.weights = choose(choices);
  // Little stays in memory, or a fault would show only in what is written and read back.
  config.weights[static_cast<std::size_t>(Operation::kWriteCluster)] = 4;
  config.weights[static_cast<std::size_t>(Operation::kReuseStandby)] = 2;
  config.keepers = std::move(keepers);
  return config;
}

// What one gives up is another's soon.
void few_slots(Random& random, WorldConfig& config) {
  if (random.below(2) == 0) config.paging_slots = PageCount(3 + random.below(12));
}

WorldConfig faults_against_trims(Random& random) {
  WorldConfig config = small(random,
                             {{Operation::kReadOwn, 4},
                              {Operation::kWriteOwn, 4},
                              {Operation::kReadOther, 4},
                              {Operation::kEmptyWorkingSet, 2},
                              {Operation::kTrimRange, 2}},
                             {kBalance});
  config.processes = 1;
  few_slots(random, config);
  return config;
}

WorldConfig releases_during_writes(Random& random) {
  WorldConfig config = small(random,
                             {{Operation::kWriteOwn, 6},
                              {Operation::kReadOwn, 2},
                              {Operation::kDecommit, 2},
                              {Operation::kRelease, 1},
                              {Operation::kCommit, 3},
                              {Operation::kDiscard, 1},
                              {Operation::kEmptyWorkingSet, 4}},
                             {kModifiedWriter});
  few_slots(random, config);
  return config;
}

WorldConfig forks_against_faults(Random& random) {
  WorldConfig config = small(random,
                             {{Operation::kReadOwn, 3},
                              {Operation::kWriteOwn, 5},
                              {Operation::kReadOther, 3},
                              {Operation::kFork, 2},
                              {Operation::kDecommit, 1},
                              {Operation::kCommit, 1},
                              {Operation::kEmptyWorkingSet, 1}},
                             {kModifiedWriter});
  config.processes = 1;
  config.frames += PageCount(24);
  few_slots(random, config);
  return config;
}

// Pages that a fork shares are made private again while a child reads them.
WorldConfig protects_after_forks(Random& random) {
  WorldConfig config = small(random,
                             {{Operation::kReadOwn, 1},
                              {Operation::kWriteOwn, 3},
                              {Operation::kFork, 4},
                              {Operation::kProtect, 3},
                              {Operation::kCommit, 4},
                              {Operation::kEmptyWorkingSet, 3},
                              {Operation::kFlushModified, 1}},
                             {kModifiedWriter});
  config.processes = 1;
  config.frames += PageCount(24);
  return config;
}

WorldConfig views_of_sections(Random& random) {
  WorldConfig config = small(random,
                             {{Operation::kReadShared, 5},
                              {Operation::kWriteShared, 5},
                              {Operation::kReadCopy, 3},
                              {Operation::kWriteCopy, 2},
                              {Operation::kRemap, 1},
                              {Operation::kEmptyWorkingSet, 2}},
                             {kModifiedWriter});
  config.paging_sections = 1;
  config.file_sections = 1;
  config.workers = 3;
  config.processes = 2 + static_cast<unsigned>(random.below(2));
  few_slots(random, config);
  return config;
}

WorldConfig failed_transfers(Random& random) {
  WorldConfig config = small(random,
                             {{Operation::kReadOwn, 5},
                              {Operation::kWriteOwn, 3},
                              {Operation::kReadShared, 4},
                              {Operation::kWriteShared, 2},
                              {Operation::kDecommit, 3},
                              {Operation::kCommit, 1},
                              {Operation::kFork, 1},
                              {Operation::kReadOther, 3},
                              {Operation::kFlushModified, 1},
                              {Operation::kEmptyWorkingSet, 2}},
                             {kModifiedWriter});
  config.paging_sections = 1;
  config.file_sections = 1;
  config.processes = 1 + static_cast<unsigned>(random.below(2));
  config.read_error_rate = 0.2;
  config.write_error_rate = random.below(2) == 0 ? 0.1 : 0;
  config.frames += PageCount(16);
  return config;
}

WorldConfig sharers_of_a_page(Random& random) {
  WorldConfig config = small(random, {{Operation::kReadShared, 6},
                                      {Operation::kWriteShared, 1},
                                      {Operation::kEmptyWorkingSet, 3},
                                      {Operation::kFlushModified, 1}});
  config.workers = 3;
  config.processes = 3;
  config.paging_sections = static_cast<unsigned>(random.below(2));
  config.file_sections = 1 - config.paging_sections;
  config.section_pages = PageCount(3);
  return config;
}

WorldConfig decommits_in_clusters(Random& random) {
  WorldConfig config = small(random, {{Operation::kReadOwn, 3},
                                      {Operation::kReadOther, 4},
                                      {Operation::kDecommit, 3},
                                      {Operation::kCommit, 2},
                                      {Operation::kWriteOwn, 2},
                                      {Operation::kEmptyWorkingSet, 1},
                                      {Operation::kFlushModified, 1}});
  config.processes = 1;
  few_slots(random, config);
  return config;
}

WorldConfig commits_near_the_limit(Random& random) {
  WorldConfig config = small(random,
                             {{Operation::kCommit, 4},
                              {Operation::kDecommit, 2},
                              {Operation::kWriteOwn, 8},
                              {Operation::kReadOwn, 3},
                              {Operation::kFork, 1},
                              {Operation::kRemap, 1}},
                             {kModifiedWriter, kBalance});
  config.region_pages = PageCount(130);
  return config;
}

WorldConfig ends_of_spaces(Random& random) {
  WorldConfig config = small(
      random, {{Operation::kFork, 4}, {Operation::kWriteOwn, 4}, {Operation::kReadOwn, 2}, {Operation::kQuery, 1}},
      {kBalance, kModifiedWriter});
  config.frames += PageCount(24);
  return config;
}

WorldConfig protects_against_trims(Random& random) {
  WorldConfig config = small(random,
                             {{Operation::kProtect, 5},
                              {Operation::kWriteOwn, 5},
                              {Operation::kReadOwn, 2},
                              {Operation::kReadOther, 3},
                              {Operation::kLock, 1},
                              {Operation::kUnlock, 1},
                              {Operation::kEmptyWorkingSet, 3}},
                             {kBalance});
  config.processes = 1;
  few_slots(random, config);
  return config;
}

WorldConfig files_and_their_writer(Random& random) {
  WorldConfig config = small(random,
                             {{Operation::kReadShared, 4},
                              {Operation::kWriteShared, 6},
                              {Operation::kReadCopy, 2},
                              {Operation::kWriteCopy, 1},
                              {Operation::kFlushView, 2},
                              {Operation::kRemap, 1},
                              {Operation::kEmptyWorkingSet, 2}},
                             {kMappedWriter, kReaper});
  config.file_sections = 2;
  return config;
}

WorldConfig compressed_pages(Random& random) {
  WorldConfig config = small(random,
                             {{Operation::kReadOwn, 4},
                              {Operation::kWriteOwn, 5},
                              {Operation::kDecommit, 1},
                              {Operation::kCommit, 1},
                              {Operation::kDiscard, 1},
                              {Operation::kFork, 1},
                              {Operation::kEmptyWorkingSet, 3}},
                             {kModifiedWriter});
  config.tunables->compression_budget = PageCount(4 + random.below(8));
  config.frames += PageCount(24);
  few_slots(random, config);
  return config;
}

// A store of a frame or two, always full: what comes in makes its oldest pages go on.
WorldConfig evicted_pages(Random& random) {
  WorldConfig config =
      small(random, {{Operation::kReadOwn, 6}, {Operation::kWriteOwn, 4}, {Operation::kEmptyWorkingSet, 3}},
            {kModifiedWriter});
  config.tunables->compression_budget = PageCount(1 + random.below(2));
  config.tunables->modified_maximum = 0_pages;
  config.frames += PageCount(24);
  config.region_pages = PageCount(12 + random.below(12));
  config.limits = mm::WorkingSet::Limits{.minimum = PageCount(2), .maximum = PageCount(3)};
  return config;
}

// Frames that a fault may have in hand while another looks for its own: page tables, a page, and the copy of it.
constexpr std::uint64_t kInHand = 3;

// Hardly more than a fault's reserve: every fault writes and waits, or finds what the other is about to free.
WorldConfig shortages(Random& random) {
  WorldConfig config = small(random, {{Operation::kReadOwn, 4}, {Operation::kWriteOwn, 8}, {Operation::kReadOther, 2}});
  config.processes = 1 + static_cast<unsigned>(random.below(2));
  config.frames_left = mm::kFaultReserve + PageCount(kInHand * config.workers + random.below(4));
  config.region_pages = PageCount(8 + random.below(12));
  // Nobody trims while what is being written is enough.
  config.tunables->minimum_free = mm::kFaultReserve + 1_pages;
  config.tunables->plenty_free = mm::kFaultReserve + PageCount(1 + random.below(4));
  return config;
}

// Frames that one gives up are the other's at once.
WorldConfig reused_frames(Random& random) {
  WorldConfig config = small(random, {{Operation::kReadOwn, 3},
                                      {Operation::kWriteOwn, 6},
                                      {Operation::kReadOther, 6},
                                      {Operation::kDecommit, 2},
                                      {Operation::kCommit, 2},
                                      {Operation::kDiscard, 2},
                                      {Operation::kProtect, 1},
                                      {Operation::kEmptyWorkingSet, 1}});
  config.workers = 3;  // Two in one process, and one to take the frames.
  config.processes = 2;
  config.may_lack_memory = true;
  config.region_pages = PageCount(2 + random.below(4));
  config.frames_left = mm::kFaultReserve + PageCount(1 + random.below(4));
  return config;
}

WorldConfig software_refills(Random& random) {
  WorldConfig config = reused_frames(random);
  config.refill = machine::TlbRefill::kSoftware;
  config.weights[static_cast<std::size_t>(Operation::kEmptyWorkingSet)] = 4;
  return config;
}

// Reads of several pages fail while some of these are given up.
WorldConfig failed_clusters(Random& random) {
  WorldConfig config = small(random, {{Operation::kReadOther, 8},
                                      {Operation::kReadOwn, 1},
                                      {Operation::kWriteOwn, 5},
                                      {Operation::kDecommit, 3},
                                      {Operation::kCommit, 4},
                                      {Operation::kEmptyWorkingSet, 3}});
  config.processes = 1;
  config.read_error_rate = 0.5;
  return config;
}

// Few contents, looked at and made one while they are written; also with hashes that say next to nothing.
WorldConfig merges_against_writes(Random& random) {
  WorldConfig config = small(random,
                             {{Operation::kReadOwn, 4},
                              {Operation::kWriteOwn, 6},
                              {Operation::kReadOther, 2},
                              {Operation::kDecommit, 1},
                              {Operation::kCommit, 2},
                              {Operation::kProtect, 1},
                              {Operation::kFork, 1},
                              {Operation::kEmptyWorkingSet, 1}},
                             {kCombiner, kModifiedWriter});
  config.twins = true;
  config.processes = 1 + static_cast<unsigned>(random.below(2));
  config.frames += PageCount(24);
  config.tunables->sharing.period = 2_us;
  config.tunables->sharing.scan_of_space = config.tunables->sharing.scan_in_all = PageCount(1'000'000);
  if (random.below(2) == 0) config.tunables->sharing.hash_bits = 8;
  if (random.below(4) == 0) config.tunables->sharing.hints = mm::SharingTunables::Hints::kNo;
  if (random.below(3) == 0) config.tunables->sharing.combine = mm::SharingTunables::Combine::kSameBehaviour;
  if (random.below(4) == 0) config.tunables->compression_budget = PageCount(8);
  few_slots(random, config);
  return config;
}

// A page table for each region, which leaves memory with its pages.
WorldConfig tables_that_leave(Random& random) {
  WorldConfig config = small(random,
                             {{Operation::kReadOwn, 5},
                              {Operation::kWriteOwn, 5},
                              {Operation::kReadOther, 3},
                              {Operation::kDecommit, 1},
                              {Operation::kCommit, 2},
                              {Operation::kRelease, 1},
                              {Operation::kProtect, 1},
                              {Operation::kQuery, 1},
                              {Operation::kEmptyWorkingSet, 3}},
                             {kModifiedWriter, kBalance});
  config.processes = 1 + static_cast<unsigned>(random.below(2));
  config.regions = 3;
  config.region_stride = 4_MiB;
  config.region_pages = PageCount(1 + random.below(3));
  if (random.below(3) == 0) config.read_error_rate = 0.2;
  return config;
}

// Anything, with anybody, on any hardware.
WorldConfig anything(Random& random) {
  constexpr std::array kModes{machine::PteFormat::kAmd64, machine::PteFormat::kPae, machine::PteFormat::kX86};
  WorldConfig config = small(random);
  config.paging = kModes[random.below(kModes.size())];
  if (random.below(4) == 0) config.refill = machine::TlbRefill::kSoftware;
  config.workers = 2 + static_cast<unsigned>(random.below(2));
  config.processes = 1 + static_cast<unsigned>(random.below(config.workers));
  config.paging_sections = static_cast<unsigned>(random.below(2));
  config.file_sections = static_cast<unsigned>(random.below(2));
  config.frames += PageCount(random.below(64));
  if (random.below(4) == 0) config.tunables->compression_budget = PageCount(4 + random.below(8));
  if (random.below(4) == 0) {
    config.read_error_rate = 0.1;
    config.write_error_rate = random.below(2) == 0 ? 0.05 : 0;
  }
  if (config.write_error_rate == 0) few_slots(random, config);
  if (random.below(4) == 0) {
    config.regions = 2;
    config.region_stride = 4_MiB;
  }
  config.weights = mm::torture::all_operations();
  for (unsigned& weight : config.weights)
    weight = random.below(3) == 0 ? 0 : 1 + static_cast<unsigned>(random.below(6));
  config.weights[static_cast<std::size_t>(Operation::kWriteOwn)] = 8;
  for (unsigned keeper = kReaper; keeper <= kZeroer; ++keeper)
    if (random.below(3) == 0) config.keepers.push_back(keeper);
  return config;
}

// 10,000 seeds at an effort of 1; 100,000 at that of continuous integration.
constexpr std::array kScenarios{
    Scenario{"FaultsAgainstTrims", 600, faults_against_trims, 40},
    Scenario{"ReleasesDuringWrites", 800, releases_during_writes, 40},
    Scenario{"ForksAgainstFaults", 600, forks_against_faults, 20},
    Scenario{"ProtectsAfterForks", 600, protects_after_forks, 20},
    Scenario{"ViewsOfSections", 800, views_of_sections, 40},
    Scenario{"FailedTransfers", 800, failed_transfers, 40},
    Scenario{"SharersOfAPage", 600, sharers_of_a_page, 40},
    Scenario{"DecommitsInClusters", 600, decommits_in_clusters, 40},
    Scenario{"CommitsNearTheLimit", 300, commits_near_the_limit, 24},
    Scenario{"EndsOfSpaces", 500, ends_of_spaces, 10},
    Scenario{"ProtectsAgainstTrims", 600, protects_against_trims, 40},
    Scenario{"FilesAndTheirWriter", 600, files_and_their_writer, 40},
    Scenario{"CompressedPages", 600, compressed_pages, 40},
    Scenario{"EvictedPages", 500, evicted_pages, 40},
    Scenario{"Shortages", 500, shortages, 20},
    Scenario{"ReusedFrames", 500, reused_frames, 40},
    Scenario{"SoftwareRefills", 500, software_refills, 40},
    Scenario{"FailedClusters", 500, failed_clusters, 40},
    Scenario{"TablesThatLeave", 600, tables_that_leave, 40},
    Scenario{"MergesAgainstWrites", 600, merges_against_writes, 40},
    Scenario{"Anything", 600, anything, 40},
};

}  // namespace

std::span<const Scenario> scenarios() { return kScenarios; }

std::string run(Scheduler& scheduler, const Scenario& scenario, std::uint64_t seed, Replay& replay) {
  Random random(seed);
  World world(scenario.world(random));
  if (random.below(4) != 0) world.warm_up();
  std::vector<std::function<void()>> programs;
  std::size_t working = world.workers().size();
  for (const auto& worker : world.workers())
    programs.emplace_back([&] {
      for (std::uint64_t i = 0; i < scenario.operations && !world.has_failed(); ++i) worker->step();
      --working;
    });
  for (const auto& keeper : world.keepers())
    programs.emplace_back([&] {
      while (working > 0)
        if (!keeper->step()) Scheduler::current().yield();
    });
  const Scheduler::Outcome outcome = scheduler.run(std::move(programs), random.next());
  replay.points = outcome.points;
  replay.switches = outcome.switches;
  replay.trace = outcome.trace;
  if (outcome.end != Scheduler::End::kAllDone) {
    world.abandon();
    return outcome.end == Scheduler::End::kDeadlock ? "a deadlock" : "a livelock";
  }
  replay.counters = world.manager().counters();
  replay.state = world.has_failed() ? 0 : world.manager().state_hash(world.cpu(0));
  return world.finish();
}

std::string run(Scheduler& scheduler, const Scenario& scenario, std::uint64_t seed) {
  Replay replay;
  return run(scheduler, scenario, seed, replay);
}

}  // namespace pagoda::interleave
