// A host takes all of an idle guest's memory, which holds what a real guest's did: what is zero costs no transfer and
// no slot, and everything reads as it was afterwards.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>

#include "pagoda/hv/testing/test_vm.h"
#include "pagoda/sim/image/image_contents.h"

namespace pagoda {
namespace {

using hv::testing::TestHost;

std::shared_ptr<const sim::ImageContents> open_image() {
  sim::ImageOpener opener;
  auto image = opener.open(std::string(PAGODA_SOURCE_DIR) + "/data/images/all14.vpm.zst", "idle");
  PAGODA_CHECK(image.has_value());
  return *image;
}

class IdleGuests : public ::testing::TestWithParam<PageCount> {};
INSTANTIATE_TEST_SUITE_P(Stores, IdleGuests, ::testing::Values(PageCount(0), PageCount(4096)));

TEST_P(IdleGuests, ZeroPagesOfARealImageCostNoTransfer) {
  const auto image = open_image();
  const PageCount pages = image->pages();
  mm::Tunables tunables = mm::Tunables::for_memory(pages * 2);
  tunables.compression_budget = GetParam();
  TestHost host({.frames = pages * 2, .paging_file = 256_MiB, .tunables = tunables});
  auto partition = *hv::Partition::create(host.manager(), host.cpu(), {.memory = pages});
  host.dispatch(*partition);
  const machine::PhysicalView memory = partition->processor(0).guest().physical();

  std::array<std::byte, kPageBytes> page;
  std::uint64_t zeros = 0;
  for (std::uint32_t n = 0; n < pages.value(); ++n) {
    image->fill(n, page);
    if (image->is_zero(n)) ++zeros;
    std::memcpy(memory.bytes(Pfn(n), machine::Access::kWrite).data(), page.data(), kPageBytes);
  }
  EXPECT_EQ(zeros, 10'302U);  // Of 32,768: docs/images.md.

  partition->vmmem().empty_working_set(host.cpu());
  ASSERT_TRUE(host.manager().flush_modified(host.cpu()));
  const mm::Counters counters = host.manager().counters();
  EXPECT_EQ(counters.zero_pages_found, zeros);
  EXPECT_EQ(counters.page_file_pages_written + counters.pages_compressed - counters.pages_evicted,
            pages.value() - zeros);
  EXPECT_EQ(host.check(), "");

  for (std::uint32_t n = 0; n < pages.value(); ++n) {
    image->fill(n, page);
    ASSERT_EQ(std::memcmp(memory.bytes(Pfn(n), machine::Access::kRead).data(), page.data(), kPageBytes), 0) << n;
  }
}

}  // namespace
}  // namespace pagoda
