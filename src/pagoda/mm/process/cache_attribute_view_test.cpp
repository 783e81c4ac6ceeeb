// SEC_NOCACHE and SEC_WRITECOMBINE: how a section's pages are cached, in all its views. Issue 10, section 1; reference
// nt.md 2.2, 7.3.
#include <gtest/gtest.h>

#include "pagoda/mm/section/sections.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using machine::PteFormat;
using testing::TestMachine;

struct Attribute {
  SectionFlags flags;
  std::uint8_t modifier;
  CacheAttribute cache;
  RawPte bits;
};
constexpr std::array kAttributes{
    Attribute{{.no_cache = true}, kProtectionNoCache, CacheAttribute::kNotCached, machine::pte_bits::kCacheDisable},
    Attribute{{.write_combine = true}, kProtectionWriteCombine, CacheAttribute::kWriteCombined, kWriteCombineBits},
};

class SectionCacheAttributes : public ::testing::TestWithParam<std::tuple<PteFormat, std::size_t>> {
 protected:
  static constexpr RawPte kCacheBits = machine::pte_bits::kCacheDisable | machine::pte_bits::kWriteThrough;

  [[nodiscard]] static const Attribute& attribute() { return kAttributes[std::get<1>(GetParam())]; }
  static Protection with(Protection base) { return with_modifier(base, attribute().modifier); }
  Section& make(SectionFlags flags = attribute().flags) {
    return **t_.manager().sections().create(t_.cpu(), {.size = 64_KiB, .flags = flags});
  }
  VirtualAddress map(Section& section, Protection protection = Protection::kReadWrite) {
    return VirtualAddress(
        t_.space().map_view(t_.cpu(), section, {.protection = protection, .inherit = Inherit::kShare})->first);
  }
  RegionInfo query(VirtualAddress va) { return *t_.space().query(t_.cpu(), va); }
  // Entry and frame alike.
  void expect_cached(VirtualAddress va, CacheAttribute cache, RawPte bits) {
    EXPECT_EQ(t_.entry(va).cache, cache);
    EXPECT_EQ(t_.pte(va) & kCacheBits, bits);
  }
  void expect_cached(VirtualAddress va) { expect_cached(va, attribute().cache, attribute().bits); }

  TestMachine t_{{.frames = PageCount(512), .paging = std::get<0>(GetParam())}};
};

