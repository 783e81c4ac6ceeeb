#include "pagoda/guest/dax_driver.h"

#include <gtest/gtest.h>

#include "pagoda/guest/testing/recording_hypervisor.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::guest {
namespace {

using mm::Protection;
using testing::RecordingHypervisor;

constexpr PageCount kOwn{256};

class Dax : public ::testing::TestWithParam<machine::PteFormat> {
 protected:
  Dax()
      : hypervisor({}, {{"ntdll.dll", {Pfn(0) + kOwn, 20_pages}, ByteCount(20 * kPageBytes - 100)},
                        {"kernel32.dll", {Pfn(0) + kOwn + 20_pages, 12_pages}, bytes_of(12_pages)}}),
        t({.frames = kOwn, .paging = GetParam(), .device_frames = PageCount(32), .hypercalls = &hypervisor}),
        driver(t.manager(), t.cpu()) {
    for (std::uint32_t i = 0; i < 32; ++i)
      t.cpu().physical().store<std::uint64_t>(PhysicalAddress(Pfn(0) + kOwn + PageCount(i)), 1000 + i);
  }

  RecordingHypervisor hypervisor;
  mm::testing::TestMachine t;
  DaxDriver driver;
};

INSTANTIATE_TEST_SUITE_P(AllModes, Dax,
                         ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                           machine::PteFormat::kAmd64),
                         [](const ::testing::TestParamInfo<machine::PteFormat>& test) {
                           return std::string(machine::paging_mode(test.param).name);
                         });

TEST_P(Dax, MapsFilesWithoutMemoryOfItsOwn) {
  ASSERT_EQ(driver.files().size(), 2U);
  EXPECT_EQ(driver.find("kernel32.dll"), &driver.files()[1]);
  EXPECT_EQ(driver.find("user32.dll"), nullptr);
  const PageCount resident = t.resident();
  const auto code = driver.map(t.space(), "kernel32.dll", Protection::kExecuteRead);
  ASSERT_TRUE(code);
  EXPECT_EQ(code->count, 12_pages);
  const VirtualAddress base(code->first);
  t.must_touch(base, machine::Access::kExecute);
  for (std::uint64_t i = 0; i < 12; ++i) EXPECT_EQ(*t.get(base, i), 1020 + i);
  EXPECT_EQ(t.put(base, 0, 1), Status::kAccessViolation);
  EXPECT_EQ(t.resident(), resident);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Dax, AWriteCopiesAndTheFileStays) {
  const auto data = driver.map(t.space(), "ntdll.dll", Protection::kWriteCopy);
  const VirtualAddress base(data->first);
  t.must_put(base, 3, 7);
  EXPECT_EQ(*t.get(base, 3), 7U);
  EXPECT_EQ(*t.get(base, 4), 1004U);
  mm::ProcessSpace& other = t.add_space();
  t.manager().attach(t.cpu(), other);
  const VirtualAddress second(driver.map(other, "ntdll.dll", Protection::kReadOnly)->first);
  EXPECT_EQ(*t.get(second, 3), 1003U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Dax, Refuses) {
  EXPECT_EQ(driver.map(t.space(), "user32.dll", Protection::kReadOnly).error(), Status::kObjectNameNotFound);
  EXPECT_EQ(driver.map(t.space(), "ntdll.dll", Protection::kReadWrite).error(), Status::kInvalidPageProtection);
}

TEST(DaxDriver, HasNoFilesOnBareHardware) {
  mm::testing::TestMachine t;
  EXPECT_TRUE(DaxDriver(t.manager(), t.cpu()).files().empty());
}

}  // namespace
}  // namespace pagoda::guest
