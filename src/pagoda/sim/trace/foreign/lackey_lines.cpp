#include "pagoda/sim/trace/foreign/lackey_lines.h"

#include "pagoda/sim/trace/foreign/line_fields.h"

namespace pagoda::sim {

namespace {

constexpr std::uint64_t kLackeyBytesMax = 4096;  // Lackey's largest is 512 (MAX_DSIZE).
constexpr std::size_t kLackeyDigitsMin = 8;

// One access as both write it: the letter, the address, the size.
struct LackeyLine {
  ForeignRecord record;
  bool lackeys_own = false;  // As lackey prints it: padded, and nothing behind the size.
};

LackeyLine parse_lackey_line(std::string_view line) {
  LineFields fields(line);
  const std::string_view kind = fields.next();
  if (kind == "SB") {
    if (parse_hex(fields.next()) && fields.at_end()) return {ForeignRecord::aside(), true};
    return {ForeignRecord::bad("has no address of 1 to 16 hex digits behind SB")};
  }
  ForeignAccess access;
  if (kind == "I") {
    access.access = kTraceExecute;
  } else if (kind == "L") {
    access.access = kTraceRead;
  } else if (kind == "S") {
    access.access = kTraceWrite;
  } else if (kind == "M") {
    access.access = kTraceRead | kTraceWrite;
    access.raw_references = 2;
  } else {
    return {ForeignRecord::bad("does not begin with I, L, S, M or SB")};
  }
  std::string_view place = fields.next();
  const std::size_t comma = place.find(',');
  const std::string_view digits = place.substr(0, comma);
  const auto address = parse_hex(digits);
  if (!address) return {ForeignRecord::bad("has no address of 1 to 16 hex digits")};
  if (comma == std::string_view::npos) return {ForeignRecord::bad("has no comma behind the address")};
  const auto bytes = parse_decimal(place.substr(comma + 1));
  if (!bytes) return {ForeignRecord::bad("has no decimal size behind the comma")};
  if (*bytes == 0 || *bytes > kLackeyBytesMax) return {ForeignRecord::bad("has a size that is not 1 to 4096 bytes")};
  access.address = *address;
  access.bytes = *bytes;
  const bool bare = fields.at_end();
  if (!bare && (!parse_decimal(fields.next()) || !fields.at_end()))
    return {ForeignRecord::bad("has something behind the size that is no number")};
  return {ForeignRecord::of(access), bare && digits.size() >= kLackeyDigitsMin};
}

class LackeyParser final : public ForeignParser {
 public:
  ForeignRecord parse(std::string_view line) override { return parse_lackey_line(line).record; }
};

class CacheLabParser final : public ForeignParser {
 public:
  ForeignRecord parse(std::string_view line) override {
    const ForeignRecord record = parse_lackey_line(line).record;
    return record.access.access == kTraceExecute ? ForeignRecord::aside() : record;
  }
};

}  // namespace

std::unique_ptr<ForeignParser> make_lackey_parser(const ForeignSample& sample) {
  return make_parser<LackeyParser>(sample);
}

std::size_t fits_lackey(const ForeignSample& sample) {
  if (understands<LackeyParser>(sample) == 0) return 0;
  return static_cast<std::size_t>(
      std::ranges::count_if(sample, [](std::string_view line) { return parse_lackey_line(line).lackeys_own; }));
}

std::unique_ptr<ForeignParser> make_cachelab_parser(const ForeignSample& sample) {
  return make_parser<CacheLabParser>(sample);
}

std::size_t fits_cachelab(const ForeignSample& sample) {
  const std::size_t understood = understands<CacheLabParser>(sample);
  return understood > fits_lackey(sample) ? understood : 0;
}

}  // namespace pagoda::sim
