// NOCACHE and WRITECOMBINE on private memory: kept in every state of a page, one for each frame.
#include <gtest/gtest.h>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using machine::PteFormat;
using testing::TestMachine;

constexpr Protection kNoCache = with_modifier(Protection::kReadWrite, kProtectionNoCache);
constexpr Protection kWriteCombine = with_modifier(Protection::kReadWrite, kProtectionWriteCombine);

class CacheAttributes : public ::testing::TestWithParam<PteFormat> {
 public:
  static std::string name_of(const ::testing::TestParamInfo<PteFormat>& info) {
    return std::string(machine::paging_mode(info.param).name);
  }

 protected:
  TestMachine t_{{.frames = PageCount(256), .paging = GetParam()}};

  static constexpr RawPte kCacheBits = machine::pte_bits::kCacheDisable | machine::pte_bits::kWriteThrough;
  [[nodiscard]] RawPte bits(VirtualAddress va) { return t_.pte(va) & kCacheBits; }
  Result<Protection> protect(VirtualAddress va, Protection protection) {
    return t_.space().protect(t_.cpu(), va, kPageSize, protection);
  }
};

TEST_P(CacheAttributes, PagesOfARegionHaveItsAttribute) {
  const VirtualAddress no_cache = t_.commit(4_pages, kNoCache);
  const VirtualAddress write_combine = t_.commit(4_pages, kWriteCombine);
  const VirtualAddress cached = t_.commit(4_pages);
  for (const VirtualAddress va : {no_cache, write_combine, cached}) t_.fill(va, 4_pages);
  EXPECT_EQ(bits(no_cache), machine::pte_bits::kCacheDisable);
  EXPECT_EQ(bits(write_combine), kWriteCombineBits);
  EXPECT_EQ(bits(cached), 0U);
  EXPECT_EQ(t_.entry(no_cache).cache, CacheAttribute::kNotCached);
  EXPECT_EQ(t_.entry(write_combine).cache, CacheAttribute::kWriteCombined);
  EXPECT_EQ(t_.entry(cached).cache, CacheAttribute::kCached);
  EXPECT_EQ(t_.space().query(t_.cpu(), no_cache)->protection, kNoCache);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(CacheAttributes, SurviveStandbyAndThePagingFile) {
  const VirtualAddress base = t_.commit(4_pages, kNoCache);
  t_.fill(base, 4_pages);
  t_.space().empty_working_set(t_.cpu());
  EXPECT_EQ(t_.entry(base).cache, CacheAttribute::kNotMapped);
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(t_.differences(base, 4_pages), 0U);
  EXPECT_EQ(t_.entry(base).cache, CacheAttribute::kNotCached);
  t_.push_out();
  EXPECT_EQ(t_.differences(base, 4_pages), 0U);
  EXPECT_EQ(t_.entry(base).cache, CacheAttribute::kNotCached);
  EXPECT_EQ(bits(base), machine::pte_bits::kCacheDisable);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(CacheAttributes, ProtectChangesThemOnMappedAndOnOtherPages) {
  const VirtualAddress base = t_.commit(2_pages);
  t_.fill(base, 2_pages);
  EXPECT_EQ(protect(base, kNoCache), Protection::kReadWrite);
  EXPECT_EQ(t_.entry(base).cache, CacheAttribute::kNotCached);
  EXPECT_EQ(bits(base), machine::pte_bits::kCacheDisable);
  EXPECT_EQ(protect(base, kWriteCombine), kNoCache);
  EXPECT_EQ(t_.entry(base).cache, CacheAttribute::kWriteCombined);
  EXPECT_EQ(t_.check(), "");
  t_.space().empty_working_set(t_.cpu());
  EXPECT_EQ(protect(base, Protection::kReadWrite), kWriteCombine);
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(t_.differences(base, 2_pages), 0U);
  EXPECT_EQ(t_.entry(base).cache, CacheAttribute::kCached);
  // Nobody may touch it: it is not mapped.
  ASSERT_TRUE(protect(base, Protection::kNoAccess));
  EXPECT_EQ(t_.entry(base).cache, CacheAttribute::kNotMapped);
  ASSERT_TRUE(protect(base, kNoCache));
  EXPECT_EQ(t_.get(base, 0), 1U);
  EXPECT_EQ(t_.entry(base).cache, CacheAttribute::kNotCached);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(CacheAttributes, GoWithTheFrame) {
  const VirtualAddress base = t_.commit(4_pages, kNoCache);
  t_.fill(base, 4_pages);
  const Pfn frame = t_.frame(base);
  ASSERT_TRUE(t_.space().release(t_.cpu(), base, bytes_of(4_pages)));
  EXPECT_EQ(t_.core().pfns.entry(frame).cache, CacheAttribute::kNotMapped);
  EXPECT_EQ(t_.check(), "");
}

INSTANTIATE_TEST_SUITE_P(Modes, CacheAttributes, ::testing::Values(PteFormat::kX86, PteFormat::kPae, PteFormat::kAmd64),
                         CacheAttributes::name_of);

}  // namespace
}  // namespace pagoda::mm
