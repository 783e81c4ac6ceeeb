#include "pagoda/mm/pfn/available_blocks.h"

#include <bit>

namespace pagoda::mm {

AvailableBlocks::AvailableBlocks(PageCount frames, PageCount block)
    : shift_(static_cast<unsigned>(std::countr_zero(block.value()))),
      taken_((frames.value() + block.value() - 1) / block.value()),
      broken_(taken_.size()),
      used_up_(taken_.size()) {
  PAGODA_CHECK(std::has_single_bit(block.value()) && shift_ < 16);
  // What is missing of the last one.
  for (std::uint64_t frame = frames.value(); frame < taken_.size() * block.value(); ++frame)
    take(Pfn(static_cast<std::uint32_t>(frame)));
}

}  // namespace pagoda::mm
