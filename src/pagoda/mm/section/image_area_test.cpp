#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "pagoda/mm/section/sections.h"
#include "pagoda/mm/testing/pe_builder.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using machine::Access;
using testing::kPeBss;
using testing::kPeData;
using testing::kPeRdata;
using testing::kPeShared;
using testing::kPeText;
using testing::pe_bytes;
using testing::PeBuilder;
using testing::TestMachine;
using testing::TestMachineConfig;

using Bytes = std::vector<std::byte>;

struct Mode {
  machine::PteFormat paging;
  PeFormat format;
};

std::string name_of(const Mode& mode) {
  return std::string(machine::paging_mode(mode.paging).name) + (mode.format == PeFormat::kPe32 ? "_PE32" : "_PE32Plus");
}

// The places of the builder's sections in an image aligned to 4 KB.
constexpr std::uint64_t kText = 1;
constexpr std::uint64_t kData = 5;
constexpr std::uint64_t kDataZeros = 8;
constexpr std::uint64_t kBss = 9;
constexpr std::uint64_t kShared = 12;

class Images : public ::testing::TestWithParam<Mode> {
 protected:
  Images()
      : t({.frames = PageCount(1024), .paging = GetParam().paging, .processors = 2}),
        other(t.add_space()),
        charged_(t.manager().commit().charged),
        prototypes_(t.manager().frame_counts().prototypes) {
    t.manager().attach(t.cpu(1), other);
  }

  static PeBuilder builder(PeFormat format = GetParam().format) {
    PeBuilder pe(format);
    pe.add({.name = ".text", .flags = kPeText, .bytes = pe_bytes(0x2300, 1)});
    pe.add({.name = ".rdata", .bytes = pe_bytes(0x500, 2)});
    pe.add({.name = ".data", .flags = kPeData, .bytes = pe_bytes(0x1800, 3), .virtual_size = 0x3100});
    pe.add({.name = ".bss", .flags = kPeBss, .virtual_size = 0x2345});
    pe.add({.name = ".shared", .flags = kPeShared, .bytes = pe_bytes(0x1200, 4), .virtual_size = 0x1800});
    return pe;
  }

