// A file's size beside its sections: who may change it, and what later sections and views see of it. Issue 10, section 1;
// reference/nt-kernel-facts.md 11.6 (MmCanFileBeTruncated).
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "pagoda/mm/section/sections.h"
#include "pagoda/mm/testing/pe_images.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;

class FileSizes : public ::testing::TestWithParam<machine::PteFormat> {
 protected:
  FileSizes() : t({.frames = PageCount(512), .paging = GetParam(), .processors = 2}), file(t.add_file(4_pages)) {
    write(0, 4_pages);
  }

  Sections& sections() { return t.manager().sections(); }
  // Each page's number, and one, at its start.
  void write(std::uint64_t first, PageCount count) {
    for (std::uint64_t page = first; page < first + count.value(); ++page) {
      const std::uint64_t word = page + 1;
      ASSERT_TRUE(sections().write(t.cpu(), file, FileOffset(page * kPageBytes), std::as_bytes(std::span(&word, 1))));
    }
  }
  Section& open(SectionKind kind = SectionKind::kData) {
    return **sections().create(t.cpu(), {.file = file, .kind = kind, .protection = Protection::kReadWrite});
  }
  void close(Section& section) { sections().dereference(t.cpu(), section); }
  // A view that may reach 1 MB into the file.
  VirtualAddress map(Section& section) {
    return VirtualAddress(t.space().map_view(t.cpu(), section, {.size = 1_MiB, .extendable = true})->first);
  }
  Status resize(ByteCount size) {
    const auto done = sections().set_file_size(t.cpu(), *file, size);
    return done ? Status::kSuccess : done.error();
  }
  // Where a section that is made now ends, as its views show it: what is behind is reserved, and no access reaches it.
  PageCount end_of_new_view() {
    Section& section = open();
    const VirtualAddress base = map(section);
    EXPECT_EQ(section.size(), file->size());
    const RegionInfo info = *t.space().query(t.cpu(), base);
    EXPECT_EQ(info.state, MemoryState::kCommitted);
    const PageCount end = pages_of(info.size);
    for (std::uint64_t page = 0; page < end.value(); ++page) EXPECT_TRUE(t.get(base, page));
    EXPECT_EQ(t.get(base, end.value()), fail(Status::kAccessViolation));
    EXPECT_EQ(t.space().query(t.cpu(), base + info.size)->state, MemoryState::kReserved);
    EXPECT_EQ(t.check(), "");
    EXPECT_TRUE(t.space().unmap_view(t.cpu(), base));
    close(section);
    return end;
  }

  TestMachine t;
  std::shared_ptr<FileStream> file;
};

