// Sections, views and images of three spaces, used at random on a machine that is too small for them: what each view
// shows is what a plain model says, and the checker finds nothing after any step.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <map>

#include "pagoda/base/random.h"
#include "pagoda/base/testing/effort.h"
#include "pagoda/mm/section/sections.h"
#include "pagoda/mm/testing/pe_builder.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;

constexpr std::uint64_t kPages = 40;  // Each section that is no image has so many.
constexpr std::size_t kSteps = 150;   // At the effort of 1.

class RandomViews : public ::testing::TestWithParam<machine::PteFormat> {
 protected:
  RandomViews() : t({.frames = PageCount(256), .paging = GetParam()}), random(7) {
    spaces = {&t.space(), &t.add_space(), &t.add_space()};
    for (int i = 0; i < 2; ++i) files.push_back(file("data", Bytes(kPages * kPageBytes)));
    testing::PeBuilder pe(PeFormat::kPe32);
    pe.add({.name = ".text", .flags = testing::kPeText, .bytes = testing::pe_bytes(0x5300, 1)});
    pe.add({.name = ".data", .flags = testing::kPeData, .bytes = testing::pe_bytes(0x2800, 3), .virtual_size = 0x6100});
    pe.add({.name = ".shared",
            .flags = testing::kPeShared,
            .bytes = testing::pe_bytes(0x1200, 4),
            .virtual_size = 0x2800});
    const Bytes bytes = pe.build();
    image_bytes = testing::image_bytes(*parse_pe_image(bytes), bytes);
    files.push_back(file("image", bytes));
  }

  using Bytes = std::vector<std::byte>;
  // The first word of each page.
  using Words = std::vector<std::uint64_t>;

  struct Shared {
    Section* section = nullptr;
    std::size_t file = 0;  // An index of files; past them: none.
    std::shared_ptr<Words> words;
  };
  struct View {
    std::size_t space = 0;
    VirtualAddress base;
    std::shared_ptr<Words> words;
    std::map<std::uint64_t, std::uint64_t> copies;  // Private pages.
    std::vector<Protection> protection;             // By page.
    bool image = false;
    Protection mapped_with = Protection::kNoAccess;
  };

  std::shared_ptr<FileStream> file(const char* name, const Bytes& bytes) {
    auto disk_file = *t.machine().sim_disk(0).create(name);
    PAGODA_CHECK(disk_file->resize(ByteCount(bytes.size())).has_value());
    auto stream = std::make_shared<FileStream>(name, std::move(disk_file));
    PAGODA_CHECK(t.manager().sections().write(t.cpu(), stream, FileOffset{}, bytes).has_value());
    return stream;
  }
  std::uint64_t below(std::uint64_t limit) { return random.next() % limit; }
  // The words of a segment: one for all who use it at the same time.
  std::shared_ptr<Words> words_of(std::size_t file) {
    if (file >= files.size()) return std::make_shared<Words>(kPages);
    auto& words = file_words[file];
    if (file + 1 == files.size()) {
      // What processes wrote to an image's shared pages ends with the last of them.
      auto alive = image_words.lock();
      if (alive == nullptr) {
        alive = std::make_shared<Words>(image_bytes.size() / kPageBytes);
        for (std::size_t page = 0; page < alive->size(); ++page)
          std::memcpy(&(*alive)[page], image_bytes.data() + page * kPageBytes, 8);
        image_words = alive;
      }
      return alive;
    }
    if (words == nullptr) words = std::make_shared<Words>(kPages);
    return words;
  }

