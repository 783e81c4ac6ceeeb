// What it costs to learn which pages were written, and to watch them anew.
#include <fmt/format.h>

#include <vector>

#include "bench/figures.h"
#include "bench/harness.h"
#include "bench/host.h"
#include "bench/linux_dirty.h"
#include "pagoda/base/random.h"

namespace pagoda::bench {

namespace {

constexpr PageCount kPages{1'000'000};
constexpr std::uint64_t kDirty = 100'000;

// One page of each ten, anywhere among them.
std::vector<std::uint64_t> dirty_pages() {
  constexpr std::uint64_t kStep = kPages.value() / kDirty;
  Random random(3);
  std::vector<std::uint64_t> pages(kDirty);
  for (std::uint64_t i = 0; i < kDirty; ++i) pages[i] = i * kStep + random.below(kStep);
  return pages;
}

}  // namespace

Input<> write_watch_scan(const BenchOptions&, BenchOutput& out) {
  const std::vector<std::uint64_t> pages = dirty_pages();

  Host host(HostConfig::quiet(kPages + PageCount(8192)));
  const VirtualAddress base(
      must(host.space().reserve(
               {.size = bytes_of(kPages), .commit = mm::MemCommit::kYes, .type = mm::VadType::kWriteWatch}),
           "region")
          .first);
  // Every page is mapped. To touch moves no bytes: clean frames cost the host nothing.
  for (std::uint64_t page = 0; page < kPages.value(); ++page)
    must(host.cpu().touch(base + bytes_of(PageCount(page)), machine::Access::kRead), "touch");
  std::vector<VirtualAddress> found(kPages.value());
  const auto ours = [&] {
    for (const std::uint64_t page : pages)
      must(host.cpu().store<std::uint64_t>(base + bytes_of(PageCount(page)), page), "store");
    Stopwatch watch;
    watch.start();
    const std::size_t count = must(
        host.space().get_write_watch(host.cpu(), base, bytes_of(kPages), found, mm::ProcessSpace::WatchReset::kYes),
        "write watch");
    watch.stop();
    if (count != kDirty) out.failure(fmt::format("write_watch_scan: {} pages were found, not {}", count, kDirty));
    return watch.nanoseconds_per(kDirty);
  };

  const std::unique_ptr<LinuxDirtyPages> memory = LinuxDirtyPages::create(kPages);
  if (memory == nullptr) {
    const Figures figures = take_turns({ours});
    out.row({.name = "write_watch_scan",
             .unit = "ns",
             .ours = figures.of[0].median,
             .peer_name = "",
             .more = {{"rounds", figures.rounds}, {"spread", figures.of[0].spread}}});
    out.text("  this kernel has no PAGEMAP_SCAN to stand beside");
    return {};
  }
  const auto linux_round = [&] {
    memory->write(pages);
    Stopwatch watch;
    watch.start();
    const std::size_t count = memory->collect();
    watch.stop();
    if (count != kDirty) out.failure(fmt::format("write_watch_scan: Linux found {} pages, not {}", count, kDirty));
    return watch.nanoseconds_per(kDirty);
  };
  const Figures figures = take_turns({ours, linux_round});
  BenchRow row = cost_row("write_watch_scan", figures.of[0].median, figures.of[1].median,
                          "Linux PAGEMAP_SCAN with write protection", figures);
  row.floor = 1;
  out.row(row);
  return {};
}

}  // namespace pagoda::bench