TEST_P(FileSizes, DoNotShrinkUnderASectionOrAView) {
  Section& section = open();
  EXPECT_EQ(sections().may_truncate(*file, kPageSize * 3).error(), Status::kUserMappedFile);
  EXPECT_EQ(resize(kPageSize * 3), Status::kUserMappedFile);  // No view is needed.
  EXPECT_EQ(resize(kPageSize * 4 - 1_B), Status::kUserMappedFile);
  EXPECT_EQ(resize({}), Status::kUserMappedFile);
  EXPECT_EQ(resize(kPageSize * 4), Status::kSuccess);
  EXPECT_EQ(resize(kPageSize * 6), Status::kSuccess);  // To grow is no harm.
  const VirtualAddress base = map(section);
  close(section);
  EXPECT_EQ(resize(kPageSize), Status::kUserMappedFile);
  EXPECT_EQ(*t.get(base, 3), 4U);
  EXPECT_TRUE(t.space().unmap_view(t.cpu(), base));
  EXPECT_EQ(resize(kPageSize), Status::kSuccess);
  EXPECT_EQ(t.check(), "");
  // What comes back is zero.
  EXPECT_EQ(resize(kPageSize * 4), Status::kSuccess);
  const VirtualAddress again = map(open());
  EXPECT_EQ(*t.get(again, 0), 1U);
  EXPECT_EQ(*t.get(again, 3), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(FileSizes, AreThoseOfLaterSections) {
  EXPECT_EQ(end_of_new_view(), 4_pages);
  EXPECT_EQ(resize(kPageSize * 2), Status::kSuccess);
  EXPECT_EQ(end_of_new_view(), 2_pages);
  EXPECT_EQ(resize(kPageSize + 10_B), Status::kSuccess);
  EXPECT_EQ(end_of_new_view(), 2_pages);
  EXPECT_EQ(resize(10_B), Status::kSuccess);
  EXPECT_EQ(end_of_new_view(), 1_pages);
  EXPECT_EQ(resize({}), Status::kSuccess);
  EXPECT_EQ(sections().create(t.cpu(), {.file = file, .kind = SectionKind::kData}).error(),
            Status::kMappedFileSizeZero);
  write(0, 3_pages);
  EXPECT_EQ(file->size(), kPageSize * 2 + 8_B);
  EXPECT_EQ(end_of_new_view(), 3_pages);
}

// More pages than one run of prototype PTEs has entries, so that a file grows by runs and subsections, and is cut behind
// them, in them and before them.
TEST_P(FileSizes, MayGoBackBehindAnySubsection) {
  const std::uint64_t run = kPageBytes / t.core().mode.entry_bytes;
  for (const std::uint64_t pages : {run / 2, 3 * run + 5, 3 * run + 2, 2 * run, 2 * run - 1, run + 1, run, run - 1,
                                    std::uint64_t{3}, 2 * run + 7, std::uint64_t{1}, 4 * run}) {
    SCOPED_TRACE(pages);
    ASSERT_EQ(resize(bytes_of(PageCount(pages))), Status::kSuccess);
    Section& section = open();
    const auto view = t.space().map_view(t.cpu(), section, {.size = bytes_of(PageCount(5 * run)), .extendable = true});
    const VirtualAddress base(view->first);
    EXPECT_EQ(pages_of(t.space().query(t.cpu(), base)->size), PageCount(pages));
    for (const std::uint64_t page : {std::uint64_t{0}, pages / 2, pages - 1})
      ASSERT_EQ(t.put(base, page, page + 100), Status::kSuccess) << page;
    EXPECT_EQ(t.get(base, pages), fail(Status::kAccessViolation));
    EXPECT_EQ(t.check(), "");
    EXPECT_TRUE(t.space().unmap_view(t.cpu(), base));
    close(section);
    t.space().empty_working_set(t.cpu());
    if (pages % 2 == 0) {
      EXPECT_TRUE(t.manager().flush_modified(t.cpu()));
    }
    std::uint64_t word = 0;
    ASSERT_TRUE(sections().read(t.cpu(), file, FileOffset((pages - 1) * kPageBytes),
                                std::as_writable_bytes(std::span(&word, 1))));
    EXPECT_EQ(word, pages - 1 + 100);
    EXPECT_EQ(t.check(), "");
  }
}

TEST_P(FileSizes, BehindTheEndNothingIsRead) {
  EXPECT_EQ(resize(kPageSize), Status::kSuccess);
  std::uint64_t word = 0;
  const auto bytes = std::as_writable_bytes(std::span(&word, 1));
  EXPECT_EQ(sections().read(t.cpu(), file, FileOffset(2 * kPageBytes), bytes).error(), Status::kEndOfFile);
  EXPECT_EQ(sections().read(t.cpu(), file, FileOffset(kPageBytes - 4), bytes), 4_B);
  write(2, 1_pages);
  EXPECT_EQ(sections().read(t.cpu(), file, FileOffset(2 * kPageBytes), bytes), 8_B);
  EXPECT_EQ(word, 3U);
  EXPECT_EQ(t.check(), "");
}

INSTANTIATE_TEST_SUITE_P(Modes, FileSizes,
                         ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                           machine::PteFormat::kAmd64),
                         [](const auto& mode) { return std::string(machine::paging_mode(mode.param).name); });

// --- An image of a file that a view of its data writes to ---

class ImagesOfWrittenFiles : public FileSizes {
 protected:
  ImagesOfWrittenFiles() {
    file = std::make_shared<FileStream>("image", *t.machine().sim_disk(0).create("image"));
    PAGODA_CHECK(sections().write(t.cpu(), file, {}, bytes_).has_value());
    PAGODA_CHECK(sections().flush(t.cpu(), *file, FileOffset{}, ByteCount{}).has_value());
  }
  Result<Section*> image() { return sections().create(t.cpu(), {.file = file, .kind = SectionKind::kImage}); }
  // What the file has at the offset, by way of a view of its image.
  std::uint64_t in_image(Section& section, std::uint64_t page, std::uint64_t offset) {
    const VirtualAddress base(t.space().map_view(t.cpu(), section, {})->first);
    return *t.cpu().load<std::uint64_t>(base + ByteCount(page * kPageBytes + offset));
  }

  const testing::File bytes_ = testing::small_image(PeFormat::kPe32).build();
};

TEST_P(ImagesOfWrittenFiles, ShowWhatViewsOfTheDataWrote) {
  std::uint64_t header = 0;
  std::memcpy(&header, bytes_.data(), sizeof header);
  ProcessSpace& other = t.add_space();
  t.manager().attach(t.cpu(1), other);
  Section& data = open();
  const VirtualAddress here(t.space().map_view(t.cpu(), data, {})->first);
  const VirtualAddress there(other.map_view(t.cpu(1), data, {})->first);
  // Broken, and mended by another program: both are in entries of page tables only.
  ASSERT_TRUE(t.cpu().store<std::uint64_t>(here, 0xDEADBABE));
  EXPECT_EQ(image().error(), Status::kInvalidImageNotMz);
  ASSERT_TRUE(t.cpu(1).store<std::uint64_t>(there, header));
  const ImageLayout layout = *parse_pe_image(bytes_);
  const std::uint64_t text = layout.subsections[1].file_offset.value();  // The first section's, page 1.
  ASSERT_TRUE(t.cpu(1).store<std::uint64_t>(there + ByteCount(text + 16), 0x5555));
  const auto made = image();
  ASSERT_TRUE(made);
  EXPECT_EQ(in_image(**made, 0, 0), header);
  EXPECT_EQ(in_image(**made, 1, 16), 0x5555U);
  EXPECT_EQ(t.check(), "");
  // A snapshot: what is written later it does not show, the next image does.
  ASSERT_TRUE(t.cpu().store<std::uint64_t>(here + ByteCount(text + 24), 0x6666));
  EXPECT_NE(in_image(**made, 1, 24), 0x6666U);
  EXPECT_EQ(*t.cpu(1).load<std::uint64_t>(there + ByteCount(text + 24)), 0x6666U);
  EXPECT_EQ(t.check(), "");
}

INSTANTIATE_TEST_SUITE_P(Modes, ImagesOfWrittenFiles,
                         ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                           machine::PteFormat::kAmd64),
                         [](const auto& mode) { return std::string(machine::paging_mode(mode.param).name); });

}  // namespace
}  // namespace pagoda::mm
