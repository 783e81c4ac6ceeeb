// A recorded trace as a program.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pagoda/sim/program.h"
#include "pagoda/sim/trace/trace.h"
#include "pagoda/sim/trace/trace_reader.h"

namespace pagoda::sim {

class TraceProgram : public Program {
 public:
  // `repeat`: how often the trace is played, at least 1. Fails as TraceReader::open does, and for
  // traces of disks and caches.
  static Input<std::unique_ptr<TraceProgram>> open(const std::string& path, std::uint64_t repeat);

  [[nodiscard]] std::string describe() const override;
  [[nodiscard]] const std::vector<VpnRange>& pages() const override { return reader_.info().ranges; }
  [[nodiscard]] std::uint64_t length() const override { return reader_.info().records * repeat_; }
  Input<std::size_t> next(std::span<Operation> operations) override;

 private:
  TraceProgram(TraceReader reader, std::uint64_t repeat);

  TraceReader reader_;
  DensePages dense_;
  std::vector<TraceRecord> batch_;
  const std::uint64_t repeat_;
  std::uint64_t played_ = 0;
};

}  // namespace pagoda::sim
