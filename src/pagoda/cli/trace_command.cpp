#include "pagoda/cli/trace_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/base/status.h"
#include "pagoda/base/units.h"
#include "pagoda/cli/exit_codes.h"
#include "pagoda/cli/outputs.h"
#include "pagoda/report/text.h"
#include "pagoda/report/write_file.h"
#include "pagoda/sim/trace/foreign/decompressed_file.h"
#include "pagoda/sim/trace/foreign/foreign_formats.h"
#include "pagoda/sim/trace/foreign/foreign_import.h"
#include "pagoda/sim/trace/foreign/recognise.h"
#include "pagoda/sim/trace/recorder.h"
#include "pagoda/sim/trace/trace_reader.h"
#include "pagoda/sim/trace/trace_reducer.h"
#include "pagoda/sim/trace/trace_rewrite.h"
#include "pagoda/sim/trace/trace_writer.h"
#include "pagoda/sim/trace/working_set_curve.h"

namespace pagoda::cli {

namespace {

constexpr std::size_t kCopiedAtOnce = 1 << 20;
constexpr std::size_t kRangesShown = 8;
constexpr std::size_t kBarWidth = 40;

constexpr const char* kTraceHelp =
    "Record, import and describe page traces: the order in which a real program touched its pages.\n"
    "A trace (.vmpt.zst) holds page numbers only. It is reduced so that LRU and OPT miss exactly as often as on the "
    "full\n"
    "stream, for every memory of at least --window frames.\n";

constexpr const char* kRecordHelp =
    "Run a Linux program under qemu-x86_64 and write down the pages it touches.\n"
    "The program runs about 20 to 90 times slower. Its input and output are its own, and its exit status is this "
    "command's. "
    "All its threads\nare recorded, its child processes are not.\n\n"
    "Example: pagoda trace record -o sort.vmpt.zst -- sort words.txt\n";

constexpr const char* kImportHelp =
    "Turn what another tool recorded into a trace; or write a trace again (sealed, with a wider window, or smaller).\n"
    "The tool is told by the content, which may be compressed (gz, xz, zst, bz2, lz4). docs/trace-format.md says how "
    "each is made.\n\n"
    "Example: valgrind --tool=lackey --trace-mem=yes --log-file=ls.txt ls\n"
    "         pagoda trace import ls.txt -o ls.vmpt.zst\n"
    "         pagoda trace import --window 256 --level 19 old.vmpt.zst -o new.vmpt.zst\n";

constexpr const char* kTraceInfoHelp =
    "Show what a trace holds: its length, its pages, where they lie, and its working-set curve. A trace of another "
    "tool is read as `import` does.\n\n"
    "Example: pagoda trace info data/traces/sort.vmpt.zst\n";

std::string mebibytes(PageCount pages) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes_of(pages).value()) / (1 << 20));
}

std::string in_short(const sim::TraceInfo& info) {
  return fmt::format("{} raw references in {} records, {} pages ({})", report::grouped(info.references),
                     report::grouped(info.records), report::grouped(info.pages.value()), mebibytes(info.pages));
}

