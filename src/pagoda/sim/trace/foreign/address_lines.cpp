#include "pagoda/sim/trace/foreign/address_lines.h"

#include <algorithm>
#include <optional>

#include "pagoda/base/units.h"
#include "pagoda/sim/trace/foreign/line_fields.h"

namespace pagoda::sim {

namespace {

constexpr std::uint64_t kOperandBytesMax = 64 << 10;  // More than any instruction's.
constexpr std::string_view kNullPointer = "(nil)";    // glibc's %p.

constexpr ForeignRecord kNoReadOrWrite = {.kind = ForeignRecord::Kind::kBad, .problem = "has no R or W"};

std::optional<TraceAccess> read_or_write(std::string_view letter, std::string_view read, std::string_view write) {
  if (equals_ignoring_case(letter, read)) return kTraceRead;
  if (equals_ignoring_case(letter, write)) return kTraceWrite;
  return std::nullopt;
}

// As "%p" prints it: with 0x, or on Windows with all digits of 32 or 64 bits.
enum class PointerForm { kPrefixed, kPrefixedOrPadded };
std::optional<std::uint64_t> parse_pointer(std::string_view text, PointerForm form) {
  if (text == kNullPointer) return 0;
  const bool padded = text.size() == 8 || text.size() == 16;
  if (has_hex_prefix(text) || (padded && form == PointerForm::kPrefixedOrPadded)) return parse_hex(text);
  return std::nullopt;
}

// The size, if there is one, and a value behind it, if there is one.
ForeignRecord with_size(ForeignAccess access, LineFields& fields) {
  if (fields.at_end()) return ForeignRecord::of(access);
  const auto bytes = parse_decimal(fields.next());
  if (!bytes || *bytes == 0 || *bytes > kOperandBytesMax)
    return ForeignRecord::bad("has something behind the address that is no size in bytes");
  access.bytes = *bytes;
  if (!fields.at_end() && (!parse_hex(fields.next()) || !fields.at_end()))
    return ForeignRecord::bad("has something behind the size that is no value");
  return ForeignRecord::of(access);
}

template <class ParseAddress>
ForeignRecord parse_letter_first(LineFields& fields, ParseAddress parse_address, std::string_view no_address) {
  const auto access = read_or_write(fields.next(), "R", "W");
  if (!access) return kNoReadOrWrite;
  const auto address = parse_address(fields.next());
  if (!address) return ForeignRecord::bad(no_address);
  return with_size({.address = *address, .access = *access}, fields);
}

}  // namespace

ForeignRecord HexAddressParser::parse(std::string_view line) {
  LineFields fields(line);
  const auto address = parse_hex(fields.next());
  if (!address) return ForeignRecord::bad("does not begin with an address in hex");
  const auto access = read_or_write(fields.next(), "R", "W");
  if (!access) return kNoReadOrWrite;
  if (!fields.at_end()) return ForeignRecord::bad("has something behind R or W");
  return ForeignRecord::of({.address = *address, .access = *access});
}

ForeignRecord LoadStoreParser::parse(std::string_view line) {
  LineFields fields(line);
  const auto access = read_or_write(fields.next(), "l", "s");
  if (!access) return ForeignRecord::bad("does not begin with l or s");
  const std::string_view digits = fields.next();
  const auto address = has_hex_prefix(digits) ? parse_hex(digits) : std::nullopt;
  if (!address) return ForeignRecord::bad("has no address with 0x in front");
  return with_size({.address = *address, .access = *access}, fields);
}

ForeignRecord PinatraceParser::parse(std::string_view line) {
  LineFields fields(line);
  PointerForm form = PointerForm::kPrefixed;
  if (line.find(':') != std::string_view::npos) {
    form = PointerForm::kPrefixedOrPadded;
    const std::string_view instruction = fields.next();
    if (!instruction.ends_with(':') || !parse_pointer(instruction.substr(0, instruction.size() - 1), form))
      return ForeignRecord::bad("does not begin with the address of the instruction");
  }
  return parse_letter_first(
      fields, [form](std::string_view text) { return parse_pointer(text, form); }, "has no address with 0x in front");
}

ForeignRecord PinatraceHexParser::parse(std::string_view line) {
  LineFields fields(line);
  return parse_letter_first(
      fields, [](std::string_view text) { return has_hex_prefix(text) ? std::nullopt : parse_hex(text); },
      "has no address in hex without 0x");
}

ForeignRecord PinatraceDecimalParser::parse(std::string_view line) {
  LineFields fields(line);
  return parse_letter_first(fields, parse_decimal, "has no decimal address");
}

ForeignRecord DineroParser::parse(std::string_view line) {
  LineFields fields(line);
  const std::string_view label = fields.next();
  if (label.size() != 1 || label.front() < '0' || label.front() > '4')
    return ForeignRecord::bad("does not begin with a label from 0 to 4");
  const auto address = parse_hex(fields.next());
  if (!address) return ForeignRecord::bad("has no address in hex");
  switch (label.front()) {
    case '0':
      return ForeignRecord::of({.address = *address, .access = kTraceRead});
    case '1':
      return ForeignRecord::of({.address = *address, .access = kTraceWrite});
    case '2':
      return ForeignRecord::of({.address = *address, .access = kTraceExecute});
    default:
      return ForeignRecord::aside();
  }
}

std::size_t fits_dinero(const ForeignSample& sample) {
  DineroParser parser;
  const bool beyond_first_page = std::ranges::any_of(
      sample, [&](std::string_view line) { return parser.parse(line).access.address >= kPageBytes; });
  return beyond_first_page ? count_understood(parser, sample) : 0;
}

}  // namespace pagoda::sim
