// A file that changes its size while others read, write and map it: an operation that finds its page gone behind the new
// end says so or makes it anew, and no view is shorter than it was. Sizes are whole pages, and what one thread writes no
// other reads: the bytes are the programs' own, and the thread sanitizer looks at them too.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <span>
#include <stop_token>
#include <thread>

#include "pagoda/mm/section/sections.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm::testing {
namespace {

constexpr std::uint64_t kMostPages = 40;
constexpr int kRounds = 400;

class FileSizeThreads : public ::testing::Test {
 protected:
  FileSizeThreads()
      : t({.frames = PageCount(2048), .processors = 4, .driving = machine::Driving::kThreads}),
        file(t.add_file(PageCount(kMostPages))) {}

  Sections& sections() { return t.manager().sections(); }
  // The last word of a page is written, the first one never.
  static FileOffset last_word(std::uint64_t page) {
    return FileOffset((page + 1) * kPageBytes - sizeof(std::uint64_t));
  }

  void resize(unsigned number) {
    Random random(number);
    for (int round = 0; round < kRounds; ++round) {
      const ByteCount size(random.below(kMostPages) * kPageBytes);
      const auto done = sections().set_file_size(t.cpu(number), *file, size);
      if (!done && done.error() != Status::kUserMappedFile) ++wrong;
    }
  }
  void write(unsigned number) {
    Random random(number);
    for (int round = 0; round < kRounds; ++round) {
      const FileOffset at = last_word(random.below(kMostPages));
      const std::uint64_t word = at.value();
      if (sections().write(t.cpu(number), file, at, std::as_bytes(std::span(&word, 1))) != 8_B) ++wrong;
    }
  }
  void read(unsigned number) {
    Random random(number);
    for (int round = 0; round < kRounds; ++round) {
      const FileOffset at(random.below(kMostPages) * kPageBytes);
      std::uint64_t word = 0;
      const auto done = sections().read(t.cpu(number), file, at, std::as_writable_bytes(std::span(&word, 1)));
      if (!done && done.error() != Status::kEndOfFile) ++wrong;
      if (word != 0) ++wrong;
    }
  }
  // Sections and views of the file as it is then: it is not made shorter while they are there.
  void map(unsigned number) {
    machine::SimProcessor& cpu = t.cpu(number);
    for (int round = 0; round < kRounds / 8; ++round) {
      const auto section = sections().create(cpu, {.file = file, .kind = SectionKind::kData});
      if (!section) {
        if (section.error() != Status::kMappedFileSizeZero) ++wrong;
        continue;
      }
      const auto view = t.space().map_view(cpu, **section, {});
      if (!view || view->count != pages_of((*section)->size())) ++wrong;
      for (std::uint64_t page = 0; view && page < view->count.value(); ++page) {
        if (cpu.load<std::uint64_t>(TestMachine::page(VirtualAddress(view->first), page)) != 0U) ++wrong;
      }
      if (file->size() < (*section)->size()) ++wrong;
      if (view && !t.space().unmap_view(cpu, VirtualAddress(view->first))) ++wrong;
      sections().dereference(cpu, **section);
    }
  }

  TestMachine t;
  std::shared_ptr<FileStream> file;
  std::atomic<std::uint64_t> wrong = 0;
};

TEST_F(FileSizeThreads, ReadersWritersAndViewsAgreeWithOneWhoChangesTheSize) {
  {
    const std::array threads{std::jthread([&] { resize(0); }), std::jthread([&] { write(1); }),
                             std::jthread([&] { read(2); }), std::jthread([&] { map(3); })};
  }
  EXPECT_EQ(wrong, 0U);
  EXPECT_EQ(t.check(), "");
  for (std::uint64_t page = 0; bytes_of(PageCount(page)) < file->size(); ++page) {
    std::uint64_t word = 0;
    EXPECT_TRUE(sections().read(t.cpu(), file, last_word(page), std::as_writable_bytes(std::span(&word, 1))));
    EXPECT_TRUE(word == 0 || word == last_word(page).value()) << page;
  }
}

}  // namespace
}  // namespace pagoda::mm::testing
