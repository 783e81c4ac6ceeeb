#include "pagoda/report/causes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

#include "pagoda/report/run_sums.h"
#include "pagoda/report/text.h"

namespace pagoda::report {
namespace {

// Who waited for less of its time than this is not explained.
constexpr double kWaitingWorthTelling = 0.1;
// More sentences of one kind than this are counted.
constexpr std::size_t kLimitsTold = 3;
// Idle memory below this part of the host is what a memory manager keeps at hand.
constexpr std::uint64_t kIdlePart = 32;
// A store that takes less than this part of the pages offered to it did next to nothing.
constexpr std::uint64_t kFewPart = 100;
// So many times a machine's memory brought in between two looks at it, and the ages of pages say nothing.
constexpr double kTurnoversMost = 2;

std::string of_machine(const std::string& vm) { return vm.empty() ? "the host" : "guest " + vm; }

double part_of(Duration part, Duration rest) {
  const double whole = static_cast<double>(part.value()) + static_cast<double>(rest.value());
  return whole > 0 ? static_cast<double>(part.value()) / whole : 0;
}

// --- Limits ---

// A limit that a working set stayed at, by its sizes at the samples that count.
class Held {
 public:
  explicit Held(PageCount maximum) : maximum_(maximum) {}
  void add(PageCount size) {
    ++samples_;
    // Near it: pages come and go in between, and clusters pass it for a moment.
    if (size >= maximum_ * 3 / 4 && size <= maximum_ + maximum_ / 16) ++at_limit_;
  }
  [[nodiscard]] bool is_held() const { return samples_ > 0 && 2 * at_limit_ >= samples_; }

