#include "pagoda/sim/image/dump/lime_image.h"

#include <utility>

#include "pagoda/base/status.h"
#include "pagoda/sim/image/byte_fields.h"
#include "pagoda/sim/image/dump/range_header.h"

namespace pagoda::sim {

Input<std::unique_ptr<MemoryImage>> open_lime(const std::shared_ptr<const StoredBytes>& file) {
  using namespace std::string_view_literals;
  auto image = std::make_unique<PlainRanges>(file);
  for (std::uint64_t at = 0; at < file->size();) {
    const auto header = PAGODA_TRY(read_range_header(*file, at, "EMiL\1\0\0\0"sv));
    at += kRangeHeaderBytes;
    image->add({.first = header.first, .bytes = header.bytes, .place = at});
    at = sum_or_most(at, header.bytes);
  }
  image->warn_of_cut();
  return image;
}

}  // namespace pagoda::sim
