// [[disk]].
#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "pagoda/sim/scenario/sections.h"

namespace pagoda::sim {

namespace {

// Slower disks would make virtual time overflow in a long run.
constexpr Duration kLatencyMost = 10_s;
constexpr ByteCount kBandwidthLeast = 1_KiB;
constexpr unsigned kDepthMost = 1024;

// Where the disk's bytes lie: `store`.
std::filesystem::path read_store(TomlTable& t, const SystemDraft& draft) {
  const std::string store = t.text("store", "file");
  if (store == "memory") return {};
  std::error_code error;
  if (store == "file") {
    const std::filesystem::path folder = std::filesystem::temp_directory_path(error);
    if (error)
      t.wrong("store", fmt::format("there is no folder for temporary files: {}; set TMPDIR to one, or name one here",
                                   error.message()));
    return folder;
  }
  const std::filesystem::path folder = draft.folder / store;
  if (!std::filesystem::is_directory(folder, error)) {
    const bool missing = !error || error == std::errc::no_such_file_or_directory;
    t.wrong("store", fmt::format("\"{}\" is not a folder{}; name one, or \"file\" or \"memory\"", store,
                                 missing ? "" : fmt::format(" that can be used ({})", error.message())));
  }
  return folder;
}

}  // namespace

void read_disk(TomlTable& t, SystemDraft& draft) {
  machine::DiskModel disk;
  t.require("name");
  disk.name = t.text("name", disk.name);
  for (const machine::DiskModel& other : draft.disks)
    if (other.name == disk.name) t.wrong("name", fmt::format("there is a disk \"{}\" already", disk.name));
  t.require("capacity");
  disk.capacity = t.size("capacity", disk.capacity);
  if (disk.capacity < kPageSize) t.wrong("capacity", "must be at least 4KiB");
  disk.latency = t.duration("latency", disk.latency, 0_ns, kLatencyMost);
  disk.bandwidth_per_second = t.size("bandwidth", disk.bandwidth_per_second);
  if (disk.bandwidth_per_second < kBandwidthLeast) t.wrong("bandwidth", "must be at least 1KiB (a second)");
  disk.depth = static_cast<unsigned>(t.number("depth", disk.depth, 1, kDepthMost));
  if (t.has("reach")) disk.reach = bytes_of(t.pages("reach", {}));
  if (disk.reach && disk.reach->is_zero()) t.wrong("reach", "must be at least 4KiB");
  disk.directory = read_store(t, draft);
  DiskInjection injection;
  injection.read_errors = t.real("read_errors", 0, 0, 1);
  injection.write_errors = t.real("write_errors", 0, 0, 1);
  if (t.has("fail_operation")) injection.fail_operation = t.number("fail_operation", 1, 1);
  draft.disks.push_back(std::move(disk));
  draft.system.injections.push_back(injection);
}

std::optional<unsigned> read_disk_name(TomlTable& t, const SystemDraft& draft) {
  t.require("disk");
  const std::string name = t.text("disk", "");
  const auto disk = std::ranges::find(draft.disks, name, &machine::DiskModel::name);
  if (disk != draft.disks.end()) return static_cast<unsigned>(disk - draft.disks.begin());
  t.wrong("disk", fmt::format("there is no disk \"{}\"; add a [[disk]] with that name", name));
  return std::nullopt;
}

}  // namespace pagoda::sim
