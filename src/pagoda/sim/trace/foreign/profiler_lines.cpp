#include "pagoda/sim/trace/foreign/profiler_lines.h"

#include <algorithm>
#include <array>
#include <optional>

#include "pagoda/sim/trace/foreign/line_fields.h"

namespace pagoda::sim {

namespace {

constexpr std::uint64_t kViewBytesMax = 64 << 10;  // More than any instruction's.
constexpr std::size_t kPerfDigitsMin = 6;          // Of an instruction's address; programs begin at 400000 or higher.
constexpr std::string_view kNoDataAddress =
    "has no address of data: record with perf record -d, print with perf script -F comm,tid,time,event,addr";

bool is_decimal(std::string_view text) { return parse_decimal(text).has_value(); }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// "W0.T3256418", or "T3256418" as older ones have it.
bool is_view_thread(std::string_view text) {
  if (text.starts_with('W')) {
    const std::size_t dot = text.find('.');
    if (dot == std::string_view::npos || !is_decimal(text.substr(1, dot - 1))) return false;
    text.remove_prefix(dot + 1);
  }
  return text.starts_with('T') && is_decimal(text.substr(1));
}

// Skips "record# instruction#: thread" (older ones have one number), and says whether that was there.
bool take_view_prefix(LineFields& fields) {
  std::string_view number = fields.next();
  if (is_decimal(number)) number = fields.next();
  if (!number.ends_with(':') || !is_decimal(number.substr(0, number.size() - 1))) return false;
  return is_view_thread(fields.next());
}

// What the tool prints around the records.
bool is_view_heading(std::string_view line) {
  constexpr std::array<std::string_view, 4> kBegins = {"Output format:", "<--record#", "View tool results:", "..."};
  line = without_blanks(line);
  if (std::ranges::any_of(kBegins, [&](std::string_view begin) { return line.starts_with(begin); })) return true;
  LineFields fields(line);
  return is_decimal(fields.next()) && fields.next() == ":" && fields.rest().starts_with("total ");
}

// --- perf ---

// "26195.776779:"
bool is_perf_time(std::string_view field) {
  const std::size_t dot = field.find('.');
  return dot != std::string_view::npos && field.ends_with(':') && is_decimal(field.substr(0, dot)) &&
         is_decimal(field.substr(dot + 1, field.size() - dot - 2));
}

struct PerfEvent {
  std::string_view name;
  LineFields values;  // Behind it.
};

// The fields behind the time, or all of them if there is none: a program's name may look like an event's.
LineFields behind_perf_time(std::string_view line) {
  LineFields fields(line);
  while (!fields.at_end()) {
    if (is_perf_time(fields.next())) return fields;
  }
  return LineFields(line);
}

// The event of a sample's first line; nothing for lines of another kind.
std::optional<PerfEvent> find_perf_event(std::string_view line) {
  LineFields fields = behind_perf_time(line);
  while (!fields.at_end()) {
    const std::string_view field = fields.next();
    if (!field.ends_with(':')) continue;
    LineFields values = fields;
    const bool hex_or_nothing = values.at_end() || parse_hex(values.next());
    if (!is_letter(field.front()) || !hex_or_nothing) return std::nullopt;
    return PerfEvent{field, fields};
  }
  return std::nullopt;
}

// A line of a stack: "\t  29ebc cmd_record (/usr/bin/perf)".
bool is_perf_stack(std::string_view line) {
  if (!line.starts_with(' ') && !line.starts_with('\t')) return false;
  LineFields fields(line);
  return parse_hex(fields.next()).has_value() && without_blanks(line).ends_with(')');
}

// Whether it can be no symbol: long enough, and not of letters alone.
bool is_perf_address(std::string_view field) {
  return field.size() >= kPerfDigitsMin && parse_hex(field) &&
         field.find_first_of("0123456789") != std::string_view::npos;
}

// Whether the first of the values is the address of data: it stands alone, or what perf mem says of it or the
// instruction's address follows. One address with a symbol is the instruction's.
bool first_is_data_address(LineFields values) {
  values.next();
  if (values.at_end()) return true;
  while (!values.at_end()) {
    const std::string_view field = values.next();
    if (field.starts_with("|OP") || is_perf_address(field)) return true;
  }
  return false;
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace

ForeignRecord DrcachesimViewParser::parse(std::string_view line) {
  LineFields fields(line);
  if (!take_view_prefix(fields)) return ForeignRecord::aside();
  const std::string_view kind = fields.next();
  ForeignAccess access;
  if (kind == "ifetch") {
    access.access = kTraceExecute;
  } else if (kind == "read") {
    access.access = kTraceRead;
  } else if (kind == "write") {
    access.access = kTraceWrite;
  } else {
    return ForeignRecord::aside();
  }
  const auto bytes = parse_decimal(fields.next());
  if (!bytes || *bytes == 0 || *bytes > kViewBytesMax || fields.next() != "byte(s)")
    return ForeignRecord::bad("has no number of byte(s)");
  const std::string_view at = fields.next();
  const auto address = parse_hex(fields.next());
  if (at != "@" || !address) return ForeignRecord::bad("has no address behind @");
  access.address = *address;
  access.bytes = *bytes;
  return ForeignRecord::of(access);
}

std::size_t fits_drcachesim_view(const ForeignSample& sample) {
  return static_cast<std::size_t>(std::ranges::count_if(sample, [](std::string_view line) {
    LineFields fields(line);
    return take_view_prefix(fields) || is_view_heading(line);
  }));
}

ForeignRecord PerfScriptParser::parse(std::string_view line) {
  const auto event = find_perf_event(line);
  if (!event) {
    if (is_perf_stack(line)) return ForeignRecord::aside();
    return ForeignRecord::bad("is no event of perf script and no line of a stack");
  }
  LineFields values = event->values;
  if (values.at_end() || !first_is_data_address(values)) return ForeignRecord::bad(kNoDataAddress);
  const std::uint64_t address = *parse_hex(values.next());
  if (address == 0) return ForeignRecord::aside();
  const bool writes = contains(event->name, "store") || contains(values.rest(), "|OP STORE");
  return ForeignRecord::of({.address = address, .access = writes ? kTraceWrite : kTraceRead});
}

std::size_t fits_perf_script(const ForeignSample& sample) {
  PerfScriptParser parser;
  bool events = false;
  const auto fits = static_cast<std::size_t>(std::ranges::count_if(sample, [&](std::string_view line) {
    const bool event = find_perf_event(line).has_value();
    events = events || event;
    return event || parser.parse(line).kind == ForeignRecord::Kind::kAside;
  }));
  return events ? fits : 0;
}

}  // namespace pagoda::sim
