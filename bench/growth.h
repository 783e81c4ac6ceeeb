// The rows "growth_...": what is measured of each on a machine of a size (bench/growth.cpp has the table of them).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bench/harness.h"
#include "bench/host.h"

namespace pagoda::bench {

inline HostConfig host_of(PageCount frames, ByteCount paging_file = {}) {
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

// Nothing of what is measured next is in a near cache afterwards.
inline void empty_caches() {
  static std::vector<std::uint64_t> others(2 << 20);               // 16 MiB.
  for (std::size_t i = 0; i < others.size(); i += 8) ++others[i];  // Lines of 64 bytes.
}

// --- Processes: bench/growth_processes.cpp ---

// A trim beside so many processes that have no page left.
Round shortage_without_pages(std::uint64_t processes);
// A write of a process that needs twice the memory there is, beside so many that sleep.
Round thrashing_beside(std::uint64_t processes);
// A tick of the balance set manager, of processes that ran on each of so many processors.
Round tick_after_processors(std::uint64_t processors);
// A fork after one page was written, beside so many earlier ones that live.
Round fork_beside(std::uint64_t forks);

// --- Guests: bench/growth_guests.cpp ---

// INVLPG in a guest under shadow paging that has so many processes.
Round shadow_invlpg_beside(std::uint64_t processes);
// An operation of a program in one of so many guests, on a host that has 60 % of their memory.
Round guests_on_short_host(std::uint64_t guests);

}  // namespace pagoda::bench
