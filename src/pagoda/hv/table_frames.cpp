#include "pagoda/hv/table_frames.h"

#include <algorithm>
#include <span>

namespace pagoda::hv {

namespace {

// Frames asked for at once. A choice: a page of tables covers 2 MB.
constexpr PageCount kBatch{8};

}  // namespace

Result<> TableFrames::reserve(mm::Processor& cpu, PageCount wanted) {
  while (spare_.size() < wanted.value()) {
    const auto frames =
        PAGODA_TRY(vmmem_.user_pages().allocate(cpu, std::max(kBatch, wanted - PageCount(spare_.size()))));
    for (const Pfn frame : frames) spare_.push_back({frame});
    owned_ += PageCount(frames.size());
  }
  return {};
}

Pfn TableFrames::take(const machine::PhysicalView& memory) {
  PAGODA_CHECK(!spare_.empty());
  const Spare spare = spare_.back();
  spare_.pop_back();
  if (spare.contents == Spare::Contents::kOld) memory.zero(spare.frame);
  return spare.frame;
}

void TableFrames::give_back(Pfn frame) { spare_.push_back({frame, Spare::Contents::kOld}); }

void TableFrames::give_spare_back(mm::Processor& cpu) {
  for (const Spare& spare : spare_) {
    const auto freed = vmmem_.user_pages().free(cpu, std::span(&spare.frame, 1));
    PAGODA_CHECK_EQ(freed.status, Status::kSuccess);
    --owned_;
  }
  spare_.clear();
}

}  // namespace pagoda::hv
