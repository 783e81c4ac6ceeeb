#include "pagoda/sim/image/memory_image.h"

#include <fmt/format.h>

#include <algorithm>

#include "pagoda/base/status.h"
#include "pagoda/sim/image/byte_fields.h"

namespace pagoda::sim {

void PlainRanges::add(const StoredRange& range) {
  const std::uint64_t there = range.place >= file_->size() ? 0 : std::min(range.bytes, file_->size() - range.place);
  add_range({.first = range.first, .bytes = there, .place = range.place});
  cut_bytes_ = sum_or_most(cut_bytes_, range.bytes - there);
}

void PlainRanges::warn_of_cut() {
  if (cut_bytes_ == 0) return;
  const PageCount pages(parts_of(cut_bytes_, kPageBytes));
  add_absent(pages);
  warn(fmt::format("the file is cut: {} pages that its headers name are not in it", pages.value()));
}

Input<> PlainRanges::read(const StoredRange& range, std::uint64_t at, std::span<std::byte> bytes) {
  const auto count = PAGODA_TRY(file_->read(range.place + at, bytes));
  if (count < bytes.size()) return file_->damaged("became shorter while it was read");
  return {};
}

}  // namespace pagoda::sim
