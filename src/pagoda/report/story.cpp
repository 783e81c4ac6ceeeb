#include "pagoda/report/story.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <vector>

#include "pagoda/report/causes.h"
#include "pagoda/report/policy_story.h"
#include "pagoda/report/run_sums.h"
#include "pagoda/report/text.h"

namespace pagoda::report {
namespace {

constexpr std::array<std::string_view, 13> kNumbers{"No",    "One",   "Two",  "Three", "Four",   "Five",  "Six",
                                                    "Seven", "Eight", "Nine", "Ten",   "Eleven", "Twelve"};

// Shares of waiting that lie within this many percentage points count as alike: no process suffered most.
constexpr double kAlikePoints = 5;
// More unfinished processes than this are counted, not named.
constexpr std::size_t kNamesMax = 3;

// "Four", at the start of a sentence.
std::string number_word(std::size_t count) {
  return count < kNumbers.size() ? std::string(kNumbers[count]) : grouped(count);
}

// "Four programs", at the start of a sentence.
std::string programs(std::size_t count) { return number_word(count) + (count == 1 ? " program" : " programs"); }

std::uint64_t count_of(const mm::FaultCounts& faults, mm::FaultKind kind) {
  return faults[static_cast<std::size_t>(kind)];
}

// What follows a statement, each part after a semicolon.
std::string sentence(std::string statement, const std::vector<std::string>& more) {
  for (const std::string& part : more) statement += "; " + part;
  return statement + ".";
}

bool is_in_guest(const sim::ProcessResult& process) { return !process.vm.empty(); }

// Where the programs ran, behind how many they are; nothing where there is only the host.
std::string tell_places(const sim::RunResult& run) {
  if (run.vms.empty()) return {};
  const auto inside = static_cast<std::size_t>(std::ranges::count_if(run.processes, is_in_guest));
  if (inside == 0) return " on the host itself";
  if (inside == run.processes.size()) return inside == 1 ? " in a guest" : " in guests";
  return fmt::format(", {} of them in guests,", grouped(inside));
}

std::string capitalised(std::string text) {
  if (!text.empty() && text.front() >= 'a' && text.front() <= 'z')
    text.front() = static_cast<char>(text.front() - 'a' + 'A');
  return text;
}

std::string tell_size(const sim::RunResult& run) {
  const PageCount frames = host_frames(run);
  const PageCount touched = total_footprint(run);
  const std::string host = fmt::format("{} ({})", counted(frames.value(), "frame"), bytes_text(run.memory));
  if (run.processes.empty()) return fmt::format("No program ran on this host of {}.", host);
  const std::string who = programs(run.processes.size()) + tell_places(run);
  if (touched.is_zero()) return fmt::format("{} ran and touched no memory of a host with {}.", who, host);

  std::string verdict;
  if (touched == frames) {
    verdict = "exactly as much as it has";
  } else if (touched > frames) {
    verdict = overcommit_text(run) + " what it has";
  } else {
    verdict = overcommit_text(run) + " of what it has";
  }
  const bool sharing = std::ranges::any_of(
      run.processes, [](const sim::ProcessResult& process) { return !process.end_shared.is_zero(); });
  const std::string_view in_all = run.processes.size() < 2 ? ""
                                  : sharing                ? " in all, shared ones counted for each,"
                                                           : " in all";
  return fmt::format("{} touched {} ({}){} on a host with {}: {}.", who, counted(touched.value(), "page"),
                     bytes_text(touched), in_all, host, verdict);
}

// How the page faults of a machine, or of several, ended; in the middle of a sentence.
std::string fault_statement(const mm::FaultCounts& faults) {
  const std::uint64_t total = total_faults(faults);
  const std::uint64_t hard = hard_faults(faults);
  if (total == 0) return "not one access faulted";
  if (hard == 0) {
    return total == 1 ? "the one page fault was soft: it needed no read from a disk"
                      : fmt::format("all {} page faults were soft: none needed a read from a disk", grouped(total));
  }
  if (hard == total) {
    return total == 1 ? "the one page fault was hard: it had to wait for a disk"
                      : fmt::format("all {} page faults were hard: they had to wait for a disk", grouped(total));
  }
  if (hard == 1)
    return fmt::format("one of {} page faults was hard, which means that it had to wait for a disk", grouped(total));
  return fmt::format("{} of {} page faults ({}) were hard, which means that they had to wait for a disk", grouped(hard),
                     grouped(total), percent_text(hard, total));
}

// What paging files, mapped files, disks and limits had to do with them.
std::vector<std::string> fault_details(const mm::Counters& counters) {
  const std::uint64_t total = total_faults(counters.faults);
  std::vector<std::string> more;
  const std::uint64_t read = counters.page_file_pages_read;
  const std::uint64_t written = counters.page_file_pages_written;
  if (read > 0 && written > 0) {
    more.push_back(fmt::format("{} came back from the page files and {} were written to them", counted(read, "page"),
                               grouped(written)));
  } else if (read > 0) {
    more.push_back(fmt::format("{} came back from the page files", counted(read, "page")));
  } else if (written > 0) {
    more.push_back(fmt::format("{} went to the page files and none came back", counted(written, "page")));
  } else if (total > 0) {
    more.emplace_back("the page files were not used");
  }
  if (counters.mapped_file_pages_read > 0)
    more.push_back(fmt::format("{} came from mapped files", counted(counters.mapped_file_pages_read, "page")));
  if (counters.read_errors + counters.write_errors > 0) {
    std::vector<std::string> errors;
    if (counters.read_errors > 0) errors.push_back(counted(counters.read_errors, "read"));
    if (counters.write_errors > 0) errors.push_back(counted(counters.write_errors, "write"));
    more.push_back(fmt::format("{} failed on a disk", listed(errors)));
  }
  if (const std::uint64_t lost = count_of(counters.faults, mm::FaultKind::kInPageError); lost > 0) {
    more.push_back(fmt::format("{} ended in an in-page error", counted(lost, "access", "accesses")));
  }
  if (const std::uint64_t refused = count_of(counters.faults, mm::FaultKind::kAccessViolation); refused > 0) {
    more.push_back(fmt::format("{} ended in an access violation", counted(refused, "access", "accesses")));
  }
  if (counters.commit_refusals > 0) {
    more.push_back(fmt::format("memory was refused {} because the commit limit was reached",
                               counted(counters.commit_refusals, "time")));
  }
  return more;
}

// Of all guests together.
mm::Counters guest_counters(const sim::RunResult& run) {
  mm::Counters sum;
  for (const sim::VmResult& vm : run.vms) {
    for (std::size_t kind = 0; kind < mm::kFaultKinds; ++kind) sum.faults[kind] += vm.counters.faults[kind];
    for (const auto& field : mm::kCounterFields) sum.*field.member += vm.counters.*field.member;
  }
  return sum;
}

std::string tell_faults(const sim::RunResult& run) {
  const auto tell_of = [](std::string_view where, const mm::Counters& counters) {
    return sentence(capitalised(std::string(where) + fault_statement(counters.faults)), fault_details(counters));
  };
  if (run.vms.empty()) return tell_of("", run.counters);
  return tell_of("on the host ", run.counters) + " " +
         tell_of(run.vms.size() == 1 ? "in the guest " : "in the guests ", guest_counters(run));
}

struct Share {
  const sim::ProcessResult* process;
  double waiting;  // Percent of its time.
};

// Tells which process waited most, or that none stands out. Nothing for a single process, or when none waited.
std::string tell_sufferer(const sim::RunResult& run) {
  std::vector<Share> shares;
  for (const sim::ProcessResult& process : run.processes) {
    const Duration time = process.cpu_time + process.wait_time;
    if (time.is_zero()) continue;
    const auto whole = static_cast<double>(time.value());
    shares.push_back({&process, 100 * static_cast<double>(process.wait_time.value()) / whole});
  }
  if (shares.size() < 2) return {};
  const auto [least, most] = std::minmax_element(shares.begin(), shares.end(), [](const Share& a, const Share& b) {
    if (a.waiting != b.waiting) return a.waiting < b.waiting;
    return a.process->wait_time < b.process->wait_time;
  });
  if (most->process->wait_time.is_zero()) return {};
  const auto share_of = [](const Share& share) {
    return percent_text(share.process->wait_time.value(), (share.process->cpu_time + share.process->wait_time).value());
  };
  if (most->waiting - least->waiting < kAlikePoints) {
    const std::string low = share_of(*least);
    const std::string high = share_of(*most);
    return low == high ? fmt::format("each waited {} of its time", low)
                       : fmt::format("no program stands out, the shares lie between {} and {}", low, high);
  }
  return fmt::format("{} suffered most and waited {} of its time", full_name(*most->process), share_of(*most));
}

// Whether the program ended with the virtual machine around it.
bool is_lost(const sim::RunResult& run, const sim::ProcessResult& process) {
  return !is_finished(process) && is_in_guest(process) &&
         std::ranges::any_of(run.vms, [&](const sim::VmResult& vm) { return vm.lost && vm.name == process.vm; });
}

// Nothing if none was lost.
std::string tell_lost_programs(const sim::RunResult& run) {
  std::vector<std::string> names;
  for (const sim::ProcessResult& process : run.processes)
    if (is_lost(run, process)) names.push_back(full_name(process));
  if (names.empty()) return {};
  const std::string_view verb = names.size() == 1 ? "was lost with its machine" : "were lost with their machines";
  return names.size() > kNamesMax ? fmt::format("{} of them {}", grouped(names.size()), verb)
                                  : fmt::format("{} {}", listed(names), verb);
}

std::string tell_ending(const sim::RunResult& run) {
  const auto lost = static_cast<std::uint64_t>(
      std::ranges::count_if(run.processes, [&](const auto& process) { return is_lost(run, process); }));
  const std::uint64_t open = unfinished_processes(run) - lost;
  const std::string end = duration_text(run.end - Time(0));
  if (open == 0) {
    Time last;
    for (const sim::ProcessResult& process : run.processes)
      if (is_finished(process)) last = std::max(last, process.finished);
    if (lost == run.processes.size()) return fmt::format("the run ended at {}", end);
    return fmt::format("{} after {} of virtual time",
                       run.processes.size() == 1 ? "it finished"
                       : lost > 0                ? "the others finished, the last"
                                                 : "all of them finished, the last",
                       time_text(last));
  }
  const std::string when = fmt::format("finished when the run was ended at {}", end);
  if (run.processes.size() == 1) return "it had not " + when;
  if (open == run.processes.size()) return "none of them had " + when;
  if (open > kNamesMax) return fmt::format("{} of them had not {}", grouped(open), when);
  std::vector<std::string> names;
  for (const sim::ProcessResult& process : run.processes) {
    if (!is_finished(process) && !is_lost(run, process)) names.push_back(full_name(process));
  }
  return fmt::format("{} had not {}", listed(names), when);
}

std::string tell_waiting(const sim::RunResult& run) {
  if (run.processes.empty()) {
    return fmt::format("The run ended after {} of virtual time.", duration_text(run.end - Time(0)));
  }
  Duration cpu;
  Duration wait;
  for (const sim::ProcessResult& process : run.processes) {
    cpu += process.cpu_time;
    wait += process.wait_time;
  }
  const bool one = run.processes.size() == 1;
  std::string statement = one ? "The program" : "The programs";
  if (std::ranges::any_of(run.processes, is_in_guest) && !std::ranges::all_of(run.processes, is_in_guest))
    statement += ", on the host and in guests,";
  std::vector<std::string> more;
  if (cpu.is_zero() && wait.is_zero()) {
    statement += " spent no time at all";
  } else if (wait.is_zero()) {
    statement += fmt::format(" computed for {} and never waited for a disk or for memory", duration_text(cpu));
  } else {
    statement +=
        fmt::format(" computed for {} and waited {} for disks or memory, {} of {} time", duration_text(cpu),
                    duration_text(wait), percent_text(wait.value(), (cpu + wait).value()), one ? "its" : "their");
    if (std::string sufferer = tell_sufferer(run); !sufferer.empty()) more.push_back(std::move(sufferer));
  }
  if (std::string lost = tell_lost_programs(run); !lost.empty()) more.push_back(std::move(lost));
  more.push_back(tell_ending(run));
  return sentence(std::move(statement), more);
}

// How the count of pages that were paged twice compares with the other run's.
std::string against(const sim::Baseline& baseline, std::uint64_t now) {
  const std::uint64_t before = baseline.double_paged;
  const std::string name = fmt::format("\"{}\"", baseline.title.empty() ? baseline.scenario : baseline.title);
  if (before == now) return "that is as many as in " + name;
  if (before == 0) return "there were none in " + name;
  if (now > before)
    return fmt::format("that is {} more than the {} of {}", percent_text(now - before, before), grouped(before), name);
  return fmt::format("that is {} fewer than the {} of {}, which saves {}", percent_text(before - now, before),
                     grouped(before), name, counted(kTransfersPerDoublePaged * (before - now), "transfer"));
}

std::string tell_guests(const sim::RunResult& run) {
  if (run.vms.empty()) return {};
  sim::GuestMemory sum;
  for (const sim::VmResult& vm : run.vms) {
    const sim::GuestMemory& memory = vm.end.memory;
    sum.active += memory.in_memory();
    sum.compressed += memory.compressed;
    sum.page_file += memory.page_file;
  }
  const std::uint64_t promised = promised_memory(run).value();
  const std::uint64_t frames = host_frames(run).value();
  std::vector<std::string> places{fmt::format("{} of it in memory", bytes_text(sum.active))};
  if (!sum.compressed.is_zero()) places.push_back(fmt::format("{} compressed", bytes_text(sum.compressed)));
  if (!sum.page_file.is_zero()) places.push_back(fmt::format("{} in page files", bytes_text(sum.page_file)));
  const std::string ratio =
      frames == 0 || promised <= frames
          ? percent_text(promised, frames) + " of what the host has"
          : fmt::format("{:.2f} times what the host has", static_cast<double>(promised) / static_cast<double>(frames));
  std::vector<std::string> more{"at the end the host had " + listed(places)};
  const std::uint64_t twice = double_paged(run);
  const std::uint64_t written = guest_pages_written(run);
  if (twice > 0) {
    std::string text =
        fmt::format("of {} that guests paged out the host had paged out {} before, at the price of {}",
                    counted(written, "page"), grouped(twice), counted(kTransfersPerDoublePaged * twice, "transfer"));
    more.push_back(std::move(text));
  } else if (written > 0) {
    more.push_back(
        fmt::format("none of {} that guests paged out had been paged out by the host", counted(written, "page")));
  }
  if (const PageCount saved = run.samples.empty() ? PageCount(0) : run.samples.back().shared_saved; !saved.is_zero())
    more.push_back(fmt::format("equal pages that they share saved {} at the end", bytes_text(saved)));
  if (const PageCount saved = run.samples.empty() ? PageCount(0) : run.samples.back().template_saved; !saved.is_zero())
    more.push_back(fmt::format("templates, of which the host keeps one copy, saved {}", bytes_text(saved)));
  if (run.baseline) more.push_back(against(*run.baseline, twice));
  return sentence(
      fmt::format("{} virtual {} promised {}, {}", number_word(run.vms.size()),
                  run.vms.size() == 1 ? "machine was" : "machines were", bytes_text(PageCount(promised)), ratio),
      more);
}

}  // namespace

std::vector<std::string> Story::sentences() const {
  std::vector<std::string> all = losses;
  for (const std::string& sentence : {size, faults, waiting, guests})
    if (!sentence.empty()) all.push_back(sentence);
  all.insert(all.end(), policy.begin(), policy.end());
  all.insert(all.end(), causes.begin(), causes.end());
  return all;
}

Story tell(const sim::RunResult& run) {
  Story story{.losses = tell_losses(run),
              .size = tell_size(run),
              .faults = tell_faults(run),
              .waiting = tell_waiting(run),
              .guests = tell_guests(run),
              .policy = tell_policy(run),
              .causes = tell_limits(run)};
  for (std::string& sentence : tell_time_constants(run)) story.causes.push_back(std::move(sentence));
  for (std::string& sentence : tell_without_effect(run)) story.causes.push_back(std::move(sentence));
  return story;
}

std::string command_to_repeat(const sim::RunResult& run) {
  return fmt::format("pagoda run {} --seed {}{}", shell_quoted(run.scenario), run.seed,
                     run.verified ? " --verify" : "");
}

}  // namespace pagoda::report
