// A file's bytes through its data section: flushing, truncating, reading and writing. There is one copy of each page,
// the one that views show.
#include <algorithm>
#include <array>
#include <cstring>

#include "pagoda/mm/section/mapped_read.h"
#include "pagoda/mm/section/mapped_write.h"
#include "pagoda/mm/section/sections.h"

namespace pagoda::mm {

namespace {

struct DirtyRun {
  PageCount first;
  std::array<Pfn, kMaxTransferPages> frame{};
  std::size_t count = 0;
  PageCount next;        // Where to go on looking.
  bool waiting = false;  // A page of the range is being written already.
  Transfers::Id transfer{};

  [[nodiscard]] std::span<const Pfn> frames() const { return std::span(frame).first(count); }
};

// The next run of modified pages of the segment, from `from` on, and starts their write.
DirtyRun next_dirty(Core& core, const Processor& cpu, const ControlArea& area, PageCount from, PageCount end)
    PAGODA_REQUIRES(core.pfns.lock) {
  DirtyRun dirty{.next = from};
  while (dirty.next < end) {
    const VirtualAddress prototype = area.prototype_of(core.codec, dirty.next);
    const PhysicalAddress pte = core.prototypes.find(prototype);
    if (pte == PrototypePool::kNone) {
      if (dirty.count > 0) return dirty;
      dirty.next += core.prototypes.entries_left(prototype);
      continue;
    }
    const RawPte raw = core.load(cpu, pte);
    bool wanted = PteCodec::is_valid(raw) || PteCodec::is_transition(raw);
    if (wanted) {
      const PfnEntry& entry = core.pfns.entry(core.codec.frame(raw));
      if (entry.write_in_progress) dirty.waiting = true;
      wanted = entry.modified && !entry.write_in_progress;
    }
    if (!wanted && dirty.count > 0) return dirty;
    if (wanted) {
      const Pfn frame = core.codec.frame(raw);
      if (dirty.count == 0) dirty.first = dirty.next;
      core.pfns.begin_write(frame, core.pfns.entry(frame).original_pte);
      dirty.frame[dirty.count++] = frame;
    }
    ++dirty.next;
    if (dirty.count == kMaxTransferPages) return dirty;
  }
  return dirty;
}

}  // namespace

Result<> Sections::flush(Processor& cpu, FileStream& file, FileOffset offset, ByteCount size) {
  const Use area = use_data_if_any(cpu, file);
  if (area.get() == nullptr) return {};
  Status worst = Status::kSuccess;
  for (;;) {
    bool waiting = false;
    Time last;
    PageCount from = PageCount(offset.value() / kPageBytes);
    PageCount end;
    {
      const LockGuard guard(core_.pfns.lock);
      core_.transfers.complete(cpu.now(), core_.pfns);
      end = (*area).pages();
    }
    if (!size.is_zero()) end = std::min(end, pages_of(ByteCount(offset.value()) + size));
    while (from < end) {
      DirtyRun dirty;
      {
        const LockGuard guard(core_.pfns.lock);
        dirty = next_dirty(core_, cpu, *area, from, end);
        if (dirty.count > 0)
          dirty.transfer = core_.transfers.begin(Transfers::Kind::kWrite, dirty.frames(), SlotName{});
      }
      waiting |= dirty.waiting;
      from = dirty.next;
      if (dirty.count == 0) continue;
      const MappedWrite write = write_mapped(core_, cpu, file, dirty.first, dirty.frames(), dirty.transfer);
      if (write.status != Status::kSuccess) worst = write.status;
      last = std::max(last, write.completes);
    }
    cpu.wait_until(last);
    {
      const LockGuard guard(core_.pfns.lock);
      if (waiting) core_.transfers.wait_for_any(cpu, core_.pfns);
      if (cpu.is_blocked()) return fail(Status::kPending);
      core_.transfers.complete(cpu.now(), core_.pfns);
    }
    if (worst != Status::kSuccess) return fail(worst);
    if (!waiting) return {};
  }
}

Result<> Sections::may_truncate(FileStream& file, ByteCount size) {
  const LockGuard guard(lock);
  return may_truncate_locked(file, size);
}

Result<> Sections::may_truncate_locked(const FileStream& file, ByteCount size) const {
  if (size >= file.size()) return {};
  const LockGuard guard(core_.pfns.lock);
  // Who has a section can map it at any time. NT: NumberOfUserReferences; of an image, MmFlushImageSection.
  const ControlArea* const data = file.data_;
  const bool mapped = data != nullptr && (data->mapped_views > 0 || data->section_references > 0);
  const bool image = file.image_ != nullptr && file.image_->is_used();
  return mapped || image ? fail(Status::kUserMappedFile) : Result<>{};
}

// Pages beyond the new end lose their contents. Nothing does before the last page that stays is in memory and all
// transfers have ended.
Result<> Sections::cut(Processor& cpu, ControlArea& area, ByteCount size) {
  const std::uint64_t tail = size.value() & kPageOffsetMask;
  Pfn last = kNoPfn;
  if (tail != 0 && pages_of(size) <= area.pages()) last = PAGODA_TRY(hold(cpu, area, pages_of(size) - 1_pages));
  for (;;) {
    const LockGuard guard(core_.pfns.lock);
    core_.transfers.complete(cpu.now(), core_.pfns);
    Status status = Status::kSuccess;
    if (area.mapped_views > 0) {
      status = Status::kUserMappedFile;  // Since the file was looked at.
    } else {
      if (drop_pages(cpu, area, pages_of(size))) break;
      core_.transfers.wait_for_any(cpu, core_.pfns);
      if (!cpu.is_blocked()) continue;
      status = Status::kPending;
    }
    if (last != kNoPfn) core_.pfns.unpin(last, PteCodec::Dirty::kNo);
    return fail(status);
  }
  if (last == kNoPfn) return {};
  std::memset(cpu.physical().bytes(last, machine::Access::kWrite).data() + tail, 0, kPageBytes - tail);
  let_go(last, PteCodec::Dirty::kYes);
  return {};
}

// All pages of the segment from `first` on, or none: false if one of them is being read or written.
bool Sections::drop_pages(const Processor& cpu, ControlArea& area, PageCount first) {
  for (const bool drop : {false, true}) {
    for (PageCount page = first; page < area.pages();) {
      const VirtualAddress prototype = area.prototype_of(core_.codec, page);
      const PhysicalAddress pte = core_.prototypes.find(prototype);
      if (pte == PrototypePool::kNone) {
        page += core_.prototypes.entries_left(prototype);
        continue;
      }
      const RawPte raw = core_.load(cpu, pte);
      if (PteCodec::is_transition(raw)) {
        const PfnEntry& entry = core_.pfns.entry(core_.codec.frame(raw));
        if (entry.read_in_progress || entry.write_in_progress) return false;
        if (drop) {
          machine::store_entry(cpu.physical(), core_.mode, pte, area.template_of(core_.codec, page));
          core_.pfns.remove(core_.codec.frame(raw));
        }
      }
      ++page;
    }
  }
  return true;
}

// Entries behind the new end say nothing from then on, as those of a page that is made later.
bool Sections::shrink(const Processor& cpu, ControlArea& area, PageCount pages) {
  if (pages >= area.pages_) return true;
  if (!drop_pages(cpu, area, pages)) return false;
  for (PageCount page = pages; page < area.pages_;) {
    const VirtualAddress prototype = area.prototype_of(core_.codec, page);
    const PhysicalAddress pte = core_.prototypes.find(prototype);
    if (pte == PrototypePool::kNone) {
      page += core_.prototypes.entries_left(prototype);
      continue;
    }
    machine::store_entry(cpu.physical(), core_.mode, pte, 0);
    ++page;
  }
  area.set_end(pages);
  return true;
}

Result<> Sections::set_file_size(Processor& cpu, FileStream& file, ByteCount size) {
  return with_memory(relief_, cpu, [&]() -> Result<> {
    const FileChange change(*this, file);
    for (;;) {
      PAGODA_TRY(may_truncate(file, size));
      if (size < file.size()) {
        if (const Use data = use_data_if_any(cpu, file); data.get() != nullptr) PAGODA_TRY(cut(cpu, *data, size));
      }
      const LockGuard guard(lock);
      PAGODA_TRY(may_truncate_locked(file, size));
      if (size >= file.size()) return lengthen(cpu, file, size);
      if (file.data_ != nullptr) {
        const LockGuard pfn_guard(core_.pfns.lock);
        if (!shrink(cpu, *file.data_, pages_of(size))) continue;  // Somebody reads or writes behind the end again.
      }
      if (file.image_ != nullptr) destroy(cpu, *file.image_);
      return file.file_->resize(size);
    }
  });
}

Result<> Sections::lengthen(Processor& cpu, FileStream& file, ByteCount size) {
  if (size > file.size()) PAGODA_TRY(resize_file(cpu, file, size));
  const PageCount pages = pages_of(file.size());
  return file.data_ != nullptr && pages > file.data_->pages() ? grow(cpu, *file.data_, pages) : Result<>{};
}

Result<FileOffset> Sections::make_room(Processor& cpu, FileStream& file, std::optional<FileOffset> at,
                                       ByteCount bytes) {
  const LockGuard guard(lock);
  const FileOffset first = at.value_or(FileOffset(file.size().value()));
  PAGODA_TRY(lengthen(cpu, file, ByteCount(first.value()) + bytes));
  return first;
}

// What programs wrote behind the end of the file, into the rest of its last page, must not become part of it.
Result<> Sections::resize_file(const Processor& cpu, FileStream& file, ByteCount size) {
  const std::uint64_t tail = file.size().value() & kPageOffsetMask;
  if (file.data_ != nullptr && size > file.size() && tail != 0) {
    const LockGuard guard(core_.pfns.lock);
    const PageCount page = pages_of(file.size()) - 1_pages;
    const RawPte raw = core_.load_prototype(cpu, file.data_->prototype_of(core_.codec, page));
    if (PteCodec::is_valid(raw) || PteCodec::is_transition(raw))
      std::memset(cpu.physical().bytes(core_.codec.frame(raw), machine::Access::kWrite).data() + tail, 0,
                  kPageBytes - tail);
  }
  return file.file_->resize(size);
}

Result<Pfn> Sections::hold(Processor& cpu, ControlArea& area, PageCount page) {
  for (;;) {
    {
      const LockGuard guard(core_.pfns.lock);
      core_.transfers.complete(cpu.now(), core_.pfns);
      if (core_.pfns.available() < kFaultReserve) return fail(Status::kNoMemory);
      if (page >= area.pages()) return fail(Status::kEndOfFile);
      const RawPte raw = core_.load_prototype(cpu, area.prototype_of(core_.codec, page));
      if (PteCodec::is_valid(raw) || PteCodec::is_transition(raw)) {
        const Pfn frame = core_.codec.frame(raw);
        const PfnEntry& entry = core_.pfns.entry(frame);
        if (!entry.read_in_progress) {
          if (!is_listed(entry.state) && entry.reference_count >= PfnEntry::kMostCounted)
            return fail(Status::kInsufficientResources);
          core_.pfns.pin(frame);
          return frame;
        }
        core_.transfers.wait_for_read(cpu, core_.pfns, frame);
        if (cpu.is_blocked()) return fail(Status::kPending);
        continue;
      }
    }
    MappedRead begun = begin_mapped_read(core_, cpu, area, page);
    if (begun.status != Status::kSuccess) return fail(begun.status);
    if (!begun.cluster) continue;
    const ReadOutcome read = finish_read(core_, cpu, *begun.cluster);
    if (read.status != Status::kSuccess) return fail(read.status);
    cpu.wait_until(read.completes);
    if (cpu.is_blocked()) return fail(Status::kPending);
  }
}

void Sections::let_go(Pfn frame, PteCodec::Dirty dirty) {
  const LockGuard guard(core_.pfns.lock);
  core_.pfns.unpin(frame, dirty);
}

Result<Sections::Use> Sections::use_data(Processor& cpu, const std::shared_ptr<FileStream>& file) {
  const LockGuard guard(lock);
  return Use(*this, cpu, *PAGODA_TRY(area_for(cpu, {.file = file, .kind = SectionKind::kData}, {})));
}

Sections::Use Sections::use_data_if_any(Processor& cpu, const FileStream& file) {
  const LockGuard guard(lock);
  return file.data_ == nullptr ? Use() : Use(*this, cpu, *file.data_);
}

template <class Move>
Result<std::size_t> Sections::transfer_in_page(Processor& cpu, ControlArea& area, FileOffset offset, std::size_t bytes,
                                               PteCodec::Dirty dirty, Move&& move) {
  const std::uint64_t in_page = offset.value() % kPageBytes;
  const Pfn frame = PAGODA_TRY(hold(cpu, area, PageCount(offset.value() / kPageBytes)));
  const std::size_t length = std::min<std::size_t>(bytes, kPageBytes - in_page);
  {
    const machine::FrameView view =
        cpu.physical().bytes(frame, dirty == PteCodec::Dirty::kYes ? machine::Access::kWrite : machine::Access::kRead);
    move(view.data() + in_page, length);
  }
  let_go(frame, dirty);
  return length;
}

Result<std::size_t> Sections::read_in_page(Processor& cpu, ControlArea& area, FileOffset offset,
                                           std::span<std::byte> into) {
  return transfer_in_page(cpu, area, offset, into.size(), PteCodec::Dirty::kNo,
                          [&](const std::byte* page, std::size_t length) { std::memcpy(into.data(), page, length); });
}

template <class Move>
Result<ByteCount> Sections::transfer(Processor& cpu, const std::shared_ptr<FileStream>& file, FileOffset offset,
                                     std::size_t bytes, PteCodec::Dirty dirty, Move&& move) {
  const Use area = PAGODA_TRY(use_data(cpu, file));
  std::size_t done = 0;
  while (done < bytes) {
    const auto result = with_memory(relief_, cpu, [&]() -> Result<> {
      done += PAGODA_TRY(transfer_in_page(cpu, *area, offset + ByteCount(done), bytes - done, dirty,
                                          [&](std::byte* page, std::size_t length) { move(page, done, length); }));
      return {};
    });
    // Begun anew, pages that were there may have left meanwhile, or the file was cut: what is done is done.
    const bool ends = !result && (result.error() == Status::kPending || result.error() == Status::kEndOfFile);
    if (ends && done > 0) break;
    if (!result) return std::unexpected(result.error());
  }
  return ByteCount(done);
}

Result<ByteCount> Sections::read(Processor& cpu, const std::shared_ptr<FileStream>& file, FileOffset offset,
                                 std::span<std::byte> into) {
  if (into.empty()) return ByteCount{};
  if (offset.value() >= file->size().value()) return fail(Status::kEndOfFile);
  const std::size_t bytes = std::min<std::uint64_t>(into.size(), file->size().value() - offset.value());
  return transfer(cpu, file, offset, bytes, PteCodec::Dirty::kNo,
                  [&](const std::byte* page, std::size_t done, std::size_t length) {
                    std::memcpy(into.data() + done, page, length);
                  });
}

Result<ByteCount> Sections::write(Processor& cpu, const std::shared_ptr<FileStream>& file, FileOffset offset,
                                  std::span<const std::byte> from) {
  if (from.empty()) return ByteCount{};
  for (;;) {
    PAGODA_TRY(make_room(cpu, *file, offset, ByteCount(from.size())));
    const auto written = transfer(
        cpu, file, offset, from.size(), PteCodec::Dirty::kYes,
        [&](std::byte* page, std::size_t done, std::size_t length) { std::memcpy(page, from.data() + done, length); });
    if (written || written.error() != Status::kEndOfFile) return written;  // Else the file was cut meanwhile.
  }
}

}  // namespace pagoda::mm
