#include "pagoda/sim/trace/foreign/disk_lines.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "pagoda/sim/trace/foreign/line_fields.h"

namespace pagoda::sim {

namespace {

constexpr std::uint64_t kSectorBytes = 512;
constexpr std::uint64_t kRequestBytesMax = std::uint64_t{1} << 30;
constexpr std::uint64_t kDisksMax = kTracePageLimit / kDiskPages;
constexpr std::string_view kNoSuchSize = "has a size of more than 1 GiB";
constexpr std::string_view kNoSuchPlace = "goes beyond 4 PiB of its disk, or names one disk more than 4096";

// What an operation does, by the SCSI commands and the words that traces use.
struct DiskOperation {
  std::string_view name;
  TraceAccess access;
};
constexpr std::array<DiskOperation, 16> kDiskOperations = {{{"8", kTraceRead},  // READ(6), (10), (12), (16): SBC-3.
                                                            {"08", kTraceRead},
                                                            {"28", kTraceRead},
                                                            {"a8", kTraceRead},
                                                            {"88", kTraceRead},
                                                            {"a", kTraceWrite},  // WRITE, likewise.
                                                            {"0a", kTraceWrite},
                                                            {"2a", kTraceWrite},
                                                            {"aa", kTraceWrite},
                                                            {"8a", kTraceWrite},
                                                            {"read", kTraceRead},
                                                            {"r", kTraceRead},
                                                            {"rs", kTraceRead},
                                                            {"write", kTraceWrite},
                                                            {"w", kTraceWrite},
                                                            {"ws", kTraceWrite}}};
constexpr std::uint64_t kScsiCommandMax = 0xff;

// Empty for a SCSI command that moves no data of the disk; nothing for what is no operation.
std::optional<TraceAccess> access_of_operation(std::string_view name) {
  const auto* const found = std::ranges::find_if(
      kDiskOperations, [&](const DiskOperation& each) { return equals_ignoring_case(each.name, name); });
  if (found != kDiskOperations.end()) return found->access;
  const auto command = parse_hex(name);
  return command && *command <= kScsiCommandMax ? std::optional(TraceAccess()) : std::nullopt;
}

// Sectors as bytes; nothing if that is more than 64 bits.
std::optional<std::uint64_t> bytes_of_sectors(std::uint64_t sectors) {
  if (sectors > ~std::uint64_t{0} / kSectorBytes) return std::nullopt;
  return sectors * kSectorBytes;
}

// "8,0": major and minor number.
bool is_device(std::string_view text) {
  const std::size_t comma = text.find(',');
  return comma != std::string_view::npos && parse_decimal(text.substr(0, comma)) &&
         parse_decimal(text.substr(comma + 1));
}

// "0.009507758"
bool is_seconds(std::string_view text) {
  const std::size_t dot = text.find('.');
  return dot != std::string_view::npos && parse_decimal(text.substr(0, dot)) && parse_decimal(text.substr(dot + 1));
}

struct BlkparseEvent {
  std::string_view device;
  std::string_view action;
  LineFields rest;
};

// The part that all events have: device, processor, sequence number, time, pid, action.
std::optional<BlkparseEvent> parse_event(std::string_view line) {
  LineFields fields(line);
  const std::string_view device = fields.next();
  if (!is_device(device) || !parse_decimal(fields.next()) || !parse_decimal(fields.next()) ||
      !is_seconds(fields.next()) || !parse_decimal(fields.next()))
    return std::nullopt;
  const std::string_view action = fields.next();
  if (action.empty()) return std::nullopt;
  return BlkparseEvent{device, action, fields};
}

// The first of Q, D and C that the sample has.
std::string_view counted_action(const ForeignSample& sample) {
  for (const std::string_view action : {"Q", "D", "C"}) {
    const bool there = std::ranges::any_of(sample, [&](std::string_view line) {
      const auto event = parse_event(line);
      return event && event->action == action;
    });
    if (there) return action;
  }
  return "Q";
}

// Headings of the summaries: "CPU0 (8,0):", "Total (8,0):".
bool begins_summary(std::string_view line) {
  line = without_blanks(line);
  return line.ends_with("):") && (line.starts_with("CPU") || line.starts_with("Total ("));
}

}  // namespace

ForeignRecord DiskNumbers::place(std::string_view disk, ForeignAccess access) {
  if (access.bytes > kRequestBytesMax) return ForeignRecord::bad(kNoSuchSize);
  auto found = std::ranges::find(names_, disk);
  if (found == names_.end() && names_.size() < kDisksMax) found = names_.emplace(found, disk);
  constexpr std::uint64_t kDiskBytes = kDiskPages << kPageShift;
  if (found == names_.end() || access.address > kDiskBytes - access.bytes) return ForeignRecord::bad(kNoSuchPlace);
  access.address += static_cast<std::uint64_t>(found - names_.begin()) * kDiskBytes;
  return ForeignRecord::of(access);
}

ForeignRecord BlockCsvParser::parse_header(std::string_view line) {
  std::vector<Column> columns;
  SeparatedFields names(line, ',');
  while (const auto name = names.next()) {
    columns.push_back(equals_ignoring_case(*name, "lbn")    ? Column::kLbn
                      : equals_ignoring_case(*name, "size") ? Column::kSize
                      : equals_ignoring_case(*name, "op")   ? Column::kOperation
                                                            : Column::kOther);
  }
  if (std::ranges::count(columns, Column::kLbn) != 1 || std::ranges::count(columns, Column::kSize) != 1)
    return ForeignRecord::bad("is no header that names the columns lbn and size");
  columns_ = std::move(columns);
  return ForeignRecord::aside();
}

ForeignRecord BlockCsvParser::parse(std::string_view line) {
  if (columns_.empty()) return parse_header(line);
  std::optional<std::uint64_t> lbn;
  std::optional<std::uint64_t> bytes;
  std::optional<TraceAccess> access = kTraceRead;
  SeparatedFields fields(line, ',');
  for (const Column column : columns_) {
    const auto field = fields.next();
    if (!field) return ForeignRecord::bad("has fewer columns than the header");
    if (column == Column::kLbn) lbn = parse_decimal(*field);
    if (column == Column::kSize) bytes = parse_decimal(*field);
    if (column == Column::kOperation) access = access_of_operation(*field);
  }
  if (!fields.at_end()) return ForeignRecord::bad("has more columns than the header");
  if (!lbn || !bytes) return ForeignRecord::bad("has no decimal number where the header names lbn and size");
  if (!access) return ForeignRecord::bad("has an op that is no SCSI command in hex, read or write");
  const auto address = bytes_of_sectors(*lbn);
  if (!address) return ForeignRecord::bad(kNoSuchPlace);
  if (*access == TraceAccess() || *bytes == 0) return ForeignRecord::aside();
  return DiskNumbers().place("", {.address = *address, .bytes = *bytes, .access = *access});
}

ForeignRecord MsrParser::parse(std::string_view line) {
  SeparatedFields fields(line, ',');
  if (!parse_decimal(fields.next_or_empty())) return ForeignRecord::bad("does not begin with a time");
  const std::string_view host = fields.next_or_empty();
  const std::string_view number = fields.next_or_empty();
  const std::string_view operation = fields.next_or_empty();
  const bool reads = equals_ignoring_case(operation, "Read");
  if (!reads && !equals_ignoring_case(operation, "Write")) return ForeignRecord::bad("has no Read or Write");
  const std::string disk = std::string(host).append(",").append(number);
  const auto offset = parse_decimal(fields.next_or_empty());
  const auto bytes = parse_decimal(fields.next_or_empty());
  const auto response = parse_decimal(fields.next_or_empty());
  if (!offset || !bytes || !response || !fields.at_end())
    return ForeignRecord::bad("does not end with offset, size and response time");
  if (*bytes == 0) return ForeignRecord::aside();
  return disks_.place(disk, {.address = *offset, .bytes = *bytes, .access = reads ? kTraceRead : kTraceWrite});
}

BlkparseParser::BlkparseParser(const ForeignSample& sample) : action_(counted_action(sample)) {}

ForeignRecord BlkparseParser::parse(std::string_view line) {
  if (in_summary_ || begins_summary(line)) {
    in_summary_ = true;
    return ForeignRecord::aside();
  }
  auto event = parse_event(line);
  if (!event) return ForeignRecord::bad("does not begin with device, processor, number, time, pid and action");
  if (event->action != action_) return ForeignRecord::aside();
  const std::string_view flags = event->rest.next();
  const bool reads = flags.find('R') != std::string_view::npos && flags.find('W') == std::string_view::npos;
  const bool writes = flags.find('W') != std::string_view::npos;
  if ((!reads && !writes) || flags.find('D') != std::string_view::npos) return ForeignRecord::aside();
  const auto sector = parse_decimal(event->rest.next());
  if (!sector || event->rest.next() != "+") return ForeignRecord::aside();  // A flush has no sectors.
  const auto sectors = parse_decimal(event->rest.next());
  const auto address = bytes_of_sectors(*sector);
  const auto bytes = sectors ? bytes_of_sectors(*sectors) : std::nullopt;
  if (!address || !bytes) return ForeignRecord::bad("has no number of sectors behind the +");
  if (*bytes == 0) return ForeignRecord::aside();
  return disks_.place(event->device,
                      {.address = *address, .bytes = *bytes, .access = reads ? kTraceRead : kTraceWrite});
}

std::unique_ptr<ForeignParser> make_blkparse_parser(const ForeignSample& sample) {
  return std::make_unique<BlkparseParser>(sample);
}

std::size_t fits_blkparse(const ForeignSample& sample) {
  BlkparseParser parser(sample);
  return count_understood(parser, sample);
}

}  // namespace pagoda::sim
