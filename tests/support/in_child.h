// Sequences of operations that may end in a failed check: each runs in a child process, so that dying is a finding like
// any other and the sequence can be made shorter afterwards.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace pagoda::testing {

// Memory that children write and the test reads; zero, for the test's life.
void* shared_memory(std::size_t bytes);

// Runs `body` in a child; what it returns (as far as it fits), or how the child died.
std::string in_child(const std::function<std::string()>& body);

// Leaves out runs of operations, long ones first, as long as the rest still fails and for at most `most_tries`.
// `replay` says how a sequence fails, or nothing.
template <class Operation, class Replay>
std::vector<Operation> shrink(std::vector<Operation> operations, int most_tries, const Replay& replay) {
  int tries = 0;
  for (std::size_t length = operations.size() / 2; length > 0; length /= 2) {
    for (std::size_t at = 0; at < operations.size() && ++tries < most_tries;) {
      std::vector<Operation> fewer(operations.begin(), operations.begin() + static_cast<std::ptrdiff_t>(at));
      const std::size_t after = std::min(at + length, operations.size());
      fewer.insert(fewer.end(), operations.begin() + static_cast<std::ptrdiff_t>(after), operations.end());
      if (in_child([&] { return replay(fewer); }).empty()) {
        at += length;
      } else {
        operations = std::move(fewer);
      }
    }
  }
  return operations;
}

}  // namespace pagoda::testing
