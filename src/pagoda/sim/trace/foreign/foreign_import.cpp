#include "pagoda/sim/trace/foreign/foreign_import.h"

#include <fmt/format.h>

#include <memory>
#include <string_view>
#include <utility>

#include "pagoda/base/status.h"
#include "pagoda/base/units.h"
#include "pagoda/sim/trace/foreign/record_splitter.h"

namespace pagoda::sim {

namespace {

constexpr std::uint64_t kToldBytes = 16 << 20;
constexpr std::size_t kQuotedBytesMax = 60;

// The line, fit for a message.
std::string quoted(std::string_view line) {
  std::string text(line.substr(0, kQuotedBytesMax));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ' || static_cast<unsigned char>(c) > '~') c = '?';
  }
  return line.size() > kQuotedBytesMax ? text + "..." : text;
}

class ForeignImport {
 public:
  ForeignImport(const DecompressedFile& file, const ForeignFormat& format, TraceReducer& reducer,
                BadRecords bad_records)
      : name_(file.name()),
        format_(format),
        reducer_(reducer),
        bad_records_(bad_records),
        parser_(format.parser(sample_records(format, file.front(), file.front_is_all()))) {}

  Input<> take(const SplitRecord& record) {
    ++totals_.records;
    std::string_view bytes = record.bytes;
    if (format_.record_bytes == 0) {
      if (totals_.records == 1) bytes = without_byte_order_mark(bytes);
      if (is_remark(bytes)) return {};
    } else if (record.state == SplitRecord::State::kCut) {
      totals_.end_is_cut = true;
      return {};
    }
    if (record.state == SplitRecord::State::kTooLong) return bad(bytes, "is longer than 64 KiB");
    const ForeignRecord parsed = parser_->parse(bytes);
    switch (parsed.kind) {
      case ForeignRecord::Kind::kAccess:
        return touch(bytes, parsed.access);
      case ForeignRecord::Kind::kAside:
        return {};
      case ForeignRecord::Kind::kBad:
        break;
    }
    if (record.state != SplitRecord::State::kCut) return bad(bytes, parsed.problem);
    totals_.end_is_cut = true;
    return {};
  }

  [[nodiscard]] const ForeignTotals& totals() const { return totals_; }

 private:
  Input<> touch(std::string_view bytes, const ForeignAccess& access) {
    if (access.address + (access.bytes - 1) < access.address) return bad(bytes, "goes beyond the last address");
    const Vpn last = VirtualAddress(access.address + (access.bytes - 1)).vpn();
    for (Vpn page = VirtualAddress(access.address).vpn();; ++page) {
      reducer_.reference(page, access.access, access.raw_references);
      totals_.references += access.raw_references;
      if (page == last) return {};
    }
  }

  Input<> bad(std::string_view bytes, std::string_view problem) {
    const auto describe = [&] {
      return fmt::format("{}:{}: \"{}\" {}", name_, totals_.records, quoted(bytes), problem);
    };
    if (bad_records_ == BadRecords::kRefuse)
      return bad_input(fmt::format("{}; it is read as {} (another: --format), and --skip-bad leaves such lines out",
                                   describe(), format_.name));
    if (++totals_.bad_records == 1) totals_.first_bad = describe();
    return {};
  }

  const std::string name_;
  const ForeignFormat& format_;
  TraceReducer& reducer_;
  const BadRecords bad_records_;
  const std::unique_ptr<ForeignParser> parser_;
  ForeignTotals totals_;
};

}  // namespace

Input<ForeignTotals> import_foreign(DecompressedFile& file, const ForeignFormat& format, TraceReducer& reducer,
                                    BadRecords bad_records, const ForeignProgress& progress) {
  ForeignImport import(file, format, reducer, bad_records);
  RecordSplitter splitter(file, format.record_bytes);
  std::uint64_t told = 0;
  for (;;) {
    const SplitRecord record = PAGODA_TRY(splitter.next());
    if (record.state == SplitRecord::State::kEnd) return import.totals();
    PAGODA_TRY(import.take(record));
    if (progress && splitter.bytes_read() - told >= kToldBytes) {
      told = splitter.bytes_read();
      progress(told, import.totals().records);
    }
  }
}

Input<ForeignTrace> write_foreign(DecompressedFile& file, const ForeignFormat& format, const std::string& path,
                                  TraceWriterOptions options, BadRecords bad_records, const ForeignProgress& progress) {
  options.source = format.source;
  options.space = format.space;
  const std::uint64_t window = options.window;
  const auto writer = PAGODA_TRY(TraceWriter::create(path, std::move(options)));
  TraceReducer reducer(window, *writer);
  ForeignTotals totals = PAGODA_TRY(import_foreign(file, format, reducer, bad_records, progress));
  if (totals.references == 0) {
    return bad_input(
        fmt::format("{}: holds no references that {} knows; make one with {}", file.name(), format.name, format.make));
  }
  writer->append_references(reducer.flush());
  return ForeignTrace{PAGODA_TRY(writer->publish()), std::move(totals)};
}

}  // namespace pagoda::sim
