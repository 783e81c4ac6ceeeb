// What faults cost, from the first instruction of the access through the walk, the fault and the retry to its end.
#include <fmt/format.h>

#include <array>

#include "bench/figures.h"
#include "bench/harness.h"
#include "bench/host.h"
#include "bench/linux_memory.h"

namespace pagoda::bench {

namespace {

constexpr PageCount kPages{16384};  // 64 MiB, in each round.
constexpr const char* kFirstTouch = "Linux anonymous first touch, 4 KB pages";

}  // namespace

Input<> demand_zero_fault(const BenchOptions&, BenchOutput& out) {
  Host host(HostConfig::quiet(kPages + kPages / 8));
  host.use_every_frame();
  const auto linux_round = [] { return linux_first_touch(kPages); };

  const std::uint64_t zeroed_before = host.manager().counters().pages_zeroed_in_fault;
  const Figures dirty = take_turns({[&] { return host.first_writes(kPages); }, linux_round});
  const std::uint64_t zeroed = host.manager().counters().pages_zeroed_in_fault - zeroed_before;
  // All but the few frames that were left over at first.
  if (zeroed < kPages.value() * dirty.rounds)
    out.failure(fmt::format("demand_zero_fault: {} pages were zeroed in faults, fewer than faulted", zeroed));
  out.row(cost_row("demand_zero_fault", dirty.of[0].median, dirty.of[1].median, kFirstTouch, dirty));

  const auto prezeroed_round = [&] {
    host.zero_free_frames();
    return host.first_writes(kPages);
  };
  const Figures clean = take_turns({prezeroed_round, linux_round});
  // Most of the time above is the zeroing of 4 KB, which is the computer's; this row is ours.
  BenchRow row = cost_row("demand_zero_fault_prezeroed", clean.of[0].median, clean.of[1].median, kFirstTouch, clean);
  row.floor = 4;
  out.row(row);
  return {};
}

Input<> soft_fault(const BenchOptions&, BenchOutput& out) {
  HostConfig config = HostConfig::quiet(kPages + kPages / 8);
  config.paging_file = bytes_of(kPages + kPages / 8);
  Host host(config);
  const VirtualAddress base = host.commit(kPages);
  host.write_each(base, kPages);
  const PopulatedFile file(kPages);

  const auto from_standby = [&](auto touch) {
    host.put_on_standby();
    Stopwatch watch;
    watch.start();
    touch();
    watch.stop();
    return watch.nanoseconds_per(kPages.value());
  };
  const Figures figures = take_turns({[&] { return from_standby([&] { host.write_each(base, kPages); }); },
                                      [&] { return file.touch_fresh_mapping(); },
                                      [&] { return from_standby([&] { host.read_each(base, kPages); }); }});
  constexpr const char* kPeer = "Linux minor write fault, populated memfd";
  BenchRow row = cost_row("soft_fault", figures.of[0].median, figures.of[1].median, kPeer, figures);
  row.floor = 3;
  out.row(row);
  out.row(cost_row("soft_fault_read", figures.of[2].median, figures.of[1].median, kPeer, figures));
  return {};
}

Input<> hard_fault_cpu(const BenchOptions&, BenchOutput& out) {
  // Twice the pages that there are frames for: to touch one half throws the other out.
  constexpr PageCount kHalf{8192};
  for (const unsigned cluster : {1U, 8U}) {
    HostConfig config = HostConfig::quiet(kHalf + kHalf / 16);
    config.tunables.read_cluster = cluster;
    config.paging_file = bytes_of(kHalf * 3);
    config.disk = HostConfig::DiskKind::kInstant;
    Host host(config);
    const std::array half{host.commit(kHalf), host.commit(kHalf)};
    for (const VirtualAddress base : half) {
      host.write_each(base, kHalf);
      host.put_on_standby();
    }
    const auto hard_faults = [&] { return host.manager().counters().page_file_reads; };
    const auto round = [&, turn = 0U]() mutable {
      // The half that was touched last is on standby; the other half is in the paging file.
      const VirtualAddress base = half[turn++ % 2];
      const std::uint64_t before = hard_faults();
      Stopwatch watch;
      watch.start();
      host.read_each(base, kHalf);
      watch.stop();
      const std::uint64_t faults = hard_faults() - before;
      if (cluster == 1 && faults < kHalf.value() * 9 / 10)
        out.failure(fmt::format("hard_fault_cpu: only {} of {} touches were hard faults", faults, kHalf.value()));
      host.put_on_standby();
      return watch.nanoseconds_per(kHalf.value());
    };
    const Figures figures = take_turns({round});
    out.row({.name = cluster == 1 ? "hard_fault_cpu" : "hard_fault_cpu_clustered",
             .unit = "ns",
             .ours = figures.of[0].median,
             .peer_name = "",
             .more = {{"rounds", figures.rounds}, {"spread", figures.of[0].spread}, {"read_cluster", cluster}}});
  }
  return {};
}

Input<> fault_scale_memory(const BenchOptions&, BenchOutput& out) {
  constexpr PageCount kSomePages{8192};
  const ByteCount before = own_resident_memory();
  // Frames of both on 4 KB pages of this computer, as those of so large a host always are: only the size differs.
  const auto host_of = [](ByteCount memory) {
    HostConfig config = HostConfig::quiet(pages_of(memory));
    config.frame_memory = machine::FrameMemory::kShareable;
    return config;
  };
  Host small(host_of(64_MiB));
  const ByteCount small_made = own_resident_memory();
  Host large(host_of(1_TiB));
  const ByteCount large_made = own_resident_memory();
  // A large host has always frames that were never used; zeroing those that were freed makes both take the same ones
  // again and again.
  const auto round_of = [kSomePages](Host& host) {
    return [&host, kSomePages] {
      host.zero_free_frames();
      return host.first_writes(kSomePages);
    };
  };
  const Figures figures = take_turns({round_of(large), round_of(small)});
  BenchRow row =
      cost_row("fault_scale_memory", figures.of[0].median, figures.of[1].median, "self (64 MiB host)", figures);
  row.floor = 0.8;
  row.peer_name = "self";
  row.more["resident_bytes_64_mib_host"] = (small_made - before).value();
  row.more["resident_bytes_1_tib_host"] = (large_made - small_made).value();
  row.more["resident_bytes_1_tib_arena_after"] = large.machine().memory().resident().value();
  out.row(row);
  out.text(fmt::format(
      "  a 1 TiB host costs {} when it starts; after {} pages were touched over and over its frames take {}",
      to_string(large_made - small_made), kSomePages.value(), to_string(large.machine().memory().resident())));
  return {};
}

}  // namespace pagoda::bench
