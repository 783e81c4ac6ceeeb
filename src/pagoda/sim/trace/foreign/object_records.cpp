#include "pagoda/sim/trace/foreign/object_records.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "pagoda/base/units.h"
#include "pagoda/sim/trace/foreign/line_fields.h"

namespace pagoda::sim {

namespace {

constexpr std::int64_t kNextNone = -1;
constexpr std::int64_t kRequestsMax = std::int64_t{1} << 48;  // More than anybody recorded; text is never less.
constexpr std::int64_t kNextNoneToo = std::numeric_limits<std::int64_t>::max();

template <class Number>
Number little_endian_at(std::string_view record, std::size_t offset) {
  static_assert(std::endian::native == std::endian::little);
  Number number{};
  std::memcpy(&number, record.data() + offset, sizeof number);
  return number;
}

struct ObjectRequest {
  std::uint32_t seconds;
  std::uint64_t id;
  std::int64_t next;
};
ObjectRequest decode_request(std::string_view record) {
  return {little_endian_at<std::uint32_t>(record, 0), little_endian_at<std::uint64_t>(record, 4),
          little_endian_at<std::int64_t>(record, 16)};
}

// The page of the object; the next one for a new object.
template <class Pages, class Id>
ForeignRecord asks_for(Pages& pages, Id&& id, TraceAccess access) {
  const std::uint64_t page = pages.try_emplace(std::forward<Id>(id), pages.size()).first->second;
  return ForeignRecord::of({.address = page << kPageShift, .access = access});
}

bool is_id_column(std::string_view name) {
  constexpr std::array<std::string_view, 6> kNames = {"id", "obj_id", "obj-id", "object_id", "object", "key"};
  return std::ranges::any_of(kNames, [&](std::string_view each) { return equals_ignoring_case(each, name); });
}

bool is_time_column(std::string_view name) {
  constexpr std::array<std::string_view, 4> kNames = {"time", "timestamp", "clock_time", "real_time"};
  return std::ranges::any_of(kNames, [&](std::string_view each) { return equals_ignoring_case(each, name); });
}

// What a request does to its object, by the words of caches' protocols.
struct RequestWord {
  std::string_view word;
  TraceAccess access;  // Empty: it takes the object away.
};
constexpr std::array<RequestWord, 18> kRequestWords = {{{"get", kTraceRead},
                                                        {"gets", kTraceRead},
                                                        {"read", kTraceRead},
                                                        {"r", kTraceRead},
                                                        {"set", kTraceWrite},
                                                        {"add", kTraceWrite},
                                                        {"put", kTraceWrite},
                                                        {"write", kTraceWrite},
                                                        {"w", kTraceWrite},
                                                        {"replace", kTraceWrite},
                                                        {"update", kTraceWrite},
                                                        {"cas", kTraceWrite},
                                                        {"append", kTraceWrite},
                                                        {"prepend", kTraceWrite},
                                                        {"incr", kTraceWrite},
                                                        {"decr", kTraceWrite},
                                                        {"delete", TraceAccess()},
                                                        {"remove", TraceAccess()}}};

std::optional<TraceAccess> access_of_request(std::string_view word) {
  const auto* const found = std::ranges::find_if(
      kRequestWords, [&](const RequestWord& each) { return equals_ignoring_case(each.word, word); });
  return found == kRequestWords.end() ? std::nullopt : std::optional(found->access);
}

}  // namespace

ForeignRecord OracleGeneralParser::parse(std::string_view record) {
  return asks_for(pages_, decode_request(record).id, kTraceRead);
}

std::size_t fits_oracle_general(const ForeignSample& sample) {
  std::uint32_t seconds = 0;
  for (std::size_t i = 0; i < sample.size(); ++i) {
    const ObjectRequest request = decode_request(sample[i]);
    if (request.seconds < std::exchange(seconds, request.seconds)) return 0;
    if (request.next == kNextNone || request.next == kNextNoneToo) continue;
    // The i-th record is request i + 1.
    if (request.next <= static_cast<std::int64_t>(i + 1) || request.next > kRequestsMax) return 0;
    const auto next = static_cast<std::uint64_t>(request.next) - 1;
    if (next < sample.size() && decode_request(sample[next]).id != request.id) return 0;
  }
  return sample.size();
}

ForeignRecord ObjectCsvParser::parse_header(std::string_view line) {
  std::vector<Column> columns;
  SeparatedFields names(line, ',');
  while (const auto name = names.next()) {
    columns.push_back(is_id_column(*name)                 ? Column::kId
                      : equals_ignoring_case(*name, "op") ? Column::kOperation
                                                          : Column::kOther);
  }
  if (std::ranges::count(columns, Column::kId) != 1)
    return ForeignRecord::bad("is no header that names a column id, obj_id, object_id, object or key");
  columns_ = std::move(columns);
  return ForeignRecord::aside();
}

ForeignRecord ObjectCsvParser::parse(std::string_view line) {
  if (columns_.empty()) return parse_header(line);
  std::string_view id;
  std::optional<TraceAccess> access = kTraceRead;
  SeparatedFields fields(line, ',');
  for (const Column column : columns_) {
    const auto field = fields.next();
    if (!field) return ForeignRecord::bad("has fewer columns than the header");
    if (column == Column::kId) id = *field;
    if (column == Column::kOperation) access = access_of_request(*field);
  }
  if (!fields.at_end()) return ForeignRecord::bad("has more columns than the header");
  if (id.empty()) return ForeignRecord::bad("has no id");
  if (!access) return ForeignRecord::bad("has an op that is no word for a read, a write or a removal");
  if (*access == TraceAccess()) return ForeignRecord::aside();
  return asks_for(pages_, std::string(id), *access);
}

std::size_t fits_object_csv(const ForeignSample& sample) {
  if (sample.empty()) return 0;
  SeparatedFields names(sample.front(), ',');
  while (const auto name = names.next()) {
    if (is_time_column(*name)) return understands<ObjectCsvParser>(sample);
  }
  return 0;
}

}  // namespace pagoda::sim
