// SL1 to SL3: slots of the paging files against everybody who names one. CM1, CM2: the commit charge.
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "pagoda/mm/check/check_context.h"

namespace pagoda::mm::checking {

namespace {

std::string text_of(const Context& c, const NamedSlot& name) {
  return fmt::format("{} of paging file {}, named by {}", to_string(name.slot), name.file,
                     name.frame == kNoPfn ? "the entry at " + to_string(name.pte) : c.text_of(name.frame));
}

void check_file(Context& c, unsigned number, std::uint64_t named) PAGODA_REQUIRES(c.core.pfns.lock) {
  const PagingFile& file = c.core.paging_files[number];
  // Slot 0, those named, and those that could not be written.
  if (file.slots().size() == 0 || !file.slots().test(0))
    c.find("SL1"_rule, fmt::format("slot 0 of paging file {} is free", number));
  const std::uint64_t expected = 1 + named + file.retired().value();
  if (file.slots().count() != expected) {
    c.find("SL1"_rule, fmt::format("paging file {}: {} slots are in use; slot 0, {} that somebody names and {} retired "
                                   "ones are {}",
                                   number, file.slots().count(), named, file.retired().value(), expected));
  }
  if (file.file().size() != bytes_of(file.size()) || file.size() < file.minimum() || file.size() > file.maximum()) {
    c.find("SL3"_rule,
           fmt::format("paging file {} has {} slots, {} bytes, and is allowed {} to {}", number, file.slots().size(),
                       file.file().size().value(), to_string(file.minimum()), to_string(file.maximum())));
  }
}

// A slot of the compression store.
void check_stored(Context& c, const NamedSlot& name, const NamedSlot* before) PAGODA_REQUIRES(c.core.pfns.lock) {
  if (before != nullptr && before->file == name.file && before->slot == name.slot)
    c.find("SL1"_rule, text_of(c, name) + ", is also " + text_of(c, *before));
  if (!c.core.store.is_used(name.slot)) {
    c.find("SL1"_rule, text_of(c, name) + ", is free in the compression store");
  } else if (c.core.store.owner(name.slot) != name.pte) {
    c.find("CS3"_rule, fmt::format("{}; the compression store takes it for that of {}", text_of(c, name),
                                   to_string(c.core.store.owner(name.slot))));
  }
}

}  // namespace

void check_slots(Context& c) {
  std::ranges::sort(c.slots, {}, [](const NamedSlot& name) { return std::tuple(name.file, name.slot, name.pte); });
  std::array<std::uint64_t, PagingFiles::kMaxFiles> named{};
  const NamedSlot* before = nullptr;
  for (const NamedSlot& name : c.slots) {
    if (c.core.backings.find(name.file) == &c.core.store) {
      check_stored(c, name, before);
      ++named[name.file];
      before = &name;
      continue;
    }
    if (name.file >= c.core.paging_files.size() || name.slot.value() == 0 ||
        name.slot.value() >= c.core.paging_files[name.file].slots().size()) {
      c.find("SL2"_rule, text_of(c, name) + ", does not exist");
      continue;
    }
    if (before != nullptr && before->file == name.file && before->slot == name.slot) {
      c.find("SL1"_rule, text_of(c, name) + ", is also " + text_of(c, *before));
      continue;
    }
    before = &name;
    if (c.core.paging_files[name.file].slots().test(name.slot.value())) {
      ++named[name.file];
    } else {
      c.find("SL1"_rule, text_of(c, name) + ", is free");
    }
  }
  for (unsigned file = 0; file < c.core.paging_files.size(); ++file) check_file(c, file, named[file]);
  const std::uint64_t stored = named[CompressionStore::kNumber];
  if (c.core.store.is_enabled() && c.core.store.pages().value() != stored)
    c.find("SL1"_rule,
           fmt::format("the compression store has {} pages; {} are named", c.core.store.pages().value(), stored));
}

void check_commit(Context& c) {
  c.charge += c.core.driver_frames.count_locked();
  const PageCount charged = c.core.commit.charged();
  const PageCount peak = c.core.commit.peak();
  if (charged != c.charge) {
    c.find("CM1"_rule,
           fmt::format("{} are charged, the spaces' charges are {}", to_string(charged), to_string(c.charge)));
  }
  if (peak < charged) {
    c.find("CM1"_rule, fmt::format("{} are charged, above the peak of {}", to_string(charged), to_string(peak)));
  }
  PageCount limit = c.core.pfns.frames() - c.core.tunables.commit_reserve;
  for (std::size_t number = 0; number < c.core.paging_files.size(); ++number) {
    const PagingFile& file = c.core.paging_files[number];
    const PageCount unusable = file.retired() + 1_pages;
    const PageCount on_disk = pages_of(file.file().size());
    if (unusable > file.size() || unusable > on_disk) {
      c.find("CM2"_rule, fmt::format("paging file {} has {} slots, {} of them unusable", number, file.slots().size(),
                                     unusable.value()));
      return;  // The ledger cannot say what its limit is.
    }
    limit += on_disk - unusable;
  }
  if (c.core.commit.limit() != limit) {
    c.find("CM2"_rule, fmt::format("the limit is {}; usable frames and slots are {}", to_string(c.core.commit.limit()),
                                   to_string(limit)));
  }
}

}  // namespace pagoda::mm::checking
