// Any bytes at all: a trace of another tool is refused in one line, or read to its end, in every format of the table.
//
// The first byte chooses the format, or that it is told by the content; the second how the rest becomes a file: as it
// is, or as words of all the formats, so that the fuzzer gets behind the first field of a line.
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/base/check.h"
#include "pagoda/sim/trace/foreign/decompressed_file.h"
#include "pagoda/sim/trace/foreign/foreign_formats.h"
#include "pagoda/sim/trace/foreign/foreign_import.h"
#include "pagoda/sim/trace/foreign/recognise.h"

namespace {

using pagoda::sim::BadRecords;
using pagoda::sim::DecompressedFile;
using pagoda::sim::ForeignFormat;
using pagoda::sim::ForeignTotals;

constexpr std::array<std::string_view, 64> kWords = {"\n",
                                                     "\n",
                                                     " ",
                                                     " ",
                                                     "  ",
                                                     "\t",
                                                     ",",
                                                     ":",
                                                     "I",
                                                     "L",
                                                     "S",
                                                     "M",
                                                     "SB",
                                                     "R",
                                                     "W",
                                                     "l",
                                                     "s",
                                                     "r",
                                                     "0x",
                                                     "0",
                                                     "1",
                                                     "2",
                                                     "4",
                                                     "8",
                                                     "00001000",
                                                     "7fff12345678",
                                                     "ffffffffffffffff",
                                                     "18446744073709551615",
                                                     "4096",
                                                     "512",
                                                     "(nil)",
                                                     "#eof",
                                                     "==1==",
                                                     "W0.T1",
                                                     "T7",
                                                     "ifetch",
                                                     "read",
                                                     "write",
                                                     "byte(s)",
                                                     "@",
                                                     "by",
                                                     "PC",
                                                     "<marker: x>",
                                                     "...",
                                                     "1.25:",
                                                     "page-faults:",
                                                     "cpu/mem-stores/:",
                                                     "|OP",
                                                     "LOAD",
                                                     "f+0x1",
                                                     "(/usr/bin/x)",
                                                     "8,0",
                                                     "0.5",
                                                     "Q",
                                                     "C",
                                                     "+",
                                                     "Read",
                                                     "Write",
                                                     "time",
                                                     "lbn",
                                                     "size",
                                                     "op",
                                                     "id",
                                                     "CPU0 (8,0):"};

class PageChecker final : public pagoda::sim::TraceSink {
 public:
  void append(const pagoda::sim::TraceRecord& record) override {
    PAGODA_CHECK_LT(record.page.value(), pagoda::sim::kTracePageLimit);
    PAGODA_CHECK(record.access != pagoda::sim::TraceAccess());
    references_ += record.raw_references;
  }
  void expect(std::uint64_t references, std::uint64_t behind) const {
    PAGODA_CHECK_EQ(references_ + behind, references);
  }

 private:
  std::uint64_t references_ = 0;
};

void check_message(const std::string& message) {
  PAGODA_CHECK(message.starts_with("f: ") || message.starts_with("f:"));
  PAGODA_CHECK(message.find('\n') == std::string::npos);
  PAGODA_CHECK(message.find(';') != std::string::npos);
}

std::vector<char> make_file(std::span<const std::uint8_t> input, bool of_words) {
  std::vector<char> file;
  for (const std::uint8_t byte : input) {
    if (of_words) {
      const std::string_view word = kWords[byte % kWords.size()];
      file.insert(file.end(), word.begin(), word.end());
      if (byte >= 128) file.push_back(' ');
    } else {
      file.push_back(static_cast<char>(byte));
    }
  }
  return file;
}

pagoda::Input<ForeignTotals> read_checked(DecompressedFile& file, const ForeignFormat& format, BadRecords bad_records) {
  PageChecker pages;
  pagoda::sim::TraceReducer reducer(4, pages);
  auto totals = pagoda::sim::import_foreign(file, format, reducer, bad_records);
  if (totals) {
    pages.expect(totals->references, reducer.flush());
    PAGODA_CHECK_LE(totals->bad_records, totals->records);
    PAGODA_CHECK_EQ(totals->first_bad.empty(), totals->bad_records == 0);
  } else {
    check_message(totals.error().message);
  }
  return totals;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::vector<char> bytes = make_file(std::span(data, size).subspan(2), data[1] % 4 != 0);
  auto strict = DecompressedFile::from_bytes("f", bytes);
  auto tolerant = DecompressedFile::from_bytes("f", bytes);
  if (!strict || !tolerant) {
    check_message(strict ? tolerant.error().message : strict.error().message);
    return 0;
  }
  const auto formats = pagoda::sim::foreign_formats();
  const std::size_t choice = data[0] % (formats.size() + 1);
  const ForeignFormat* format = choice == formats.size() ? nullptr : &formats[choice];
  const auto told = pagoda::sim::recognise(*strict);
  if (!told) check_message(told.error().message);
  if (format == nullptr) {
    if (!told) return 0;
    format = *told;
  }
  // What is refused is what is left out, and nothing else is.
  const auto left_out = read_checked(*tolerant, *format, BadRecords::kSkip);
  const auto refused = read_checked(*strict, *format, BadRecords::kRefuse);
  if (left_out) PAGODA_CHECK_EQ(refused.has_value(), left_out->bad_records == 0);
  return 0;
}
