// Costs at 16 times the size of what they should not depend on, beside themselves at the small size. A row each in the
// table below: both sizes, what is measured on a machine of a size, and the floor of the ratio.
#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/figures.h"
#include "bench/harness.h"
#include "bench/host.h"
#include "pagoda/base/random.h"

namespace pagoda::bench {

namespace {

constexpr PageCount kLargePage = machine::kPagesPerLargePage;

// The rounds of one size, on a machine that was made for them.
using Make = Round (*)(std::uint64_t size);

struct Growth {
  const char* name;
  std::uint64_t small;
  std::uint64_t large;
  Make make;
  double floor = 0.5;  // Cost at the small size / at the large one.
};

HostConfig host_of(PageCount frames, ByteCount paging_file = {}) {
  HostConfig config = HostConfig::quiet(frames);
  config.paging_file = paging_file;
  return config;
}

// The mean of so many calls.
template <class Call>
double mean_of(std::size_t calls, const Call& call) {
  Stopwatch watch;
  watch.start();
  for (std::size_t i = 0; i < calls; ++i) call(i);
  watch.stop();
  return watch.nanoseconds_per(calls);
}

// --- Frames in a row ---

// Every frame was used once; below `end` the last one of each 2 MB stays in use.
void fragment(Host& host, PageCount end) {
  mm::PfnDatabase& pfns = host.manager().core().pfns;
  const LockGuard guard(pfns.lock);
  std::vector<Pfn> taken;
  for (auto frame = pfns.take(host.cpu(), mm::Contents::kZeroed); frame;
       frame = pfns.take(host.cpu(), mm::Contents::kZeroed))
    taken.push_back(frame->frame);
  for (const Pfn frame : taken) {
    if (frame.value() < end.value() && frame.value() % kLargePage.value() == kLargePage.value() - 1)
      pfns.make_nonpaged(frame);
    else
      pfns.give_back(frame, mm::Contents::kZeroed);
  }
}

Result<VpnRange> reserve_large_page(Host& host) {
  return host.space().reserve(
      host.cpu(), {.size = bytes_of(kLargePage), .commit = mm::MemCommit::kYes, .type = mm::VadType::kLargePages});
}

Round refused_run(std::uint64_t gibibytes) {
  const PageCount frames = pages_of(ByteCount(gibibytes << 30));
  const auto host = std::make_shared<Host>(host_of(frames));
  fragment(*host, frames);
  return [host] {
    return mean_of(2000, [&](std::size_t) { [[maybe_unused]] const auto refused = reserve_large_page(*host); });
  };
}

// Large pages lie behind so many pieces of memory without one.
Round granted_run(std::uint64_t fragments) {
  const PageCount fragmented = kLargePage * fragments;
  const auto host = std::make_shared<Host>(host_of(fragmented + kLargePage * 16));
  fragment(*host, fragmented);
  return [host] {
    return mean_of(
        50, [&](std::size_t) { host->release(VirtualAddress(must(reserve_large_page(*host), "large page").first)); });
  };
}

// --- Paging-file slots ---

// All in use but one in 64, where a cluster of 16 is wanted.
Round single_slots(std::uint64_t mebibytes) {
  const ByteCount size(mebibytes << 20);
  const auto host = std::make_shared<Host>(host_of(pages_of(64_MiB), size));
  {
    mm::Core& core = host->manager().core();
    const LockGuard guard(core.pfns.lock);
    while (!core.paging_files.free_slots().is_zero())
      static_cast<void>(core.paging_files.allocate(PageCount(mm::kMaxTransferPages)));
    for (std::uint64_t slot = 64; slot < pages_of(size).value(); slot += 64)
      core.paging_files[0].free(PageFileSlot(static_cast<std::uint32_t>(slot)));
  }
  return [host] {
    mm::Core& core = host->manager().core();
    const LockGuard guard(core.pfns.lock);
    std::array<PageFileSlot, 64> slots;
    const double cost =
        mean_of(slots.size(), [&](std::size_t i) { slots[i] = core.paging_files.allocate(PageCount(16)).first; });
    for (const PageFileSlot slot : slots) core.paging_files[0].free(slot);
    return cost;
  };
}

// --- Sections ---

mm::Section* new_section(Host& host, ByteCount size) {
  return must(host.manager().sections().create(host.cpu(), {.size = size}), "section");
}

// Prototype PTEs of two pages, where so many holes have one.
Round prototypes_among_holes(std::uint64_t holes) {
  const auto host = std::make_shared<Host>(host_of(PageCount(600'000), 64_GiB));
  std::vector<mm::Section*> small;
  small.reserve(2 * holes);
  for (std::uint64_t i = 0; i < 2 * holes; ++i) small.push_back(new_section(*host, 64_KiB));
  for (std::uint64_t i = 0; i < small.size(); i += 2) host->manager().sections().dereference(host->cpu(), *small[i]);
  return [host] {
    std::array<mm::Section*, 64> made{};
    const double cost = mean_of(made.size(), [&](std::size_t i) { made[i] = new_section(*host, 4_MiB); });
    for (mm::Section* const section : made) host->manager().sections().dereference(host->cpu(), *section);
    return cost;
  };
}

// One of so many that are open, in no order.
Round closed_section(std::uint64_t count) {
  struct Open {
    Host host{host_of(PageCount(300'000), 4_GiB)};
    std::vector<mm::Section*> sections;
    Random random{1};
  };
  const auto open = std::make_shared<Open>();
  for (std::uint64_t i = 0; i < count; ++i) open->sections.push_back(new_section(open->host, 64_KiB));
  return [open] {
    constexpr std::size_t kClosed = 500;
    const auto size = static_cast<std::uint64_t>(open->sections.size());
    for (std::uint64_t i = 0; i < kClosed; ++i)
      std::swap(open->sections[i], open->sections[i + open->random.below(size - i)]);
    const double cost = mean_of(kClosed, [&](std::size_t i) {
      open->host.manager().sections().dereference(open->host.cpu(), *open->sections[i]);
    });
    for (std::size_t i = 0; i < kClosed; ++i) open->sections[i] = new_section(open->host, 64_KiB);
    return cost;
  };
}

// --- Regions ---

// A host and the region in it that is asked about.
struct Region {
  explicit Region(const HostConfig& config) : host(config) {}
  Host host;
  VirtualAddress base;
  ByteCount size;
};

// Every other page of a region is protected otherwise; all of them are walked, one query a run.
Round queries_of_runs(std::uint64_t runs) {
  const auto of = std::make_shared<Region>(host_of(PageCount(200'000), 4_GiB));
  of->base = of->host.commit(PageCount(runs));
  for (std::uint64_t i = 0; i < runs; i += 2)
    must(of->host.space().protect(of->host.cpu(), of->base + bytes_of(PageCount(i)), kPageSize,
                                  mm::Protection::kReadOnly),
         "protect");
  return [of, runs] {
    return mean_of(runs, [&](std::size_t i) {
      must(of->host.space().query(of->host.cpu(), of->base + bytes_of(PageCount(i))), "query");
    });
  };
}

// 64 KB at the end of a region of so many pages, all written.
Round released_end(std::uint64_t pages) {
  const auto host = std::make_shared<Host>(host_of(PageCount(200'000), 4_GiB));
  return [host, pages] {
    constexpr std::uint64_t kPieces = 64;
    constexpr PageCount kPiece = pages_of(64_KiB);
    const VirtualAddress base = host->commit(PageCount(pages));
    host->write_each(base, PageCount(pages));
    const double cost = mean_of(kPieces, [&](std::size_t i) {
      must(host->space().release(host->cpu(), base + bytes_of(PageCount(pages) - kPiece * (i + 1)), 64_KiB), "release");
    });
    host->release(base);
    return cost;
  };
}

// A view of so many GiB of a file, of which nothing was touched.
std::shared_ptr<Region> untouched_view(std::uint64_t gibibytes) {
  const auto of = std::make_shared<Region>(host_of(pages_of(1_GiB), 1_GiB));
  Host& host = of->host;
  of->size = ByteCount(gibibytes << 30);
  auto file = must(host.manager().machine().disks()[0]->create("file"), "file");
  must(file->resize(of->size), "file");
  mm::Section& section = *must(
      host.manager().sections().create(host.cpu(), {.file = std::make_shared<mm::FileStream>("file", std::move(file)),
                                                    .kind = mm::SectionKind::kData}),
      "section");
  of->base = VirtualAddress(must(host.space().map_view(host.cpu(), section, {}), "view").first);
  return of;
}

Round protected_view(std::uint64_t gibibytes) {
  return [of = untouched_view(gibibytes)] {
    return mean_of(1000, [&](std::size_t i) {
      must(of->host.space().protect(of->host.cpu(), of->base, of->size,
                                    i % 2 == 0 ? mm::Protection::kReadOnly : mm::Protection::kReadWrite),
           "protect");
    });
  };
}

// It is refused: it is larger than memory.
Round locked_view(std::uint64_t gibibytes) {
  return [of = untouched_view(gibibytes)] {
    return mean_of(1000, [&](std::size_t) {
      [[maybe_unused]] const auto refused =
          of->host.space().lock_pages(of->host.cpu(), of->base, of->size, mm::LockKind::kInWorkingSet);
    });
  };
}

// --- Processes ---

// Each has touched 16 pages. The processor runs in the host's own space afterwards.
void add_processes(Host& host, std::uint64_t count) {
  constexpr PageCount kTouched{16};
  for (std::uint64_t i = 0; i < count; ++i) {
    mm::ProcessSpace& space =
        *must(host.manager().create_space(
                  host.cpu(), {.limits = mm::WorkingSet::Limits{.minimum = PageCount(50), .maximum = PageCount(345)}}),
              "process");
    host.manager().attach(host.cpu(), space);
    host.write_each(
        VirtualAddress(
            must(space.reserve({.size = bytes_of(kTouched), .commit = mm::MemCommit::kYes}), "region").first),
        kTouched);
  }
  host.manager().attach(host.cpu(), host.space());
}

// Nobody has a page left to trim, and more is wanted.
Round shortage_without_pages(std::uint64_t processes) {
  static constexpr PageCount kFrames{200'000};
  const auto host = std::make_shared<Host>(host_of(kFrames, 1_GiB));
  add_processes(*host, processes);
  while (!host->manager().balance_set_manager().trim(host->cpu(), kFrames).is_zero()) {
  }
  return [host] {
    return mean_of(2000, [&](std::size_t) {
      static_cast<void>(host->manager().balance_set_manager().trim(host->cpu(), kFrames));
    });
  };
}

// The host's own process writes twice as many pages as there is memory for, in order; the others sleep at their minimum.
Round thrashing_beside(std::uint64_t processes) {
  const PageCount frames(8192 + processes * 24);
  struct Thrashing {
    explicit Thrashing(const HostConfig& config) : host(config) {}
    Host host;
    VirtualAddress base;
    PageCount pages;
  };
  HostConfig config = host_of(frames, 1_GiB);
  config.tunables = mm::Tunables::for_memory(frames);
  const auto of = std::make_shared<Thrashing>(config);
  add_processes(of->host, processes);
  of->pages = of->host.manager().available() * 2;
  of->base = of->host.commit(of->pages);
  of->host.write_each(of->base, of->pages);
  return [of] {
    Stopwatch watch;
    watch.start();
    of->host.write_each(of->base, of->pages);
    watch.stop();
    return watch.nanoseconds_per(of->pages.value());
  };
}

constexpr auto kGrowths = std::to_array<Growth>({
    {"growth_large_page_refused", 1, 16, refused_run},
    {"growth_large_page_found", 64, 1024, granted_run},
    {"growth_single_slots", 1024, 16'384, single_slots},
    {"growth_prototype_holes", 500, 8000, prototypes_among_holes},
    {"growth_section_closed", 1000, 16'000, closed_section},
    {"growth_query", 4096, 65'536, queries_of_runs},
    {"growth_release_end", 4096, 65'536, released_end},
    {"growth_protect_view", 16, 256, protected_view},
    {"growth_lock_view", 16, 256, locked_view},
    {"growth_shortage", 100, 1600, shortage_without_pages},
    {"growth_thrashing", 1, 1000, thrashing_beside, 1 / 1.2},
});

}  // namespace

Input<> growth(const BenchOptions&, BenchOutput& out) {
  for (const Growth& each : kGrowths) {
    const Figures figures = take_turns({each.make(each.large), each.make(each.small)});
    BenchRow row = cost_row(each.name, figures.of[0].median, figures.of[1].median, "self", figures);
    row.floor = each.floor;
    row.more["size"] = each.large;
    row.more["peer_size"] = each.small;
    out.row(row);
  }
  return {};
}

}  // namespace pagoda::bench
