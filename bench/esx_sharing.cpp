// Rows 5 and 18: hashes that meet, and domains that do not.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "bench/birthday.h"
#include "bench/esx.h"
#include "pagoda/sim/simulation.h"

namespace pagoda::bench {

namespace {

// The machines of clones.toml, of which nothing is known beforehand: what is equal in them has to be found.
Input<sim::Scenario> clones() {
  sim::Scenario scenario = PAGODA_TRY(shipped_scenario("clones.toml"));
  scenario.until = Time{} + 3_s;
  for (sim::VmConfig& vm : scenario.vms) {
    vm.processes.resize(1);
    auto& program = std::get<sim::ImageProgramConfig>(vm.processes[0].program);
    program.from_template.reset();
    program.then->operations = 200'000;
  }
  return scenario;
}

// In so many domains, none of them in one for 0. Their programs read once memory is filled, so that what was merged stays
// so.
Input<sim::Scenario> clones_in(unsigned domains) {
  sim::Scenario scenario = PAGODA_TRY(clones());
  for (std::size_t i = 0; i < scenario.vms.size(); ++i) {
    sim::VmConfig& vm = scenario.vms[i];
    vm.domain.reset();
    if (domains != 0) vm.domain = mm::named_domain(static_cast<std::uint32_t>(i % domains));
    std::get<sim::ImageProgramConfig>(vm.processes[0].program).then->writes = 0;
  }
  return scenario;
}

Input<PageCount> saved_in(unsigned domains) {
  const sim::RunResult run = PAGODA_TRY(sim::run_scenario(PAGODA_TRY(clones_in(domains)), {}));
  return std::ranges::max(run.samples, {}, &sim::Sample::shared_saved).shared_saved;
}

}  // namespace

Input<> esx_wrong_merges(EsxTable& table) {
  // Published: below 0.01 % for 64 GB of distinct pages.
  constexpr double kPages = 0x1.0p24;
  constexpr double kMost = 0.01;
  const double chance = 100 * collision_chance(kPages, 64);
  table.add_exact({.row = 5,
                   .name = "birthday",
                   .what = "chance of one collision: 2^24 pages, 64 bits",
                   .ours = chance,
                   .unit = "%",
                   .published = "less than 0.01 %",
                   .tolerance = "exact",
                   .verdict = holds_if(chance < kMost)});
  for (const unsigned bits : {8U, 16U, 24U}) {
    sim::Scenario scenario = PAGODA_TRY(clones());
    scenario.vms.resize(2);
    scenario.manager.tunables->sharing.hash_bits = bits;
    // They go on for long enough to be scanned, and to load what was merged.
    for (sim::VmConfig& vm : scenario.vms)
      std::get<sim::ImageProgramConfig>(vm.processes.at(0).program).then->references = 5000;
    // Every load is compared with what was stored there: a wrong merge ends the run with an error.
    const Input<sim::RunResult> run = sim::run_scenario(scenario, {.verify = true});
    table.add_exact({.row = 5,
                     .name = fmt::format("wrong_{}", bits),
                     .what = fmt::format("{} bits: runs in which a load found what was not stored, of one", bits),
                     .ours = run ? 0.0 : 1.0,
                     .published = "0",
                     .tolerance = "exact",
                     .verdict = holds_if(run.has_value())});
    if (!run) return std::unexpected(run.error());
    table.add({.row = 5,
               .name = fmt::format("merged_{}", bits),
               .what = fmt::format("{} bits: pages merged in it", bits),
               .ours = counted(run->counters.sharing_merged)});
    table.add({.row = 5,
               .name = fmt::format("false_matches_{}", bits),
               .what = fmt::format("{} bits: pages left alone, equal in their hash alone", bits),
               .ours = counted(run->counters.sharing_false_matches)});
  }
  return {};
}

Input<> esx_domains(EsxTable& table) {
  const PageCount one = PAGODA_TRY(saved_in(1));
  const PageCount two = PAGODA_TRY(saved_in(2));
  const PageCount own = PAGODA_TRY(saved_in(0));
  // What an omniscient merger would save of each, zeros apart.
  const sim::ImageFigures image = PAGODA_TRY(figures_of_image(PAGODA_TRY(shipped_images()), "nk_idle"));
  const double within = 4 * counted(image.not_zero() - image.distinct);
  struct Of {
    const char* name = "";
    const char* what = "";
    PageCount saved;
  };
  for (const Of& of : {Of{.name = "one", .what = "four clones in one domain: pages saved, zeros apart", .saved = one},
                       Of{.name = "two", .what = "in two domains", .saved = two}})
    table.add({.row = 18, .name = of.name, .what = of.what, .ours = counted(of.saved.value())});
  table.add({.row = 18,
             .name = "own",
             .what = "each in its own, as ESX since 2014",
             .ours = counted(own.value()),
             .published = fmt::format("{:.0f} are within one", within),
             .tolerance = "10 %",
             .verdict = holds_if(std::abs(counted(own) - within) <= 0.1 * within && own < two && two < one)});
  return {};
}

}  // namespace pagoda::bench
