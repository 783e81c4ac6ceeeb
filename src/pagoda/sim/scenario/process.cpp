// [[process]].
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "pagoda/sim/scenario/sections.h"

namespace pagoda::sim {

namespace {

constexpr std::uint64_t kCopiesMost = 1000;

// The keys of a process that is forked from one before it.
void read_fork(TomlTable& t, const SystemDraft& draft, ProcessConfig& process) {
  const std::vector<ProcessConfig>& before = draft.system.processes;
  const std::string name = t.text("fork_of", "");
  const auto parent = std::ranges::find(before, name, &ProcessConfig::name);
  if (parent == before.end())
    return t.wrong("fork_of", fmt::format("there is no process \"{}\" before this one", name));
  if (process.start < parent->start) t.wrong("start", fmt::format("is before \"{}\" starts", name));
  process.fork_of = static_cast<std::size_t>(parent - before.begin());
  process.program = parent->program;
  process.view = parent->view;
  process.fill = parent->fill;
  process.limits = parent->limits;
  process.operations_most = t.number("operations", process.operations_most >> 1, 1);
}

}  // namespace

mm::WorkingSet::Limits read_limits(TomlTable& t, const mm::Tunables& defaults, PageCount maximum) {
  mm::WorkingSet::Limits limits;
  t.table("working_set", [&](TomlTable& ws) {
    limits.minimum = ws.pages("minimum", defaults.working_set_minimum);
    limits.maximum = ws.pages("maximum", std::max(maximum, limits.minimum));
    if (!ws.has("minimum")) limits.minimum = std::min(limits.minimum, limits.maximum);
    if (ws.flag("hard", false)) limits.kind = mm::WorkingSet::Limits::Maximum::kHard;
    if (limits.minimum > limits.maximum) ws.wrong("minimum", "is above the maximum; lower it or raise the maximum");
    if (limits.maximum.is_zero()) ws.wrong("maximum", "must be at least one page");
  });
  return limits;
}

void read_process(TomlTable& t, SystemDraft& draft) {
  ProcessConfig process;
  t.require("name");
  process.name = t.text("name", "");
  process.where = t.where();
  process.start = Time{} + t.duration("start", 0_ns);
  if (t.has("fork_of")) {
    read_fork(t, draft, process);
  } else if (t.has("operations")) {
    t.wrong("operations", "is for a fork; say it in the program");
  }
  for (const std::string_view key : {"working_set", "fill"})
    if (process.fork_of && t.has(key)) t.wrong(key, "of a fork is its parent's; leave it out");
  if (t.has("working_set")) {
    const mm::Tunables& tunables = *draft.system.manager.tunables;
    process.limits = read_limits(t, tunables, tunables.working_set_maximum);
  }
  if (!t.has("fork_of")) {
    t.require("program");
    t.table("program", [&](TomlTable& p) { read_program(p, draft, process); });
  } else if (t.has("program")) {
    t.wrong("program", "of a fork is its parent's; leave it out");
  }
  t.table("fill", [&](TomlTable& f) {
    process.fill = read_image(f, draft);
    process.fill->from = f.pages("from", 0_pages);
  });
  const std::uint64_t copies = t.number("copies", 1, 1, kCopiesMost);
  const Duration every = t.duration("every", 0_ns);
  std::vector<ProcessConfig>& processes = draft.system.processes;
  std::set<std::string, std::less<>> names;
  for (const ProcessConfig& other : processes) names.insert(other.name);
  for (std::uint64_t copy = 1; copy <= copies; ++copy) {
    ProcessConfig one = process;
    if (copies > 1) one.name = fmt::format("{}-{}", process.name, copy);
    one.start = process.start + every * (copy - 1);
    if (names.contains(one.name)) t.wrong("name", fmt::format("there is a process \"{}\" already", one.name));
    processes.push_back(std::move(one));
  }
}

}  // namespace pagoda::sim
