#include "bench/policy_mixes.h"

#include <fmt/format.h>

#include <array>
#include <vector>

#include "bench/folders.h"
#include "pagoda/base/random.h"

namespace pagoda::bench {

namespace {

constexpr unsigned kSeconds = 240;

// A step of a demand: from when on, in seconds, how much is used and how much of that is active, in KiB.
struct Step {
  double at = 0;
  std::uint64_t used = 0;
  std::uint64_t active = 0;
};

// Writes a mix, machine by machine.
class MixText {
 public:
  MixText(std::uint64_t seed, std::string_view memory, std::string_view policy, bool reports)
      : random_(seed), reports_(reports) {
    out_ = fmt::format(
        "seed = {}\n[host]\nmemory = '{}'\nprocessors = 4\npolicy = {{ name = '{}', scale = {}, sampling = '10s' }}\n"
        "[[disk]]\nname = 'd'\ncapacity = '512MiB'\nstore = 'memory'\n[[page_file]]\ndisk = 'd'\nminimum = '256MiB'\n",
        seed, memory, policy, kMixScale);
  }

  // About so much: a tenth more or less.
  std::uint64_t about(std::uint64_t kib) { return (kib * (90 + random_.below(21)) / 100) & ~std::uint64_t{3}; }
  double within(double from, double to) { return from + (to - from) * random_.unit(); }

  // Machines share what is equal in them, and their pages begin with what a real guest's held.
  void clone_from(std::string_view image) {
    out_ += "[host.sharing]\nrate = 4000\nvm_rate = 1000\n[[host.sharing.domain]]\nname = 'clones'\n";
    for_machine_ = "sharing = { domain = 'clones' }\n";
    for_process_ = fmt::format("fill = {{ image = '{}', name = '{}' }}\n", find_shipped_images().string(), image);
  }

  void machine(std::string_view name, unsigned mib, const std::vector<Step>& steps, std::string_view driver = "normal",
               double start = 0) {
    std::string curve;
    for (const Step& step : steps)
      curve += fmt::format("{}{{ at = '{:.0f}ms', used = '{}KiB', active = '{}KiB' }}", curve.empty() ? "" : ", ",
                           1000 * step.at, step.used, step.active);
    out_ += fmt::format(
        "[[vm]]\nname = '{}'\nmemory = '{}MiB'\nguest = 'plain'\nstart = '{:.0f}ms'\n"
        "allocation = {{ minimum = '1MiB' }}\nballoon = {{ driver = '{}', rate = '1MiB'{} }}\n{}"
        "[[vm.disk]]\nname = 'v'\ncapacity = '64MiB'\nstore = 'memory'\n[[vm.page_file]]\ndisk = 'v'\nminimum = "
        "'32MiB'\n"
        "[[vm.process]]\nname = 'p'\n{}"
        "program = {{ kind = 'demand', length = '{}s', period = '10s', steps = [{}] }}\n",
        name, mib, 1000 * start, driver, reports_ ? ", report_free = true" : "", for_machine_, for_process_, kSeconds,
        curve);
  }

  std::string text() && { return std::move(out_); }

 private:
  Random random_;
  bool reports_;
  std::string for_machine_;
  std::string for_process_;
  std::string out_;
};

std::string_view or_else(std::string_view memory, std::string_view meant) { return memory.empty() ? meant : memory; }

std::string idle_and_busy(std::uint64_t seed, std::string_view memory, std::string_view policy, bool reports,
                          std::string_view driver) {
  MixText mix(seed, or_else(memory, "20MiB"), policy, reports);
  for (const std::string_view name : {"idle-1", "idle-2"})
    mix.machine(name, 8, {{0, mix.about(6300), mix.about(500)}}, name == "idle-1" ? driver : "normal");
  for (const std::string_view name : {"busy-1", "busy-2"})
    mix.machine(name, 8,
                {{0, mix.about(1500), mix.about(1000)}, {mix.within(40, 80), mix.about(6500), mix.about(5500)}});
  return std::move(mix).text();
}

std::string idle_busy(std::uint64_t seed, std::string_view memory, std::string_view policy, bool reports) {
  return idle_and_busy(seed, memory, policy, reports, "normal");
}

std::string liar(std::uint64_t seed, std::string_view memory, std::string_view policy, bool reports) {
  return idle_and_busy(seed, memory, policy, reports, "lies");
}

std::string phases(std::uint64_t seed, std::string_view memory, std::string_view policy, bool reports) {
  MixText mix(seed, or_else(memory, "20MiB"), policy, reports);
  for (unsigned machine = 0; machine < 4; ++machine) {
    std::vector<Step> steps;
    for (unsigned phase = 0; phase < 4; ++phase) {
      const double at = phase == 0 ? 0 : 60 * phase + mix.within(-10, 10);
      const std::uint64_t used = mix.about(6000);
      steps.push_back({at, used, phase == machine ? used - mix.about(600) : mix.about(700)});
    }
    mix.machine(fmt::format("turn-{}", machine + 1), 8, steps);
  }
  return std::move(mix).text();
}

std::string boot_storm(std::uint64_t seed, std::string_view memory, std::string_view policy, bool reports) {
  MixText mix(seed, or_else(memory, "24MiB"), policy, reports);
  for (unsigned machine = 0; machine < 8; ++machine)
    mix.machine(fmt::format("desk-{}", machine + 1), 6,
                {{0, mix.about(5000), mix.about(4000)}, {mix.within(25, 35), mix.about(2000), mix.about(1000)}},
                "normal", machine * mix.within(2, 4));
  return std::move(mix).text();
}

std::string leak(std::uint64_t seed, std::string_view memory, std::string_view policy, bool reports) {
  MixText mix(seed, or_else(memory, "20MiB"), policy, reports);
  for (const std::string_view name : {"serves-1", "serves-2", "serves-3"})
    mix.machine(name, 8, {{0, mix.about(4200), mix.about(3200)}});
  std::vector<Step> steps{{0, 2000, 1000}};
  for (unsigned step = 1; step <= 6; ++step)
    steps.push_back({40.0 + 12 * step, 2000 + step * mix.about(2000), 1000 + step * mix.about(1500)});
  mix.machine("leaks", 16, steps);
  return std::move(mix).text();
}

std::string clones(std::uint64_t seed, std::string_view memory, std::string_view policy, bool reports) {
  MixText mix(seed, or_else(memory, "16MiB"), policy, reports);
  mix.clone_from("nk_idle");
  for (unsigned machine = 0; machine < 4; ++machine)
    mix.machine(fmt::format("clone-{}", machine + 1), 8,
                {{0, mix.about(6000), mix.about(1500)}, {mix.within(60, 180), mix.about(6500), mix.about(4000)}});
  return std::move(mix).text();
}

constexpr std::array<PolicyMix, 6> kMixes{{
    {"idle_busy", "two machines idle on memory that they used once, two want theirs all the time", idle_busy},
    {"phases", "four machines of which one at a time is busy", phases},
    {"boot_storm", "eight machines start one after the other, and need most while they do", boot_storm},
    {"leak", "three machines serve, one wants more and more", leak},
    {"clones", "four machines of one template, in one trust domain: what is equal in them is shared", clones},
    {"liar", "as idle_busy; the balloon driver of one touches what it gave away", liar},
}};

}  // namespace

std::span<const PolicyMix> policy_mixes() { return kMixes; }

}  // namespace pagoda::bench
