// A program of a scenario: a stream of operations over a set of pages. What it is (a recorded trace, a generator) stays
// behind this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/base/units.h"
#include "pagoda/sim/trace/trace_record.h"

namespace pagoda::sim {

// One access to one page, which stands for `references` raw references of the program; or it gives a page back.
struct Operation {
  enum class Kind : std::uint8_t { kAccess, kFree } kind = Kind::kAccess;
  std::uint32_t page = 0;  // By its dense number: its place among the pages of Program::pages().
  TraceAccess access;
  std::uint64_t references = 1;
  Duration at;  // From the program's beginning: it sleeps until then.
};

class Program {
 public:
  Program() = default;
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  virtual ~Program() = default;

  // "trace data/traces/sort.vmpt.zst", "zipf over 64 MiB".
  [[nodiscard]] virtual std::string describe() const = 0;
  // The pages it will touch, as the program numbers them: ascending runs, which do not touch each other.
  [[nodiscard]] virtual const std::vector<VpnRange>& pages() const = 0;
  // Operations in all; for progress.
  [[nodiscard]] virtual std::uint64_t length() const = 0;
  // Fills `operations` from the front and says how many; 0 at the end. Fails only if its input does.
  virtual Input<std::size_t> next(std::span<Operation> operations) = 0;
  // What the page, by its dense number, holds when it is first touched. False: it is all the same to the program.
  virtual bool first_contents([[maybe_unused]] std::uint32_t page,
                              [[maybe_unused]] std::span<std::byte, kPageBytes> bytes) const {
    return false;
  }
};

}  // namespace pagoda::sim
