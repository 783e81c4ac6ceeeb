// Frames of which it matters where they lie: in a row, for large pages, taken where the machine has as many available
// ones; and below an address. No page is moved to make room for them.
#include <algorithm>

#include "pagoda/mm/pfn/pfn_database.h"

namespace pagoda::mm {

Result<PfnDatabase::TakenFrame> PfnDatabase::take_contiguous(machine::Processor& cpu, PageCount count,
                                                             PageCount alignment, PageCount kept) {
  PAGODA_DCHECK(!count.is_zero() && !alignment.is_zero());
  if (count + kept > available_) return fail(Status::kInsufficientResources);
  const std::uint64_t step = alignment.value();
  const std::uint64_t start = (std::uint64_t{never_used_.value()} + step - 1) / step * step;
  if (start + count.value() <= frames_.value()) {
    // Frames that are skipped count as used from now on.
    while (never_used_.value() < start) put(use_next(), PageState::kZeroed, PageLists::End::kTail);
    return take_run(cpu, never_used_, count);
  }
  const Pfn first = find_run(count, step);
  if (first == kNoPfn) return fail(Status::kInsufficientResources);
  return take_run(cpu, first, count);
}

Pfn PfnDatabase::find_run(PageCount count, std::uint64_t step) const {
  const std::uint64_t block = blocks_.block().value();
  if (count.value() % block != 0 || step % block != 0) {
    // No large page: frame by frame.
    for (std::uint64_t first = 0; first + count.value() <= frames_.value(); first += step)
      if (const Pfn frame(static_cast<std::uint32_t>(first)); is_run_available(frame, count)) return frame;
    return kNoPfn;
  }
  const std::size_t blocks = count.value() / block;
  const std::size_t blocks_a_step = step / block;
  for (std::size_t at = blocks_.next_whole(0); at + blocks <= blocks_.size(); at = blocks_.next_whole(at)) {
    if (at % blocks_a_step != 0) {
      at = (at / blocks_a_step + 1) * blocks_a_step;
      continue;
    }
    std::size_t end = at + 1;
    while (end < at + blocks && blocks_.taken(end) == 0) ++end;
    if (end == at + blocks) return blocks_.first_of(at);
    at = end;
  }
  return kNoPfn;
}

bool PfnDatabase::is_run_available(Pfn first, PageCount count) const {
  for (Pfn frame = first; frame < first + count && frame < never_used_; ++frame)
    if (!is_available(entry(frame).state)) return false;
  return true;
}

PfnDatabase::TakenFrame PfnDatabase::take_run(machine::Processor& cpu, Pfn first, PageCount count) {
  TakenFrame run{.frame = first, .zeroed = true};
  for (Pfn frame = first; frame < first + count; ++frame) run.zeroed &= take_frame(cpu, frame).zeroed;
  return run;
}

PfnDatabase::TakenFrame PfnDatabase::take_frame(machine::Processor& cpu, Pfn frame) {
  TakenFrame taken{.frame = frame, .zeroed = true};
  if (frame >= never_used_) {
    PAGODA_CHECK(use_next() == frame);
  } else {
    const PageState state = entry(frame).state;
    taken.zeroed = state == PageState::kZeroed;
    if (state == PageState::kStandby) {
      repurpose(cpu, frame);
    } else {
      take_off(frame);
    }
  }
  mark_taken(frame);
  return taken;
}

// Of the first block that has any: zeroed before free before standby, as `take` does.
Result<PfnDatabase::TakenFrame> PfnDatabase::take_below(machine::Processor& cpu, Pfn end) {
  if (none_to_spare()) return fail(Status::kInsufficientResources);
  const std::size_t block = blocks_.next_with_any(0);
  if (block == blocks_.size() || blocks_.first_of(block) >= end) return fail(Status::kInsufficientResources);
  const Pfn first = blocks_.first_of(block);
  Pfn best = kNoPfn;
  for (Pfn frame = first; frame < first + blocks_.block() && frame < never_used_ && frame < end; ++frame) {
    const PageState state = entry(frame).state;
    if (is_available(state) && (best == kNoPfn || state < entry(best).state)) best = frame;
  }
  const bool has_new = never_used_.value() < std::min(frames_.value(), std::uint64_t{end.value()}) &&
                       blocks_.block_of(never_used_) == block;
  if (has_new && (best == kNoPfn || entry(best).state != PageState::kZeroed)) best = never_used_;
  if (best == kNoPfn) return fail(Status::kInsufficientResources);
  return take_frame(cpu, best);
}

void PfnDatabase::make_large(Pfn first, PageCount count, PhysicalAddress entry_of_page, RawPte original) {
  for (Pfn frame = first; frame < first + count; ++frame) {
    PfnEntry& e = writable(frame);
    PAGODA_CHECK(e.is_taken());
    note_use(frame);
    e.state = PageState::kActive;
    e.set_pte(entry_of_page);
    e.original_pte = original;
    e.modified = 1;
    e.share_count = 1;
    e.reference_count = 1;
    note_mapped(e);
  }
  add_table_share(entry_of_page.pfn());
}

void PfnDatabase::share_large(Pfn first, PageCount count, Pfn table) {
  for (Pfn frame = first; frame < first + count; ++frame) {
    PAGODA_CHECK(entry(frame).state == PageState::kActive && entry(frame).prototype_pte);
    PAGODA_CHECK_LT(entry(frame).share_count, PfnEntry::kMostCounted);
    ++writable(frame).share_count;
  }
  add_table_share(table);
}

void PfnDatabase::unshare_large(Pfn first, PageCount count, Pfn table) {
  for (Pfn frame = first; frame < first + count; ++frame) {
    PAGODA_CHECK_GT(entry(frame).share_count, 1U);
    --writable(frame).share_count;
  }
  drop_table_share(table);
}

void PfnDatabase::remove_large(Pfn first, PageCount count) {
  const Pfn table = entry(first).containing_page();
  for (Pfn frame = first; frame < first + count; ++frame) {
    PAGODA_CHECK(entry(frame).state == PageState::kActive && entry(frame).reference_count == 1);
    put_free(frame);
  }
  drop_table_share(table);
}

}  // namespace pagoda::mm
