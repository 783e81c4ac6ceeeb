// What sharing costs: touching a page that another process has in memory, copying one at its first write, and views
// that come and go.
#include <fmt/format.h>

#include "bench/figures.h"
#include "bench/harness.h"
#include "bench/host.h"
#include "bench/linux_memory.h"

namespace pagoda::bench {

namespace {

using mm::FaultKind;
using mm::Protection;

constexpr PageCount kPages{16384};  // 64 MiB, in each round.
constexpr PageCount kViewPages = pages_of(64_KiB);
constexpr std::size_t kViewsPerRound = 2000;

// A paging-file section that the host's own space has mapped and in memory, and a second space that maps it too.
class SharedSection {
 public:
  SharedSection(Host& host, PageCount pages)
      : host_(host),
        section_(*must(sections().create(host.cpu(), {.size = bytes_of(pages)}), "section")),
        other_(*must(host.manager().create_space(host.cpu(), {.limits = mm::WorkingSet::Limits{.minimum = PageCount(50),
                                                                                               .maximum = pages * 4}}),
                     "second space")) {
    const VirtualAddress base = map(host.space(), Protection::kReadWrite);
    host.write_each(base, pages);
    host.manager().attach(host.cpu(), other_);
  }
  SharedSection(const SharedSection&) = delete;
  SharedSection& operator=(const SharedSection&) = delete;
  ~SharedSection() {
    host_.manager().attach(host_.cpu(), host_.space());
    host_.manager().destroy_space(host_.cpu(), other_);
    sections().dereference(host_.cpu(), section_);
  }

  // First writes to pages of the host's own space whose frames the zero-page thread has zeroed: the least that a fault
  // which needs a frame costs us. Figures of sharing are compared with it, which this computer's speed hardly changes.
  double first_writes_elsewhere(PageCount pages) {
    host_.manager().attach(host_.cpu(), host_.space());
    host_.zero_free_frames();
    const double nanoseconds = host_.first_writes(pages);
    host_.manager().attach(host_.cpu(), other_);
    return nanoseconds;
  }

  // A view in the second space, in which the processor runs; and its end.
  VirtualAddress map(Protection protection) { return map(other_, protection); }
  void unmap(VirtualAddress base) { must(other_.unmap_view(host_.cpu(), base), "unmap"); }

 private:
  mm::Sections& sections() { return host_.manager().sections(); }
  VirtualAddress map(mm::ProcessSpace& space, Protection protection) {
    return VirtualAddress(must(space.map_view(host_.cpu(), section_, {.protection = protection}), "view").first);
  }

  Host& host_;
  mm::Section& section_;
  mm::ProcessSpace& other_;
};

// The copy that a copy-on-write fault makes, and nothing else: as many pages, which lie as frames do.
class CopiedPages {
 public:
  explicit CopiedPages(PageCount pages)
      : pages_(pages), memory_(must(machine::PhysicalMemory::create(pages * 2), "pages to copy")) {
    for (std::uint32_t page = 0; page < pages_.value() * 2; ++page) memory_.view().store(address(page), page);
  }
  // Nanoseconds a page.
  [[nodiscard]] double copy_each() const {
    const machine::PhysicalView view = memory_.view();
    Stopwatch watch;
    watch.start();
    for (std::uint32_t page = 0; page < pages_.value(); ++page) view.copy(Pfn(page), Pfn(page) + pages_);
    watch.stop();
    return watch.nanoseconds_per(pages_.value());
  }

 private:
  static PhysicalAddress address(std::uint32_t page) { return PhysicalAddress(Pfn(page)); }