// A trace for as long as it is looked at or copied.
class TemporaryTrace {
 public:
  static Input<TemporaryTrace> create() {
    std::string name = (std::filesystem::temp_directory_path() / "pagoda-trace-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr)
      return bad_input(
          fmt::format("{}: cannot be made: {}; set TMPDIR to a folder with room", name, std::strerror(errno)));
    return TemporaryTrace(std::move(name));
  }
  ~TemporaryTrace() {
    std::error_code left_there;
    if (!folder_.empty()) std::filesystem::remove_all(folder_, left_there);
  }
  TemporaryTrace(TemporaryTrace&& other) noexcept : folder_(std::exchange(other.folder_, {})) {}
  TemporaryTrace& operator=(TemporaryTrace&&) = delete;

  [[nodiscard]] std::string path() const { return folder_ + "/trace.vmpt.zst"; }

 private:
  explicit TemporaryTrace(std::string folder) : folder_(std::move(folder)) {}

  std::string folder_;
};

// --- record ---

int run_record(const sim::RecordOptions& options) {
  if (report::is_standard_output(options.output))
    return refuse({fmt::format("{}: is where the program writes; give -o the name of a file", options.output)});
  const Input<sim::RecordOutcome> outcome = sim::record_program(options);
  if (!outcome) return refuse(outcome.error());
  fmt::print(stderr, "pagoda: {}: {}; {} ended with status {}\n", options.output, in_short(outcome->info),
             options.command[0], outcome->exit_status);
  if (outcome->info.ending == "exec") {
    fmt::print(stderr, "pagoda: the trace ends where {} became another program (exec); record that one directly\n",
               options.command[0]);
  }
  return outcome->exit_status;
}

// --- import ---

// How the trace of another tool is read.
struct ForeignOptions {
  std::string format;  // Empty: told by the content.
  bool skip_bad = false;
};

struct ImportOptions {
  std::string input = "-";
  std::string output;
  ForeignOptions foreign;
  std::uint64_t window = 0;  // 0: 64 for new traces, its own for a trace.
  int level = 9;
  std::string program;
};

Input<const sim::ForeignFormat*> choose_format(const sim::DecompressedFile& file, const std::string& name) {
  if (name.empty()) return sim::recognise(file);
  if (const auto* const format = sim::find_foreign_format(name)) return format;
  return bad_input(fmt::format("--format: {} is unknown; give one of {}", name, sim::foreign_format_names()));
}

struct Imported {
  sim::TraceInfo info;
  std::string notes;  // Lines to say when all is done.
};

// What was left out.
std::string left_out(const std::string& name, const sim::ForeignTotals& totals) {
  std::string lines;
  if (totals.bad_records != 0)
    lines += fmt::format("pagoda: {} of {} lines were left out, the first is {}\n", report::grouped(totals.bad_records),
                         report::grouped(totals.records), totals.first_bad);
  if (totals.end_is_cut) lines += fmt::format("pagoda: {}: the last line is cut and was left out\n", name);
  return lines;
}

Input<Imported> import_foreign(sim::DecompressedFile& file, const std::string& output,
                               const sim::TraceWriterOptions& writer_options, const ForeignOptions& options) {
  const sim::ForeignFormat* const format = PAGODA_TRY(choose_format(file, options.format));
  const bool terminal = isatty(STDERR_FILENO) != 0;
  const auto show = [](std::uint64_t bytes, std::uint64_t records) {
    fmt::print(stderr, "\rimporting: {} MiB, {} lines ", bytes >> 20, report::grouped(records));
  };
  const auto bad_records = options.skip_bad ? sim::BadRecords::kSkip : sim::BadRecords::kRefuse;
  auto trace = sim::write_foreign(file, *format, output, writer_options, bad_records,
                                  terminal ? sim::ForeignProgress(show) : nullptr);
  if (terminal) fmt::print(stderr, "\r\033[K");
  if (!trace) return std::unexpected(trace.error());
  return Imported{.info = std::move(trace->info),
                  .notes = fmt::format("pagoda: {}: read as {}\n", file.name(), format->name) +
                           left_out(file.name(), trace->totals)};
}

Input<Imported> rewrite(const ImportOptions& options, const std::string& path) {
  if (options.input == "-")
    return bad_input("standard input: is a page trace, which is written again from a file only; give its name");
  sim::TraceReader reader = PAGODA_TRY(sim::TraceReader::open(options.input));
  sim::TraceWriterOptions writer_options{.program = options.program, .level = options.level};
  writer_options.window = std::max<std::uint64_t>(options.window, 1);
  return Imported{.info = PAGODA_TRY(sim::rewrite_trace(reader, path, writer_options)), .notes = ""};
}

// Writes the trace to `path`, a regular file.
Input<Imported> import_to(const std::string& path, const ImportOptions& options) {
  sim::DecompressedFile file = PAGODA_TRY(sim::DecompressedFile::open(options.input));
  if (sim::is_page_trace(file) && options.foreign.format.empty()) return rewrite(options, path);
  const Output output{"--output", options.output};
  PAGODA_TRY(check_outputs(std::span(&output, 1), std::span(&options.input, 1)));
  sim::TraceWriterOptions writer_options{.program = options.program, .level = options.level};
  writer_options.window = options.window == 0 ? sim::RecordOptions().window : options.window;
  return import_foreign(file, path, writer_options, options.foreign);
}

Input<> copy_trace(const std::string& from, const std::string& to) {
  std::ifstream file(from, std::ios::binary);
  std::string part(kCopiedAtOnce, '\0');
  PAGODA_TRY(report::write_file_in_parts(to, [&] {
    file.read(part.data(), static_cast<std::streamsize>(part.size()));
    return std::string_view(part).substr(0, static_cast<std::size_t>(file.gcount()));
  }));
  // What cannot be opened or read ends early, too.
  return file.eof() && !file.bad() ? Input<>{} : failed_work(fmt::format("{}: cannot be read back", from));
}

// The beginning of a trace is known when its end is: what flows away gets a copy.
Input<Imported> import_any(const ImportOptions& options) {
  if (!report::is_standard_output(options.output)) return import_to(options.output, options);
  PAGODA_TRY(report::check_writable(options.output));
  const TemporaryTrace made = PAGODA_TRY(TemporaryTrace::create());
  auto imported = PAGODA_TRY(import_to(made.path(), options));
  PAGODA_TRY(copy_trace(made.path(), options.output));
  return imported;
}

int run_import(const ImportOptions& options) {
  const Input<Imported> imported = import_any(options);
  if (!imported) return refuse(imported.error());
  fmt::print(stderr, "{}pagoda: {}: {}\n", imported->notes, shown_name(options.output), in_short(imported->info));
  return 0;
}

// --- info ---

// One line, unless the file says nothing of the kind.
void print_field(const char* label, const std::string& value) {
  if (!value.empty()) fmt::print("{:<14}{}\n", label, value);
}

void print_ranges(const sim::TraceInfo& info) {
  if (info.ranges.empty()) return;
  print_field("footprint", fmt::format("{} ranges in {:#x}..{:#x}{}", report::grouped(info.ranges.size()),
                                       info.ranges.front().first.value(), info.ranges.back().last().value(),
                                       info.ranges.size() > kRangesShown ? "; the largest:" : ":"));
  std::vector<VpnRange> largest = info.ranges;
  std::ranges::sort(largest, [](const VpnRange& a, const VpnRange& b) {
    return a.count != b.count ? a.count > b.count : a.first < b.first;
  });
  largest.resize(std::min(largest.size(), kRangesShown));
  std::ranges::sort(largest, {}, &VpnRange::first);
  for (const VpnRange& range : largest) {
    fmt::print("  {:>#15x}..{:<#15x} {:>12} pages  {:>10}\n", range.first.value(), range.last().value(),
               report::grouped(range.count.value()), mebibytes(range.count));
  }
}

// `form`: what kind of file it is.
void print_info(const std::string& path, const char* form, const sim::TraceInfo& info,
                const std::vector<sim::WorkingSetPoint>& curve) {
  fmt::print("{}\n", path);
  print_field("program", info.program);
  print_field("recorded by", fmt::format("{} ({})", info.source, form));
  print_field("pages are", info.space);
  print_field("ends by", info.ending);
  print_field("exact", fmt::format("LRU and OPT misses, from {} frames on", report::grouped(info.window)));
  print_field("references",
              fmt::format("{} raw, in {} records", report::grouped(info.references), report::grouped(info.records)));
  print_field("records", fmt::format("{} read, {} write, {} execute", report::grouped(info.records_reading),
                                     report::grouped(info.records_writing), report::grouped(info.records_executing)));
  print_field("pages",
              fmt::format("{} ({}): {} read, {} written, {} executed", report::grouped(info.pages.value()),
                          mebibytes(info.pages), report::grouped(info.pages_read.value()),
                          report::grouped(info.pages_written.value()), report::grouped(info.pages_executed.value())));
  print_ranges(info);
  fmt::print("\nworking set: distinct pages in windows of so many raw references, one after the other\n");
  fmt::print("  {:>6} {:>8} {:>10} {:>10}  mean as part of all pages\n", "window", "windows", "mean", "largest");
  for (const sim::WorkingSetPoint& point : curve) {
    const double part = info.pages.is_zero() ? 0 : point.mean_pages / static_cast<double>(info.pages.value());
    const auto width = std::min(kBarWidth, static_cast<std::size_t>(std::lround(part * kBarWidth)));
    fmt::print("  {:>5}M {:>8} {:>10.1f} {:>10}  {}{} {:.0f} %\n", point.window >> 20, report::grouped(point.windows),
               point.mean_pages, report::grouped(point.largest.value()), std::string(width, '#'),
               std::string(kBarWidth - width, '.'), part * 100);
  }
}

void print_json(const std::string& path, const sim::TraceInfo& info, const std::vector<sim::WorkingSetPoint>& curve) {
  nlohmann::ordered_json json = {
      {"file", path},
      {"version", info.version},
      {"source", info.source},
      {"space", info.space},
      {"program", info.program},
      {"ends", info.ending},
      {"window", info.window},
      {"references", info.references},
      {"records", info.records},
      {"records_reading", info.records_reading},
      {"records_writing", info.records_writing},
      {"records_executing", info.records_executing},
      {"pages", info.pages.value()},
      {"pages_read", info.pages_read.value()},
      {"pages_written", info.pages_written.value()},
      {"pages_executed", info.pages_executed.value()},
      {"ranges", nlohmann::ordered_json::array()},
      {"working_set", nlohmann::ordered_json::array()},
  };
  for (const VpnRange& range : info.ranges) {
    json["ranges"].push_back({{"first_page", range.first.value()}, {"pages", range.count.value()}});
  }
  for (const sim::WorkingSetPoint& point : curve) {
    json["working_set"].push_back({{"window_references", point.window},
                                   {"windows", point.windows},
                                   {"mean_pages", point.mean_pages},
                                   {"largest_pages", point.largest.value()}});
  }
  fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

struct OpenedTrace {
  sim::TraceReader reader;
  const char* form;
};

Input<OpenedTrace> open_any(const std::string& path, const ForeignOptions& options) {
  sim::DecompressedFile file = PAGODA_TRY(sim::DecompressedFile::open(path));
  if (sim::is_page_trace(file) && options.format.empty()) {
    sim::TraceReader reader = PAGODA_TRY(sim::TraceReader::open(path));
    const char* const form = reader.info().version == 1 ? "VMPT1, no seal" : "VMPT2, sealed";
    return OpenedTrace{std::move(reader), form};
  }
  const TemporaryTrace made = PAGODA_TRY(TemporaryTrace::create());
  const Imported imported =
      PAGODA_TRY(import_foreign(file, made.path(), {.window = sim::RecordOptions().window, .level = 1}, options));
  fmt::print(stderr, "{}", imported.notes);
  return OpenedTrace{PAGODA_TRY(sim::TraceReader::open(made.path())), "another tool's, as import reads it"};
}

struct InfoOptions {
  std::string path;
  ForeignOptions foreign;
  bool as_json = false;
};

int run_info(const InfoOptions& options) {
  Input<OpenedTrace> opened = open_any(options.path, options.foreign);
  if (!opened) return refuse(opened.error());
  const sim::TraceInfo& info = opened->reader.info();
  const auto curve = sim::working_set_curve(opened->reader);
  if (!curve) return refuse(curve.error());
  if (options.as_json) {
    print_json(options.path, info, *curve);
  } else {
    print_info(options.path, opened->form, info, *curve);
  }
  return 0;
}

// --- the command line ---

void add_record(CLI::App& trace, int& exit_code) {
  CLI::App* const command = trace.add_subcommand("record", kRecordHelp);
  const auto options = std::make_shared<sim::RecordOptions>();
  command->add_option("-o,--output", options->output, "The trace to write")->required()->type_name("FILE");
  command->add_option("-k,--window", options->window, "Exact for memories of at least so many frames; wider is smaller")
      ->capture_default_str()
      ->type_name("PAGES");
  command->add_option("--level", options->level, "zstd level, 1 to 22")->capture_default_str()->type_name("N");
  command->add_option("command", options->command, "The program and its arguments, behind --")->required();
  command->positionals_at_end();
  command->callback([options, &exit_code] { exit_code = run_record(*options); });
}

void add_foreign_options(CLI::App& command, ForeignOptions& options) {
  command
      .add_option("--format", options.format,
                  "What it is, if its content does not tell: " + sim::foreign_format_names())
      ->type_name("NAME");
  command.add_flag("--skip-bad", options.skip_bad, "Leave out lines that are not of the format, and say how many");
}

void add_import(CLI::App& trace, int& exit_code) {
  CLI::App* const command = trace.add_subcommand("import", kImportHelp);
  const auto options = std::make_shared<ImportOptions>();
  command->add_option("input", options->input, "What a tool recorded, or a trace; - is standard input")
      ->capture_default_str();
  command->add_option("-o,--output", options->output, "The trace to write; - is standard output")
      ->required()
      ->type_name("FILE")
      ->check(check_file_name);
  command->add_option("-k,--window", options->window, "Exact for memories of at least so many frames (new: 64)")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{sim::TraceReducer::kWindowMax}))
      ->type_name("PAGES");
  command->add_option("--level", options->level, "zstd level, 1 to 22")->capture_default_str()->type_name("N");
  command->add_option("--program", options->program, "Name of the program, for `info`")->type_name("NAME");
  add_foreign_options(*command, options->foreign);
  command->callback([options, &exit_code] { exit_code = run_import(*options); });
}

void add_trace_info(CLI::App& trace, int& exit_code) {
  CLI::App* const command = trace.add_subcommand("info", kTraceInfoHelp);
  const auto options = std::make_shared<InfoOptions>();
  command->add_option("trace", options->path, "A trace (.vmpt.zst), or what another tool recorded; - is standard input")
      ->required();
  command->add_flag("--json", options->as_json, "As JSON");
  add_foreign_options(*command, options->foreign);
  command->callback([options, &exit_code] { exit_code = run_info(*options); });
}

}  // namespace

void add_trace_command(CLI::App& app, int& exit_code) {
  CLI::App* const trace = app.add_subcommand("trace", kTraceHelp);
  trace->require_subcommand(1);
  add_record(*trace, exit_code);
  add_import(*trace, exit_code);
  add_trace_info(*trace, exit_code);
}

}  // namespace pagoda::cli
