#include "pagoda/mm/combine/content_table.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;
using Key = ContentTable::Key;

constexpr MemberNumber kMember{3};
constexpr DomainNumber kDomain{9};

// A table of its own over the manager's pool; the manager's is not told of clones meanwhile.
class ContentTableTest : public ::testing::TestWithParam<unsigned> {
 protected:
  ContentTableTest() : table(t.core().prototypes, PageCount(100), GetParam()) {}

  Key key(std::uint64_t value) { return {Random::mix(value) & (~std::uint64_t{0} >> (64 - GetParam()))}; }
  std::uint32_t find(Key of, Vpn page) {
    for (std::uint32_t at = table.first(of); at != ContentTable::kNone; at = table.next(at)) {
      if (!table.is_shared(at) && table.hint(at).page == page) return at;
    }
    return ContentTable::kNone;
  }
  std::string check() {
    std::string found;
    table.check_chains([&](const std::string& text) { found += text + "\n"; });
    return found;
  }
  // A clone entry of one reference.
  VirtualAddress clone() {
    t.core().pfns.lock.assert_held();
    if (!t.core().prototypes.find_clone_entry()) {
      EXPECT_TRUE(t.core().prototypes.make_clone_page(t.cpu()));
    }
    const VirtualAddress prototype = *t.core().prototypes.find_clone_entry();
    t.core().prototypes.use_clone_entry(prototype, Protection::kWriteCopy, 1);
    return prototype;
  }

  TestMachine t;
  ContentTable table;
};

TEST_P(ContentTableTest, FindsWhatWasAddedAndNothingElse) {
  const LockGuard guard(t.core().pfns.lock);
  for (std::uint64_t page = 0; page < 100; ++page) EXPECT_TRUE(table.add_hint(key(page), {kMember, Vpn(page)}, 1));
  EXPECT_FALSE(table.add_hint(key(100), {kMember, Vpn(100)}, 1)) << "full";
  EXPECT_EQ(table.hints(), PageCount(100));
  EXPECT_EQ(check(), "");
  for (std::uint64_t page = 0; page < 100; ++page) {
    const std::uint32_t at = find(key(page), Vpn(page));
    ASSERT_NE(at, ContentTable::kNone);
    EXPECT_TRUE(table.fits(at, key(page)));
    EXPECT_EQ(table.hint(at).member, kMember);
  }
  EXPECT_EQ(find(key(7), Vpn(8)), key(7) == key(8) ? find(key(8), Vpn(8)) : ContentTable::kNone);
}

TEST_P(ContentTableTest, HintsAreDroppedInEveryOrderAndTheirRoomIsUsedAgain) {
  const LockGuard guard(t.core().pfns.lock);
  Random random(GetParam());
  std::vector<std::uint64_t> pages;
  for (int step = 0; step < 3000; ++step) {
    if (random.below(2) == 0 || pages.empty()) {
      const std::uint64_t page = random.below(1000);
      if (table.add_hint(key(page), {kMember, Vpn(page)}, 1)) {
        pages.push_back(page);
      } else {
        EXPECT_EQ(pages.size(), 100U);
      }
    } else {
      const std::size_t at = random.below(pages.size());
      table.drop_hint(find(key(pages[at]), Vpn(pages[at])));
      pages[at] = pages.back();
      pages.pop_back();
    }
    ASSERT_EQ(table.hints().value(), pages.size());
    if (step % 100 == 0) {
      ASSERT_EQ(check(), "");
    }
  }
}

