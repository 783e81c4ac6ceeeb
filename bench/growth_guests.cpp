// Growth with the processes of a guest, and with the guests of a host.
#include <fmt/format.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "bench/growth.h"
#include "bench/guest.h"
#include "pagoda/sim/simulation.h"

namespace pagoda::bench {

namespace {

// Programs with 3 MiB each, in guests with 4 MiB each, on a host with 60 % of what it promised them.
std::string short_host(std::uint64_t guests, std::uint64_t operations) {
  std::string text = fmt::format(
      "[host]\nmemory = '{}KiB'\nprocessors = 4\n[[disk]]\nname = 'd'\ncapacity = '4GiB'\nstore = 'memory'\n"
      "[[page_file]]\ndisk = 'd'\nminimum = '{}MiB'\n",
      guests * 4096 * 6 / 10 / 4 * 4, guests * 8);
  for (std::uint64_t i = 0; i < guests; ++i)
    text += fmt::format(
        "[[vm]]\nname = 'v{}'\nmemory = '4MiB'\n[[vm.process]]\nname = 'p'\n"
        "program = {{ kind = 'zipf', memory = '3MiB', operations = {} }}\n",
        i, operations);
  return text;
}

// What cannot fail, as the text is ours.
template <class T>
T must_be(Input<T> made) {
  PAGODA_CHECK(made.has_value());
  return std::move(*made);
}

}  // namespace

// The last process has 64 pages, which it writes again after each was invalidated; the others have touched four.
Round shadow_invlpg_beside(std::uint64_t processes) {
  constexpr std::uint64_t kPages = 64;
  struct Invalidating {
    explicit Invalidating(const GuestConfig& config) : guest(config) {}
    Guest guest;
    mm::ProcessSpace* space = nullptr;
    VirtualAddress base;

    void add_process(PageCount pages) {
      space = must(guest.manager().create_space(guest.cpu(), {}), "process");
      guest.manager().attach(guest.cpu(), *space);
      base = VirtualAddress(
          must(space->reserve({.size = bytes_of(pages), .commit = mm::MemCommit::kYes}), "region").first);
      guest.write_each(base, pages);
    }
  };
  GuestConfig config = GuestConfig::quiet(pages_of(32_MiB));
  config.mmu = hv::MmuKind::kShadow;
  config.shadow_limit = PageCount(8192);  // All shadow tables stay.
  config.host_frames += config.shadow_limit;
  const auto of = std::make_shared<Invalidating>(config);
  for (std::uint64_t i = 1; i < processes; ++i) of->add_process(PageCount(4));
  of->add_process(PageCount(kPages));
  return [of] {
    constexpr std::uint64_t kTurns = 16;
    Stopwatch watch;
    for (std::uint64_t turn = 0; turn < kTurns; ++turn) {
      of->guest.write_each(of->base, PageCount(kPages));
      watch.start();
      for (std::uint64_t i = 0; i < kPages; ++i)
        of->guest.cpu().invalidate_page(of->base + bytes_of(PageCount(i)), of->space->asid());
      watch.stop();
    }
    return watch.nanoseconds_per(kTurns * kPages);
  };
}

// Booting the guests is not in it.
Round guests_on_short_host(std::uint64_t guests) {
  constexpr std::uint64_t kOperations = 6000;
  const auto scenario =
      std::make_shared<sim::Scenario>(must_be(sim::parse_scenario(short_host(guests, kOperations), "growth_guests")));
  return [scenario, guests] {
    const std::unique_ptr<sim::Simulation> simulation = must_be(sim::Simulation::create(*scenario, {}));
    Stopwatch watch;
    watch.start();
    must_be(simulation->run());
    watch.stop();
    return watch.nanoseconds_per(guests * kOperations);
  };
}

}  // namespace pagoda::bench
