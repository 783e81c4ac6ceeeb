#include <gtest/gtest.h>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;

constexpr auto kRefused = Status::kInvalidPageProtection;

class Secure : public ::testing::Test {
 protected:
  TestMachine t_;
  const VirtualAddress base_ = t_.commit(16_pages);

  [[nodiscard]] VirtualAddress at(std::uint64_t number) const { return TestMachine::page(base_, number); }
  Result<SecureHandle> secure(std::uint64_t first, std::uint64_t count, Protection weakest) {
    return t_.space().secure(t_.cpu(), at(first), bytes_of(PageCount(count)), weakest);
  }
  Status protect(std::uint64_t first, std::uint64_t count, Protection protection) {
    const auto done = t_.space().protect(t_.cpu(), at(first), bytes_of(PageCount(count)), protection);
    return done ? Status::kSuccess : done.error();
  }
  Status commit(std::uint64_t first, std::uint64_t count, Protection protection) {
    const auto done = t_.space().commit(t_.cpu(), at(first), bytes_of(PageCount(count)), protection);
    return done ? Status::kSuccess : done.error();
  }
  Status decommit(std::uint64_t first, std::uint64_t count) {
    const auto done = t_.space().decommit(t_.cpu(), at(first), bytes_of(PageCount(count)));
    return done ? Status::kSuccess : done.error();
  }
  Status release(std::uint64_t first, std::uint64_t count) {
    const auto done = t_.space().release(t_.cpu(), at(first), bytes_of(PageCount(count)));
    return done ? Status::kSuccess : done.error();
  }
};

TEST_F(Secure, WeakerProtectionIsRefusedUntilUnsecured) {
  t_.fill(base_, 16_pages);
  const auto handle = secure(4, 2, Protection::kReadWrite);
  ASSERT_TRUE(handle);
  EXPECT_EQ(protect(4, 1, Protection::kReadOnly), kRefused);
  EXPECT_EQ(protect(0, 16, Protection::kNoAccess), kRefused);
  EXPECT_EQ(protect(5, 1, with_modifier(Protection::kReadWrite, kProtectionGuard)), kRefused);
  EXPECT_EQ(commit(4, 1, Protection::kReadOnly), kRefused);
  EXPECT_EQ(protect(4, 2, Protection::kExecuteReadWrite), Status::kSuccess);
  EXPECT_EQ(protect(6, 10, Protection::kReadOnly), Status::kSuccess);
  EXPECT_EQ(protect(0, 4, Protection::kNoAccess), Status::kSuccess);
  EXPECT_EQ(t_.check(), "");
  EXPECT_TRUE(t_.space().unsecure(*handle));
  EXPECT_EQ(protect(4, 2, Protection::kNoAccess), Status::kSuccess);
  EXPECT_EQ(t_.space().unsecure(*handle), fail(Status::kInvalidHandle));
  EXPECT_EQ(t_.check(), "");
}

TEST_F(Secure, AReadOnlyRangeStillMayLoseItsWrites) {
  ASSERT_TRUE(secure(0, 16, Protection::kReadOnly));
  EXPECT_EQ(protect(0, 16, Protection::kExecuteRead), Status::kSuccess);
  EXPECT_EQ(protect(0, 16, Protection::kNoAccess), kRefused);
  EXPECT_EQ(t_.check(), "");
}

TEST_F(Secure, FreeingIsRefusedWhereItWouldTakeASecuredPage) {
  ASSERT_TRUE(secure(4, 2, Protection::kReadOnly));
  EXPECT_EQ(decommit(5, 1), kRefused);
  EXPECT_EQ(release(5, 4), kRefused);
  EXPECT_EQ(t_.space().decommit(t_.cpu(), base_, ByteCount(0)), fail(kRefused));
  EXPECT_EQ(t_.space().release(t_.cpu(), base_, ByteCount(0)), fail(kRefused));
  EXPECT_EQ(release(0, 17), Status::kUnableToFreeVm);  // Which NT says first.
  EXPECT_EQ(decommit(6, 10), Status::kSuccess);
  EXPECT_EQ(t_.check(), "");
}

TEST_F(Secure, ASplitLeavesEachRangeWithItsRegion) {
  const auto low = secure(1, 2, Protection::kReadOnly);
  const auto high = secure(12, 2, Protection::kReadWrite);
  ASSERT_TRUE(low && high);
  EXPECT_EQ(release(6, 2), Status::kSuccess);
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(release(2, 1), kRefused);
  EXPECT_EQ(release(13, 1), kRefused);
  EXPECT_TRUE(t_.space().unsecure(*low));
  EXPECT_EQ(release(0, 6), Status::kSuccess);
  EXPECT_EQ(protect(12, 1, Protection::kReadOnly), kRefused);
  EXPECT_TRUE(t_.space().unsecure(*high));
  EXPECT_EQ(release(8, 8), Status::kSuccess);
  const LockGuard guard(t_.space().lock);
  EXPECT_EQ(t_.space().extras().size(), 0U);
}

TEST_F(Secure, TrimmingARegionFromBelowKeepsItsRanges) {
  ASSERT_TRUE(secure(12, 2, Protection::kReadWrite));
  EXPECT_EQ(release(0, 8), Status::kSuccess);
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(release(8, 8), kRefused);
}

TEST_F(Secure, OnlyWhatAllowsItCanBeSecured) {
  const auto error = [&](std::uint64_t first, std::uint64_t count, Protection weakest) {
    const auto handle = secure(first, count, weakest);
    return handle ? Status::kSuccess : handle.error();
  };
  EXPECT_EQ(error(0, 1, Protection::kNoAccess), kRefused);
  EXPECT_EQ(error(0, 0, Protection::kReadOnly), Status::kInvalidParameter);
  EXPECT_EQ(error(0, 17, Protection::kReadOnly), Status::kConflictingAddresses);
  EXPECT_EQ(error(0, 1, Protection::kExecuteRead), Status::kAccessViolation);
  EXPECT_EQ(protect(3, 1, Protection::kReadOnly), Status::kSuccess);
  EXPECT_EQ(error(2, 4, Protection::kReadWrite), Status::kAccessViolation);
  EXPECT_EQ(decommit(3, 1), Status::kSuccess);
  EXPECT_EQ(error(2, 4, Protection::kReadOnly), Status::kAccessViolation);
  EXPECT_EQ(t_.check(), "");
}

TEST_F(Secure, NoChangeRegionsKeepTheirProtection) {
  {
    const LockGuard guard(t_.space().lock);
    t_.space().vads().find(base_.vpn())->no_change = true;
  }
  EXPECT_EQ(protect(0, 1, Protection::kReadOnly), kRefused);
  EXPECT_EQ(protect(0, 1, Protection::kReadWrite), kRefused);
  EXPECT_EQ(commit(0, 1, Protection::kReadOnly), kRefused);
  EXPECT_EQ(commit(0, 1, Protection::kReadWrite), Status::kSuccess);
  EXPECT_EQ(decommit(0, 1), Status::kSuccess);
  EXPECT_EQ(t_.check(), "");
}

TEST_F(Secure, ASpaceMayDieWithSecuredRanges) {
  ProcessSpace& space = t_.add_space();
  const auto pages = space.reserve({.size = 64_KiB, .commit = MemCommit::kYes});
  ASSERT_TRUE(pages);
  EXPECT_TRUE(space.secure(t_.cpu(), VirtualAddress(pages->first), 64_KiB, Protection::kReadWrite));
  t_.manager().destroy_space(t_.cpu(), space);
  EXPECT_EQ(t_.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
