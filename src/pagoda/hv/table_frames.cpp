#include "pagoda/hv/table_frames.h"

#include <algorithm>
#include <span>

#include "pagoda/mm/backing/shortage.h"

namespace pagoda::hv {

namespace {

// Frames asked for at once. A choice: a page of tables covers 2 MB.
constexpr PageCount kBatch{8};

}  // namespace

Result<> TableFrames::reserve(mm::Processor& cpu, PageCount wanted) {
  return mm::with_memory(vmmem_.relief(), cpu, [&]() -> Result<> {
    while (spare_.size() < wanted.value()) {
      const PageCount missing = wanted - PageCount(spare_.size());
      const auto frames = vmmem_.user_pages().allocate(cpu, std::max(kBatch, missing));
      if (!frames) return fail(may_get(missing) ? Status::kNoMemory : frames.error());
      for (const Pfn frame : *frames) spare_.push_back({frame});
      owned_ += PageCount(frames->size());
    }
    return {};
  });
}

bool TableFrames::may_get(PageCount frames) const {
  mm::Core& host = vmmem_.core();
  const LockGuard guard(host.pfns.lock);
  return host.resident.available() >= frames && host.commit.charged() + frames <= host.commit.limit();
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