  Sections& sections() { return t.manager().sections(); }
  // A file of these bytes, all of them on the disk and none in memory.
  std::shared_ptr<FileStream> file_of(const Bytes& bytes) {
    auto disk_file = *t.machine().sim_disk(0).create("image");
    PAGODA_CHECK(disk_file->resize(ByteCount(bytes.size())).has_value());
    auto stream = std::make_shared<FileStream>("image", std::move(disk_file));
    if (!bytes.empty()) PAGODA_CHECK(sections().write(t.cpu(), stream, FileOffset{}, bytes).has_value());
    PAGODA_CHECK(sections().flush(t.cpu(), *stream, FileOffset{}, ByteCount{}).has_value());
    sections().drop_unused(t.cpu());
    return stream;
  }
  Result<Section*> create(const std::shared_ptr<FileStream>& stream) {
    return sections().create(t.cpu(), {.file = stream, .kind = SectionKind::kImage});
  }
  VirtualAddress map(ProcessSpace& space, Section& section) {
    return VirtualAddress(space.map_view(t.cpu(), section, {})->first);
  }
  void close(Section& section) { sections().dereference(t.cpu(), section); }
  // Both spaces let go of their pages, which leave memory.
  void push_out() {
    other.empty_working_set(t.cpu(1));
    t.push_out();
  }
  static bool has(const ImageLayout& layout, std::uint64_t page) {
    return std::ranges::any_of(layout.subsections, [&](const ImageSubsection& part) {
      return PageCount(page) >= part.first_page && PageCount(page) < part.first_page + part.pages;
    });
  }
  // Words in which what a processor reads differs from the bytes, and pages that it can read and should not.
  std::uint64_t differences(unsigned on, VirtualAddress base, const ImageLayout& layout, const Bytes& image) {
    std::uint64_t wrong = 0;
    for (std::uint64_t page = 0; page < layout.pages.value(); ++page) {
      if (!has(layout, page)) {
        for (const Access access : {Access::kRead, Access::kWrite, Access::kExecute})
          wrong += t.touch(TestMachine::page(base, page), access, on) == Status::kAccessViolation ? 0 : 1;
        continue;
      }
      for (std::uint64_t at = page * kPageBytes; at < (page + 1) * kPageBytes; at += 8) {
        std::uint64_t expected = 0;
        std::memcpy(&expected, image.data() + at, 8);
        const auto word = t.cpu(on).load<std::uint64_t>(base + ByteCount(at));
        if (!word || *word != expected) ++wrong;
      }
    }
    return wrong;
  }
  static std::uint64_t word_of(const Bytes& bytes, std::uint64_t page) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + page * kPageBytes, 8);
    return word;
  }
  void expect_everything_back() {
    t.manager().detach(t.cpu(1));
    t.finish_io();
    sections().drop_unused(t.cpu());
    EXPECT_EQ(t.check(), "");
    EXPECT_EQ(t.manager().commit().charged, charged_);
    EXPECT_EQ(t.manager().frame_counts().prototypes, prototypes_);
    EXPECT_EQ(t.slots_used(), 0_pages);
    const LockGuard guard(sections().lock);
    EXPECT_TRUE(sections().areas().empty());
  }

  // Two spaces map the image, read all of it, write to every page that they may, and let go.
  void use(const std::shared_ptr<FileStream>& stream, const Bytes& bytes) {
    const auto created = create(stream);
    ASSERT_TRUE(created);
    Section& section = **created;
    const ImageLayout layout = *section.image();
    const Bytes image = testing::image_bytes(layout, bytes);
    const VirtualAddress here = map(t.space(), section);
    const VirtualAddress there = map(other, section);
    close(section);
    EXPECT_EQ(here, layout.base);
    EXPECT_EQ(differences(0, here, layout, image), 0U);
    EXPECT_EQ(differences(1, there, layout, image), 0U);
    EXPECT_EQ(t.check(), "");
    push_out();
    EXPECT_EQ(t.check(), "");
    EXPECT_EQ(t.slots_used(), 0_pages);  // Nothing was written: all comes from the file again, or is zeros.
    EXPECT_EQ(differences(1, there, layout, image), 0U);
    EXPECT_EQ(differences(0, here, layout, image), 0U);
    EXPECT_EQ(t.check(), "");
    Bytes mine = image;
    Bytes theirs = image;
    for (const ImageSubsection& part : layout.subsections) {
      for (PageCount page = part.first_page; page < part.first_page + part.pages; ++page) {
        const bool may = is_write_copy(part.protection) || is_writable(part.protection);
        const std::uint64_t value = 0x1234'5678'0000 + page.value();
        ASSERT_EQ(t.put(here, page.value(), value), may ? Status::kSuccess : Status::kAccessViolation);
        if (!may) continue;
        std::memcpy(mine.data() + bytes_of(page).value(), &value, 8);
        if (is_writable(part.protection)) std::memcpy(theirs.data() + bytes_of(page).value(), &value, 8);
      }
    }
    for (int round = 0; round < 2; ++round) {
      EXPECT_EQ(t.check(), "");
      EXPECT_EQ(differences(0, here, layout, mine), 0U);
      EXPECT_EQ(differences(1, there, layout, theirs), 0U);
      push_out();
    }
    EXPECT_EQ(t.check(), "");
    Bytes on_disk(bytes.size());
    ASSERT_TRUE(stream->file().peek(FileOffset{}, on_disk));
    EXPECT_EQ(on_disk, bytes);
    EXPECT_TRUE(t.space().unmap_view(t.cpu(), here));
    EXPECT_EQ(differences(1, there, layout, theirs), 0U);
    EXPECT_TRUE(other.unmap_view(t.cpu(1), there));
    EXPECT_EQ(t.check(), "");
  }

  TestMachine t;
  ProcessSpace& other;

 private:
  PageCount charged_;
  PageCount prototypes_;
};

TEST_P(Images, ShowTheFileAndShareItUntilTheyAreWritten) {
  const Bytes bytes = builder().build();
  use(file_of(bytes), bytes);
  expect_everything_back();
}