TEST_P(SectionCacheAttributes, ReachViewsAndWhatTheyShow) {
  Section& section = make();
  const VirtualAddress base = map(section);
  EXPECT_EQ(query(base).protection, with(Protection::kReadWrite));
  EXPECT_EQ(query(base).allocation_protection, with(Protection::kReadWrite));
  t_.fill(base, 4_pages);
  const VirtualAddress reader = map(section, Protection::kReadOnly);
  EXPECT_EQ(query(reader).protection, with(Protection::kReadOnly));
  EXPECT_EQ(*t_.get(reader, 1), 2U);
  expect_cached(base + kPageSize);
  expect_cached(reader + kPageSize);
  EXPECT_EQ(query(map(section, Protection::kNoAccess)).protection, Protection::kNoAccess);
  EXPECT_EQ(t_.check(), "");
  t_.space().empty_working_set(t_.cpu());
  EXPECT_EQ(t_.check(), "");
  t_.push_out();
  EXPECT_EQ(t_.differences(base, 4_pages), 0U);
  expect_cached(base);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(SectionCacheAttributes, StayWhenPagesAreProtected) {
  Section& section = make();
  const VirtualAddress base = map(section);
  t_.fill(base, 4_pages);
  // One page, mapped; one that is not; all.
  for (const ByteCount size : {ByteCount(kPageBytes), 64_KiB}) {
    EXPECT_EQ(t_.space().protect(t_.cpu(), base, size, Protection::kReadOnly), with(Protection::kReadWrite));
    EXPECT_EQ(query(base).protection, with(Protection::kReadOnly));
    EXPECT_EQ(*t_.get(base, 0), 1U);
    expect_cached(base);
    EXPECT_EQ(t_.check(), "");
    t_.space().empty_working_set(t_.cpu());
    EXPECT_EQ(t_.space().protect(t_.cpu(), base, size, Protection::kReadWrite), with(Protection::kReadOnly));
    t_.must_put(base, 0, 1);
    expect_cached(base);
    EXPECT_EQ(t_.check(), "");
  }
  // A caller cannot choose another (reference nt.md 7.3).
  EXPECT_EQ(t_.space().protect(t_.cpu(), base, kPageSize, with(Protection::kReadWrite)).error(),
            Status::kInvalidParameter4);
  // NOACCESS and a guard show no attribute; the page has it as soon as it is mapped.
  ASSERT_TRUE(t_.space().protect(t_.cpu(), base, kPageSize, with_modifier(Protection::kReadWrite, kProtectionGuard)));
  EXPECT_EQ(query(base).protection, with_modifier(Protection::kReadWrite, kProtectionGuard));
  EXPECT_EQ(t_.put(base, 0, 1), Status::kGuardPageViolation);
  t_.must_put(base, 0, 1);
  expect_cached(base);
  ASSERT_TRUE(t_.space().protect(t_.cpu(), base, kPageSize, Protection::kNoAccess));
  EXPECT_EQ(query(base).protection, Protection::kNoAccess);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(SectionCacheAttributes, AreThoseOfCopiesAndOfForks) {
  Section& section = make();
  t_.fill(map(section), 2_pages);
  const VirtualAddress copy = map(section, Protection::kWriteCopy);
  EXPECT_EQ(query(copy).protection, with(Protection::kWriteCopy));
  t_.must_put(copy, 0, 9);
  EXPECT_EQ(query(copy).protection, with(Protection::kReadWrite));
  expect_cached(copy);
  EXPECT_EQ(t_.space().protect(t_.cpu(), copy, kPageSize, Protection::kReadOnly), with(Protection::kReadWrite));
  EXPECT_EQ(query(copy).protection, with(Protection::kReadOnly));
  expect_cached(copy);
  EXPECT_TRUE(t_.space().protect(t_.cpu(), copy, kPageSize, Protection::kWriteCopy));
  EXPECT_EQ(query(copy).protection, with(Protection::kReadWrite));  // Copied it is.
  EXPECT_EQ(t_.check(), "");
  static_cast<void>(**t_.manager().clone_space(t_.cpu(), t_.space()));
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(*t_.get(copy, 0), 9U);
  t_.must_put(copy, 0, 10);
  EXPECT_EQ(t_.check(), "");
}

// A view that wants its pages cached otherwise says so, and gets what all views of the section have.
TEST_P(SectionCacheAttributes, OfAViewAloneAreThoseOfItsSection) {
  Section& section = make({});
  const VirtualAddress plain = map(section);
  t_.fill(plain, 2_pages);
  const Protection wanted = with_modifier(Protection::kReadWrite, kProtectionNoCache);
  const VirtualAddress other = map(section, wanted);
  EXPECT_EQ(query(other).allocation_protection, wanted);
  EXPECT_EQ(*t_.get(other, 0), 1U);
  expect_cached(other, CacheAttribute::kCached, 0);
  EXPECT_EQ(t_.check(), "");
  t_.space().empty_working_set(t_.cpu());
  EXPECT_EQ(*t_.get(other, 0), 1U);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(SectionCacheAttributes, OfAFileAreItsFirstSectionsAndEachSectionsViewsShowItsOwn) {
  const auto file = t_.add_file(4_pages);
  const auto open = [&](SectionFlags flags) -> Section& {
    return **t_.manager().sections().create(t_.cpu(), {.file = file, .kind = SectionKind::kData, .flags = flags});
  };
  const VirtualAddress base = map(open(attribute().flags));
  const VirtualAddress cached = map(open({}));
  EXPECT_EQ(query(base).protection, with(Protection::kReadWrite));
  EXPECT_EQ(query(cached).protection, Protection::kReadWrite);
  t_.must_put(base, 0, 1);
  EXPECT_EQ(*t_.get(cached, 0), 1U);
  expect_cached(base);
  expect_cached(cached);
  EXPECT_EQ(t_.check(), "");
  t_.push_out();
  EXPECT_EQ(*t_.get(base, 0), 1U);
  EXPECT_EQ(t_.check(), "");
}

INSTANTIATE_TEST_SUITE_P(Modes, SectionCacheAttributes,
                         ::testing::Combine(::testing::Values(PteFormat::kX86, PteFormat::kPae, PteFormat::kAmd64),
                                            ::testing::Values(std::size_t{0}, std::size_t{1})),
                         [](const auto& test) {
                           return std::string(machine::paging_mode(std::get<0>(test.param)).name) +
                                  (std::get<1>(test.param) == 0 ? "_NoCache" : "_WriteCombine");
                         });

}  // namespace
}  // namespace pagoda::mm
