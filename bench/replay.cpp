// How fast real programs' references go through the machine, when their memory fits.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "bench/figures.h"
#include "bench/harness.h"
#include "bench/host.h"
#include "bench/lru_list.h"
#include "bench/traces.h"
#include "pagoda/base/status.h"

namespace pagoda::bench {

namespace {

double list(const Replay& trace) {
  LruList lru(trace.pages());
  std::uint64_t hits = 0;
  Stopwatch watch;
  watch.start();
  for (const std::uint64_t access : trace.accesses()) hits += lru.access(access >> kPageShift) ? 1 : 0;
  watch.stop();
  benchmark::DoNotOptimize(hits);
  return watch.nanoseconds_per(trace.accesses().size());
}

BenchRow rate_row(std::string name, double ours_ns, double peer_ns, const Figures& figures) {
  BenchRow row = cost_row(std::move(name), ours_ns, peer_ns, "LRU list over tsl::robin_map", figures);
  row.unit = "refs/s";
  row.ours = 1e9 / ours_ns;
  row.peer = 1e9 / peer_ns;
  return row;
}

}  // namespace

Input<> trace_replay(const BenchOptions& options, BenchOutput& out) {
  const TraceFolder folder = PAGODA_TRY(TraceFolder::find(options));
  double ours_ns = 0;
  double peer_ns = 0;
  double records = 0;
  std::vector<BenchRow> rows;
  Figures all;
  for (const std::string& name : folder.names) {
    const sim::Trace loaded = PAGODA_TRY(folder.load(name));
    const Replay trace(loaded);
    // Frames for all of it, its page tables and a margin; all of them touched before.
    Host host(HostConfig::quiet(trace.pages() + trace.pages() / 8 + PageCount(2048)));
    host.use_every_frame();
    const Figures figures = take_turns({[&] { return trace.run(host); }, [&] { return list(trace); }});
    const auto count = static_cast<double>(trace.accesses().size());
    ours_ns += figures.of[0].median * count;
    peer_ns += figures.of[1].median * count;
    records += count;
    all.rounds = std::max(all.rounds, figures.rounds);
    all.of.insert(all.of.end(), figures.of.begin(), figures.of.end());
    rows.push_back(rate_row("trace_replay_" + name, figures.of[0].median, figures.of[1].median, figures));
  }
  BenchRow total = rate_row("trace_replay", ours_ns / records, peer_ns / records, all);
  total.floor = 1;
  out.row(total);
  for (const BenchRow& row : rows) out.row(row);
  return {};
}

}  // namespace pagoda::bench