TEST_P(ContentTableTest, AHintBecomesSharedAndEndsWithItsClone) {
  const LockGuard guard(t.core().pfns.lock);
  PrototypePool& pool = t.core().prototypes;
  for (std::uint64_t page = 0; page < 5; ++page) ASSERT_TRUE(table.add_hint(key(page), {kMember, Vpn(page)}, 1));
  const VirtualAddress prototype = clone();
  const std::uint32_t at = find(key(2), Vpn(2));
  table.make_shared(at, prototype, kDomain);
  EXPECT_EQ(table.hints(), 4_pages);
  EXPECT_EQ(table.shared(), 1_pages);
  EXPECT_EQ(table.shared_entry(prototype), at);
  EXPECT_EQ(table.prototype(at), prototype);
  EXPECT_EQ(table.domain(at), kDomain);
  EXPECT_EQ(table.saved(), 0_pages);
  pool.add_clone_reference(prototype);
  pool.add_clone_reference(prototype);
  EXPECT_EQ(table.saved(), 2_pages);
  EXPECT_EQ(check(), "");
  for (int reference = 0; reference < 2; ++reference) EXPECT_EQ(pool.drop_clone_reference(t.cpu(), prototype), 0_pages);
  EXPECT_EQ(table.shared(), 1_pages);
  EXPECT_EQ(pool.drop_clone_reference(t.cpu(), prototype), 1_pages);
  EXPECT_EQ(table.shared(), 0_pages);
  EXPECT_EQ(table.saved(), 0_pages);
  EXPECT_EQ(find(key(2), Vpn(2)), ContentTable::kNone);
  EXPECT_EQ(check(), "");
}

TEST_P(ContentTableTest, CountsGoBeyondSixteenBits) {
  const LockGuard guard(t.core().pfns.lock);
  PrototypePool& pool = t.core().prototypes;
  const VirtualAddress prototype = clone();
  ASSERT_TRUE(table.add_shared(key(1), prototype, kDomain));
  for (int i = 0; i < 70'000; ++i) pool.add_clone_reference(prototype);
  EXPECT_EQ(table.saved(), PageCount(70'000));
  for (int i = 0; i < 70'000; ++i) EXPECT_EQ(pool.drop_clone_reference(t.cpu(), prototype), 0_pages);
  EXPECT_EQ(table.shared(), 1_pages);
  EXPECT_EQ(pool.drop_clone_reference(t.cpu(), prototype), 1_pages);
}

TEST_P(ContentTableTest, ASweepDropsWhatIsStaleAndKeepsTheRest) {
  const LockGuard guard(t.core().pfns.lock);
  for (std::uint64_t page = 0; page < 60; ++page)
    ASSERT_TRUE(table.add_hint(key(page), {kMember, Vpn(page)}, page < 20 ? 1 : 2));
  table.confirm(find(key(5), Vpn(5)), 2);
  for (int turn = 0; turn < 6; ++turn)
    table.sweep(10, [](const ContentTable::Hint&, std::uint32_t pass) { return pass == 1; });
  EXPECT_EQ(table.hints(), PageCount(41));
  EXPECT_NE(find(key(5), Vpn(5)), ContentTable::kNone);
  EXPECT_EQ(find(key(6), Vpn(6)), ContentTable::kNone);
  EXPECT_EQ(check(), "");
}

TEST_P(ContentTableTest, KeysDifferBySaltAndProtection) {
  const LockGuard guard(t.core().pfns.lock);
  std::array<std::byte, kPageBytes> page{};
  page[77] = std::byte{1};
  unsigned same = 0;
  for (std::uint64_t salt = 0; salt < 64; ++salt) {
    const Key one = table.key(page, Random::mix(salt), Protection::kWriteCopy);
    EXPECT_EQ(one, table.key(page, Random::mix(salt), Protection::kWriteCopy));
    same += one == table.key(page, Random::mix(salt + 1), Protection::kWriteCopy) ? 1 : 0;
    same += one == table.key(page, Random::mix(salt), Protection::kReadOnly) ? 1 : 0;
  }
  EXPECT_LE(same, GetParam() == 8 ? 8U : 1U) << "as few as chance has it";
}

INSTANTIATE_TEST_SUITE_P(HashBits, ContentTableTest, ::testing::Values(8U, 16U, 24U, 64U),
                         [](const auto& test) { return "Of" + std::to_string(test.param); });

}  // namespace
}  // namespace pagoda::mm
