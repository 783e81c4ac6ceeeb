#include "pagoda/sim/trace/foreign/recognise.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

namespace pagoda::sim {

namespace {

using namespace std::string_view_literals;

constexpr double kShareLeast = 0.9;    // Reference formats.md 5: a grammar must fit that much, and lead.
constexpr std::size_t kFitsLeast = 2;  // With so many, one record may be bad however short the file is.

// What is known and cannot be read here: which bytes are where, what it is, and what to do instead.
struct UnreadableFile {
  std::size_t offset;
  std::string_view bytes;
  std::string_view what;
  std::string_view instead;
};
constexpr std::size_t kAnywhere = std::string_view::npos;
constexpr std::string_view kRecordInstead = "record the program with pagoda trace record";
constexpr std::array<UnreadableFile, 18> kUnreadableFiles = {{
    // Source: reference formats.md 1, 4 and 5.
    {0, "\x19\0\0\0"sv, "a binary trace of DynamoRIO's drmemtrace",
     "print it with drrun -t drmemtrace -tool view -indir DIRECTORY"},
    {30, "chunk."sv, "a zipped trace of DynamoRIO's drmemtrace",
     "print it with drrun -t drmemtrace -tool view -indir DIRECTORY"},
    {0, "gem5"sv, "a packet trace of gem5", "print it with gem5's util/decode_packet_trace.py"},
    {0, "PERFILE2"sv, "a recording of perf", "print it with perf script -F comm,tid,time,event,addr -i FILE"},
    {0, "\xf0\xde\xbc\x9a\x78\x56\x34\x12"sv, "a trace in libCacheSim's lcs format",
     "convert it to oracleGeneral with libCacheSim's traceConv"},
    {0, "\x07tae"sv, "a binary trace of blktrace", "print it with blkparse -i FILE"},
    {0, "damon_recfmt_ver"sv, "a record of damo: rates of regions and no accesses", kRecordInstead},
    {0, "\x78\x01"sv, "zlib's, as records of damo are: rates of regions and no accesses", kRecordInstead},
    {0, "\x78\x5e"sv, "zlib's, as records of damo are: rates of regions and no accesses", kRecordInstead},
    {0, "\x78\x9c"sv, "zlib's, as records of damo are: rates of regions and no accesses", kRecordInstead},
    {0, "\x78\xda"sv, "zlib's, as records of damo are: rates of regions and no accesses", kRecordInstead},
    {kAnywhere, "\"kdamond_idx\""sv, "a record of damo: rates of regions and no accesses", kRecordInstead},
    {kAnywhere, "damon:damon_aggregated:"sv, "a recording of DAMON: rates of regions and no accesses", kRecordInstead},
    {kAnywhere, "execve(\""sv, "a log of strace: system calls and no accesses", kRecordInstead},
    {0, "\xff\xfe"sv, "text in UTF-16", "convert it with iconv -f UTF-16 -t UTF-8"},
    {0, "PK\x03\x04"sv, "a zip archive", "unpack it and give the trace that is in it"},
    {257, "ustar"sv, "a tar archive", "unpack it and give the trace that is in it"},
    {0,
     "\x7f"
     "ELF"sv,
     "an ELF file", "run it with pagoda trace record"},
}};

const UnreadableFile* find_unreadable(std::string_view front) {
  const auto* const found = std::ranges::find_if(kUnreadableFiles, [&](const UnreadableFile& file) {
    if (file.offset == kAnywhere) return front.find(file.bytes) != std::string_view::npos;
    return front.size() >= file.offset && front.substr(file.offset).starts_with(file.bytes);
  });
  return found == kUnreadableFiles.end() ? nullptr : found;
}

// ChampSim's records have no magic number: its files are known by their names.
bool is_named_champsim(std::string_view name) { return name.find(".champsim") != std::string_view::npos; }

struct FittingFormat {
  const ForeignFormat* format = nullptr;
  std::size_t fits = 0;
  std::size_t of = 0;  // Records of the sample.
  [[nodiscard]] double share() const { return of == 0 ? 0 : static_cast<double>(fits) / static_cast<double>(of); }
  [[nodiscard]] bool is_enough() const { return share() >= kShareLeast || (fits >= kFitsLeast && fits + 1 == of); }
};

// Those that fit best: several if they fit alike; none if none fits at all.
std::vector<FittingFormat> find_leaders(const DecompressedFile& file) {
  const bool is_text = file.front().find('\0') == std::string_view::npos;
  std::vector<FittingFormat> leaders;
  for (const ForeignFormat& format : foreign_formats()) {
    if (format.record_bytes == 0 && !is_text) continue;
    const ForeignSample sample = sample_records(format, file.front(), file.front_is_all());
    const FittingFormat fitting{&format, format.fits(sample), sample.size()};
    if (fitting.fits == 0) continue;
    if (!leaders.empty() && fitting.share() > leaders.front().share()) leaders.clear();
    if (leaders.empty() || fitting.share() == leaders.front().share()) leaders.push_back(fitting);
  }
  return leaders;
}

}  // namespace

bool is_page_trace(const DecompressedFile& file) {
  return file.front().starts_with("VMPT1\n") || file.front().starts_with("VMPT2\n");
}

Input<const ForeignFormat*> recognise(const DecompressedFile& file) {
  if (file.front().empty()) return bad_input(fmt::format("{}: is empty; give a trace", file.name()));
  const std::vector<FittingFormat> leaders = find_leaders(file);
  const bool fits = !leaders.empty() && leaders.front().is_enough();
  if (fits && leaders.size() == 1) return leaders.front().format;
  if (fits) {
    std::string names;
    for (const FittingFormat& leader : leaders)
      names += (names.empty() ? "" : " and ") + std::string(leader.format->name);
    return bad_input(fmt::format("{}: may be {} alike; say which with --format", file.name(), names));
  }
  if (const UnreadableFile* const known = find_unreadable(file.front()))
    return bad_input(fmt::format("{}: is {}; {}", file.name(), known->what, known->instead));
  if (is_named_champsim(file.name()))
    return bad_input(
        fmt::format("{}: is a trace of ChampSim, by its name, whose records nothing prints; record the "
                    "program with pagoda trace record",
                    file.name()));
  const std::string nearest = leaders.empty()
                                  ? "no line is one of theirs"
                                  : fmt::format("nearest is {}, with {} of the first {} records",
                                                leaders.front().format->name, leaders.front().fits, leaders.front().of);
  return bad_input(fmt::format("{}: is no trace that is known by its content ({}); say what it is with --format: {}",
                               file.name(), nearest, foreign_format_names()));
}

}  // namespace pagoda::sim