TEST_P(Images, HaveNothingBetweenTheirSections) {
  PeBuilder pe = builder();
  pe.section_alignment = 0x4000;
  pe.entry_point = 0x4000;
  const Bytes bytes = pe.build();
  const auto stream = file_of(bytes);
  use(stream, bytes);
  Section& section = **create(stream);
  const VirtualAddress base = map(t.space(), section);
  close(section);
  // Headers, then what nobody may touch, then .text.
  const auto info = *t.space().query(t.cpu(), base + kPageSize);
  EXPECT_EQ(info.state, MemoryState::kReserved);
  EXPECT_EQ(info.size, kPageSize * 3);
  EXPECT_EQ(info.type, MemoryType::kImage);
  EXPECT_EQ(info.allocation_base, base);
  EXPECT_EQ(t.space().query(t.cpu(), base)->protection, Protection::kReadOnly);
  EXPECT_EQ(t.space().query(t.cpu(), base + kPageSize * 4)->protection, Protection::kExecuteRead);
  EXPECT_EQ(t.space().protect(t.cpu(), base, kPageSize * 2, Protection::kReadOnly).error(), Status::kNotCommitted);
  EXPECT_EQ(t.space().commit(t.cpu(), base + kPageSize, kPageSize, Protection::kReadOnly).error(),
            Status::kAlreadyCommitted);
  EXPECT_EQ(t.check(), "");
  EXPECT_TRUE(t.space().unmap_view(t.cpu(), base));
  expect_everything_back();
}

TEST_P(Images, AlignedToLessThanAPageAreFlat) {
  PeBuilder pe = builder();
  pe.section_alignment = 0x200;
  pe.entry_point = 0x400;
  const Bytes bytes = pe.build();
  use(file_of(bytes), bytes);
  expect_everything_back();
}

TEST_P(Images, OfRealFiles) {
  const std::filesystem::path path = GetParam().format == PeFormat::kPe32 ? "/usr/i686-w64-mingw32/lib/zlib1.dll"
                                                                          : "/usr/x86_64-w64-mingw32/lib/zlib1.dll";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path << ": apt-get install libz-mingw-w64";
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const auto bytes = std::as_bytes(std::span(text));
  auto opened = t.machine().sim_disk(0).open(path, machine::FileAccess::kRead, machine::FileCreation::kOpenExisting);
  ASSERT_TRUE(opened);
  use(std::make_shared<FileStream>("zlib1.dll", std::move(*opened)), Bytes(bytes.begin(), bytes.end()));
  expect_everything_back();
}

TEST_P(Images, ShareTextAndCopyDataPageByPage) {
  const auto stream = file_of(builder().build());
  Section& section = **create(stream);
  const VirtualAddress here = map(t.space(), section);
  const VirtualAddress there = map(other, section);
  for (const std::uint64_t page : {kText, kData, kBss}) {
    t.must_touch(TestMachine::page(here, page));
    t.must_touch(TestMachine::page(there, page), Access::kRead, 1);
    EXPECT_EQ(t.entry(TestMachine::page(here, page)).share_count, 2U);
  }
  t.must_touch(TestMachine::page(here, kText), Access::kExecute);
  EXPECT_EQ(t.touch(TestMachine::page(here, kData), Access::kExecute),
            t.core().mode.has_no_execute ? Status::kAccessViolation : Status::kSuccess);
  const PageCount before = t.manager().commit().charged;
  t.must_put(here, kData, 1);
  t.must_put(here, kBss, 2);
  t.must_put(here, kDataZeros, 3);  // Nobody has touched it yet.
  EXPECT_EQ(t.manager().commit().charged, before);
  EXPECT_EQ(t.entry(TestMachine::page(here, kText)).share_count, 2U);
  EXPECT_NE(*t.get(there, kData, 1), 1U);
  EXPECT_EQ(*t.get(there, kBss, 1), 0U);
  EXPECT_EQ(*t.get(there, kDataZeros, 1), 0U);
  EXPECT_EQ(t.check(), "");
  // A program patches its code: its own copy, which is charged for.
  EXPECT_EQ(t.space().protect(t.cpu(), TestMachine::page(here, kText), kPageSize, Protection::kExecuteReadWrite),
            Protection::kExecuteRead);
  EXPECT_EQ(t.space().query(t.cpu(), TestMachine::page(here, kText))->protection, Protection::kExecuteWriteCopy);
  EXPECT_EQ(t.manager().commit().charged, before + 1_pages);
  t.must_put(here, kText, 4);
  EXPECT_NE(*t.get(there, kText, 1), 4U);
  EXPECT_EQ(t.space().protect(t.cpu(), TestMachine::page(here, kText), kPageSize, Protection::kExecuteRead),
            Protection::kExecuteReadWrite);
  EXPECT_EQ(t.manager().commit().charged, before + 1_pages);
  EXPECT_EQ(t.check(), "");
  EXPECT_TRUE(t.space().unmap_view(t.cpu(), here));
  EXPECT_TRUE(other.unmap_view(t.cpu(), there));
  close(section);
  expect_everything_back();
}

