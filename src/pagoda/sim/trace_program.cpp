#include "pagoda/sim/trace_program.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "pagoda/base/status.h"

namespace pagoda::sim {

Input<std::unique_ptr<TraceProgram>> TraceProgram::open(const std::string& path, std::uint64_t repeat) {
  auto reader = PAGODA_TRY(TraceReader::open(path));
  if (const std::string_view space = reader.info().space; space == kDiskSpace || space == kObjectSpace) {
    return bad_input(fmt::format(
        "{}: is a string of {}, and programs do no file I/O yet; give a trace of a program's memory", path, space));
  }
  return std::unique_ptr<TraceProgram>(new TraceProgram(std::move(reader), repeat));
}

TraceProgram::TraceProgram(TraceReader reader, std::uint64_t repeat)
    : reader_(std::move(reader)), dense_(reader_.info().ranges), repeat_(repeat) {}

std::string TraceProgram::describe() const {
  return "trace " + reader_.name() + (repeat_ > 1 ? ", " + std::to_string(repeat_) + " times" : "");
}

Input<std::size_t> TraceProgram::next(std::span<Operation> operations) {
  batch_.resize(operations.size());
  auto count = reader_.next_batch(batch_);
  if (!count) return count;
  if (*count == 0 && ++played_ < repeat_) {
    reader_.rewind();
    count = reader_.next_batch(batch_);
    if (!count) return count;
  }
  for (std::size_t i = 0; i < *count; ++i) {
    const std::uint64_t page = dense_.find(batch_[i].page);
    PAGODA_CHECK_NE(page, DensePages::kUnknown);  // The reader counted its pages from these records.
    operations[i] = {
        .page = static_cast<std::uint32_t>(page), .access = batch_[i].access, .references = batch_[i].raw_references};
  }
  return count;
}

}  // namespace pagoda::sim
