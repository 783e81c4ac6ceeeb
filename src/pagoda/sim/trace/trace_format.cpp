#include "pagoda/sim/trace/trace_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include <xxhash.h>

#include "pagoda/sim/parse_number.h"

namespace pagoda::sim::trace_format {

namespace {

constexpr std::string_view kMagic1 = "VMPT1";
constexpr std::string_view kMagic2 = "VMPT2";
constexpr std::size_t kTextBytesMax = 64 << 10;

// A zstd skippable frame (RFC 8878, 3.1.2) with 16 bytes of content, the first 8 of them a name.
constexpr std::array<std::uint8_t, 16> kSealStart = {0x50, 0x2a, 0x4d, 0x18, 16,  0,   0,   0,
                                                     'V',  'M',  'P',  'T',  '2', 'E', 'N', 'D'};

std::array<std::uint8_t, kSealBytes> make_seal(std::uint64_t hash) {
  std::array<std::uint8_t, kSealBytes> seal{};
  std::ranges::copy(kSealStart, seal.begin());
  for (std::size_t i = 0; i < 8; ++i) seal[kSealStart.size() + i] = static_cast<std::uint8_t>(hash >> (8 * i));
  return seal;
}

std::unexpected<InputError> not_a_trace(const std::string& name, std::string_view what) {
  return bad_input(fmt::format(
      "{}: not a page trace ({}); give a .vmpt.zst file made by `pagoda trace record` or `import`", name, what));
}

std::unexpected<InputError> bad_header(const std::string& name, std::string_view what) {
  return bad_input(fmt::format("{}: the header is wrong ({}); record or copy the trace again", name, what));
}

std::string one_line(std::string_view text) {
  std::string line(text);
  std::ranges::replace_if(line, [](char c) { return static_cast<unsigned char>(c) < ' '; }, '?');
  return line;
}

// The numbers of a VMPT2 header: all are required.
enum Field : std::size_t {
  kRecords,
  kReferences,
  kRecordsReading,
  kRecordsWriting,
  kRecordsExecuting,
  kPages,
  kPagesRead,
  kPagesWritten,
  kPagesExecuted,
  kFirstPage,
  kLastPage,
  kRanges,
  kRecordBytes,
  kFieldCount
};
constexpr std::array<std::string_view, kFieldCount> kFieldKeys = {
    "records",   "references", "records-reading", "records-writing", "records-executing",
    "pages",     "pages-read", "pages-written",   "pages-executed",  "first-page",
    "last-page", "ranges",     "record-bytes"};

// Takes `count` ranges from `in`; the cursor stays where it is if there are not enough bytes yet.
Input<HeaderState> parse_ranges(const std::string& name, std::span<const std::uint8_t> in, std::uint64_t count,
                                TraceInfo& info, std::size_t& used) {
  std::uint64_t next = 0;  // One past the range before.
  PageCount total;
  used = 0;
  const auto take = [&](std::uint64_t& value) {
    std::array<std::uint8_t, kVarintBytesMax + 1> padded{};  // Zeros behind the bytes end every varint.
    const std::size_t left = std::min(in.size() - used, kVarintBytesMax);
    std::copy_n(in.begin() + static_cast<std::ptrdiff_t>(used), left, padded.begin());
    const std::uint8_t* end = take_varint(padded.data(), value);
    if (end == nullptr) return std::optional<HeaderState>();
    const auto length = static_cast<std::size_t>(end - padded.data());
    if (length > left) return std::optional(HeaderState::kNeedsMore);
    used += length;
    return std::optional(HeaderState::kComplete);
  };
  for (std::uint64_t i = 0; i < count; ++i) {
    std::uint64_t gap = 0;
    std::uint64_t length = 0;
    for (std::uint64_t* value : {&gap, &length}) {
      const std::optional<HeaderState> state = take(*value);
      if (!state) return bad_header(name, "a range is no number");
      if (*state == HeaderState::kNeedsMore) return HeaderState::kNeedsMore;
    }
    if (length == 0 || (i != 0 && gap == 0) || gap >= kTracePageLimit - next || length > kTracePageLimit - next - gap) {
      return bad_header(name, fmt::format("range {} is impossible", i));
    }
    info.ranges.push_back({Vpn(next + gap), PageCount(length)});
    next += gap + length;
    total += PageCount(length);
  }
  if (total != info.pages) return bad_header(name, "the ranges do not sum up to the pages");
  return HeaderState::kComplete;
}

}  // namespace

std::string make_header(const TraceInfo& info, std::uint64_t record_bytes) {
  std::string header = fmt::format("{}\n", kMagic2);
  const auto line = std::back_inserter(header);
  fmt::format_to(line, "source={}\nspace={}\n", one_line(info.source), one_line(info.space));
  if (!info.program.empty()) fmt::format_to(line, "program={}\n", one_line(info.program));
  if (!info.ending.empty()) fmt::format_to(line, "ends={}\n", one_line(info.ending));
  std::array<std::uint64_t, kFieldCount> values{};
  values[kRecords] = info.records;
  values[kReferences] = info.references;
  values[kRecordsReading] = info.records_reading;
  values[kRecordsWriting] = info.records_writing;
  values[kRecordsExecuting] = info.records_executing;
  values[kPages] = info.pages.value();
  values[kPagesRead] = info.pages_read.value();
  values[kPagesWritten] = info.pages_written.value();
  values[kPagesExecuted] = info.pages_executed.value();
  values[kFirstPage] = info.ranges.empty() ? 0 : info.ranges.front().first.value();
  values[kLastPage] = info.ranges.empty() ? 0 : info.ranges.back().last().value();
  values[kRanges] = info.ranges.size();
  values[kRecordBytes] = record_bytes;
  fmt::format_to(line, "window={}\n", info.window);
  for (std::size_t field = 0; field < kFieldCount; ++field)
    fmt::format_to(line, "{}={}\n", kFieldKeys[field], values[field]);
  header += '\n';

  Vpn next;
  std::array<std::uint8_t, 2 * kVarintBytesMax> bytes{};
  for (const VpnRange& range : info.ranges) {
    std::uint8_t* end = put_varint(bytes.data(), (range.first - next).value());
    end = put_varint(end, range.count.value());
    header.append(reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(end - bytes.data()));
    next = range.end();
  }
  return header;
}

Input<HeaderState> parse_header(const std::string& name, std::span<const std::uint8_t> bytes, Header& header) {
  header = Header();
  const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::size_t magic_length = std::min(all.size(), kMagic2.size() + 1);
  const bool one = (std::string(kMagic1) + '\n').starts_with(all.substr(0, magic_length));
  const bool two = (std::string(kMagic2) + '\n').starts_with(all.substr(0, magic_length));
  if (!one && !two) return not_a_trace(name, "it does not begin with VMPT1 or VMPT2");
  const std::size_t text_end = all.find("\n\n");
  if (text_end > kTextBytesMax) {  // npos is, too.
    if (all.size() > kTextBytesMax) return not_a_trace(name, "its header has no end");
    return HeaderState::kNeedsMore;
  }

  header.info.version = one ? 1 : 2;
  header.length = text_end + 2;
  std::array<std::optional<std::uint64_t>, kFieldCount> values{};
  std::optional<std::uint64_t> window;
  for (std::size_t at = kMagic2.size() + 1; at < text_end + 1;) {
    const std::size_t end = all.find('\n', at);
    const std::string_view text = all.substr(at, end - at);
    at = end + 1;
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos)
      return bad_header(name, fmt::format("\"{}\" is not key=value", one_line(text)));
    const std::string_view key = text.substr(0, equals);
    const std::string_view value = text.substr(equals + 1);
    if (key == "source") header.info.source = one_line(value);
    if (key == "space") header.info.space = one_line(value);
    if (key == "ends") header.info.ending = one_line(value);
    if (key == "program") header.info.program = one_line(value);
    const auto field = static_cast<std::size_t>(std::ranges::find(kFieldKeys, key) - kFieldKeys.begin());
    if (key != "window" && field == kFieldCount) continue;  // A recorder may say more.
    std::uint64_t number = 0;
    if (!parse_number(value, number)) return bad_header(name, fmt::format("{} is not a number", one_line(text)));
    (field == kFieldCount ? window : values[field]) = number;
  }
  header.info.window = window.value_or(1);
  if (one) return HeaderState::kComplete;