 private:
  PageCount maximum_;
  std::size_t samples_ = 0;
  std::size_t at_limit_ = 0;
};

// Where memory was left unused while something ran, on average.
struct Idle {
  std::string where;
  PageCount pages;
};

// `runs(sample)`: whether it is a moment that counts.
Idle most_idle(const sim::RunResult& run, const std::function<bool(const sim::Sample&)>& runs) {
  std::vector<std::uint64_t> sums(1 + run.vms.size());  // The host's, then each guest's.
  std::uint64_t moments = 0;
  for (const sim::Sample& sample : run.samples) {
    if (!runs(sample)) continue;
    ++moments;
    sums[0] += (sample.frames.free + sample.frames.zeroed).value();
    for (std::size_t vm = 0; vm < std::min(run.vms.size(), sample.vms.size()); ++vm)
      sums[1 + vm] += std::min(sample.vms[vm].frames.unused, sample.vms[vm].memory.in_memory()).value();
  }
  const auto most = std::ranges::max_element(sums);
  const auto at = static_cast<std::size_t>(most - sums.begin());
  return {.where = at == 0 ? "on the host" : "in guest " + run.vms[at - 1].name,
          .pages = PageCount(moments > 0 ? *most / moments : 0)};
}

struct LimitTold {
  double waiting;
  std::string sentence;
};

std::string limit_sentence(const sim::RunResult& run, std::string_view who, PageCount maximum, sim::LimitSource source,
                           const Idle& idle) {
  std::string text = fmt::format("{}: its working set was held at {} ({})", who, bytes_text(maximum),
                                 source == sim::LimitSource::kDefault ? "default" : "by the scenario");
  if (idle.pages >= host_frames(run) / kIdlePart && !idle.pages.is_zero())
    text += fmt::format(" while {} lay idle {}", bytes_text(idle.pages), idle.where);
  return text + ".";
}

void tell_process_limit(const sim::RunResult& run, std::size_t number, std::vector<LimitTold>& told) {
  const sim::ProcessResult& process = run.processes[number];
  const double waiting = part_of(process.wait_time, process.cpu_time);
  if (waiting < kWaitingWorthTelling || process.footprint <= process.working_set_maximum ||
      hard_faults(process.faults) == 0)
    return;
  const auto runs = [number](const sim::Sample& sample) {
    return number < sample.processes.size() && !sample.processes[number].working_set.is_zero();
  };
  Held held(process.working_set_maximum);
  for (const sim::Sample& sample : run.samples)
    if (runs(sample)) held.add(sample.processes[number].working_set);
  if (!held.is_held()) return;
  const std::string who =
      fmt::format("{} waited {}", full_name(process),
                  percent_text(process.wait_time.value(), (process.wait_time + process.cpu_time).value()));
  told.push_back(
      {waiting, limit_sentence(run, who, process.working_set_maximum, process.limit_source, most_idle(run, runs))});
}

void tell_vm_limit(const sim::RunResult& run, std::size_t number, std::vector<LimitTold>& told) {
  const sim::VmResult& vm = run.vms[number];
  const double waiting = part_of(vm.waited, vm.busy);
  if (waiting < kWaitingWorthTelling || bytes_of(vm.working_set_maximum) >= vm.promised) return;
  const auto runs = [number](const sim::Sample& sample) { return number < sample.vms.size(); };
  Held held(vm.working_set_maximum);
  for (const sim::Sample& sample : run.samples)
    if (runs(sample) && !sample.vms[number].memory.active.is_zero()) held.add(sample.vms[number].memory.active);
  if (!held.is_held()) return;
  const std::string who = fmt::format("Virtual machine {} waited {} for its host", vm.name,
                                      percent_text(vm.waited.value(), (vm.waited + vm.busy).value()));
  told.push_back({waiting, limit_sentence(run, who, vm.working_set_maximum, vm.limit_source, most_idle(run, runs))});
}

// --- Time constants ---

struct Paced {
  std::string machine;
  PageCount memory;
  mm::Counters counters;
  Duration period;
};

bool was_short(const mm::Counters& counters) {
  return counters.page_file_pages_read > 0 || counters.pages_replaced > 0;
}

// How often a machine's memory was brought in anew between two looks.
double turnovers(const Paced& paced, Duration length) {
  const mm::Counters& counters = paced.counters;
  const std::uint64_t brought = counters.page_file_pages_read + counters.mapped_file_pages_read +
                                counters.faults[static_cast<std::size_t>(mm::FaultKind::kDemandZero)];
  return static_cast<double>(brought) / static_cast<double>(paced.memory.value()) *
         (static_cast<double>(paced.period.value()) / static_cast<double>(length.value()));
}

// --- Without effect ---

std::string tell_store(const std::string& machine, PageCount budget, const mm::Counters& counters) {
  if (budget.is_zero()) return {};
  const std::string store = fmt::format("The compression store of {} ({})", machine, bytes_text(budget));
  const std::uint64_t tried = counters.pages_compressed + counters.pages_incompressible;
  if (tried == 0) return store + " did nothing: no page with contents had to leave memory.";
  if (counters.pages_compressed == 0) {
    return fmt::format(
        "{} did nothing: none of {} that it was given became small enough, as contents that repeat nowhere do not; "
        "fill gives programs those of real guests.",
        store, counted(tried, "page"));
  }
  if (counters.pages_compressed < tried / kFewPart)
    return fmt::format("{} did next to nothing: only {} of {} that it was given became small enough.", store,
                       grouped(counters.pages_compressed), counted(tried, "page"));
  if (counters.pages_decompressed == 0)
    return fmt::format("{} did not help: none of its {} was wanted again.", store,
                       counted(counters.pages_compressed, "page"));
  return {};
}

std::string tell_hints(const sim::VmResult& vm, Time end) {
  if (!vm.hints || vm.lost) return {};
  const hv::PartitionCounts& counts = vm.end.counters;
  if (counts.cold_pages + counts.discarded_pages + counts.hot_pages > 0) return {};
  const std::string hints = fmt::format("The hints of guest {} did nothing", vm.name);
  if (vm.hints->refused > 0) return fmt::format("{}: the host refused {}.", hints, counted(vm.hints->refused, "call"));
  const Duration length = end - Time{};
  if (length < vm.hints->period)
    return fmt::format("{}: it looks for unused memory every {}, and the run took {}; set hints.period lower.", hints,
                       duration_text(vm.hints->period), duration_text(length));
  return hints + ": it never had more memory that was used and is free again than it keeps at hand.";
}

std::string tell_cure(const sim::RunResult& run) {
  if (!run.baseline || run.vms.empty() || run.baseline->double_paged != double_paged(run)) return {};
  const std::string other = run.baseline->title.empty() ? run.baseline->scenario : run.baseline->title;
  if (run.baseline->double_paged == 0)
    return fmt::format("What differs from \"{}\" cured nothing: in neither did a guest page out what its host had.",
                       other);
  return fmt::format("What differs from \"{}\" cured nothing: {} were paged twice in both.", other,
                     counted(run.baseline->double_paged, "page"));
}

void add(std::string sentence, std::vector<std::string>& sentences) {
  if (!sentence.empty()) sentences.push_back(std::move(sentence));
}

}  // namespace

std::vector<std::string> tell_losses(const sim::RunResult& run) {
  std::vector<std::string> sentences;
  for (const sim::VmResult& vm : run.vms) {
    if (!vm.lost) continue;
    sentences.push_back(fmt::format("Virtual machine {} was lost at {}: {}; it had waited {} for its host.", vm.name,
                                    time_text(vm.lost->time), vm.lost->why, duration_text(vm.waited)));
  }
  return sentences;
}

std::vector<std::string> tell_limits(const sim::RunResult& run) {
  std::vector<LimitTold> told;
  for (std::size_t number = 0; number < run.processes.size(); ++number) tell_process_limit(run, number, told);
  for (std::size_t number = 0; number < run.vms.size(); ++number) tell_vm_limit(run, number, told);
  std::sort(told.begin(), told.end(), [](const LimitTold& a, const LimitTold& b) {
    return a.waiting != b.waiting ? a.waiting > b.waiting : a.sentence < b.sentence;
  });
  std::vector<std::string> sentences;
  for (const LimitTold& one : told)
    if (sentences.size() < kLimitsTold) sentences.push_back(one.sentence);
  if (const std::size_t more = told.size() - sentences.size(); more > 0)
    sentences.push_back(
        fmt::format("{} more {} held at such a limit and waited less.", grouped(more), more == 1 ? "was" : "were"));
  return sentences;
}

std::vector<std::string> tell_time_constants(const sim::RunResult& run) {
  std::vector<Paced> all{{of_machine(""), host_frames(run), run.counters, run.settings.balance_period}};
  for (const sim::VmResult& vm : run.vms)
    all.push_back({of_machine(vm.name), pages_of(vm.promised), vm.counters, vm.settings.balance_period});
  std::erase_if(all, [](const Paced& paced) {
    return !was_short(paced.counters) || paced.period.is_zero() || paced.memory.is_zero();
  });
  const Duration length = run.end - Time{};
  if (length.is_zero()) return {};
  std::vector<std::string> never;
  std::vector<std::string> sentences;
  for (const Paced& paced : all) {
    if (length < paced.period) {
      never.push_back(fmt::format("{} ({})", paced.machine, duration_text(paced.period)));
    } else if (const double times = turnovers(paced, length); times >= kTurnoversMost) {
      sentences.push_back(fmt::format(
          "Between two looks of the balance set manager of {} ({}) its programs brought in {} times its memory: the "
          "ages of pages say little; set memory_manager.balance_period lower.",
          paced.machine, duration_text(paced.period), decimal_text(times)));
    }
  }
  if (!never.empty()) {
    sentences.push_back(
        fmt::format("The run took {}, less than the period of the balance set manager of {}: no page got old; set "
                    "memory_manager.balance_period lower.",
                    duration_text(length), listed(never)));
  }
  return sentences;
}

std::vector<std::string> tell_without_effect(const sim::RunResult& run) {
  std::vector<std::string> sentences;
  add(tell_store(of_machine(""), run.settings.compression_store, run.counters), sentences);
  for (const sim::VmResult& vm : run.vms) {
    add(tell_store(of_machine(vm.name), vm.settings.compression_store, vm.counters), sentences);
    add(tell_hints(vm, run.end), sentences);
  }
  add(tell_cure(run), sentences);
  return sentences;
}

}  // namespace pagoda::report