  PageCount pages_;
  machine::PhysicalMemory memory_;
};

// Faults of a kind must be as many as pages were touched: else something else was measured.
void expect_faults(BenchOutput& out, Host& host, FaultKind kind, std::uint64_t least) {
  const std::uint64_t faults = host.manager().counters().faults[static_cast<std::size_t>(kind)];
  if (faults < least) out.failure(fmt::format("{} faults of kind {}, fewer than {}", faults, name(kind), least));
}

}  // namespace

Input<> shared_fault(const BenchOptions&, BenchOutput& out) {
  Host host(HostConfig::quiet(kPages * 2 + kPages / 4));
  SharedSection section(host, kPages);
  const PopulatedFile file(kPages);
  const PopulatedFile::KeptMapping kept(file);

  const auto second_process = [&](auto touch) {
    const VirtualAddress base = section.map(Protection::kReadWrite);
    Stopwatch watch;
    watch.start();
    touch(base);
    watch.stop();
    section.unmap(base);
    return watch.nanoseconds_per(kPages.value());
  };
  const Figures figures =
      take_turns({[&] { return second_process([&](VirtualAddress base) { host.write_each(base, kPages); }); },
                  [&] { return file.touch_fresh_mapping(); },
                  [&] { return second_process([&](VirtualAddress base) { host.read_each(base, kPages); }); },
                  [&] { return section.first_writes_elsewhere(kPages); }});
  expect_faults(out, host, FaultKind::kShared, 2 * kPages.value() * figures.rounds);
  constexpr const char* kPeer = "Linux minor write fault, memfd mapped elsewhere";
  out.row(cost_row("shared_fault", figures.of[0].median, figures.of[1].median, kPeer, figures));
  out.row(cost_row("shared_fault_read", figures.of[2].median, figures.of[1].median, kPeer, figures));
  BenchRow row = cost_row("shared_fault_own", figures.of[0].median, figures.of[3].median,
                          "self: first touch of a zeroed frame", figures);
  row.floor = 0.7;
  out.row(row);
  return {};
}

Input<> cow_fault(const BenchOptions&, BenchOutput& out) {
  Host host(HostConfig::quiet(kPages * 4 + kPages / 4));
  host.use_every_frame();
  SharedSection section(host, kPages);
  const ForkableMemory memory(kPages);

  const auto view_round = [&] {
    const VirtualAddress base = section.map(Protection::kWriteCopy);
    host.read_each(base, kPages);
    Stopwatch watch;
    watch.start();
    host.write_each(base, kPages);
    watch.stop();
    section.unmap(base);
    return watch.nanoseconds_per(kPages.value());
  };
  const CopiedPages copies(kPages);
  const Figures figures =
      take_turns({view_round, [&] { return memory.child_writes_each(); },
                  [&] { return section.first_writes_elsewhere(kPages); }, [&] { return copies.copy_each(); }});
  expect_faults(out, host, FaultKind::kCopyOnWrite, kPages.value() * figures.rounds);
  out.row(cost_row("cow_fault", figures.of[0].median, figures.of[1].median,
                   "Linux child's first write after fork, 4 KB pages", figures));
  // Most of it is the copy of 4 KB, which is the computer's.
  BenchRow row = cost_row("cow_fault_own", figures.of[0].median, figures.of[2].median + figures.of[3].median,
                          "self: first touch of a zeroed frame, and a bare copy", figures);
  row.floor = 0.6;
  out.row(row);

  // The same of private memory after a fork: the child reads every page, so that it has them all, then writes.
  const VirtualAddress base = host.commit(kPages);
  host.manager().attach(host.cpu(), host.space());
  host.write_each(base, kPages);
  const auto fork_round = [&] {
    mm::ProcessSpace& child = *must(host.manager().clone_space(host.cpu(), host.space()), "clone");
    host.manager().attach(host.cpu(), child);
    host.read_each(base, kPages);
    Stopwatch watch;
    watch.start();
    host.write_each(base, kPages);
    watch.stop();
    host.manager().attach(host.cpu(), host.space());
    host.manager().destroy_space(host.cpu(), child);
    return watch.nanoseconds_per(kPages.value());
  };
  const Figures forked = take_turns({fork_round, [&] { return memory.child_writes_each(); }});
  out.row(cost_row("cow_fault_after_fork", forked.of[0].median, forked.of[1].median,
                   "Linux child's first write after fork, 4 KB pages", forked));
  return {};
}

Input<> map_unmap_view(const BenchOptions&, BenchOutput& out) {
  Host host(HostConfig::quiet(PageCount(4096)));
  SharedSection section(host, kViewPages);
  const PopulatedFile file(kViewPages);

  const auto view_round = [&] {
    Stopwatch watch;
    watch.start();
    for (std::size_t i = 0; i < kViewsPerRound; ++i) section.unmap(section.map(Protection::kReadWrite));
    watch.stop();
    return watch.nanoseconds_per(kViewsPerRound);
  };
  const Figures figures = take_turns({view_round, [&] { return file.map_and_unmap(kViewsPerRound); }});
  BenchRow row = cost_row("map_unmap_view", figures.of[0].median, figures.of[1].median,
                          "Linux mmap and munmap of a memfd, 64 KB", figures);
  row.floor = 2;
  out.row(row);
  return {};
}

Input<> fork_clone(const BenchOptions&, BenchOutput& out) {
  constexpr PageCount kResident = pages_of(256_MiB);
  HostConfig config = HostConfig::quiet(kResident + kResident / 16);
  config.paging_file = bytes_of(kResident * 2);  // What is promised to the child; nothing is ever written to it.
  Host host(config);
  const VirtualAddress base = host.commit(kResident);
  host.write_each(base, kResident);
  const ForkableMemory memory(kResident);

  const auto clone_round = [&] {
    Stopwatch watch;
    watch.start();
    mm::ProcessSpace& child = *must(host.manager().clone_space(host.cpu(), host.space()), "clone");
    host.manager().destroy_space(host.cpu(), child);
    watch.stop();
    return watch.nanoseconds_per(1);
  };
  const Figures again = take_turns({clone_round, [&] { return memory.fork_and_exit(); }});
  // Pages that were never shared before have to become shared pages of the parent first: once in their lives, unless
  // the parent writes to them afterwards, which this one does before each round.
  const auto private_round = [&] {
    host.write_each(base, kResident);
    return clone_round();
  };
  const auto written_round = [&] {
    memory.write_each();
    return memory.fork_and_exit();
  };
  const Figures first = take_turns({private_round, written_round});
  constexpr const char* kPeer = "Linux fork, exit and wait, 256 MB in 4 KB pages";
  BenchRow row = cost_row("fork_clone", first.of[0].median, first.of[1].median, kPeer, first);
  row.floor = 1;
  out.row(row);
  out.row(cost_row("fork_clone_again", again.of[0].median, again.of[1].median, kPeer, again));
  return {};
}

}  // namespace pagoda::bench
