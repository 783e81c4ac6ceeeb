// Growth with processes, with the processors that they ran on, and with the forks of one of them.
#include <cstdint>
#include <memory>
#include <vector>

#include "bench/growth.h"

namespace pagoda::bench {

namespace {

constexpr PageCount kTouched{16};  // By each process that is there beside what is measured.

// A process and its pages, of which none was touched.
struct Process {
  mm::ProcessSpace* space = nullptr;
  VirtualAddress base;
};

Process add_process(Host& host) {
  mm::ProcessSpace* const space =
      must(host.manager().create_space(
               host.cpu(), {.limits = mm::WorkingSet::Limits{.minimum = PageCount(50), .maximum = PageCount(345)}}),
           "process");
  return {space,
          VirtualAddress(
              must(space->reserve({.size = bytes_of(kTouched), .commit = mm::MemCommit::kYes}), "region").first)};
}

// The processes touch all their pages. The processor runs in the host's own space afterwards.
void touch(Host& host, const std::vector<Process>& processes) {
  for (const Process& process : processes) {
    host.manager().attach(host.cpu(), *process.space);
    host.write_each(process.base, kTouched);
  }
  host.manager().attach(host.cpu(), host.space());
}

std::vector<Process> add_processes(Host& host, std::uint64_t count) {
  std::vector<Process> processes;
  processes.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) processes.push_back(add_process(host));
  touch(host, processes);
  return processes;
}

}  // namespace

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

// The host's own process writes its pages in order; the others sleep at their minimum, with 16 pages and four page tables
// each. There is as much memory for the one beside many as beside few.
Round thrashing_beside(std::uint64_t processes) {
  const PageCount frames(8192 + processes * 20);
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

// Since the tick before, each of 200 processes ran on every processor and touched its pages on one of them.
Round tick_after_processors(std::uint64_t processors) {
  struct Ticking {
    explicit Ticking(const HostConfig& config) : host(config), processes(add_processes(host, 200)) {}
    Host host;
    std::vector<Process> processes;
  };
  HostConfig config = host_of(PageCount(200'000), 1_GiB);
  config.processors = static_cast<unsigned>(processors);
  const auto of = std::make_shared<Ticking>(config);
  return [of] {
    Host& host = of->host;
    for (const Process& process : of->processes)
      for (machine::Processor* const cpu : host.machine().processors()) host.manager().attach(*cpu, *process.space);
    touch(host, of->processes);
    host.cpu().advance_to(host.cpu().now() + 1_s);
    return mean_of(1, [&](std::size_t) { host.manager().balance_set_manager().run(host.cpu()); });
  };
}

// All are forks of one space of 64 pages, one of which it writes before each.
Round fork_beside(std::uint64_t forks) {
  static constexpr PageCount kPages{64};
  struct Parent {
    Host host{host_of(PageCount(40'000), 256_MiB)};
    VirtualAddress base = host.commit(kPages);
    std::uint64_t written = 0;

    mm::ProcessSpace* write_and_fork() {
      host.write_each(base + bytes_of(PageCount(written++ % kPages.value())), PageCount(1));
      return must(host.manager().clone_space(host.cpu(), host.space()), "fork");
    }
  };
  const auto of = std::make_shared<Parent>();
  of->host.write_each(of->base, kPages);
  for (std::uint64_t i = 0; i < forks; ++i) of->write_and_fork();
  return [of] {
    std::vector<mm::ProcessSpace*> children(32);
    const double cost = mean_of(children.size(), [&](std::size_t i) { children[i] = of->write_and_fork(); });
    for (mm::ProcessSpace* const child : children) of->host.manager().destroy_space(of->host.cpu(), *child);
    return cost;
  };
}

}  // namespace pagoda::bench
