#include "bench/traces.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "bench/folders.h"
#include "bench/harness.h"
#include "pagoda/mm/process/placement.h"

namespace pagoda::bench {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".vmpt.zst";
constexpr std::string_view kUsualFolder = "data/traces";

// Guest-physical traces begin at page 0, where no program's memory may lie: everything moves up by 256 MiB.
constexpr PageCount kMoved{0x10000};
constexpr PageCount kGranule = mm::kAllocationGranularityPages;

}  // namespace

Input<TraceFolder> TraceFolder::find(const BenchOptions& options) {
  const fs::path folder = options.traces.empty() ? find_shipped(kUsualFolder) : fs::path(options.traces);
  if (folder.empty()) return bad_input("bench: no data/traces beside or above this program; name it with --traces DIR");
  TraceFolder traces{.path = folder.string(), .names = {}};
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(kSuffix)) traces.names.push_back(name.substr(0, name.size() - kSuffix.size()));
  }
  if (error) return bad_input(fmt::format("{}: cannot be read: {}", traces.path, error.message()));
  if (traces.names.empty()) return bad_input(fmt::format("{}: holds no trace (*{})", traces.path, kSuffix));
  std::ranges::sort(traces.names);
  return traces;
}

Input<sim::Trace> TraceFolder::load(std::string_view name) const {
  return sim::Trace::load(fmt::format("{}/{}{}", path, name, kSuffix));
}

Replay::Replay(const sim::Trace& trace)
    : pages_(trace.info().pages),
      cycles_per_record_(trace.info().references / std::max<std::uint64_t>(trace.info().records, 1)) {
  for (const VpnRange& range : trace.info().ranges) {
    const Vpn first((range.first + kMoved).value() / kGranule.value() * kGranule.value());
    const PageCount count = range.end() + kMoved - first;
    if (!regions_.empty() && first < regions_.back().end()) {
      regions_.back().count = first + count - regions_.back().first;
    } else {
      regions_.push_back({first, count});
    }
  }
  accesses_.reserve(trace.size());
  for (std::size_t i = 0; i < trace.size(); ++i) {
    // One word of each page, at a different place in each, so that they do not all lie in the same sets of a cache.
    const std::uint64_t offset = trace.dense(i) * std::uint64_t{72} % kPageBytes;
    const std::uint64_t address = (VirtualAddress(trace.page(i) + kMoved) + ByteCount(offset)).value();
    accesses_.push_back(address | (trace.access(i).writes() ? kWrites : 0));
  }
}

void Replay::commit(mm::ProcessSpace& space) const {
  for (const VpnRange& region : regions_) {
    must(space.reserve(
             {.base = VirtualAddress(region.first), .size = bytes_of(region.count), .commit = mm::MemCommit::kYes}),
         "region of the trace");
  }
}

double Replay::run_on(machine::SimProcessor& cpu) const {
  std::uint64_t sum = 0;
  Stopwatch watch;
  watch.start();
  for (const std::uint64_t access : accesses_) {
    const VirtualAddress va = address_of(access);
    if ((access & kWrites) != 0) {
      if (const auto stored = cpu.store<std::uint64_t>(va, access); !stored) [[unlikely]]
        give_up("store", stored.error());
    } else {
      const auto loaded = cpu.load<std::uint64_t>(va);
      if (!loaded) [[unlikely]]
        give_up("load", loaded.error());
      sum += *loaded;
    }
  }
  watch.stop();
  benchmark::DoNotOptimize(sum);
  return watch.nanoseconds_per(accesses_.size());
}

}  // namespace pagoda::bench
