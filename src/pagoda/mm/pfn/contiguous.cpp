// Runs of frames, for large pages: taken where the machine has as many available ones in a row. No page is moved to
// make room for them.
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
    for (; never_used_.value() < start; ++never_used_) {
      --available_;
      put(never_used_, PageState::kZeroed, PageLists::End::kTail);
    }
    return take_run(cpu, never_used_, count);
  }
  for (std::uint64_t first = 0; first + count.value() <= frames_.value(); first += step) {
    const Pfn frame(static_cast<std::uint32_t>(first));
    if (is_run_available(frame, count)) return take_run(cpu, frame, count);
  }
  return fail(Status::kInsufficientResources);
}

bool PfnDatabase::is_run_available(Pfn first, PageCount count) const {
  for (Pfn frame = first; frame < first + count && frame < never_used_; ++frame)
    if (!is_available(entry(frame).state)) return false;
  return true;
}

PfnDatabase::TakenFrame PfnDatabase::take_run(machine::Processor& cpu, Pfn first, PageCount count) {
  TakenFrame run{.frame = first, .zeroed = true};
  for (Pfn frame = first; frame < first + count; ++frame) {
    if (frame >= never_used_) {
      ++never_used_;
      --available_;
    } else {
      const PageState state = entry(frame).state;
      if (state != PageState::kZeroed) run.zeroed = false;
      if (state == PageState::kStandby) {
        repurpose(cpu, frame);
      } else {
        take_off(frame);
      }
    }
    mark_taken(frame);
  }
  return run;
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
