// What a hypervisor costs in real time: the same work in a guest and on the bare host.
#include <benchmark/benchmark.h>
#include <algorithm>
#include <vector>

#include "bench/figures.h"
#include "bench/guest.h"
#include "bench/harness.h"
#include "bench/host.h"
#include "bench/traces.h"
#include "pagoda/base/random.h"

namespace pagoda::bench {

namespace {

// First writes to fresh memory; nanoseconds a page.
template <class Where>
double first_writes(Where& where, VirtualAddress base, PageCount pages) {
  Stopwatch watch;
  watch.start();
  where.write_each(base, pages);
  watch.stop();
  return watch.nanoseconds_per(pages.value());
}

double load_each(machine::SimProcessor& cpu, const std::vector<std::uint64_t>& addresses, std::size_t loads) {
  Stopwatch watch;
  std::uint64_t sum = 0;
  watch.start();
  for (std::size_t done = 0; done < loads; done += addresses.size()) {
    for (const std::uint64_t address : addresses) {
      const auto value = cpu.load<std::uint64_t>(VirtualAddress(address));
      if (!value) [[unlikely]]
        give_up("load", value.error());
      sum += *value;
    }
  }
  watch.stop();
  benchmark::DoNotOptimize(sum);
  return watch.nanoseconds_per(loads);
}

}  // namespace

Input<> slat_fault(const BenchOptions&, BenchOutput& out) {
  constexpr PageCount kPages{8192};
  GuestConfig config = GuestConfig::quiet(PageCount(8192 + 1024));
  config.fault_cluster = 1_pages;
  Guest guest(config);
  Host host(HostConfig::quiet(kPages + kPages / 8));
  host.use_every_frame();
  const auto guest_round = [&] {
    guest.restart();
    const VirtualAddress base = guest.commit(kPages);
    const std::uint64_t before = guest.partition().counts().violations;
    const double time = first_writes(guest, base, kPages);
    if (guest.partition().counts().violations - before < kPages.value())
      out.failure("slat_fault: not every first touch was a violation");
    return time;
  };
  const auto host_round = [&] {
    const VirtualAddress base = host.commit(kPages);
    const double time = first_writes(host, base, kPages);
    host.release(base);
    return time;
  };
  const Figures figures = take_turns({guest_round, host_round});
  BenchRow row =
      cost_row("slat_fault", figures.of[0].median, figures.of[1].median, "demand_zero_fault on the bare host", figures);
  row.floor = 0.4;
  out.row(row);
  return {};
}

Input<> guest_tlb_hit(const BenchOptions&, BenchOutput& out) {
  constexpr PageCount kPages{1024};
  constexpr std::size_t kLoads = 1 << 20;
  Guest guest(GuestConfig::quiet(PageCount(2048)));
  Host host(HostConfig::quiet(kPages * 2));
  // As tlb_hit_load: one word of each page, at a different place in each, so that what is compared is translation.
  const auto scattered = [kPages](VirtualAddress base) {
    Random random(1);
    std::vector<std::uint64_t> addresses;
    for (std::size_t i = 0; i < 16384; ++i) {
      const std::uint64_t page = random.below(kPages.value());
      addresses.push_back(base.value() + page * kPageBytes + page * 72 % kPageBytes);
    }
    return addresses;
  };
  const VirtualAddress in_guest = guest.commit(kPages);
  guest.write_each(in_guest, kPages);
  const VirtualAddress on_host = host.commit(kPages);
  host.write_each(on_host, kPages);
  const std::vector<std::uint64_t> guest_addresses = scattered(in_guest);
  const std::vector<std::uint64_t> host_addresses = scattered(on_host);
  const std::uint64_t misses = guest.cpu().counts().tlb_misses;
  const Figures figures = take_turns({[&] { return load_each(guest.cpu(), guest_addresses, kLoads); },
                                      [&] { return load_each(host.cpu(), host_addresses, kLoads); }});
  if (guest.cpu().counts().tlb_misses != misses) out.failure("guest_tlb_hit: some loads missed the TLB");
  BenchRow row =
      cost_row("guest_tlb_hit", figures.of[0].median, figures.of[1].median, "the same loads on the bare host", figures);
  row.floor = 0.95;
  out.row(row);
  return {};
}

Input<> guest_replay(const BenchOptions& options, BenchOutput& out) {
  const Input<TraceFolder> folder = TraceFolder::find(options);
  if (!folder) return std::unexpected(folder.error());
  double guest_ns = 0;
  double host_ns = 0;
  double records = 0;
  Figures all;
  for (const std::string& name : folder->names) {
    const Input<sim::Trace> loaded = folder->load(name);
    if (!loaded) return std::unexpected(loaded.error());
    const Replay trace(*loaded);
    const PageCount frames = trace.pages() + trace.pages() / 8 + PageCount(2048);
    Host host(HostConfig::quiet(frames));
    host.use_every_frame();
    Guest guest(GuestConfig::quiet(PageCount((frames.value() + 511) / 512 * 512)));
    guest.use_every_frame();  // The host backs all of its memory from here on.
    const std::uint64_t exits = guest.partition().counts().exits;
    const Figures figures = take_turns({[&] { return trace.run(guest); }, [&] { return trace.run(host); }});
    if (guest.partition().counts().exits != exits) out.failure("guest_replay: the guest's memory was not all resident");
    const auto count = static_cast<double>(trace.accesses().size());
    guest_ns += figures.of[0].median * count;
    host_ns += figures.of[1].median * count;
    records += count;
    all.rounds = std::max(all.rounds, figures.rounds);
    all.of.insert(all.of.end(), figures.of.begin(), figures.of.end());
  }
  BenchRow row = cost_row("guest_replay", guest_ns / records, host_ns / records, "the same on the bare host", all);
  row.unit = "refs/s";
  row.ours = 1e9 * records / guest_ns;
  row.peer = 1e9 * records / host_ns;
  row.floor = 0.7;
  out.row(row);
  return {};
}

}  // namespace pagoda::bench
