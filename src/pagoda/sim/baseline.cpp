#include "pagoda/sim/baseline.h"

namespace pagoda::sim {

Baseline baseline_of(const RunResult& run) {
  Baseline baseline{.scenario = run.scenario, .title = run.title, .end = run.end, .counters = run.counters};
  for (const VmResult& vm : run.vms) {
    baseline.double_paged += vm.end.counters.double_paged;
    baseline.guest_pages_written += vm.counters.page_file_pages_written;
  }
  return baseline;
}

}  // namespace pagoda::sim
