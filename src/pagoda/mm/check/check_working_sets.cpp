// WS1 to WS4: a working set against the valid entries of its space.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "pagoda/mm/check/check_context.h"

namespace pagoda::mm::checking {

namespace {

// From the entries to the working set.
std::uint64_t check_valid_entries(Context& c, const ProcessSpace& space, const WorkingSet& ws) {
  std::uint64_t valid = 0;
  for (const Leaf& leaf : c.leaves) {
    const auto frame = c.frame_of(leaf.raw);
    if (!PteCodec::is_valid(leaf.raw) || !frame || c.entry(*frame).awe != 0) continue;
    ++valid;
    const bool shared = PteCodec::is_shared(leaf.raw);
    const std::uint32_t slot = shared ? ws.find_shared(leaf.page) : c.entry(*frame).ws_index;
    if (slot != WorkingSet::kNoSlot && slot < ws.end_slot() && ws[slot].is_valid() && ws[slot].is_shared() != shared)
      c.find("WS2"_rule, fmt::format("space {}: slot {} and {} disagree whether the page is shared", space.id(), slot,
                                     c.text_of(leaf)));
    if (slot >= ws.end_slot() || !ws[slot].is_valid() || ws[slot].page() != leaf.page) {
      c.find("WS2"_rule, fmt::format("space {}: {} maps {}, whose working-set slot {} is not that page's", space.id(),
                                     c.text_of(leaf), c.text_of(*frame), slot));
    }
  }
  return valid;
}

void check_free_slots(Context& c, const ProcessSpace& space, const WorkingSet& ws, std::uint64_t in_use) {
  std::uint64_t free = 0;
  for (std::uint32_t slot = ws.first_free(); slot != WorkingSet::kNoSlot; slot = ws.next_free(slot)) {
    if (slot >= ws.end_slot() || ws[slot].is_valid()) {
      c.find("WS3"_rule,
             fmt::format("space {}: the chain of free slots leads to slot {}, which is not free", space.id(), slot));
      return;
    }
    if (++free > ws.end_slot()) {
      c.find("WS3"_rule, fmt::format("space {}: the chain of free slots runs in a circle", space.id()));
      return;
    }
  }
  if (in_use + free != ws.end_slot()) {
    c.find("WS3"_rule, fmt::format("space {}: {} working-set slots are in use and {} free, of {}", space.id(), in_use,
                                   free, ws.end_slot()));
  }
}

}  // namespace

bool check_hash(Context& c, const ProcessSpace& space) {
  const WorkingSet& ws = space.working_set();
  const std::uint64_t most = ws.capacity();
  const std::uint64_t end = std::min<std::uint64_t>(ws.end_slot(), most);
  std::uint64_t named = 0;
  for (const std::uint32_t slot : ws.hash()) {
    if (slot == WorkingSet::kNoSlot) continue;
    ++named;
    if (slot >= end || !ws[slot].is_valid() || !ws[slot].is_shared()) {
      c.find("WS2"_rule,
             fmt::format("space {}: the hash leads to slot {}, which is no shared page's", space.id(), slot));
      if (slot >= most) return false;
    }
  }
  if (named > 0 && named == ws.hash().size()) {
    c.find("WS2"_rule, fmt::format("space {}: the hash is full", space.id()));
    return false;  // A search would not end.
  }
  std::uint64_t shared = 0;
  for (std::uint32_t slot = 0; slot < end; ++slot)
    if (ws[slot].is_valid() && ws[slot].is_shared()) ++shared;
  if (shared != named)
    c.find("WS2"_rule,
           fmt::format("space {}: {} slots are of shared pages, the hash leads to {}", space.id(), shared, named));
  return true;
}

namespace {

// What a locked page keeps in memory: itself, its page table and, if it is shared, the page of its prototype PTE.
void keep_locked(Context& c, const Wsle& wsle) {
  ++c.resident;
  if (wsle.is_charged()) ++c.charge;
  if (!c.is_used(wsle.pte().pfn())) return;
  const LockGuard guard(c.core.pfns.lock);
  c.keep(wsle.pte().pfn());
  if (!wsle.is_shared()) return;
  const auto frame = c.frame_of(c.core.load(c.cpu, wsle.pte()));
  if (frame && c.is_used(c.entry(*frame).containing_page())) c.keep(c.entry(*frame).containing_page());
}

}  // namespace

void check_working_set(Context& c, ProcessSpace& space) {
  const WorkingSet& ws = space.working_set();
  if (ws.end_slot() > ws.capacity()) {
    c.find("WS3"_rule, fmt::format("space {}: the working set goes to slot {}, more than the {} that it has",
                                   space.id(), ws.end_slot(), ws.capacity()));
    return;
  }
  const std::uint64_t valid = check_valid_entries(c, space, ws);
  std::uint64_t in_use = 0;
  std::uint64_t locked = 0;
  std::array<std::uint32_t, Wsle::kOldest + 1> of_age{};
  for (std::uint32_t slot = 0; slot < ws.end_slot(); ++slot) {
    const Wsle& wsle = ws[slot];
    if (!wsle.is_valid()) continue;
    ++in_use;
    if (wsle.is_locked()) {
      ++locked;
      keep_locked(c, wsle);
    } else {
      ++of_age[wsle.age()];
    }
    const VirtualAddress va(wsle.page());
    const auto place = c.walk(space.root(), wsle.page());
    if (va > space.highest_user() || !place || place->pte != wsle.pte() || !PteCodec::is_valid(place->raw)) {
      c.find("WS1"_rule, fmt::format("space {}: slot {} keeps {} at {}; a walk finds {}", space.id(), slot,
                                     to_string(va), to_string(wsle.pte()),
                                     place ? c.text_of(Leaf{wsle.page(), place->pte, place->raw}) : "no page table"));
    }
  }
  if (in_use != valid) {
    c.find("WS1"_rule,
           fmt::format("space {}: {} pages are in the working set, {} entries are valid", space.id(), in_use, valid));
  }
  if (ws.size().value() != in_use || ws.locked().value() != locked) {
    c.find("WS3"_rule, fmt::format("space {}: the working set counts {}, {} of them locked; its slots have {} and {}",
                                   space.id(), to_string(ws.size()), ws.locked().value(), in_use, locked));
  }
  for (unsigned age = 0; age < of_age.size(); ++age) {
    if (ws.of_age(age) == of_age[age]) continue;
    c.find("WS3"_rule, fmt::format("space {}: the working set counts {} pages of age {} that are not locked; it has {}",
                                   space.id(), ws.of_age(age), age, of_age[age]));
  }
  if (ws.watched() < ws.trimmable())
    c.find("WS4"_rule, fmt::format("space {}: the working set has more to trim than it has told", space.id()));
  check_free_slots(c, space, ws, in_use);
}

void check_trim_candidates(Context& c, const SpaceList& spaces) {
  for (const auto& space : spaces.spaces) {
    const LockGuard guard(space->lock);
    if (spaces.to_trim.listed(*space) != space->working_set().watched())
      c.find("WS4"_rule, fmt::format("space {}: it is not on the list that its working set was told", space->id()));
  }
}

}  // namespace pagoda::mm::checking