  for (std::size_t field = 0; field < kFieldCount; ++field) {
    if (!values[field]) return bad_header(name, fmt::format("{}= is missing", kFieldKeys[field]));
  }
  if (!window) return bad_header(name, "window= is missing");
  TraceInfo& info = header.info;
  info.records = *values[kRecords];
  info.references = *values[kReferences];
  info.records_reading = *values[kRecordsReading];
  info.records_writing = *values[kRecordsWriting];
  info.records_executing = *values[kRecordsExecuting];
  info.pages = PageCount(*values[kPages]);
  info.pages_read = PageCount(*values[kPagesRead]);
  info.pages_written = PageCount(*values[kPagesWritten]);
  info.pages_executed = PageCount(*values[kPagesExecuted]);
  header.record_bytes = values[kRecordBytes];
  std::size_t used = 0;
  const Input<HeaderState> state = parse_ranges(name, bytes.subspan(header.length), *values[kRanges], info, used);
  if (!state) return state;
  if (*state == HeaderState::kNeedsMore) {
    if (bytes.size() > kHeaderBytesMax) return bad_header(name, "it is too long");
    return state;
  }
  if (info.pages.value() > info.records) return bad_header(name, "it has more pages than records");
  const std::uint64_t first = info.ranges.empty() ? 0 : info.ranges.front().first.value();
  const std::uint64_t last = info.ranges.empty() ? 0 : info.ranges.back().last().value();
  if (first != *values[kFirstPage] || last != *values[kLastPage])
    return bad_header(name, "first and last page do not match the ranges");
  header.length += used;
  return HeaderState::kComplete;
}

struct SealHasher::State {
  XXH3_state_t* xxh = XXH3_createState();
  ~State() { XXH3_freeState(xxh); }
};

SealHasher::SealHasher() : state_(std::make_unique<State>()) { XXH3_64bits_reset(state_->xxh); }
SealHasher::~SealHasher() = default;

void SealHasher::update(std::span<const std::uint8_t> bytes) {
  XXH3_64bits_update(state_->xxh, bytes.data(), bytes.size());
}

std::array<std::uint8_t, kSealBytes> SealHasher::seal() const { return make_seal(XXH3_64bits_digest(state_->xxh)); }

SealState check_seal(std::span<const std::uint8_t> file) {
  if (file.size() < kSealBytes) return SealState::kMissing;
  const std::span<const std::uint8_t> last = file.last(kSealBytes);
  if (!std::ranges::equal(last.first(kSealStart.size()), kSealStart)) return SealState::kMissing;
  const std::span<const std::uint8_t> body = file.first(file.size() - kSealBytes);
  return std::ranges::equal(last, make_seal(XXH3_64bits(body.data(), body.size()))) ? SealState::kGood
                                                                                    : SealState::kWrong;
}

}  // namespace pagoda::sim::trace_format
