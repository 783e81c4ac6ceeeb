// The formats of other tools' traces that Pagoda reads: one table, which `--format`, recognition, the help, the docs'
// test and the fuzzer walk. A new format is a parser and a row.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "pagoda/sim/trace/foreign/foreign_parser.h"

namespace pagoda::sim {

struct ForeignFormat {
  std::string_view name;     // What `--format` takes.
  std::string_view source;   // TraceInfo::source of what was imported.
  std::string_view space;    // TraceInfo::space of it.
  std::string_view make;     // How one is made: a command, or where it comes from.
  std::size_t record_bytes;  // 0: records are lines.
  std::unique_ptr<ForeignParser> (*parser)(const ForeignSample& sample);
  // How many of the sample's records are of this format; 0: it is none.
  std::size_t (*fits)(const ForeignSample& sample);
};

std::span<const ForeignFormat> foreign_formats();
// By its name, in capitals or not. Null if there is none.
const ForeignFormat* find_foreign_format(std::string_view name);
// "lackey, cachelab, ..."
std::string foreign_format_names();

// The whole records at the front of a file, without remarks. `is_all`: nothing comes behind `front`, so that its last
// line is whole if another one is not there to judge by.
ForeignSample sample_records(const ForeignFormat& format, std::string_view front, bool is_all);

}  // namespace pagoda::sim
