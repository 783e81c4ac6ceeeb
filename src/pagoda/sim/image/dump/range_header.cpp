#include "pagoda/sim/image/dump/range_header.h"

#include <fmt/format.h>

#include "pagoda/base/status.h"
#include "pagoda/sim/image/byte_fields.h"

namespace pagoda::sim {

Input<RangeHeader> read_range_header(const StoredBytes& file, std::uint64_t at, std::string_view magic) {
  const auto bytes = PAGODA_TRY(file.read_all(at, kRangeHeaderBytes, fmt::format("the header at {:#x}", at)));
  const ByteFields fields(bytes);
  if (fields.text(0, magic.size()) != magic)
    return file.damaged(fmt::format("damaged: at {:#x} the header of a range should stand", at));
  const std::uint64_t first = fields.u64(8);
  const std::uint64_t last = fields.u64(16);
  if (last < first || last - first == ~std::uint64_t{0})
    return file.damaged(fmt::format("damaged: the range at {:#x} ends before it begins", at));
  return RangeHeader{.first = first, .bytes = last - first + 1};
}

}  // namespace pagoda::sim
