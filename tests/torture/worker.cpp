#include "tests/torture/worker.h"

#include <fmt/format.h>

#include <numeric>
#include <span>
#include <utility>

namespace pagoda::mm::torture {

Worker::Worker(World& world, unsigned number)
    : world_(world),
      number_(number),
      cpu_(world.cpu(number)),
      random_(Random::mix(world.config().seed) + number),
      regions_(world.config().regions),
      views_(world.sections().size()),
      copies_(world.sections().size()),
      child_number_(world.number_pages(1)) {
  for (Region& region : regions_) region.pages.resize(world.config().region_pages.value());
  for (CopyView& copy : copies_) {
    copy.versions.resize(world.config().section_pages.value());
    copy.first_number = world.number_pages(copy.versions.size());
  }
}

void Worker::wrong(std::string text) {
  world_.found(fmt::format("seed {}, worker {}, operation {} ({}): {}", world_.config().seed, number_, operations_,
                           name(operation_), text));
}

bool Worker::may_be_refused(Status status) const {
  switch (status) {
    case Status::kCommitmentLimit:
    case Status::kInsufficientResources:
    case Status::kNoMemory:
      return true;
    case Status::kInPageError:
    case Status::kIoDeviceError:
      return world_.errors_are_injected();
    default:
      return false;
  }
}

void Worker::step() {
  const Weights& weights = world_.config().weights;
  std::uint64_t left = random_.below(std::accumulate(weights.begin(), weights.end(), std::uint64_t{0}));
  std::size_t chosen = 0;
  while (left >= weights[chosen]) left -= weights[chosen++];
  ++operations_;
  perform(static_cast<Operation>(chosen));
  world_.reached(cpu_.now());
}

void Worker::perform(Operation operation) {
  operation_ = operation;
  const auto any_region = [&] { return static_cast<unsigned>(random_.below(regions_.size())); };
  const auto any_page = [&] { return random_.below(regions_.front().pages.size()); };
  const auto any_section = [&] { return static_cast<unsigned>(random_.below(section_count())); };
  const auto any_section_page = [&] { return random_.below(copies_.front().versions.size()); };
  switch (operation) {
    case Operation::kReadOwn:
      return read_own(any_region(), any_page());
    case Operation::kWriteOwn:
      return write_own(any_region(), any_page());
    case Operation::kReadOther:
      return read_other();
    case Operation::kReadShared:
      if (section_count() > 0) read_shared(any_section(), any_section_page());
      return;
    case Operation::kWriteShared:
      if (section_count() > 0) write_shared(any_section(), any_section_page());
      return;
    case Operation::kReadCopy:
      if (section_count() > 0) read_copy(any_section(), any_section_page());
      return;
    case Operation::kWriteCopy:
      if (section_count() > 0) write_copy();
      return;
    case Operation::kCommit:
      return commit(some_pages());
    case Operation::kDecommit:
      return decommit();
    case Operation::kRelease:
      return release();
    case Operation::kProtect:
      return protect();
    case Operation::kLock:
      return lock_or_unlock(true);
    case Operation::kUnlock:
      return lock_or_unlock(false);
    case Operation::kDiscard:
      return discard();
    case Operation::kTrimRange:
      space().trim_range(cpu_, some_range());
      return;
    case Operation::kMakeResident:
      if (const auto made = space().make_resident(cpu_, some_range()); !made && !may_be_refused(made.error()))
        wrong(fmt::format("failed with {}", to_string(made.error())));
      return;
    case Operation::kEmptyWorkingSet:
      space().empty_working_set(cpu_);
      return;
    case Operation::kQuery:
      return query();
    case Operation::kRemap:
      if (section_count() > 0) remap();
      return;
    case Operation::kFlushView:
      if (section_count() > 0) flush_view();
      return;
    case Operation::kFork:
      return fork();
    case Operation::kFlushModified:
      world_.manager().flush_modified(cpu_);
      return;
    case Operation::kWriteCluster:
      if (random_.below(2) == 0 || !world_.manager().mapped_writer().write_cluster(cpu_))
        world_.manager().modified_writer().write_cluster(cpu_);
      return;
    case Operation::kReuseStandby:
      world_.reuse_standby(cpu_);
      return;
  }
}

void Worker::take_everything() {
  for (unsigned region = 0; region < regions_.size(); ++region) {
    commit({.region = region,
            .first = 0,
            .count = regions_[region].pages.size(),
            .base = world_.regions(number_)[region].base});
    for (std::size_t page = 0; page < regions_[region].pages.size(); ++page)
      if (random_.below(2) == 0) write_own(region, page);
  }
  for (unsigned section = 0; section < section_count(); ++section) {
    map(section);
    map_copy(section);
    for (std::size_t page = 0; page < copies_[section].versions.size(); ++page) write_shared(section, page);
  }
}

void Worker::look_at_everything() {
  for (unsigned region = 0; region < regions_.size(); ++region)
    for (std::size_t page = 0; page < regions_[region].pages.size(); ++page) read_own(region, page);
  for (unsigned section = 0; section < section_count(); ++section)
    for (std::size_t page = 0; page < copies_[section].versions.size(); ++page) {
      read_shared(section, page);
      read_copy(section, page);
    }
}

// --- Accesses ---

Worker::Found Worker::read(VirtualAddress page) {
  Found found{.words = kWords};
  if (random_.below(2) == 0) found = {.first_word = random_.below(kWords), .words = 1};
  const auto into = std::span(words_).subspan(found.first_word, found.words);
  const auto loaded =
      cpu_.load(page + ByteCount(found.first_word * sizeof(std::uint64_t)), std::as_writable_bytes(into));
  if (!loaded) found.status = loaded.error();
  return found;
}

Status Worker::write(VirtualAddress page, std::uint32_t number, std::uint32_t version) {
  fill(words_, number, version);
  const auto stored = cpu_.store(page, std::as_bytes(std::span(words_)));
  return stored ? Status::kSuccess : stored.error();
}

void Worker::expect_exactly(const Found& found, VirtualAddress at, std::uint32_t number, Content content) {
  if (world_.may_fail_with(found.status)) return;
  const Status expected = content.accessible ? Status::kSuccess : Status::kAccessViolation;
  if (found.status != expected)
    return wrong(fmt::format("{:#x} says {}, not {}", at.value(), to_string(found.status), to_string(expected)));
  if (!content.accessible) return;
  for (std::size_t word = found.first_word; word < found.first_word + found.words; ++word) {
    const std::uint64_t right = content.version == 0 ? 0 : stamp(number, content.version, word);
    if (words_[word] != right)
      return wrong(
          fmt::format("word {} of {:#x} (page {}) is {:#x}, not {:#x}", word, at.value(), number, words_[word], right));
  }
}

void Worker::expect_within(const Found& found, VirtualAddress at, const Page& page, History::Window window) {
  if (History::is_forgotten(window)) return;
  const auto says = [&] {
    return fmt::format("{:#x} (page {}) between events {} and {}", at.value(), page.number, window.first, window.last);
  };
  if (world_.may_fail_with(found.status)) return;
  if (found.status == Status::kAccessViolation) {
    if (!page.history.allows(window, {})) wrong(fmt::format("{} was accessible all the time", says()));
    return;
  }
  if (found.status != Status::kSuccess) return wrong(fmt::format("{}: {}", says(), to_string(found.status)));
  std::optional<std::uint32_t> allowed;
  for (std::size_t word = found.first_word; word < found.first_word + found.words; ++word) {
    const auto version = version_of(words_[word], page.number, word);
    if (!version)
      return wrong(fmt::format("{}: word {} is {:#x}, no version of this page", says(), word, words_[word]));
    if (version == allowed) continue;
    if (!page.history.allows(window, {.accessible = true, .version = *version}))
      return wrong(fmt::format("{}: word {} has version {}", says(), word, *version));
    allowed = version;
  }
}

Content Worker::content_of(const OwnPage& page) {
  if (!page.committed || page.protection == Protection::kNoAccess) return {};
  return {.accessible = true, .version = page.version};
}

std::string Worker::past_of(const OwnPage& page) {
  std::string past = fmt::format("changed by operation {}", page.changed_by);
  if (page.refused != 0) past += fmt::format(", operation {} refused with {}", page.refused, to_string(page.refusal));
  return past;
}

void Worker::read_own(unsigned region, std::size_t page) {
  const RegionPlace& place = world_.regions(number_)[region];
  const VirtualAddress at = place.base + bytes_of(PageCount(page));
  expect_exactly(read(at), at, place.pages[page].number, content_of(regions_[region].pages[page]));
}

void Worker::write_own(unsigned region, std::size_t page) {
  RegionPlace& place = world_.regions(number_)[region];
  OwnPage& own = regions_[region].pages[page];
  History& history = place.pages[page].history;
  const VirtualAddress at = place.base + bytes_of(PageCount(page));
  const std::uint32_t version = next_version();
  const bool allowed = own.committed && own.protection == Protection::kReadWrite;
  if (allowed) history.begin({.accessible = true, .version = version});
  const Status status = write(at, place.pages[page].number, version);
  if (status == Status::kSuccess && allowed) {
    own.version = version;
    return history.finish();
  }
  if (allowed) history.cancel();
  if (world_.may_fail_with(status)) return;
  if (allowed || status != Status::kAccessViolation)
    wrong(fmt::format("a write to {:#x}, which is {} with protection {:#x}, says {} ({})", at.value(),
                      own.committed ? "committed" : "not committed", static_cast<unsigned>(own.protection),
                      to_string(status), past_of(own)));
}

void Worker::read_other() {
  const unsigned processes = world_.config().processes;
  const unsigned sharing = (world_.config().workers - number_ % processes + processes - 1) / processes;
  if (sharing < 2)
    return read_own(static_cast<unsigned>(random_.below(regions_.size())),
                    random_.below(regions_.front().pages.size()));
  const unsigned other = static_cast<unsigned>(random_.below(sharing)) * processes + number_ % processes;
  if (other == number_) return;
  const RegionPlace& place = world_.regions(other)[random_.below(regions_.size())];
  const std::size_t page = random_.below(place.pages.size());
  const History& history = place.pages[page].history;
  const VirtualAddress at = place.base + bytes_of(PageCount(page));
  const std::uint32_t first = history.before();
  const Found found = read(at);
  expect_within(found, at, place.pages[page], history.after(first));
}

bool Worker::map(unsigned section) {
  if (views_[section]) return true;
  const auto mapped = space().map_view(cpu_, *world_.sections()[section].section, {});
  if (mapped) {
    views_[section] = VirtualAddress(mapped->first);
  } else if (!may_be_refused(mapped.error())) {
    wrong(fmt::format("no view: {}", to_string(mapped.error())));
  }
  return mapped.has_value();
}

bool Worker::map_copy(unsigned section) {
  CopyView& copy = copies_[section];
  if (copy.base) return true;
  const auto mapped =
      space().map_view(cpu_, *world_.sections()[section].section, {.protection = Protection::kWriteCopy});
  if (mapped) {
    copy.base = VirtualAddress(mapped->first);
    std::ranges::fill(copy.versions, 0U);
  } else if (!may_be_refused(mapped.error())) {
    wrong(fmt::format("no write-copy view: {}", to_string(mapped.error())));
  }
  return mapped.has_value();
}

void Worker::read_shared(unsigned section, std::size_t page) {
  if (!map(section)) return;
  const Page& shared = world_.sections()[section].pages[page];
  const VirtualAddress at = *views_[section] + bytes_of(PageCount(page));
  const std::uint32_t first = shared.history.before();
  const Found found = read(at);
  expect_within(found, at, shared, shared.history.after(first));
}

void Worker::write_shared(unsigned section, std::size_t page) {
  SharedSection& shared = world_.sections()[section];
  if (shared.writer_of(page, world_.config().workers) != number_ || !map(section)) return;
  History& history = shared.pages[page].history;
  const VirtualAddress at = *views_[section] + bytes_of(PageCount(page));
  const std::uint32_t version = next_version();
  history.begin({.accessible = true, .version = version});
  const Status status = write(at, shared.pages[page].number, version);
  if (status == Status::kSuccess) return history.finish();
  history.cancel();
  if (!world_.may_fail_with(status)) wrong(fmt::format("a write to {:#x} says {}", at.value(), to_string(status)));
}

void Worker::read_copy(unsigned section, std::size_t page) {
  if (!map_copy(section)) return;
  CopyView& copy = copies_[section];
  const VirtualAddress at = *copy.base + bytes_of(PageCount(page));
  if (copy.versions[page] != 0)
    return expect_exactly(read(at), at, copy.first_number + static_cast<std::uint32_t>(page),
                          {.accessible = true, .version = copy.versions[page]});
  const Page& shared = world_.sections()[section].pages[page];
  const std::uint32_t first = shared.history.before();
  const Found found = read(at);
  expect_within(found, at, shared, shared.history.after(first));
}

void Worker::write_copy() {
  const auto section = static_cast<unsigned>(random_.below(section_count()));
  if (!map_copy(section)) return;
  CopyView& copy = copies_[section];
  const std::size_t page = random_.below(copy.versions.size());
  const VirtualAddress at = *copy.base + bytes_of(PageCount(page));
  const std::uint32_t version = next_version();
  const Status status = write(at, copy.first_number + static_cast<std::uint32_t>(page), version);
  if (status == Status::kSuccess) {
    copy.versions[page] = version;
  } else if (!world_.may_fail_with(status)) {
    wrong(fmt::format("a write to {:#x} says {}", at.value(), to_string(status)));
  }
}

}  // namespace pagoda::mm::torture
