#include "pagoda/sim/scenario/scenario.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "pagoda/base/status.h"
#include "pagoda/sim/scenario/sections.h"
#include "pagoda/sim/scenario/toml_table.h"

namespace pagoda::sim {

namespace {

// Far more than anybody writes; what goes on without end (/dev/zero) must come to an end here.
constexpr std::size_t kFileMost = std::size_t{16} << 20;

// What is left of the file when its sections are read.
void read_file_keys(TomlTable& root, const std::filesystem::path& path, Scenario& scenario) {
  if (root.has("compare_with")) {
    scenario.compare_with = (path.parent_path() / root.text("compare_with", "")).lexically_normal().string();
    std::error_code none;
    if (!std::filesystem::is_regular_file(scenario.compare_with, none)) {
      root.wrong("compare_with",
                 fmt::format("no such scenario: \"{}\" (paths are relative to this file)", scenario.compare_with));
    }
  }
  root.table("run", [&](TomlTable& t) {
    if (t.has("until")) scenario.until = Time{} + t.duration("until", 0_ns);
  });
}

void refuse_idle(TomlTable& root, const Scenario& scenario) {
  const auto is_idle = [](const SystemConfig& system) { return system.processes.empty(); };
  if (!is_idle(scenario) || !std::ranges::all_of(scenario.vms, is_idle)) return;
  root.wrong(root.has("process") || scenario.vms.empty() ? "process" : "vm",
             scenario.vms.empty() ? "is empty; add a [[process]]"
                                  : "is empty; add a [[process]], or a [[vm.process]] to a [[vm]]");
}

// In the order in which sections need each other.
void read_scenario(TomlTable& root, const std::filesystem::path& path, Scenario& scenario) {
  const std::filesystem::path folder = path.parent_path();
  SystemDraft host(scenario, folder);
  scenario.title = root.text("title", path.stem().string());
  scenario.description = root.text("description", "");
  scenario.seed = root.number("seed", 1);
  root.require("host");
  root.table("host", [&](TomlTable& t) {
    read_host(t, host);
    t.table("sharing", [&](TomlTable& sharing) { read_sharing(sharing, scenario); });
    t.table("policy", [&](TomlTable& policy) { read_policy(policy, scenario); });
  });
  root.tables("disk", [&](TomlTable& t) { read_disk(t, host); });
  root.tables("page_file", [&](TomlTable& t) { read_page_file(t, host); });
  scenario.manager.tunables = mm::Tunables::for_memory(scenario.machine.frames);
  if (scenario.sharing) scenario.manager.tunables->sharing = scenario.sharing->tunables;
  root.table("memory_manager", [&](TomlTable& t) { read_memory_manager(t, host); });
  if (!root.has("vm")) root.require("process");
  root.tables("process", [&](TomlTable& t) { read_process(t, host); });
  root.tables("template", [&](TomlTable& t) { read_template(t, host, scenario); });
  root.tables("vm", [&](TomlTable& t) { read_vm(t, folder, scenario); });
  root.tables("event", [&](TomlTable& t) { read_event(t, scenario); });
  read_file_keys(root, path, scenario);
  root.finish();
  refuse_idle(root, scenario);
}

Input<Scenario> read_checked(const std::string& text, const std::string& path) {
  TomlFile file = PAGODA_TRY(TomlFile::parse(text, path));
  Scenario scenario;
  scenario.file = path;
  TomlTable root = file.root();
  read_scenario(root, path, scenario);
  if (file.error()) return std::unexpected(*file.error());
  PAGODA_TRY(check_sums(scenario));
  return scenario;
}

// Names that a message quotes may hold anything.
std::string without_controls(std::string message) {
  for (char& c : message)
    if (std::iscntrl(static_cast<unsigned char>(c)) != 0) c = ' ';
  return message;
}

}  // namespace

Input<Scenario> parse_scenario(const std::string& text, const std::string& path) {
  auto scenario = read_checked(text, path);
  if (!scenario) return bad_input(without_controls(scenario.error().message));
  return scenario;
}

Input<Scenario> load_scenario(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return bad_input(fmt::format("{}: cannot be read: {}; name a scenario file, such as scenarios/host.toml", path,
                                 std::strerror(errno)));
  }
  std::string text;
  std::array<char, 4096> part{};
  while (file.read(part.data(), part.size()), file.gcount() > 0) {
    text.append(part.data(), static_cast<std::size_t>(file.gcount()));
    if (text.size() > kFileMost)
      return bad_input(fmt::format("{}: is larger than a scenario can be (16 MiB); name a scenario file", path));
  }
  if (file.bad()) return bad_input(fmt::format("{}: cannot be read; name a file, not a folder", path));
  return parse_scenario(text, path);
}

}  // namespace pagoda::sim
