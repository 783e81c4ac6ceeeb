// The recorded traces, as benchmarks use them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bench/command.h"
#include "bench/host.h"
#include "pagoda/base/input_error.h"
#include "pagoda/base/units.h"
#include "pagoda/sim/trace/trace.h"

namespace pagoda::bench {

// The names of the traces in the directory (no folder, no ".vmpt.zst"), sorted. Fails if there are none.
struct TraceFolder {
  std::string path;
  std::vector<std::string> names;

  static Input<TraceFolder> find(const BenchOptions& options);
  [[nodiscard]] Input<sim::Trace> load(std::string_view name) const;
};

// A trace as accesses of a process: each record's address, and in bit 0 whether it writes. The pages lie as they did
// in the program, or in the guest's memory, a little higher.
class Replay {
 public:
  explicit Replay(const sim::Trace& trace);

  // Reserves and commits what the trace touches, in a space that has nothing yet.
  void commit(mm::ProcessSpace& space) const;
  // In a space of its own, on a host or in a guest that is idle before: every access through the processor, real bytes.
  // Returns nanoseconds for each.
  template <class Where>
  double run(Where& where) const {
    where.fresh_space();
    where.zero_free_frames();
    commit(where.space());
    return run_on(where.cpu());
  }
  [[nodiscard]] const std::vector<std::uint64_t>& accesses() const { return accesses_; }
  [[nodiscard]] PageCount pages() const { return pages_; }
  // Processor cycles of the program for one record: it stands for many references.
  [[nodiscard]] Cycles cycles_per_record() const { return cycles_per_record_; }

  static constexpr std::uint64_t kWrites = 1;
  static constexpr VirtualAddress address_of(std::uint64_t access) { return VirtualAddress(access & ~kWrites); }

 private:
  [[nodiscard]] double run_on(machine::SimProcessor& cpu) const;

  std::vector<std::uint64_t> accesses_;
  std::vector<VpnRange> regions_;
  PageCount pages_;
  Cycles cycles_per_record_;
};

}  // namespace pagoda::bench