TEST_P(Images, SharedSectionsGoToThePagingFileAndBeginAnewAfterTheLastUser) {
  const Bytes bytes = builder().build();
  const auto stream = file_of(bytes);
  const std::uint64_t first = word_of(testing::image_bytes(*parse_pe_image(bytes), bytes), kShared);
  for (int life = 0; life < 2; ++life) {
    Section& section = **create(stream);
    const VirtualAddress here = map(t.space(), section);
    const VirtualAddress there = map(other, section);
    close(section);
    EXPECT_EQ(*t.get(there, kShared, 1), first);
    t.must_put(here, kShared, 77);
    EXPECT_EQ(*t.get(there, kShared, 1), 77U);
    // A section that is shared stays so, whatever rights its pages had in between.
    const VirtualAddress page = TestMachine::page(here, kShared);
    EXPECT_EQ(t.space().protect(t.cpu(), page, kPageSize, Protection::kReadOnly), Protection::kReadWrite);
    EXPECT_EQ(t.put(here, kShared, 1), Status::kAccessViolation);
    EXPECT_EQ(t.space().protect(t.cpu(), page, kPageSize, Protection::kReadWrite), Protection::kReadOnly);
    t.must_put(here, kShared, 78);
    EXPECT_EQ(*t.get(there, kShared, 1), 78U);
    EXPECT_EQ(t.check(), "");
    push_out();
    EXPECT_EQ(t.slots_used(), 1_pages);
    EXPECT_EQ(*t.get(there, kShared, 1), 78U);
    EXPECT_EQ(*t.get(here, kShared), 78U);
    EXPECT_EQ(t.check(), "");
    EXPECT_TRUE(t.space().unmap_view(t.cpu(), here));
    EXPECT_TRUE(other.unmap_view(t.cpu(), there));
  }
  expect_everything_back();
}

TEST_P(Images, TellWhatTheyAreAndWhereTheyWantToBe) {
  PeBuilder pe = builder();
  pe.characteristics = pe_image_flags::kExecutableImage | pe_image_flags::kLargeAddressAware | pe_image_flags::kDll;
  Section& section = **create(file_of(pe.build()));
  const ImageLayout& image = *section.image();
  EXPECT_EQ(image.entry_point, ByteCount(pe.entry_point));
  EXPECT_EQ(image.subsystem, PeSubsystem::kWindowsCui);
  EXPECT_TRUE(image.is_large_address_aware());
  EXPECT_TRUE(image.is_dll());
  EXPECT_EQ(section.size(), bytes_of(image.pages));
  const VirtualAddress first = map(t.space(), section);
  EXPECT_EQ(first, VirtualAddress(pe.base));
  EXPECT_TRUE(section.is_at_base(first));
  const VirtualAddress second = map(t.space(), section);
  EXPECT_NE(second, first);
  EXPECT_FALSE(section.is_at_base(second));
  EXPECT_EQ(*t.get(second, kText), *t.get(first, kText));
  EXPECT_EQ(t.entry(TestMachine::page(first, kText)).share_count, 2U);
  EXPECT_EQ(t.check(), "");
  Section& memory = **sections().create(t.cpu(), {.size = 64_KiB});
  EXPECT_EQ(memory.image(), nullptr);
}

