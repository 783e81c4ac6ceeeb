#include "pagoda/mm/backing/compression_store.h"

#include <lz4.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace pagoda::mm {

namespace {

// The store takes a frame only if so many stay available: half of what a fault may be in the middle of taking. It runs
// when memory is short, and each frame that it takes makes two and more available.
constexpr PageCount kKept = kFaultReserve / 2;
static_assert(kKept > kKeptForEviction);

// PTEs of x86 have 20 bits for a slot.
constexpr PageCount kMostSlotsX86{(1U << 20) - 1};
constexpr PageCount kMostSlots{(std::uint64_t{1} << 31) - 1};

PageCount usable_budget(const machine::PagingMode& mode, const Tunables& tunables) {
  const PageCount slots = mode.format == machine::PteFormat::kX86 ? kMostSlotsX86 : kMostSlots;
  // An entry takes a chunk at least, so that slots never run out before chunks do.
  return std::min(tunables.compression_budget, slots / CompressionStore::kChunksPerFrame);
}

}  // namespace

CompressionStore::CompressionStore(PfnDatabase& pfns, BackingSet& backings, const machine::Machine& machine,
                                   const Tunables& tunables)
    : Backing(Medium::kMemory),
      pfns_(pfns),
      costs_(machine.costs()),
      budget_(usable_budget(machine.paging(), tunables)),
      most_bytes_(std::min<std::size_t>(tunables.most_compressed.value(), kPageBytes / 4 * 3)),
      most_chunks_(chunks_for(most_bytes_)),
      entries_(budget_.is_zero() ? 0 : budget_.value() * kChunksPerFrame + 1),
      links_(budget_.value() * kChunksPerFrame) {
  if (!is_enabled()) return;
  backings.add(kNumber, *this);
  const LockGuard guard(pfns.lock);
  pfns.keep(kKeptForEviction);
}

bool CompressionStore::has_room() const {
  pfns_.lock.assert_held();
  if (!is_enabled()) return false;
  return free_chunks_ >= most_chunks_ || (held_ < budget_ && pfns_.available() > kKept);
}

bool CompressionStore::add_frame(machine::Processor& cpu) {
  pfns_.lock.assert_held();
  if (held_ == budget_ || pfns_.available() <= kKept) return false;
  const auto taken = pfns_.take(cpu, Contents::kAny);
  if (!taken) return false;
  pfns_.make_nonpaged(taken->frame);
  while (first_hole_ < frame_.size() && frame_[first_hole_] != kNoPfn) ++first_hole_;
  if (first_hole_ == frame_.size()) {
    frame_.push_back(kNoPfn);
    free_.push_back(0);
  }
  frame_[first_hole_] = taken->frame;
  free_[first_hole_] = kAllFree;
  first_free_ = std::min(first_free_, first_hole_);
  free_chunks_ += kChunksPerFrame;
  ++held_;
  return true;
}

void CompressionStore::drop_frame(std::uint32_t index) {
  pfns_.lock.assert_held();
  pfns_.free_nonpaged(frame_[index]);
  frame_[index] = kNoPfn;
  free_[index] = 0;
  first_hole_ = std::min(first_hole_, index);
  free_chunks_ -= kChunksPerFrame;
  --held_;
  while (!frame_.empty() && frame_.back() == kNoPfn) {
    frame_.pop_back();
    free_.pop_back();
  }
}

std::uint32_t CompressionStore::take_slot() {
  if (free_slot_ == kNone) return end_++;
  const std::uint32_t slot = free_slot_;
  free_slot_ = entries_[slot].newer;
  return slot;
}

// Requires: there is one.
std::uint32_t CompressionStore::take_chunk() {
  while (free_[first_free_] == 0) ++first_free_;
  const auto bit = static_cast<std::uint32_t>(std::countr_zero(free_[first_free_]));
  free_[first_free_] &= free_[first_free_] - 1;
  --free_chunks_;
  return first_free_ * kChunksPerFrame + bit;
}

void CompressionStore::free_chunk(std::uint32_t chunk) {
  const std::uint32_t index = chunk / kChunksPerFrame;
  free_[index] |= 1U << chunk % kChunksPerFrame;
  ++free_chunks_;
  if (free_[index] == kAllFree) {
    drop_frame(index);
  } else {
    first_free_ = std::min(first_free_, index);
  }
}

void CompressionStore::link_newest(std::uint32_t slot) {
  entries_[slot].older = newest_;
  entries_[slot].newer = kNone;
  (newest_ == kNone ? oldest_ : entries_[newest_].newer) = slot;
  newest_ = slot;
}

void CompressionStore::unlink(std::uint32_t slot) {
  const Entry& entry = entries_[slot];
  (entry.older == kNone ? oldest_ : entries_[entry.older].newer) = entry.newer;
  (entry.newer == kNone ? newest_ : entries_[entry.newer].older) = entry.older;
}

void CompressionStore::renew(PageFileSlot slot) {
  unlink(slot.value());
  link_newest(slot.value());
}

