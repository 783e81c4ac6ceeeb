#include "pagoda/mm/pfn/prototype_pages.h"

namespace pagoda::mm {

namespace {

// Paged pool of each mode, as far as PTEs can point to it: reference/nt.md 2.3 and 2.5.
VirtualRange paged_pool(const machine::PagingMode& mode) {
  switch (mode.format) {
    case machine::PteFormat::kX86:
      return {VirtualAddress(PoolBases{}.paged_pool_start), 1_GiB};
    case machine::PteFormat::kPae:
      return {VirtualAddress(PoolBases{}.paged_pool_start),
              ByteCount((std::uint64_t{1} << 32) - PoolBases{}.paged_pool_start)};
    case machine::PteFormat::kAmd64:
      return {VirtualAddress(0xFFFFF8A0'00000000), 128_GiB};
  }
  return {};
}

}  // namespace

PrototypePages::PrototypePages(const machine::PagingMode& mode)
    : base_(paged_pool(mode).first), size_(pages_of(paged_pool(mode).count)), frames_(size_.value()) {}

void PrototypePages::add(std::uint32_t page, Pfn frame) {
  PAGODA_CHECK_EQ(frames_[page], 0U);
  frames_[page] = frame.value();
  ++count_;
}

void PrototypePages::remove(std::uint32_t page) {
  PAGODA_CHECK_NE(frames_[page], 0U);
  frames_[page] = 0;
  --count_;
}

std::uint32_t PrototypePages::add_idle(std::uint32_t page) {
  idle_.push_back(page);
  return static_cast<std::uint32_t>(idle_.size() - 1);
}

std::uint32_t PrototypePages::remove_idle(std::uint32_t page, std::uint32_t place) {
  PAGODA_CHECK_EQ(idle_[place], page);
  const std::uint32_t moved = idle_.back();
  idle_[place] = moved;
  idle_.pop_back();
  return moved;
}

PrototypeOwner* PrototypePages::owner(std::uint64_t owner_word) const {
  if ((owner_word & kClone) != 0) return nullptr;
  const auto found = owners_.find(static_cast<std::uint32_t>(owner_word));
  return found == owners_.end() ? nullptr : found->second;
}

bool PrototypePages::is_file_data(std::uint64_t owner_word) const {
  const PrototypeOwner* const who = owner(owner_word);
  return who != nullptr && who->is_file_data();
}

void PrototypePages::entry_resident(std::uint64_t owner_word) const {
  if (PrototypeOwner* const who = owner(owner_word); who != nullptr) ++who->resident;
}

void PrototypePages::entry_left(std::uint64_t owner_word) {
  PrototypeOwner* const who = owner(owner_word);
  if (who == nullptr) return;
  --who->resident;
  if (who->resident.is_zero() && !who->is_used()) emptied_.push_back(who->number());
}

}  // namespace pagoda::mm