  void make_section() {
    if (sections.size() >= 5) return;
    const std::size_t which = below(files.size() + 1);
    SectionRequest request{.size = bytes_of(PageCount(kPages)), .protection = Protection::kExecuteReadWrite};
    if (which < files.size()) {
      request.file = files[which];
      request.kind = which + 1 == files.size() ? SectionKind::kImage : SectionKind::kData;
      request.size = {};
    }
    const auto made = t.manager().sections().create(t.cpu(), request);
    if (made) sections.push_back({*made, which, words_of(which)});
  }
  void close_section() {
    if (sections.empty()) return;
    const std::size_t which = below(sections.size());
    t.manager().sections().dereference(t.cpu(), *sections[which].section);
    sections.erase(sections.begin() + static_cast<std::ptrdiff_t>(which));
  }
  Protection any_protection() {
    constexpr std::array kAll{Protection::kNoAccess,  Protection::kReadOnly,    Protection::kReadWrite,
                              Protection::kWriteCopy, Protection::kExecuteRead, Protection::kExecuteReadWrite};
    return kAll[below(kAll.size())];
  }
  void map() {
    if (sections.empty() || views.size() >= 8) return;
    const Shared& from = sections[below(sections.size())];
    const std::size_t space = below(spaces.size());
    const Protection protection = any_protection();
    const auto mapped = spaces[space]->map_view(t.cpu(), *from.section, {.protection = protection});
    if (!mapped) {
      EXPECT_EQ(mapped.error(), Status::kCommitmentLimit);
      return;
    }
    View view{.space = space, .base = VirtualAddress(mapped->first), .words = from.words, .copies = {}};
    view.protection.assign(from.words->size(), protection);
    view.mapped_with = protection;
    view.image = from.section->image() != nullptr;
    if (view.image) {
      for (const ImageSubsection& part : from.section->image()->subsections)
        for (PageCount page = part.first_page; page < part.first_page + part.pages; ++page)
          view.protection[page.value()] = part.protection;
    }
    if (view.image) shared_from = from.section->image()->subsections.back().first_page.value();
    views.push_back(std::move(view));
  }
  void unmap() {
    if (views.empty()) return;
    const std::size_t which = below(views.size());
    EXPECT_TRUE(spaces[views[which].space]->unmap_view(t.cpu(), views[which].base));
    views.erase(views.begin() + static_cast<std::ptrdiff_t>(which));
  }
  std::uint64_t& word(View& view, std::uint64_t page) {
    const auto copy = view.copies.find(page);
    return copy != view.copies.end() ? copy->second : (*view.words)[page];
  }
  void access() {
    if (views.empty()) return;
    View& view = views[below(views.size())];
    t.manager().attach(t.cpu(), *spaces[view.space]);
    const std::uint64_t page = below(view.words->size());
    Protection& protection = view.protection[page];
    if (below(2) == 0) {
      const auto read = t.get(view.base, page);
      ASSERT_EQ(read.has_value(), protection != Protection::kNoAccess);
      if (read) {
        ASSERT_EQ(*read, word(view, page));
      }
      return;
    }
    const std::uint64_t value = random.next();
    const Status status = t.put(view.base, page, value);
    ASSERT_EQ(status == Status::kSuccess, is_writable(protection) || is_write_copy(protection));
    if (status != Status::kSuccess) return;
    if (is_write_copy(protection)) view.copies[page] = value;
    protection = unshared(protection);
    word(view, page) = value;
  }
  void protect() {
    if (views.empty()) return;
    View& view = views[below(views.size())];
    const std::uint64_t first = below(view.words->size());
    const std::uint64_t count = 1 + below(view.words->size() - first);
    const Protection protection = any_protection();
    const auto changed = spaces[view.space]->protect(t.cpu(), TestMachine::page(view.base, first),
                                                     bytes_of(PageCount(count)), protection);
    if (!view.image && !is_compatible(view.mapped_with, protection)) {
      ASSERT_EQ(changed, fail(Status::kSectionProtection));
      return;
    }
    if (!changed) {
      ASSERT_EQ(changed.error(), Status::kCommitmentLimit);
      return;
    }
    ASSERT_EQ(*changed, view.protection[first]);
    for (std::uint64_t page = first; page < first + count; ++page) {
      Protection& now = view.protection[page];
      now = protection;
      const bool copying = view.image && page < shared_from;
      if (view.copies.contains(page))
        now = unshared(protection);
      else if (copying)
        now = shared_by_fork(protection);
    }
  }
  void flush() {
    if (views.empty()) return;
    const View& view = views[below(views.size())];
    static_cast<void>(spaces[view.space]->flush_view(t.cpu(), view.base, {}));
  }
  void push_out() {
    for (ProcessSpace* const space : spaces) space->empty_working_set(t.cpu());
    if (below(2) == 0) t.push_out();
  }
  void through_file() {
    const std::size_t which = below(files.size() - 1);
    const std::uint64_t page = below(kPages);
    std::uint64_t value = random.next();
    const auto bytes = std::as_writable_bytes(std::span(&value, 1));
    const auto words = words_of(which);
    if (below(2) == 0) {
      ASSERT_TRUE(t.manager().sections().read(t.cpu(), files[which], FileOffset(page * kPageBytes), bytes));
      ASSERT_EQ(value, (*words)[page]);
    } else {
      ASSERT_TRUE(t.manager().sections().write(t.cpu(), files[which], FileOffset(page * kPageBytes), bytes));
      (*words)[page] = value;
    }
  }

  void step() {
    switch (below(20)) {
      case 0:
        return make_section();
      case 1:
        return below(2) == 0 ? close_section() : make_section();
      case 2:
      case 3:
        return map();
      case 4:
        return below(2) == 0 ? unmap() : map();
      case 5:
      case 6:
        return protect();
      case 7:
        return flush();
      case 8:
        return below(4) == 0 ? push_out() : access();
      case 9:
        return through_file();
      case 10: {
        if (below(4) == 0) t.manager().sections().drop_unused(t.cpu());
        return;
      }
      default:
        return access();
    }
  }

  TestMachine t;
  Random random;
  std::vector<ProcessSpace*> spaces;
  std::vector<std::shared_ptr<FileStream>> files;  // The last one's is an image.
  std::map<std::size_t, std::shared_ptr<Words>> file_words;
  std::weak_ptr<Words> image_words;
  std::uint64_t shared_from = 0;  // The image's first page that all processes share.
  Bytes image_bytes;
  std::vector<Shared> sections;
  std::vector<View> views;
};

TEST_P(RandomViews, ShowWhatTheModelSays) {
  for (std::size_t n = 0; n < pagoda::testing::effort(kSteps); ++n) {
    SCOPED_TRACE("step " + std::to_string(n));
    step();
    ASSERT_FALSE(HasFatalFailure());
    ASSERT_EQ(t.check(), "");
  }
  while (!views.empty()) unmap();
  while (!sections.empty()) close_section();
  t.finish_io();
  t.manager().sections().drop_unused(t.cpu());
  EXPECT_EQ(t.manager().frame_counts().prototypes, 0_pages);
  EXPECT_EQ(t.slots_used(), 0_pages);
  EXPECT_EQ(t.check(), "");
}

INSTANTIATE_TEST_SUITE_P(Modes, RandomViews,
                         ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                           machine::PteFormat::kAmd64),
                         [](const auto& mode) { return std::string(machine::paging_mode(mode.param).name); });

}  // namespace
}  // namespace pagoda::mm