CompressionStore::Put CompressionStore::put(machine::Processor& cpu, ConstPage page, PhysicalAddress owner) {
  pfns_.lock.assert_held();
  if (!has_room()) return {};
  const int size = LZ4_compress_default(reinterpret_cast<const char*>(page.data()), buffer_.data(),
                                        static_cast<int>(kPageBytes), static_cast<int>(most_bytes_));
  if (size <= 0) return {.outcome = Outcome::kIncompressible};
  const auto bytes = static_cast<std::size_t>(size);
  const std::uint32_t chunks = chunks_for(bytes);
  if (free_chunks_ < chunks && !add_frame(cpu)) return {};

  const std::uint32_t slot = take_slot();
  Entry& entry = entries_[slot];
  entry.owner = owner.value();
  pfns_.add_compressed(owner.pfn());
  entry.bytes = static_cast<std::uint16_t>(bytes);
  std::uint32_t previous = slot | kIsSlot;
  for (std::size_t at = 0; at < bytes; at += kChunkBytes) {
    const std::uint32_t chunk = take_chunk();
    (at == 0 ? entry.first : links_[previous].next) = chunk;
    links_[chunk] = {.next = kEnd, .previous = previous};
    previous = chunk;
    const machine::FrameView frame = cpu.physical().bytes(frame_[chunk / kChunksPerFrame], machine::Access::kWrite);
    std::memcpy(frame.data() + chunk % kChunksPerFrame * kChunkBytes, buffer_.data() + at,
                std::min(kChunkBytes, bytes - at));
  }
  link_newest(slot);
  ++pages_;
  bytes_ += ByteCount(bytes);
  return {.outcome = Outcome::kStored, .slot = PageFileSlot(slot), .bytes = ByteCount(bytes)};
}

machine::DiskTransfer CompressionStore::read(machine::Processor& cpu, PageFileSlot first, std::span<const Pfn> frames) {
  PageFileSlot slot = first;
  for (const Pfn frame : frames) {
    const machine::FrameView page = cpu.physical().bytes(frame, machine::Access::kWrite);
    PAGODA_CHECK(peek(cpu.physical(), slot, page.bytes()));
    slot = slot + 1_pages;
  }
  cpu.charge(costs_.decompress_page * frames.size());
  return {.completes = cpu.now()};
}

bool CompressionStore::peek(const machine::PhysicalView& memory, PageFileSlot slot, Page page) const {
  const Entry& entry = entries_[slot.value()];
  std::uint32_t chunk = entry.first;
  for (std::size_t at = 0; at < entry.bytes; at += kChunkBytes, chunk = links_[chunk].next) {
    const std::uint32_t index = chunk / kChunksPerFrame;
    if (index >= frame_.size() || frame_[index] == kNoPfn) return false;
    const machine::FrameView frame = memory.bytes(frame_[index], machine::Access::kRead);
    std::memcpy(buffer_.data() + at, frame.data() + chunk % kChunksPerFrame * kChunkBytes,
                std::min<std::size_t>(kChunkBytes, entry.bytes - at));
  }
  return LZ4_decompress_safe(buffer_.data(), reinterpret_cast<char*>(page.data()), entry.bytes,
                             static_cast<int>(kPageBytes)) == static_cast<int>(kPageBytes);
}

void CompressionStore::free(PageFileSlot slot) {
  pfns_.lock.assert_held();
  PAGODA_CHECK(is_used(slot));
  Entry& entry = entries_[slot.value()];
  for (std::uint32_t chunk = entry.first; chunk != kEnd;) {
    const std::uint32_t next = links_[chunk].next;
    free_chunk(chunk);
    chunk = next;
  }
  unlink(slot.value());
  pfns_.drop_compressed(owner(slot).pfn());
  --pages_;
  bytes_ -= ByteCount(entry.bytes);
  entry.bytes = 0;
  entry.newer = free_slot_;
  free_slot_ = slot.value();
}

void CompressionStore::moved(PageFileSlot slot, PhysicalAddress pte) {
  pfns_.lock.assert_held();
  pfns_.drop_compressed(owner(slot).pfn());
  pfns_.add_compressed(pte.pfn());
  entries_[slot.value()].owner = pte.value();
}

void CompressionStore::move_chunk(const machine::PhysicalView& memory, std::uint32_t from) {
  const std::uint32_t to = take_chunk();
  {
    const machine::FrameView source = memory.bytes(frame_[from / kChunksPerFrame], machine::Access::kRead);
    const machine::FrameView target = memory.bytes(frame_[to / kChunksPerFrame], machine::Access::kWrite);
    std::memcpy(target.data() + to % kChunksPerFrame * kChunkBytes,
                source.data() + from % kChunksPerFrame * kChunkBytes, kChunkBytes);
  }
  links_[to] = links_[from];
  const Link& link = links_[to];
  if ((link.previous & kIsSlot) != 0) {
    entries_[link.previous & ~kIsSlot].first = to;
  } else {
    links_[link.previous].next = to;
  }
  if (link.next != kEnd) links_[link.next].previous = to;
  free_chunk(from);
}

// The frame of the highest index is emptied into the holes of lower ones, which are taken first.
void CompressionStore::tidy(const machine::PhysicalView& memory) {
  while (free_chunks_ >= kChunksPerFrame) {
    const auto index = static_cast<std::uint32_t>(frame_.size() - 1);
    for (std::uint32_t used = ~free_[index]; used != 0; used &= used - 1) {
      const auto bit = static_cast<std::uint32_t>(std::countr_zero(used));
      move_chunk(memory, index * kChunksPerFrame + bit);
    }
  }
}

void CompressionStore::add_to(StateHash& hash) const {
  if (!is_enabled()) return;
  hash.add(pages_.value());
  for (std::uint32_t slot = oldest_; slot != kNone; slot = entries_[slot].newer) {
    hash.add(slot);
    hash.add(entries_[slot].owner);
    hash.add(entries_[slot].bytes);
  }
}

}  // namespace pagoda::mm
