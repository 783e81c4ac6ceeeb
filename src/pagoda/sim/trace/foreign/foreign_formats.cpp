#include "pagoda/sim/trace/foreign/foreign_formats.h"

#include <algorithm>
#include <array>

#include "pagoda/sim/trace/foreign/address_lines.h"
#include "pagoda/sim/trace/foreign/disk_lines.h"
#include "pagoda/sim/trace/foreign/lackey_lines.h"
#include "pagoda/sim/trace/foreign/line_fields.h"
#include "pagoda/sim/trace/foreign/object_records.h"
#include "pagoda/sim/trace/foreign/profiler_lines.h"
#include "pagoda/sim/trace/trace_info.h"

namespace pagoda::sim {

namespace {

using MakeParser = std::unique_ptr<ForeignParser> (*)(const ForeignSample& sample);
using Fits = std::size_t (*)(const ForeignSample& sample);

constexpr ForeignFormat lines(std::string_view name, std::string_view space, std::string_view make, MakeParser parser,
                              Fits fits) {
  return {
      .name = name, .source = name, .space = space, .make = make, .record_bytes = 0, .parser = parser, .fits = fits};
}

// Of a parser that needs nothing to begin with, and whose records are no other format's.
template <class Parser>
constexpr ForeignFormat lines_of(std::string_view name, std::string_view space, std::string_view make) {
  return lines(name, space, make, make_parser<Parser>, understands<Parser>);
}

constexpr std::array<ForeignFormat, 15> kForeignFormats = {{
    {.name = "lackey",
     .source = "valgrind-lackey",
     .space = kVirtualSpace,
     .make = "valgrind --tool=lackey --trace-mem=yes --log-file=FILE PROGRAM",
     .record_bytes = 0,
     .parser = make_lackey_parser,
     .fits = fits_lackey},
    lines("cachelab", kVirtualSpace, "the traces/ folder of CS:APP's cache lab", make_cachelab_parser, fits_cachelab),
    lines_of<HexAddressParser>("hexaddr", kVirtualSpace, "printf(\"%08lx %c\\n\", address, write ? 'W' : 'R')"),
    lines_of<LoadStoreParser>("load-store", kVirtualSpace,
                              "printf(\"%c %#lx %d\\n\", write ? 's' : 'l', address, size)"),
    lines_of<PinatraceParser>("pinatrace", kVirtualSpace, "pin -t pinatrace.so -- PROGRAM"),
    lines_of<PinatraceHexParser>("pinatrace-hex", kVirtualSpace, "printf(\"%c %lx\\n\", write ? 'W' : 'R', address)"),
    lines_of<PinatraceDecimalParser>("pinatrace-decimal", kVirtualSpace,
                                     "printf(\"%c %lu\\n\", write ? 'W' : 'R', address)"),
    lines("dinero", kVirtualSpace, "a tool that writes dinero's din format", make_parser<DineroParser>, fits_dinero),
    lines("drcachesim-view", kVirtualSpace,
          "drrun -t drmemtrace -- PROGRAM; drrun -t drmemtrace -tool view -indir DIRECTORY",
          make_parser<DrcachesimViewParser>, fits_drcachesim_view),
    lines("perf-script", kVirtualSpace,
          "perf record -e page-faults -c 1 -d PROGRAM; perf script -F comm,tid,time,event,addr",
          make_parser<PerfScriptParser>, fits_perf_script),
    lines_of<BlockCsvParser>("csv-blocks", kDiskSpace, "a CSV file whose header names lbn and size"),
    lines_of<MsrParser>("msr", kDiskSpace, "the MSR Cambridge traces"),
    lines("blkparse", kDiskSpace, "blktrace -d DEVICE -o - | blkparse -i -", make_blkparse_parser, fits_blkparse),
    lines("csv-objects", kObjectSpace, "a CSV file whose header names id, obj_id, object or key, and time",
          make_parser<ObjectCsvParser>, fits_object_csv),
    {.name = "oracleGeneral",
     .source = "oracleGeneral",
     .space = kObjectSpace,
     .make = "libCacheSim's traceConv",
     .record_bytes = kOracleGeneralBytes,
     .parser = make_parser<OracleGeneralParser>,
     .fits = fits_oracle_general},
}};

}  // namespace

std::span<const ForeignFormat> foreign_formats() { return kForeignFormats; }

const ForeignFormat* find_foreign_format(std::string_view name) {
  const auto* const found = std::ranges::find_if(
      kForeignFormats, [&](const ForeignFormat& format) { return equals_ignoring_case(format.name, name); });
  return found == kForeignFormats.end() ? nullptr : found;
}

std::string foreign_format_names() {
  std::string names;
  for (const ForeignFormat& format : kForeignFormats) {
    if (!names.empty()) names += ", ";
    names += format.name;
  }
  return names;
}

ForeignSample sample_records(const ForeignFormat& format, std::string_view front, bool is_all) {
  ForeignSample sample;
  if (format.record_bytes != 0) {
    for (; front.size() >= format.record_bytes; front.remove_prefix(format.record_bytes))
      sample.push_back(front.substr(0, format.record_bytes));
    return sample;
  }
  front = without_byte_order_mark(front);
  while (!front.empty()) {
    const std::size_t end = front.find('\n');
    // The last line of a file may be cut, and that of a front is.
    if (end == std::string_view::npos && (!is_all || !sample.empty())) break;
    const std::string_view line = front.substr(0, end);
    if (!is_remark(line)) sample.push_back(line);
    front.remove_prefix(end == std::string_view::npos ? front.size() : end + 1);
  }
  return sample;
}

}  // namespace pagoda::sim
