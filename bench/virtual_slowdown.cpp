// What a host's looking at its guests costs these, in virtual time: the same on every machine.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "bench/figures.h"
#include "pagoda/sim/simulation.h"

namespace pagoda::bench {

namespace {

// Two guests that want all of the only processor, on a host with memory for both. Their pages are all different.
constexpr std::string_view kTwoGuests = R"(
[host]
memory = '96MiB'
{}
[[disk]]
name = 'd'
capacity = '256MiB'
store = 'memory'
[[page_file]]
disk = 'd'
minimum = '128MiB'
[[vm]]
name = 'guest'
memory = '32MiB'
guest = 'plain'
copies = 2
[[vm.process]]
name = 'p'
program = {{ kind = 'zipf', memory = '24MiB', operations = 4000000, references = 20000 }}
)";

Input<sim::RunResult> run_two_guests(std::string_view host) {
  return sim::run_scenario(PAGODA_TRY(sim::parse_scenario(fmt::format(kTwoGuests, host), "two guests")), {});
}

// When the last of them was done.
double seconds(const sim::RunResult& run) {
  Time last;
  for (const sim::ProcessResult& process : run.processes) last = std::max(last, process.finished);
  return static_cast<double>((last - Time{}).value()) / 1e9;
}

BenchRow slowdown_row(std::string name, const sim::RunResult& with, const sim::RunResult& without,
                      std::string peer_name, double floor) {
  return {.name = std::move(name),
          .unit = "s",
          .ours = seconds(with),
          .peer = seconds(without),
          .peer_name = std::move(peer_name),
          .ratio = seconds(without) / seconds(with),
          .floor = floor,
          .more = {}};
}

}  // namespace

Input<> sampling(const BenchOptions&, BenchOutput& out) {
  const sim::RunResult with = PAGODA_TRY(run_two_guests("policy = { name = 'esx', sampling = '30s' }"));
  const sim::RunResult without = PAGODA_TRY(run_two_guests(""));
  BenchRow row = slowdown_row("sampling", with, without, "two guests whose activity nobody samples", 0.99);
  std::uint64_t samples = 0;
  for (const sim::VmResult& vm : with.vms) samples += vm.end.counters.sampled_pages;
  if (samples == 0) out.failure("sampling: nothing was sampled");
  row.more["sampled"] = samples;
  out.row(row);
  return {};
}

Input<> sharing_idle(const BenchOptions&, BenchOutput& out) {
  const sim::RunResult with = PAGODA_TRY(run_two_guests("sharing = {}"));
  const sim::RunResult without = PAGODA_TRY(run_two_guests(""));
  BenchRow row = slowdown_row("sharing_idle", with, without, "two guests that nobody scans; they share nothing", 0.98);
  if (with.counters.sharing_scanned == 0) out.failure("sharing_idle: nothing was scanned");
  row.more["scanned"] = with.counters.sharing_scanned;
  out.row(row);
  return {};
}

}  // namespace pagoda::bench
