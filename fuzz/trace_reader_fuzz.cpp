// Any bytes at all: the trace reader refuses them in one line, or reads them to the end and agrees with its own
// summary.
//
// The first byte chooses how the rest becomes a file: as it is; compressed, so that the fuzzer reaches header and
// records; or compressed and sealed.
#include <zstd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "pagoda/base/check.h"
#include "pagoda/sim/trace/trace_format.h"
#include "pagoda/sim/trace/trace_reader.h"

namespace {

using pagoda::sim::TraceReader;
using pagoda::sim::TraceRecord;

constexpr std::uint64_t kRecordsMax =
    4'000'000;  // A few bytes can decompress to many; the rest of those says nothing new.

void check_message(const std::string& message) {
  PAGODA_CHECK(message.starts_with("f: "));
  PAGODA_CHECK(message.find('\n') == std::string::npos);
  PAGODA_CHECK(message.find(';') != std::string::npos);
}

std::vector<std::uint8_t> make_file(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return {};
  const std::uint8_t kind = *data % 3;
  std::vector<std::uint8_t> rest(data + 1, data + size);
  if (kind == 0) return rest;
  std::vector<std::uint8_t> file(ZSTD_compressBound(rest.size()));
  file.resize(ZSTD_compress(file.data(), file.size(), rest.data(), rest.size(), 1));
  if (kind == 2) {
    pagoda::sim::trace_format::SealHasher hasher;
    hasher.update(file);
    const auto seal = hasher.seal();
    file.insert(file.end(), seal.begin(), seal.end());
  }
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto reader = TraceReader::from_bytes("f", make_file(data, size));
  if (!reader) {
    check_message(reader.error().message);
    return 0;
  }
  static std::array<TraceRecord, 4096> batch;
  std::uint64_t records = 0;
  std::uint64_t references = 0;
  while (records < kRecordsMax) {
    const auto count = reader->next_batch(batch);
    if (!count) {
      check_message(count.error().message);
      return 0;
    }
    if (*count == 0) {
      PAGODA_CHECK_EQ(records, reader->info().records);
      if (records != 0) PAGODA_CHECK_EQ(references, reader->info().references);
      return 0;
    }
    for (std::size_t i = 0; i < *count; ++i) {
      PAGODA_CHECK_LT(batch[i].page.value(), pagoda::sim::kTracePageLimit);
      PAGODA_CHECK(batch[i].access != pagoda::sim::TraceAccess());
      references += batch[i].raw_references;
    }
    records += *count;
  }
  return 0;
}
