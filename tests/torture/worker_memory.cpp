// What a worker does with its memory beside reading and writing it.
#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "tests/torture/worker.h"

namespace pagoda::mm::torture {

Worker::Range Worker::some_pages() {
  Range range{.region = static_cast<unsigned>(random_.below(regions_.size()))};
  const std::size_t pages = regions_[range.region].pages.size();
  range.first = random_.below(pages);
  // Mostly a few; sometimes all that follow.
  range.count =
      1 + random_.below(random_.below(8) == 0 ? pages - range.first : std::min<std::size_t>(8, pages - range.first));
  range.base = world_.regions(number_)[range.region].base + bytes_of(PageCount(range.first));
  return range;
}

template <class Change, class Call>
void Worker::change(const Range& range, Change&& change, Call&& call) {
  const auto own = std::span(regions_[range.region].pages).subspan(range.first, range.count);
  const auto pages = std::span(world_.regions(number_)[range.region].pages).subspan(range.first, range.count);
  std::vector<OwnPage> after(own.begin(), own.end());
  for (std::size_t i = 0; i < range.count; ++i) {
    change(after[i]);
    pages[i].history.begin(content_of(after[i]));
  }
  const Status status = call();
  const bool done = status == Status::kSuccess;
  for (std::size_t i = 0; i < range.count; ++i) {
    if (done) {
      own[i] = after[i];
      own[i].changed_by = operations_;
      own[i].refused = 0;
    } else {
      own[i].refused = operations_;
      own[i].refusal = status;
    }
  }
  for (Page& page : pages) done ? page.history.finish() : page.history.cancel();
  if (!done && !may_be_refused(status))
    wrong(fmt::format("pages {} to {} of region {} fail with {}", range.first, range.first + range.count - 1,
                      range.region, to_string(status)));
}

void Worker::reserve(unsigned region) {
  const RegionPlace& place = world_.regions(number_)[region];
  const auto reserved = space().reserve(
      cpu_,
      {.base = place.base, .size = bytes_of(PageCount(place.pages.size())), .protection = Protection::kReadWrite});
  regions_[region].reserved = reserved.has_value();
  if (!reserved && !may_be_refused(reserved.error())) wrong(fmt::format("no region: {}", to_string(reserved.error())));
}

void Worker::commit(const Range& range) {
  if (!regions_[range.region].reserved) reserve(range.region);
  if (!regions_[range.region].reserved) return;
  change(
      range,
      [](OwnPage& page) {
        if (!page.committed) page.version = 0;
        page.committed = true;
        page.protection = Protection::kReadWrite;
      },
      [&] {
        const auto done = space().commit(cpu_, range.base, bytes_of(PageCount(range.count)), Protection::kReadWrite);
        return done ? Status::kSuccess : done.error();
      });
}

void Worker::decommit() {
  const Range range = some_pages();
  if (!regions_[range.region].reserved) return;
  change(
      range, [](OwnPage& page) { page = {}; },
      [&] {
        const auto done = space().decommit(cpu_, range.base, bytes_of(PageCount(range.count)));
        return done ? Status::kSuccess : done.error();
      });
}

void Worker::release() {
  const auto region = static_cast<unsigned>(random_.below(regions_.size()));
  if (!regions_[region].reserved) return;
  const RegionPlace& place = world_.regions(number_)[region];
  change(
      Range{.region = region, .first = 0, .count = place.pages.size(), .base = place.base},
      [](OwnPage& page) { page = {}; },
      [&] {
        const auto done = space().release(cpu_, place.base, ByteCount());
        if (done) regions_[region].reserved = false;
        return done ? Status::kSuccess : done.error();
      });
}

void Worker::protect() {
  constexpr std::array kRights{Protection::kReadOnly, Protection::kNoAccess, Protection::kReadWrite,
                               Protection::kReadWrite};
  const Range range = some_pages();
  const Protection rights = kRights[random_.below(kRights.size())];
  const auto pages = std::span(regions_[range.region].pages).subspan(range.first, range.count);
  if (!std::ranges::all_of(pages, &OwnPage::committed)) return;
  change(
      range, [&](OwnPage& page) { page.protection = rights; },
      [&] {
        const auto done = space().protect(cpu_, range.base, bytes_of(PageCount(range.count)), rights);
        return done ? Status::kSuccess : done.error();
      });
}

void Worker::discard() {
  const Range range = some_pages();
  if (!regions_[range.region].reserved) return;
  change(
      range, [](OwnPage& page) { page.version = 0; },
      [&] {
        const auto done = space().discard(cpu_, {range.base.vpn(), PageCount(range.count)});
        return done ? Status::kSuccess : done.error();
      });
}

void Worker::lock_or_unlock(bool lock) {
  const Range range = some_pages();
  const ByteCount size = bytes_of(PageCount(std::min<std::size_t>(range.count, 4)));
  const auto done = lock ? space().lock_pages(cpu_, range.base, size, LockKind::kInWorkingSet)
                         : space().unlock_pages(cpu_, range.base, size, LockKind::kInWorkingSet);
  if (done || may_be_refused(done.error())) return;
  const auto pages = std::span(regions_[range.region].pages).subspan(range.first, pages_of(size).value());
  const bool accessible = std::ranges::all_of(pages, [](const OwnPage& page) { return content_of(page).accessible; });
  const Status status = done.error();
  if (lock && (status == Status::kWasLocked || status == Status::kWorkingSetQuota)) return;
  if (lock && status == Status::kAccessViolation && !accessible) return;
  if (!lock && status == Status::kNotLocked) return;
  wrong(fmt::format("{:#x}: {}", range.base.value(), to_string(status)));
}

VpnRange Worker::some_range() {
  if (section_count() > 0 && random_.below(4) == 0) {
    const auto section = static_cast<unsigned>(random_.below(section_count()));
    if (views_[section]) return {views_[section]->vpn(), world_.config().section_pages};
  }
  const Range range = some_pages();
  return {range.base.vpn(), PageCount(range.count)};
}

void Worker::query() {
  const Range range = some_pages();
  const OwnPage& page = regions_[range.region].pages[range.first];
  const auto info = space().query(cpu_, range.base);
  if (!info && may_be_refused(info.error())) return;
  if (!info) return wrong(fmt::format("{:#x}: {}", range.base.value(), to_string(info.error())));
  const MemoryState state = !regions_[range.region].reserved ? MemoryState::kFree
                            : page.committed                 ? MemoryState::kCommitted
                                                             : MemoryState::kReserved;
  if (info->state != state || (page.committed && info->protection != page.protection))
    wrong(fmt::format("{:#x}: state {}, protection {}, expected {}, {}", range.base.value(),
                      static_cast<int>(info->state), static_cast<int>(info->protection), static_cast<int>(state),
                      static_cast<int>(page.protection)));
}

void Worker::remap() {
  const auto section = static_cast<unsigned>(random_.below(section_count()));
  std::optional<VirtualAddress>& base = random_.below(2) == 0 ? views_[section] : copies_[section].base;
  if (!base) return;
  const auto done = space().unmap_view(cpu_, *base);
  if (done) {
    base.reset();
  } else if (!may_be_refused(done.error())) {
    wrong(fmt::format("a view stays: {}", to_string(done.error())));
  }
}

void Worker::flush_view() {
  const auto section = static_cast<unsigned>(random_.below(section_count()));
  if (!views_[section] || world_.sections()[section].file == nullptr) return;
  const auto done = space().flush_view(cpu_, *views_[section], ByteCount());
  if (!done && !may_be_refused(done.error())) wrong(to_string(done.error()));
}

// The child has what the parent had at some moment of the fork; what it writes is its own.
void Worker::fork() {
  constexpr int kLooks = 12;
  struct Look {
    const Page* page = nullptr;
    VirtualAddress at;
    std::uint32_t first = 0;
    std::uint32_t last = 0;
  };
  std::vector<Look> looks;
  for (unsigned other = number_ % world_.config().processes; other < world_.config().workers;
       other += world_.config().processes)
    for (int i = 0; i < kLooks; ++i) {
      const RegionPlace& place = world_.regions(other)[random_.below(regions_.size())];
      const std::size_t page = random_.below(place.pages.size());
      if (std::ranges::find(looks, &place.pages[page], &Look::page) != looks.end()) continue;
      looks.push_back({.page = &place.pages[page],
                       .at = place.base + bytes_of(PageCount(page)),
                       .first = place.pages[page].history.before()});
    }
  const auto child = world_.manager().clone_space(cpu_, space());
  if (!child) {
    if (!may_be_refused(child.error())) wrong(to_string(child.error()));
    return;
  }
  for (Look& look : looks) look.last = look.page->history.after(look.first).last;
  world_.manager().attach(cpu_, **child);
  for (const Look& look : looks) {
    const Found found = read(look.at);
    expect_within(found, look.at, *look.page, {look.first, look.last});
    if (found.status != Status::kSuccess) continue;
    // It may be that the page is only read, or that the disk fails.
    const std::uint32_t version = next_version();
    const Status status = write(look.at, child_number_, version);
    if (status == Status::kSuccess)
      expect_exactly(read(look.at), look.at, child_number_, {.accessible = true, .version = version});
    else if (status != Status::kAccessViolation && !world_.may_fail_with(status))
      wrong(fmt::format("a write of the child to {:#x} says {}", look.at.value(), to_string(status)));
  }
  world_.manager().attach(cpu_, space());
  world_.manager().destroy_space(cpu_, **child);
}

}  // namespace pagoda::mm::torture
