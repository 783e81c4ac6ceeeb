// What the traces of other tools are read with: a parser for each format, which is given one record after the other.
//
//   bytes -> records (lines, or so many bytes each) -> ForeignParser::parse -> ForeignAccess -> pages -> TraceReducer
//
// A record is an access, an aside that the format allows and that touches no memory (banners, markers, stacks), or bad.
// A parser may keep state from record to record: a header that names the columns, numbers given to objects.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "pagoda/sim/trace/trace_record.h"

namespace pagoda::sim {

// One access: `bytes` (at least 1) from byte `address` on, which counts as `raw_references` on every page it touches.
struct ForeignAccess {
  std::uint64_t address = 0;
  std::uint64_t bytes = 1;
  TraceAccess access;
  std::uint64_t raw_references = 1;
};

struct ForeignRecord {
  enum class Kind { kAccess, kAside, kBad };
  Kind kind = Kind::kAside;
  ForeignAccess access;      // kAccess.
  std::string_view problem;  // kBad: "has no address". A literal.

  static ForeignRecord of(const ForeignAccess& access) { return {.kind = Kind::kAccess, .access = access}; }
  static ForeignRecord aside() { return {}; }
  static ForeignRecord bad(std::string_view problem) { return {.kind = Kind::kBad, .problem = problem}; }
};

class ForeignParser {
 public:
  ForeignParser() = default;
  ForeignParser(const ForeignParser&) = delete;
  ForeignParser& operator=(const ForeignParser&) = delete;
  virtual ~ForeignParser() = default;

  // `record`: a line without its end, neither blank nor a remark (is_remark); or a record's bytes.
  virtual ForeignRecord parse(std::string_view record) = 0;
};

// The records at the front of a file, by which its format is told.
using ForeignSample = std::vector<std::string_view>;

// Whether a line says nothing in any format: blank, a comment ("#eof"), or valgrind's own ("==1234==", "--1234--").
bool is_remark(std::string_view line);

// The front of a file without UTF-8's byte order mark, which Windows' editors write.
std::string_view without_byte_order_mark(std::string_view front);

// How many records `parser` understands; 0 if none of them is an access.
std::size_t count_understood(ForeignParser& parser, const ForeignSample& sample);

// For the table of formats: makes a parser that needs nothing to begin with; tells a format by what that understands.
template <class Parser>
std::unique_ptr<ForeignParser> make_parser(const ForeignSample& /*sample*/) {
  return std::make_unique<Parser>();
}
template <class Parser>
std::size_t understands(const ForeignSample& sample) {
  Parser parser;
  return count_understood(parser, sample);
}

}  // namespace pagoda::sim
