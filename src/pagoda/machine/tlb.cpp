#include "pagoda/machine/tlb.h"

#include <algorithm>
#include <span>

namespace pagoda::machine {

namespace {

constexpr std::uint64_t kAllRights = (1U << 6) - 1;
constexpr unsigned kLargestPageShift = 30;

std::uint64_t rights_of(const Translation& t, bool write_protect) {
  std::uint64_t rights = access_right(Access::kRead, Privilege::kKernel);
  if (t.user) rights |= access_right(Access::kRead, Privilege::kUser);
  if (t.dirty) {  // [T2]
    if (t.writable || !write_protect) rights |= access_right(Access::kWrite, Privilege::kKernel);
    if (t.writable && t.user) rights |= access_right(Access::kWrite, Privilege::kUser);
  }
  if (t.executable) {
    rights |= access_right(Access::kExecute, Privilege::kKernel);
    if (t.user) rights |= access_right(Access::kExecute, Privilege::kUser);
  }
  return rights;
}

}  // namespace

Tlb::Tlb(TlbGeometry geometry, ShortestWay shortest_way) : geometry_(geometry), shortest_way_(shortest_way) {
  if (geometry == TlbGeometry::kRealistic) realistic_ = std::make_unique<Realistic>();
  if (geometry == TlbGeometry::kLarge) direct_.resize(kDirectEntries);
  if (geometry == TlbGeometry::kLarge && shortest_way == ShortestWay::kHits) {
    user_reads_.resize(kDirectEntries);
    user_writes_.resize(kDirectEntries);
    read_hits_ = user_reads_.data();
    write_hits_ = user_writes_.data();
    return;
  }
  static const std::vector<Hit> misses(kDirectEntries);
  read_hits_ = misses.data();
  write_hits_ = misses.data();
}

const Tlb::Entry& Tlb::insert(VirtualAddress va, Asid asid, const Translation& translation, std::byte* host,
                              bool write_protect, FrameOrder order) {
  PAGODA_DCHECK_EQ(reinterpret_cast<std::uintptr_t>(host) & kPageOffsetMask, std::uint64_t{0});
  // An entry that allows less must not hide the new one.
  if (geometry_ == TlbGeometry::kRealistic) forget_realistic(va, asid);
  const Tag tag = make_tag(translation.global ? kGlobalAsid : asid);
  std::uint64_t flags = rights_of(translation, write_protect);
  if (translation.level > 1) {
    any_large_ = true;
    flags |= kLargePage;
  }
  const std::uint64_t page = va.page_base().value();
  const Entry entry{key(page, tag), (reinterpret_cast<std::uintptr_t>(host) - page) | flags};
  if (geometry_ == TlbGeometry::kRealistic) {
    const bool whole = translation.level > 1 && order == FrameOrder::kContiguous;
    return *insert_realistic(va, whole ? Size::kPiece : Size::kPage, entry);
  }
  set_direct(direct_index(va), entry);
  return direct_[direct_index(va)];
}

Tlb::Tag Tlb::make_new_tag(Asid asid) {
  if (next_tag_ == kTagEnd) {
    for_each([](Entry& entry) { entry = Entry{}; });
    forget_all_tags();
    next_tag_ = 1;
  }
  const Tag tag{static_cast<std::uint16_t>(next_tag_++)};
  set_tag(asid, tag);
  return tag;
}

void Tlb::set_tag(Asid asid, Tag tag) {
  tags_[static_cast<std::size_t>(asid)] = tag;
  if (asid == loaded_) loaded_tag_ = tag;
  if (asid == kGlobalAsid) global_tag_ = tag;
}

void Tlb::forget_all_tags() {
  tags_.fill(kNoTag);
  loaded_tag_ = kNoTag;
  global_tag_ = kNoTag;
  any_large_ = false;
}

bool Tlb::holds(VirtualAddress va, Asid asid) const {
  const std::uint64_t page = va.page_base().value();
  const std::array<std::uint64_t, 2> tags{key(page, tag_of(asid)), key(page, global_tag_)};
  if (geometry_ == TlbGeometry::kLarge) return std::ranges::find(tags, direct_[direct_index(va)].tag) != tags.end();
  if (any_large_) return true;  // Pieces are not looked at.
  const std::uint64_t number = va.vpn().value();
  return realistic_->small.has(number, tags) || realistic_->second.has(number, tags);
}

void Tlb::set_direct(std::size_t index, const Entry& entry) {
  direct_[index] = entry;
  if (shortest_way_ == ShortestWay::kNever) return;
  const Hit hit{entry.tag, entry.addend_and_rights & ~kPageOffsetMask};
  user_reads_[index] = entry.allows(access_right(Access::kRead, Privilege::kUser)) ? hit : Hit{};
  user_writes_[index] = entry.allows(access_right(Access::kWrite, Privilege::kUser)) ? hit : Hit{};
}

void Tlb::invalidate_page(VirtualAddress va, Asid asid) {
  const std::uint64_t page = va.page_base().value();
  const Tag tag = tag_of(asid);
  if (geometry_ == TlbGeometry::kLarge) {
    const Entry& entry = direct_[direct_index(va)];
    if (entry.tag == key(page, tag) || entry.tag == key(page, global_tag_)) set_direct(direct_index(va), Entry{});
  } else {
    forget_realistic(va, asid);
  }
  if (!any_large_) return;
  // [T3]. The entry does not say how large its page is, so every piece inside the same 1 GB is dropped: more than
  // asked is legal.
  for_each([&](Entry& entry) {
    const Tag owner = tag_in(entry);
    if ((entry.addend_and_rights & kLargePage) != 0 && (owner == tag || owner == global_tag_) &&
        entry.tag >> kLargestPageShift == page >> kLargestPageShift)
      entry = Entry{};
  });
}

void Tlb::invalidate_asid(Asid asid) {
  const Tag tag = tag_of(asid);
  if (tag == kNoTag) return;
  if (geometry_ == TlbGeometry::kLarge) return set_tag(asid, kNoTag);
  // Dead entries would keep their places from others.
  for_each([tag](Entry& entry) {
    if (tag_in(entry) == tag) entry = Entry{};
  });
}

void Tlb::invalidate_range(VpnRange pages, Asid asid) {
  invalidate_asid(asid);
  if (global_tag_ == kNoTag) return;
  const auto vpn = [](std::uint64_t tag) { return tag >> kPageShift; };
  for_each([&](Entry& entry) {
    // A large page may begin before its entry and end after it, inside the same 1 GB.
    const std::uint64_t around =
        (entry.addend_and_rights & kLargePage) != 0 ? (std::uint64_t{1} << (kLargestPageShift - kPageShift)) - 1 : 0;
    const bool in_range =
        (vpn(entry.tag) | around) >= pages.first.value() && (vpn(entry.tag) & ~around) < pages.end().value();
    if (tag_in(entry) == global_tag_ && in_range) entry = Entry{};
  });
}

void Tlb::invalidate_all() {
  if (geometry_ == TlbGeometry::kRealistic) for_each([](Entry& entry) { entry = Entry{}; });
  forget_all_tags();
}

template <class Visit>
void Tlb::for_each(Visit&& visit) {
  if (geometry_ == TlbGeometry::kLarge) {
    for (std::size_t i = 0; i < kDirectEntries; ++i) {
      if (direct_[i].tag == kEmpty) continue;
      visit(direct_[i]);
      if (direct_[i].tag == kEmpty) set_direct(i, Entry{});
    }
    return;
  }
  for (Array* array : {&realistic_->small, &realistic_->large, &realistic_->second})
    for (Array::Slot& slot : array->slots) visit(slot.entry);
}

std::vector<CachedTranslation> Tlb::held() const {
  std::vector<CachedTranslation> result;
  // The space of each number; kUntagged's number is told by itself.
  std::vector<Asid> owners(kTagMask + 1, kUntagged);
  for (std::size_t asid = 0; asid < tags_.size(); ++asid)
    owners[static_cast<std::size_t>(tags_[asid])] = Asid{static_cast<std::uint16_t>(asid)};
  const_cast<Tlb*>(this)->for_each([&](const Entry& entry) {
    const Asid owner = owners[static_cast<std::size_t>(tag_in(entry))];
    if (entry.tag == kEmpty || tag_of(owner) != tag_in(entry)) return;  // Dead.
    const std::uint64_t bytes = (entry.addend_and_rights & kPiece) != 0 ? std::uint64_t{1} << kPieceShift : kPageBytes;
    for (std::uint64_t offset = 0; offset < bytes; offset += kPageBytes) {
      const VirtualAddress page((entry.tag & ~kPageOffsetMask) + offset);
      result.push_back({page, owner, entry.addend_and_rights & kAllRights, entry.host(page)});
    }
  });
  return result;
}

Tlb::Array::Slot* Tlb::Array::find(std::uint64_t number, std::uint64_t tag, std::uint64_t global_tag) {
  Slot* set = &slots[(number % sets) * ways];
  for (std::size_t way = 0; way < ways; ++way)
    if (set[way].entry.tag == tag || set[way].entry.tag == global_tag) return &set[way];
  return nullptr;
}

bool Tlb::Array::has(std::uint64_t number, const std::array<std::uint64_t, 2>& tags) const {
  const auto set = std::span(slots).subspan((number % sets) * ways, ways);
  return std::ranges::any_of(set,
                             [&](const Slot& slot) { return std::ranges::find(tags, slot.entry.tag) != tags.end(); });
}

void Tlb::Array::forget(std::uint64_t number, std::uint64_t tag, std::uint64_t global_tag) {
  Slot* set = &slots[(number % sets) * ways];
  for (std::size_t way = 0; way < ways; ++way)
    if (set[way].entry.tag == tag || set[way].entry.tag == global_tag) set[way].entry = Entry{};
}

// Whatever translates the address for the space. More than one entry can, when its page changed size or became global.
void Tlb::forget_realistic(VirtualAddress va, Asid asid) {
  const std::uint64_t page = va.page_base().value();
  const std::uint64_t piece = va.value() >> kPieceShift << kPieceShift;
  for (Array* array : {&realistic_->small, &realistic_->second})
    array->forget(page >> kPageShift, key(page, tag_of(asid)), key(page, global_tag_));
  if (!any_large_) return;
  for (Array* array : {&realistic_->large, &realistic_->second})
    array->forget(piece >> kPieceShift, key(piece, tag_of(asid)), key(piece, global_tag_));
}

// Where a new entry goes: over the old one for the same page, else over the least recently used.
Tlb::Array::Slot& Tlb::Array::victim(std::uint64_t number, std::uint64_t tag) {
  Slot* set = &slots[(number % sets) * ways];
  Slot* oldest = set;
  for (std::size_t way = 0; way < ways; ++way) {
    if (set[way].entry.tag == tag) return set[way];
    if (set[way].entry.tag == kEmpty) {
      oldest = &set[way];
      oldest->used = 0;
    } else if (set[way].used < oldest->used) {
      oldest = &set[way];
    }
  }
  return *oldest;
}

const Tlb::Entry* Tlb::piece_of(const Entry& piece, VirtualAddress va) {
  realistic_->result = Entry{va.page_base().value() | (piece.tag & kTagMask), piece.addend_and_rights};
  return &realistic_->result;
}

const Tlb::Entry* Tlb::find_realistic(VirtualAddress va, Tag tag) {
  Realistic& r = *realistic_;
  const std::uint64_t page = va.page_base().value();
  const std::uint64_t piece = va.value() >> kPieceShift << kPieceShift;
  const auto look = [&](Array& array, std::uint64_t base, unsigned shift, bool is_piece) -> Array::Slot* {
    Array::Slot* slot = array.find(base >> shift, key(base, tag), key(base, global_tag_));
    if (slot == nullptr || ((slot->entry.addend_and_rights & kPiece) != 0) != is_piece) return nullptr;
    slot->used = ++r.clock;
    return slot;
  };
  if (const Array::Slot* hit = look(r.small, page, kPageShift, false)) return &hit->entry;
  if (const Array::Slot* hit = look(r.large, piece, kPieceShift, true)) return piece_of(hit->entry, va);
  if (const Array::Slot* hit = look(r.second, page, kPageShift, false)) {
    Array::Slot& first = r.small.victim(page >> kPageShift, hit->entry.tag);
    first = {hit->entry, ++r.clock};
    return &first.entry;
  }
  if (const Array::Slot* hit = look(r.second, piece, kPieceShift, true)) {
    r.large.victim(piece >> kPieceShift, hit->entry.tag) = {hit->entry, ++r.clock};
    return piece_of(hit->entry, va);
  }
  return nullptr;
}

const Tlb::Entry* Tlb::insert_realistic(VirtualAddress va, Size size, const Entry& entry) {
  Realistic& r = *realistic_;
  if (size == Size::kPage) {
    const std::uint64_t number = va.vpn().value();
    r.second.victim(number, entry.tag) = {entry, ++r.clock};
    Array::Slot& slot = r.small.victim(number, entry.tag);
    slot = {entry, r.clock};
    return &slot.entry;
  }
  const std::uint64_t number = va.value() >> kPieceShift;
  const Entry piece{key(number << kPieceShift, tag_in(entry)), entry.addend_and_rights | kPiece};
  r.second.victim(number, piece.tag) = {piece, ++r.clock};
  r.large.victim(number, piece.tag) = {piece, r.clock};
  return piece_of(piece, va);
}

}  // namespace pagoda::machine
