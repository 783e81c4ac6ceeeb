#include "tests/torture/threads.h"

#include <fmt/format.h>

#include <thread>
#include <vector>

#include "tests/torture/keeper.h"
#include "tests/torture/worker.h"

namespace pagoda::mm::torture {

std::string run_threads(World& world, std::uint64_t operations_each) {
  {
    std::vector<std::jthread> keepers;
    for (const auto& keeper : world.keepers())
      keepers.emplace_back([&world, &keeper](const std::stop_token& stop) {
        while (!stop.stop_requested() && !world.has_failed())
          if (!keeper->step()) std::this_thread::yield();
      });
    std::vector<std::jthread> workers;
    for (const auto& worker : world.workers())
      workers.emplace_back([&world, &worker, operations_each] {
        for (std::uint64_t i = 0; i < operations_each && !world.has_failed(); ++i) worker->step();
      });
  }
  return world.check();
}

WorldConfig world_of_seed(std::uint64_t seed) {
  Random random(seed);
  constexpr std::array kModes{machine::PteFormat::kAmd64, machine::PteFormat::kPae, machine::PteFormat::kX86};
  WorldConfig config{.seed = seed};
  config.paging = kModes[random.below(kModes.size())];
  if (random.below(4) == 0) config.refill = machine::TlbRefill::kSoftware;
  if (random.below(4) == 0) config.tlb = machine::TlbGeometry::kRealistic;
  config.workers = 3 + static_cast<unsigned>(random.below(3));
  config.processes = config.workers - 1;
  if (random.below(2) == 0) config.region_stride = 2_MiB;  // A page table for each.
  // A quarter of what they use: regions, both kinds of views, copies.
  const PageCount used =
      config.region_pages * (config.workers * config.regions) +
      config.section_pages * (config.paging_sections + config.file_sections) * (1 + config.workers / 2);
  config.frames = PageCount(used.value() / 4);
  Tunables tunables = Tunables::for_memory(config.frames);
  tunables.balance_period = 10_ms;
  if (random.below(3) == 0) tunables.compression_budget = config.frames / 8;
  config.twins = seed % 4 == 0;
  if (config.twins) {
    tunables.sharing.period = 20_us;  // A page every other microsecond, of all.
    tunables.sharing.scan_of_space = tunables.sharing.scan_in_all = PageCount(500'000);
    if (seed % 8 == 0) tunables.sharing.hash_bits = 8;
  }
  config.tunables = tunables;
  config.limits = WorkingSet::Limits{.minimum = PageCount(50), .maximum = config.frames / 2};
  if (random.below(2) == 0) {
    config.read_error_rate = 0.01;
    config.write_error_rate = 0.002;
  }
  return config;
}

std::string describe(const WorldConfig& config) {
  constexpr std::array kModes{"x86", "PAE", "AMD64"};
  return fmt::format("seed {}: {}, {} refill, {} workers in {} processes, {} frames{}{}", config.seed,
                     kModes[static_cast<std::size_t>(config.paging)],
                     config.refill == machine::TlbRefill::kHardware ? "hardware" : "software", config.workers,
                     config.processes, config.frames.value(),
                     config.tunables && !config.tunables->compression_budget.is_zero() ? ", store" : "",
                     config.read_error_rate > 0 ? ", disk errors" : "");
}

std::string describe(const Counters& counters) {
  const auto faults = [&](FaultKind kind) { return counters.faults[static_cast<std::size_t>(kind)]; };
  return fmt::format(
      "  {} pages read and {} written for private memory, {} and {} of files; {} repurposed, {} trimmed, {} shortages; "
      "faults: {} "
      "transition, {} collided, {} copies; {} + {} disk errors, {} in-page errors",
      counters.page_file_pages_read, counters.page_file_pages_written, counters.mapped_file_pages_read,
      counters.mapped_file_pages_written, counters.pages_repurposed, counters.pages_trimmed, counters.shortages,
      faults(FaultKind::kTransitionStandby) + faults(FaultKind::kTransitionModified), faults(FaultKind::kCollided),
      faults(FaultKind::kCopyOnWrite), counters.read_errors, counters.write_errors, faults(FaultKind::kInPageError));
}

}  // namespace pagoda::mm::torture
