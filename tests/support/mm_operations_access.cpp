// What programs do, working sets, and the manager's own work.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "tests/support/mm_interpreter.h"

namespace pagoda::mm::testing::op {

using machine::Access;

namespace {

constexpr std::uint64_t kTouchedMost = 64;

std::uint64_t word_of(std::uint64_t address) { return address >> 3 & 7; }

// Does `once(address, i)` to one word of each page, until one fails, and then `then(page, region, word, i)`, which says
// what differs.
template <class Op, class Once, class Then>
std::string for_each_word(Interpreter& in, const Op& o, Access access, const Once& once, const Then& then) {
  ModelSpace& space = in.space(o.by);
  const std::uint64_t size = std::clamp<std::uint64_t>(o.range.size, 1, bytes_of(PageCount(kTouchedMost)).value());
  const auto pages = Pages::covering(o.range.address, size);
  if (!pages) return "";
  const std::uint64_t word = word_of(o.range.address);
  for (std::uint64_t i = 0; i < pages->count; ++i) {
    const std::uint64_t page = pages->first + i;
    const VirtualAddress va = VirtualAddress(Vpn(page)) + ByteCount(word * kWordStride);
    const auto result = in.settle_read(o.by, [&] { return once(va, i); });
    if (!result) return "";
    const Status status = status_of(*result);
    if (in.is_broken_promise(status)) return "";
    const Status expected =
        in.mode().is_canonical(va) ? space.access(page, access, in.mode().has_no_execute) : Status::kAccessViolation;
    if (auto difference = in.compare(o, fmt::format("page {:#x}", page), expected, status); !difference.empty())
      return difference;
    if (status != Status::kSuccess) return "";  // A program would stop here too.
    if (auto difference = then(page, space.region_at(page), word, i); !difference.empty()) return difference;
  }
  return "";
}

}  // namespace

std::string Load::perform(Interpreter& in) const {
  ModelSpace& space = in.space(by);
  std::uint64_t got = 0;
  const auto load = [&](VirtualAddress va, std::uint64_t /*i*/) -> Result<> {
    got = PAGODA_TRY(in.cpu(by).template load<std::uint64_t>(va));
    return {};
  };
  const auto look = [&](std::uint64_t page, ModelSpace::RegionPlace region, std::uint64_t word,
                        std::uint64_t /*i*/) -> std::string {
    const ModelPage& model = space.pages.at(page);
    std::uint64_t value = model.words[word];
    std::uint64_t mask = low_bytes(model.known[word]);
    if (!model.is_private) {
      const ModelSegment& segment = *region->second.segment;
      const std::uint64_t at = ModelSpace::section_page(region, page);
      value = segment.word(at, word);
      mask = low_bytes(segment.known(at, word));
    }
    if (((got ^ value) & mask) == 0) return "";
    return fmt::format("{}: word {} of page {:#x} reads {:#x}, expected {:#x}", to_string(*this), word, page,
                       got & mask, value & mask);
  };
  return for_each_word(in, *this, Access::kRead, load, look);
}

std::string Store::perform(Interpreter& in) const {
  ModelSpace& space = in.space(by);
  const auto store = [&](VirtualAddress va, std::uint64_t i) {
    return in.cpu(by).template store<std::uint64_t>(va, value + i);
  };
  const auto note = [&](std::uint64_t page, ModelSpace::RegionPlace region, std::uint64_t word,
                        std::uint64_t i) -> std::string {
    ModelPage& model = space.pages.at(page);
    Words& words =
        model.is_private ? model.words : region->second.segment->words[ModelSpace::section_page(region, page)];
    words[word] = value + i;
    model.known[word] = 8;
    return "";
  };
  return for_each_word(in, *this, Access::kWrite, store, note);
}

std::string Fetch::perform(Interpreter& in) const {
  const auto fetch = [&](VirtualAddress va, std::uint64_t /*i*/) { return in.cpu(by).fetch(va); };
  return for_each_word(
      in, *this, Access::kExecute, fetch,
      [](std::uint64_t, ModelSpace::RegionPlace, std::uint64_t, std::uint64_t) -> std::string { return ""; });
}

// --- Working sets ---

std::string Empty::perform(Interpreter& in) const {
  const ModelSpace& space = in.space(by);
  space.manager->empty_working_set(in.cpu(by));
  const std::uint64_t left = space.manager->statistics().working_set.value();
  if (left == space.locked) return "";
  return fmt::format("{}: {} pages stay, {} are locked", to_string(*this), left, space.locked);
}

std::string SetLimits::perform(Interpreter& in) const {
  ModelSpace& space = in.space(by);
  const WorkingSet::Limits limits{
      .minimum = PageCount(minimum),
      .maximum = PageCount(maximum),
      .kind = hard ? WorkingSet::Limits::Maximum::kHard : WorkingSet::Limits::Maximum::kSoft};
  Status expected = Status::kSuccess;
  if (minimum > maximum) {
    expected = Status::kBadWorkingSetLimit;
  } else if (minimum > space.minimum &&
             PageCount(minimum) > in.manager().core().resident.available() + PageCount(space.locked)) {
    expected = Status::kInsufficientResources;
  } else if (space.locked > 0 && minimum < space.locked + kUnlockable) {
    expected = Status::kBadWorkingSetLimit;
  }
  const auto result = space.manager->set_limits(in.cpu(by), limits);
  if (result) {
    space.minimum = minimum;
    const std::uint64_t size = space.manager->statistics().working_set.value();
    if (size > std::max(maximum, space.locked)) return fmt::format("{}: {} pages stay", to_string(*this), size);
  }
  return in.compare(*this, "set_limits", expected, status_of(result));
}

// reference/nt.md 7.5.
std::string Lock::perform(Interpreter& in) const {
  ModelSpace& space = in.space(by);
  const auto pages = Pages::covering(range.address, range.size);
  const auto result = in.settle_read(by, [&] {
    return space.manager->lock_pages(in.cpu(by), VirtualAddress(range.address), ByteCount(range.size),
                                     in_memory ? LockKind::kInMemory : LockKind::kInWorkingSet);
  });
  if (!result || in.is_broken_promise(status_of(*result))) return "";
  if (pages && in.may_not_stay(status_of(*result), pages->count)) return "";

  Status expected = Status::kSuccess;
  if (!pages || pages->end() - 1 > in.highest_user()) {
    expected = Status::kInvalidParameter;
  } else if (space.region_of(*pages) == space.regions.end()) {
    expected = Status::kAccessViolation;
  } else {
    std::uint64_t new_locks = 0;
    for (std::uint64_t at = pages->first; at < pages->end(); ++at) {
      const ModelPage& page = space.pages.at(at);
      if (base_of(page.protection) == Protection::kNone) expected = Status::kAccessViolation;
      if (!page.is_locked()) ++new_locks;
    }
    if (expected == Status::kSuccess && space.locked + new_locks + kUnlockable > space.minimum)
      expected = Status::kWorkingSetQuota;
    for (std::uint64_t at = pages->first; expected == Status::kSuccess && at < pages->end(); ++at)
      expected = space.access(at, Access::kRead, in.mode().has_no_execute);
    if (expected == Status::kSuccess) {
      for (std::uint64_t at = pages->first; at < pages->end(); ++at) {
        ModelPage& page = space.pages.at(at);
        bool& locked = in_memory ? page.locked_in_memory : page.locked_in_ws;
        if (locked) expected = Status::kWasLocked;
        if (!page.is_locked()) ++space.locked;
        locked = true;
      }
    }
  }
  return in.compare(*this, "lock", expected, status_of(*result));
}

std::string Unlock::perform(Interpreter& in) const {
  ModelSpace& space = in.space(by);
  const auto pages = Pages::covering(range.address, range.size);
  Status expected = Status::kSuccess;
  if (!pages || pages->end() - 1 > in.highest_user()) {
    expected = Status::kInvalidParameter;
  } else {
    for (std::uint64_t at = pages->first; at < pages->end() && expected == Status::kSuccess; ++at) {
      const auto page = space.pages.find(at);
      const bool locked =
          page != space.pages.end() && (in_memory ? page->second.locked_in_memory : page->second.locked_in_ws);
      if (!locked) expected = Status::kNotLocked;
    }
  }
  const auto result = space.manager->unlock_pages(in.cpu(by), VirtualAddress(range.address), ByteCount(range.size),
                                                  in_memory ? LockKind::kInMemory : LockKind::kInWorkingSet);
  if (auto difference = in.compare(*this, "unlock", expected, status_of(result)); !difference.empty())
    return difference;
  if (!result) return "";
  for (std::uint64_t at = pages->first; at < pages->end(); ++at) {
    ModelPage& page = space.pages.at(at);
    (in_memory ? page.locked_in_memory : page.locked_in_ws) = false;
    if (!page.is_locked()) --space.locked;
  }
  return "";
}

// --- The manager ---

std::string RunThreads::perform(Interpreter& in) const {
  auto& cpu = in.cpu(by);
  for (SystemThread* thread : in.manager().system_threads())
    if (thread->due(cpu.now()) <= cpu.now()) thread->run(cpu);
  return "";
}

std::string Advance::perform(Interpreter& in) const {
  auto& cpu = in.cpu(by);
  cpu.advance_to(cpu.now() + Duration(microseconds % 10'000'000 * 1000));
  in.manager().complete_io(cpu);
  return "";
}

std::string Flush::perform(Interpreter& in) const {
  // Slots may all be taken; and a disk that fails now and then may fail each time.
  const bool flushed = in.manager().flush_modified(in.cpu(by));
  const bool may_fail = in.world().write_errors > 0 || in.manager().core().paging_files.free_slots().is_zero();
  return flushed || may_fail ? "" : to_string(*this) + ": pages stay modified";
}

std::string Recreate::perform(Interpreter& in) const {
  ModelSpace& space = in.space(by);
  in.take_apart(space, by);
  const Status expected = in.is_refused(1) ? Status::kCommitmentLimit : Status::kSuccess;
  const auto result = in.settle(by, [&] { return in.make_space(by); });
  if (!result || in.is_broken_promise(status_of(*result))) return "";
  if (*result) {
    space.manager = **result;
    space.minimum = in.world().working_set_minimum;
  }
  return in.compare(*this, "create_space", expected, status_of(*result));
}

}  // namespace pagoda::mm::testing::op
