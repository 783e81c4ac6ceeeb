// How well working sets choose what to give up: pages that real programs' traces bring in, beside the classic policies.
//
// Alone: one process whose working set may hold N pages (a hard maximum) on a host with plenty of memory; every page
// that enters the working set counts, also one that is rescued from standby. So the standby list is off as far as the
// count goes, and read clustering cannot help. This is the choice of the replacement policy and nothing else.
//
// Whole: a host that has N frames for data altogether, with standby, modified list, trimming, paging file and clustered
// reads as they are by default. What counts is a fault that found its page nowhere in memory (demand zero or hard).
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "bench/figures.h"
#include "bench/harness.h"
#include "bench/host.h"
#include "bench/miss_table.h"
#include "bench/traces.h"
#include "pagoda/base/status.h"
#include "pagoda/sim/trace/replacement_oracles.h"

namespace pagoda::bench {

namespace {

constexpr double kMostOfLru = 1.10;  // The floor: pages brought in as a multiple of LRU's, over all rows together.

struct Alone {
  std::uint64_t brought_in = 0;
  PageCount page_tables;
};

struct Whole {
  std::uint64_t missed = 0;      // Faults that found nothing in memory.
  std::uint64_t pages_read = 0;  // Neighbours included.
  std::uint64_t rescued = 0;
};

void access(machine::SimProcessor& cpu, std::uint64_t access) {
  const VirtualAddress va = Replay::address_of(access);
  if ((access & Replay::kWrites) != 0) {
    must(cpu.store<std::uint64_t>(va, access), "store");
  } else {
    must(cpu.load<std::uint64_t>(va), "load");
  }
}

Alone run_alone(const Replay& trace, PageCount frames) {
  HostConfig config = HostConfig::quiet(trace.pages() * 2 + PageCount(4096));
  config.limits = {.minimum = PageCount(1), .maximum = frames, .kind = mm::WorkingSet::Limits::Maximum::kHard};
  Host host(config);
  trace.commit(host.space());
  for (const std::uint64_t each : trace.accesses()) access(host.cpu(), each);
  return {.brought_in = host.space().statistics().insertions, .page_tables = host.manager().frame_counts().page_tables};
}

Whole run_whole(const Replay& trace, PageCount frames, PageCount page_tables) {
  // Frame 0 has no owner.
  const PageCount all = std::max(frames + page_tables + 1_pages, mm::kSmallestMachine);
  HostConfig config{.frames = all,
                    .paging_file = std::max(bytes_of(trace.pages() * 2), 1_MiB),
                    .tunables = mm::Tunables::for_memory(all),
                    .limits = {.minimum = PageCount(50), .maximum = PageCount(345)}};
  config.limits.minimum = std::min(config.limits.minimum, frames / 2);
  Host host(config);
  trace.commit(host.space());
  machine::SimProcessor& cpu = host.cpu();
  std::uint64_t faults = 0;
  for (const std::uint64_t each : trace.accesses()) {
    access(cpu, each);
    cpu.charge(trace.cycles_per_record());
    if (cpu.counts().faults == faults) continue;
    faults = cpu.counts().faults;
    for (mm::SystemThread* thread : host.manager().system_threads())
      if (thread->due(cpu.now()) <= cpu.now()) thread->run(cpu);
  }
  const mm::Counters counters = host.manager().counters();
  const auto count = [&](mm::FaultKind kind) { return counters.faults[static_cast<std::size_t>(kind)]; };
  return {.missed = count(mm::FaultKind::kDemandZero) + count(mm::FaultKind::kPageFile),
          .pages_read = counters.page_file_pages_read,
          .rescued = count(mm::FaultKind::kTransitionStandby) + count(mm::FaultKind::kTransitionModified)};
}

// The oracles over this trace must say what the table says.
Misses count_misses(const std::vector<std::uint32_t>& pages, std::uint32_t page_count, const Misses& expected,
                    BenchOutput& out) {
  const PageCount frames(expected.frames);
  const Misses counted{.trace = expected.trace,
                       .frames = expected.frames,
                       .lru = sim::count_lru_misses(pages, page_count, frames),
                       .opt = sim::count_opt_misses(pages, page_count, frames),
                       .clock = sim::count_clock_misses(pages, page_count, frames),
                       .fifo = sim::count_fifo_misses(pages, page_count, frames)};
  if (counted.lru != expected.lru || counted.opt != expected.opt || counted.clock != expected.clock ||
      counted.fifo != expected.fifo) {
    out.failure(
        fmt::format("replacement: {} in {} frames: LRU, OPT, CLOCK, FIFO miss {}, {}, {}, {}; known are {}, "
                    "{}, {}, {}: the trace or an oracle is not what it was",
                    expected.trace, expected.frames, counted.lru, counted.opt, counted.clock, counted.fifo,
                    expected.lru, expected.opt, expected.clock, expected.fifo));
  }
  return counted;
}

double part(std::uint64_t a, std::uint64_t b) { return static_cast<double>(a) / static_cast<double>(b); }

BenchRow count_row(std::string name, std::uint64_t ours, std::uint64_t lru) {
  return {.name = std::move(name),
          .unit = "pages",
          .ours = static_cast<double>(ours),
          .peer = static_cast<double>(lru),
          .peer_name = "LRU",
          .ratio = part(lru, ours)};
}

constexpr const char* kLayout = "{:<10} {:>7} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6} | {:>8} {:>6} {:>8} {:>8}";

}  // namespace

Input<> replacement(const BenchOptions& options, BenchOutput& out) {
  const TraceFolder folder = PAGODA_TRY(TraceFolder::find(options));
  out.text(fmt::format(kLayout, "trace", "frames", "ours", "LRU", "OPT", "CLOCK", "FIFO", "/LRU", "whole", "/LRU",
                       "read", "rescued"));
  Misses sum{};
  Alone alone_sum;
  Whole whole_sum;
  for (const std::string& name : folder.names) {
    if (std::ranges::find(kMissTable, name, &Misses::trace) == kMissTable.end()) continue;
    const sim::Trace trace = PAGODA_TRY(folder.load(name));
    const auto page_count = static_cast<std::uint32_t>(trace.info().pages.value());
    const std::vector<std::uint32_t> pages = trace.dense_sequence();
    const Replay replay(trace);
    for (const Misses& known : kMissTable) {
      if (known.trace != name) continue;
      const Misses misses = count_misses(pages, page_count, known, out);
      const PageCount frames(misses.frames);
      const Alone alone = run_alone(replay, frames);
      const Whole whole = run_whole(replay, frames, alone.page_tables);
      out.text(fmt::format(kLayout, name, misses.frames, alone.brought_in, misses.lru, misses.opt, misses.clock,
                           misses.fifo, fmt::format("{:.3f}", part(alone.brought_in, misses.lru)), whole.missed,
                           fmt::format("{:.3f}", part(whole.missed, misses.lru)), whole.pages_read, whole.rescued));
      BenchRow row = count_row(fmt::format("replacement/{}/{}", name, misses.frames), alone.brought_in, misses.lru);
      row.more = {{"opt", misses.opt},
                  {"clock", misses.clock},
                  {"fifo", misses.fifo},
                  {"whole", whole.missed},
                  {"whole_pages_read", whole.pages_read},
                  {"whole_rescued", whole.rescued}};
      out.json_only(row);
      sum.lru += misses.lru;
      sum.opt += misses.opt;
      sum.clock += misses.clock;
      sum.fifo += misses.fifo;
      alone_sum.brought_in += alone.brought_in;
      whole_sum.missed += whole.missed;
      whole_sum.pages_read += whole.pages_read;
      whole_sum.rescued += whole.rescued;
    }
  }
  if (sum.lru == 0) return bad_input(fmt::format("{}: holds none of the traces whose misses are known", folder.path));
  out.text(fmt::format(kLayout, "all", "", alone_sum.brought_in, sum.lru, sum.opt, sum.clock, sum.fifo,
                       fmt::format("{:.3f}", part(alone_sum.brought_in, sum.lru)), whole_sum.missed,
                       fmt::format("{:.3f}", part(whole_sum.missed, sum.lru)), whole_sum.pages_read,
                       whole_sum.rescued));
  out.text(
      "ours: working set of N pages, every page that enters it counts. whole: N frames of memory with standby list,");
  out.text(
      "trimming and clustered reads; only pages that were nowhere in memory count. read: pages from the paging file.");
  BenchRow row = count_row("replacement", alone_sum.brought_in, sum.lru);
  row.floor = 1 / kMostOfLru;
  row.more = {{"opt", sum.opt}, {"clock", sum.clock}, {"fifo", sum.fifo}};
  out.row(row);
  BenchRow whole_row = count_row("replacement_whole", whole_sum.missed, sum.lru);
  whole_row.more = {{"pages_read", whole_sum.pages_read}, {"rescued", whole_sum.rescued}};
  out.row(whole_row);
  return {};
}

}  // namespace pagoda::bench