TEST_P(Images, DoNotSeeWhatIsWrittenToTheFileLater) {
  const Bytes bytes = builder().build();
  const auto stream = file_of(bytes);
  Section& section = **create(stream);
  const VirtualAddress here = map(t.space(), section);
  const std::uint64_t old = *t.get(here, kText);
  // As the file has it: .text begins behind the headers.
  const auto& text = section.image()->subsections[1];
  const Bytes patch(kPageBytes, std::byte{0xCC});
  EXPECT_FALSE(sections().flush_image(t.cpu(), *stream));
  EXPECT_EQ(sections().may_truncate(*stream, kPageSize).error(), Status::kUserMappedFile);
  EXPECT_EQ(sections().set_file_size(t.cpu(), *stream, kPageSize).error(), Status::kUserMappedFile);
  ASSERT_TRUE(sections().write(t.cpu(), stream, text.file_offset, patch));
  EXPECT_EQ(*t.get(here, kText), old);
  ASSERT_TRUE(sections().flush(t.cpu(), *stream, FileOffset{}, ByteCount{}));
  EXPECT_EQ(*t.get(here, kText), old);
  EXPECT_EQ(t.check(), "");
  // Whoever makes a section now, while the image is in use, gets the same.
  Section& same = **create(stream);
  EXPECT_EQ(&same.control_area(), &section.control_area());
  close(same);
  EXPECT_TRUE(t.space().unmap_view(t.cpu(), here));
  EXPECT_FALSE(sections().flush_image(t.cpu(), *stream));  // There is a section that could be mapped.
  EXPECT_EQ(sections().may_truncate(*stream, kPageSize).error(), Status::kUserMappedFile);
  close(section);
  EXPECT_EQ(t.check(), "");
  // What was kept of the old image is not what the file holds.
  Section& next = **create(stream);
  const VirtualAddress there = map(other, next);
  EXPECT_EQ(*t.get(there, kText, 1), 0xCCCC'CCCC'CCCC'CCCC);
  EXPECT_TRUE(other.unmap_view(t.cpu(), there));
  close(next);
  EXPECT_TRUE(sections().flush_image(t.cpu(), *stream));
  EXPECT_TRUE(sections().set_file_size(t.cpu(), *stream, kPageSize));
  EXPECT_EQ(create(stream).error(), Status::kInvalidImageFormat);
  expect_everything_back();
}

TEST_P(Images, ShowWhatWasWrittenToTheFileBefore) {
  const Bytes bytes = builder().build();
  const auto stream = file_of(bytes);
  Section& data = **sections().create(t.cpu(), {.file = stream, .kind = SectionKind::kData});
  const VirtualAddress view(t.space().map_view(t.cpu(), data, {})->first);
  t.must_put(view, 1, 0x55);  // On its way to the file only when the image section is made.
  Bytes changed = bytes;
  const std::uint64_t value = 0x55;
  std::memcpy(changed.data() + kPageBytes, &value, 8);
  Section& section = **create(stream);
  const ImageLayout layout = *section.image();
  const VirtualAddress here = map(t.space(), section);
  EXPECT_EQ(differences(0, here, layout, testing::image_bytes(layout, changed)), 0U);
  EXPECT_EQ(t.check(), "");
  for (const VirtualAddress mapped : {view, here}) EXPECT_TRUE(t.space().unmap_view(t.cpu(), mapped));
  close(section);
  close(data);
  expect_everything_back();
}

TEST_P(Images, ThatNobodyUsesStayInMemory) {
  PeBuilder pe(GetParam().format);
  pe.add({.name = ".text", .flags = kPeText, .bytes = pe_bytes(0x2300, 1)});
  const auto kept = file_of(pe.build());
  std::uint64_t reads = 0;
  for (int life = 0; life < 2; ++life) {
    reads = t.manager().counters().mapped_file_reads;
    Section& section = **create(kept);
    const VirtualAddress base = map(t.space(), section);
    EXPECT_NE(*t.get(base, kText), 0U);
    EXPECT_TRUE(t.space().unmap_view(t.cpu(), base));
    close(section);
    EXPECT_EQ(t.check(), "");
  }
  EXPECT_EQ(t.manager().counters().mapped_file_reads, reads);
  t.push_out();
  sections().reap(t.cpu());
  {
    const LockGuard guard(sections().lock);
    EXPECT_TRUE(sections().areas().empty());
  }
  expect_everything_back();
}

TEST_P(Images, MayHaveSectionsThatNobodyMayTouch) {
  PeBuilder pe = builder();
  pe.add({.name = ".none", .flags = 0, .bytes = pe_bytes(0x1800, 5)});
  const Bytes bytes = pe.build();
  const auto stream = file_of(bytes);
  Section& section = **create(stream);
  const ImageLayout layout = *section.image();
  const std::uint64_t none = layout.subsections.back().first_page.value();
  const Bytes image = testing::image_bytes(layout, bytes);
  const VirtualAddress here = map(t.space(), section);
  const VirtualAddress there = map(other, section);
  EXPECT_EQ(t.get(here, none).error(), Status::kAccessViolation);
  const auto info = *t.space().query(t.cpu(), TestMachine::page(here, none));
  EXPECT_EQ(info.state, MemoryState::kCommitted);
  EXPECT_EQ(info.protection, Protection::kNoAccess);
  EXPECT_EQ(t.space().protect(t.cpu(), TestMachine::page(here, none), kPageSize * 2, Protection::kReadOnly),
            Protection::kNoAccess);
  EXPECT_EQ(*t.get(here, none), word_of(image, none));
  EXPECT_EQ(*t.get(here, none + 1), word_of(image, none + 1));
  EXPECT_EQ(t.get(there, none, 1).error(), Status::kAccessViolation);
  EXPECT_EQ(t.check(), "");
  push_out();
  EXPECT_EQ(*t.get(here, none), word_of(image, none));
  EXPECT_EQ(t.check(), "");
  EXPECT_TRUE(t.space().unmap_view(t.cpu(), here));
  EXPECT_TRUE(other.unmap_view(t.cpu(), there));
  close(section);
  expect_everything_back();
}

TEST_P(Images, ThatAreNoneLeaveNothing) {
  EXPECT_EQ(create(file_of({})).error(), Status::kInvalidFileForSection);
  EXPECT_EQ(create(file_of(pe_bytes(100, 1))).error(), Status::kInvalidImageNotMz);
  Bytes broken = builder().build();
  PeBuilder::poke(broken, testing::pe_places::kSignature, 0, 4);
  EXPECT_EQ(create(file_of(broken)).error(), Status::kInvalidImageProtect);
  // Addresses of 64 bits need the mode that has them; those of 32 bits run everywhere.
  const bool wide = GetParam().paging == machine::PteFormat::kAmd64;
  const auto created = create(file_of(builder(PeFormat::kPe32Plus).build()));
  EXPECT_EQ(created ? Status::kSuccess : created.error(), wide ? Status::kSuccess : Status::kInvalidImageWin64);
  if (created) close(**created);
  t.finish_io();
  sections().drop_unused(t.cpu());
  expect_everything_back();
}

TEST_P(Images, FailWithTheDiskAndWithCommit) {
  const auto stream = file_of(builder().build());
  t.injection().read_error_rate = 1;
  EXPECT_EQ(create(stream).error(), Status::kIoDeviceError);
  t.injection().read_error_rate = 0;
  EXPECT_EQ(t.check(), "");
  PeBuilder greedy(GetParam().format);
  greedy.add({.name = ".shared", .flags = testing::kPeShared, .virtual_size = 0x4000'0000});
  EXPECT_EQ(create(file_of(greedy.build())).error(), Status::kCommitmentLimit);
  EXPECT_EQ(t.check(), "");
  // Its pages cost nothing before a view promises copies of them.
  PeBuilder copies(GetParam().format);
  copies.add({.name = ".data", .flags = kPeData, .virtual_size = 0x400'0000});
  Section& section = **create(file_of(copies.build()));
  EXPECT_EQ(t.space().map_view(t.cpu(), section, {}).error(), Status::kCommitmentLimit);
  close(section);
  EXPECT_EQ(t.check(), "");
  // A page that cannot be read fails that access alone.
  Section& sound = **create(stream);
  const VirtualAddress here = map(t.space(), sound);
  t.injection().read_error_rate = 1;
  EXPECT_EQ(t.get(here, kText).error(), Status::kInPageError);
  t.injection().read_error_rate = 0;
  EXPECT_TRUE(t.get(here, kText));
  EXPECT_TRUE(t.space().unmap_view(t.cpu(), here));
  close(sound);
  expect_everything_back();
}

TEST_P(Images, AreMadeAcrossAWaitForTheDisk) {
  const auto stream = file_of(builder().build());
  t.cpu().set_waiting(Processor::Waiting::kYields);
  EXPECT_EQ(create(stream).error(), Status::kPending);
  t.cpu().advance_to(t.cpu().take_blocked_until());
  const auto created = create(stream);
  ASSERT_TRUE(created);
  close(**created);
  expect_everything_back();
}

INSTANTIATE_TEST_SUITE_P(Modes, Images,
                         ::testing::Values(Mode{machine::PteFormat::kX86, PeFormat::kPe32},
                                           Mode{machine::PteFormat::kPae, PeFormat::kPe32},
                                           Mode{machine::PteFormat::kAmd64, PeFormat::kPe32},
                                           Mode{machine::PteFormat::kAmd64, PeFormat::kPe32Plus}),
                         [](const auto& mode) { return name_of(mode.param); });

}  // namespace
}  // namespace pagoda::mm
