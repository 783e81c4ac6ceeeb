// Embedding Pagoda: a host of 4 MiB, a process that uses 8 MiB, and a paging file that makes up the difference.
#include <pagoda/base/version.h>
#include <pagoda/machine/sim/sim_machine.h>
#include <pagoda/mm/check/check.h>
#include <pagoda/mm/memory_manager.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

using namespace pagoda;

namespace {

constexpr PageCount kPages{2048};

template <class T>
T value_of(Result<T> result, const char* what) {
  if (!result) {
    std::fprintf(stderr, "%s: %s\n", what, to_string(result.error()).c_str());
    std::exit(1);
  }
  return std::move(*result);
}

}  // namespace

int main() {
  const auto machine =
      value_of(machine::SimMachine::create({.frames = pages_of(4_MiB), .disks = {{.name = "ssd"}}}), "machine");
  const auto manager = value_of(
      mm::MemoryManager::create(*machine, {.paging_files = {{.disk = 0, .minimum = 8_MiB, .maximum = 16_MiB}}}),
      "manager");
  machine::SimProcessor& cpu = machine->processor();

  mm::ProcessSpace* const space = value_of(manager->create_space(cpu, {}), "space");
  manager->attach(cpu, *space);
  const VpnRange region =
      value_of(space->reserve({.size = bytes_of(kPages), .commit = mm::MemCommit::kYes}), "reserve");

  const auto word_of = [&](PageCount page) { return VirtualAddress(region.first + page); };
  for (PageCount page; page < kPages; ++page)
    if (!cpu.store<std::uint64_t>(word_of(page), page.value())) return 1;
  for (PageCount page; page < kPages; ++page)
    if (value_of(cpu.load<std::uint64_t>(word_of(page)), "load") != page.value()) return 1;

  const mm::Counters counters = manager->counters();
  std::printf(
      "pagoda %s: %s of pages through %s of memory: %llu pages written to the paging file, %llu read back; %zu "
      "findings\n",
      kVersion, to_string(bytes_of(kPages)).c_str(), to_string(bytes_of(machine->frame_count())).c_str(),
      static_cast<unsigned long long>(counters.page_file_pages_written),
      static_cast<unsigned long long>(counters.page_file_pages_read), mm::check(*manager, cpu).size());
  return mm::check(*manager, cpu).empty() ? 0 : 1;
}
