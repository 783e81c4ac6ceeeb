#include "pagoda/mm/section/control_area.h"

#include <gtest/gtest.h>

#include <memory>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;

class ControlAreaTest : public ::testing::Test {
 protected:
  std::shared_ptr<FileStream> file(ByteCount size) {
    auto disk_file = *t.machine().sim_disk(0).create("data");
    PAGODA_CHECK(disk_file->resize(size).has_value());
    return std::make_shared<FileStream>("data", std::move(disk_file));
  }
  Section& create(const SectionRequest& request) { return **t.manager().sections().create(t.cpu(), request); }
  PageCount charged() { return t.manager().commit().charged; }

  TestMachine t;
};

TEST_F(ControlAreaTest, PrototypesLeadBackToTheirPages) {
  const auto stream = file(40_KiB);
  Section& section = create({.file = stream, .kind = SectionKind::kData});
  // More than the run's page of entries holds: a second run and subsection.
  ASSERT_TRUE(t.manager().sections().extend(t.cpu(), section, 5_MiB));
  const ControlArea& area = section.control_area();
  const LockGuard guard(t.core().pfns.lock);
  EXPECT_EQ(area.pages(), PageCount(1280));
  EXPECT_EQ(area.runs().size(), 2U);
  EXPECT_EQ(area.subsections().size(), 2U);
  for (std::uint64_t page = 0; page < 1280; page += 37) {
    const PageCount at(page);
    EXPECT_EQ(area.page_of(t.core().codec, area.prototype_of(t.core().codec, at)), at);
    const Subsection& subsection = area.subsection_of(at);
    EXPECT_TRUE(subsection.contains(at));
    EXPECT_EQ(subsection.offset_of(at), FileOffset(page * kPageBytes));
    EXPECT_EQ(area.template_of(t.core().codec, at),
              t.core().codec.subsection(subsection.address, Protection::kExecuteReadWrite));
  }
}

TEST_F(ControlAreaTest, GrowsWithinItsRunFirst) {
  const auto stream = file(40_KiB);
  Section& section = create({.file = stream, .kind = SectionKind::kData});
  ASSERT_TRUE(t.manager().sections().extend(t.cpu(), section, 2_MiB));  // 512 entries: a page of them.
  EXPECT_EQ(section.control_area().runs().size(), 1U);
  EXPECT_EQ(section.control_area().subsections().front()->pages, PageCount(512));
  EXPECT_EQ(stream->size(), 2_MiB);
  EXPECT_EQ(t.check(), "");
}

TEST_F(ControlAreaTest, TemplatesSayWhatPagesAreAtFirst) {
  const PteCodec& codec = t.core().codec;
  const ControlArea& committed = create({.size = 64_KiB, .protection = Protection::kReadOnly}).control_area();
  const ControlArea& reserved = create({.size = 64_KiB, .flags = {.reserve = true}}).control_area();
  const LockGuard guard(t.core().pfns.lock);
  EXPECT_EQ(committed.template_of(codec, PageCount(1)), codec.demand_zero(Protection::kReadOnly));
  EXPECT_EQ(reserved.template_of(codec, PageCount(1)), RawPte{0});
}

TEST_F(ControlAreaTest, IsChargedForPagesAndTheirPrototypes) {
  const PageCount before = charged();
  Section& committed = create({.size = 4_MiB});
  EXPECT_EQ(charged(), before + PageCount(1024 + 2));
  EXPECT_EQ(committed.control_area().charge, PageCount(1026));
  Section& reserved = create({.size = 4_MiB, .flags = {.reserve = true}});
  EXPECT_EQ(charged(), before + PageCount(1026 + 2));
  Section& data = create({.file = file(64_KiB), .kind = SectionKind::kData});
  EXPECT_EQ(charged(), before + PageCount(1028));
  for (Section* const section : {&committed, &reserved, &data}) t.manager().sections().dereference(t.cpu(), *section);
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(t.check(), "");
}

TEST_F(ControlAreaTest, OfAFileIsOneForAllItsSections) {
  const auto stream = file(64_KiB);
  Section& first = create({.file = stream, .kind = SectionKind::kData});
  Section& second = create({.file = stream, .kind = SectionKind::kData, .protection = Protection::kReadOnly});
  EXPECT_EQ(&first.control_area(), &second.control_area());
  EXPECT_EQ(first.control_area().section_references, 2U);
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
