// What a policy remembers of each machine, by its id. Machines that are gone are forgotten, new ones begin as T().
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "pagoda/policy/measure.h"

namespace pagoda::policy {

template <class T>
class PerMachine {
 public:
  // Brings the table to the machines of this round; afterwards element i is machine i's. O(n) while machines stay as they
  // are, else O(n log n).
  void follow(std::span<const VmMeasure> machines) {
    if (std::ranges::equal(machines, all_, {}, &VmMeasure::machine, &Entry::first)) return;
    std::vector<Entry> before = std::exchange(all_, {});
    std::ranges::sort(before, {}, &Entry::first);
    for (const VmMeasure& vm : machines) {
      const auto old = std::ranges::lower_bound(before, vm.machine, {}, &Entry::first);
      const bool known = old != before.end() && old->first == vm.machine;
      all_.emplace_back(vm.machine, known ? std::move(old->second) : T());
    }
  }
  [[nodiscard]] T& operator[](std::size_t i) { return all_[i].second; }
  [[nodiscard]] std::size_t size() const { return all_.size(); }

 private:
  using Entry = std::pair<MachineId, T>;
  std::vector<Entry> all_;
};

}  // namespace pagoda::policy
