#include "pagoda/mm/region/device_frames.h"

#include <gtest/gtest.h>

#include <map>

#include "pagoda/base/random.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using machine::Access;
using machine::TlbRefill;
using testing::TestMachine;

constexpr PageCount kOwn{512};
constexpr PageCount kDevice{64};

// The word that a test has put into each page of a device frame.
constexpr std::uint64_t word_of(std::uint64_t frame) { return 0xD0000000 + frame; }

struct Mode {
  machine::PteFormat paging = machine::PteFormat::kAmd64;
  TlbRefill refill = TlbRefill::kHardware;
};

class DeviceFramesTest : public ::testing::TestWithParam<Mode> {
 protected:
  DeviceFramesTest()
      : t({.frames = kOwn,
           .paging = GetParam().paging,
           .refill = GetParam().refill,
           .processors = 2,
           .device_frames = kDevice}) {
    for (std::uint64_t i = 0; i < kDevice.value(); ++i)
      t.cpu().physical().store<std::uint64_t>(PhysicalAddress(device(i)), word_of(i));
  }

  static Pfn device(std::uint64_t number) { return Pfn(0) + kOwn + PageCount(number); }
  VirtualAddress map(std::uint64_t first, PageCount count, Protection protection = Protection::kReadOnly,
                     Inherit inherit = Inherit::kShare) {
    const auto mapped =
        t.space().map_frames({.first = device(first), .count = count, .protection = protection, .inherit = inherit});
    PAGODA_CHECK(mapped.has_value());
    return VirtualAddress(mapped->first);
  }
  Status map_status(const FramesRequest& request) {
    const auto mapped = t.space().map_frames(request);
    return mapped ? Status::kSuccess : mapped.error();
  }
  Status protect(VirtualAddress base, PageCount pages, Protection protection) {
    const auto old = t.space().protect(t.cpu(), base, bytes_of(pages), protection);
    return old ? Status::kSuccess : old.error();
  }
  RegionInfo query(VirtualAddress va) { return *t.space().query(t.cpu(), va); }
  [[nodiscard]] PageCount charged() { return t.manager().commit().charged; }
  [[nodiscard]] PageCount page_tables() { return t.manager().frame_counts().page_tables; }
  [[nodiscard]] std::uint64_t device_word(std::uint64_t number) {
    return t.cpu().physical().load<std::uint64_t>(PhysicalAddress(device(number)));
  }

  TestMachine t;
};

INSTANTIATE_TEST_SUITE_P(AllModes, DeviceFramesTest,
                         ::testing::Values(Mode{machine::PteFormat::kX86}, Mode{machine::PteFormat::kPae},
                                           Mode{machine::PteFormat::kAmd64},
                                           Mode{machine::PteFormat::kX86, TlbRefill::kSoftware},
                                           Mode{machine::PteFormat::kAmd64, TlbRefill::kSoftware}),
                         [](const ::testing::TestParamInfo<Mode>& test) {
                           return std::string(machine::paging_mode(test.param.paging).name) +
                                  (test.param.refill == TlbRefill::kSoftware ? "SoftwareRefill" : "");
                         });

TEST_P(DeviceFramesTest, AreMappedByFaultsAndBelongToNobody) {
  const PageCount before = charged();
  const PageCount resident = t.resident();
  const VirtualAddress base = map(3, PageCount(10));
  EXPECT_EQ(t.kind(base), PteKind::kZero);
  for (std::uint64_t i = 0; i < 5; ++i) EXPECT_EQ(*t.get(base, i), word_of(3 + i));
  EXPECT_EQ(t.frame(t.page(base, 4)), device(7));
  EXPECT_EQ(t.kind(t.page(base, 5)), PteKind::kZero);
  EXPECT_EQ(t.faults(FaultKind::kShared), 5U);
  EXPECT_EQ(t.resident(), resident);
  EXPECT_LE(charged() - before, PageCount(machine::kMaxPagingLevels)) << "page tables only";
  const RegionInfo info = query(base);
  EXPECT_EQ(info.size, bytes_of(PageCount(10)));
  EXPECT_EQ(info.state, MemoryState::kCommitted);
  EXPECT_EQ(info.type, MemoryType::kMapped);
  EXPECT_EQ(info.protection, Protection::kReadOnly);
  EXPECT_EQ(info.allocation_protection, Protection::kReadOnly);
  EXPECT_EQ(t.check(), "");
}

TEST_P(DeviceFramesTest, AllowWhatTheirProtectionSays) {
  const VirtualAddress read_only = map(0, PageCount(2));
  EXPECT_EQ(t.put(read_only, 0, 1), Status::kAccessViolation);  // Not touched before.
  t.must_touch(read_only);
  EXPECT_EQ(t.put(read_only, 0, 1), Status::kAccessViolation);
  const bool enforced = t.core().mode.has_no_execute;
  EXPECT_EQ(t.touch(read_only, Access::kExecute), enforced ? Status::kAccessViolation : Status::kSuccess);
  const VirtualAddress code = map(2, PageCount(2), Protection::kExecuteRead);
  t.must_touch(code, Access::kExecute);
  EXPECT_EQ(*t.get(code, 1), word_of(3));
  EXPECT_EQ(t.put(code, 0, 1), Status::kAccessViolation);
  const VirtualAddress nothing = map(4, PageCount(2), Protection::kNoAccess);
  EXPECT_EQ(t.touch(nothing), Status::kAccessViolation);
  EXPECT_EQ(device_word(0), word_of(0));
  EXPECT_EQ(t.check(), "");
}

TEST_P(DeviceFramesTest, WriteCopyGivesAPrivatePage) {
  const PageCount before = charged();
  const PageCount available = t.available();
  const VirtualAddress base = map(8, PageCount(12), Protection::kExecuteWriteCopy);
  EXPECT_GE(charged() - before, PageCount(12));
  t.must_touch(base);
  t.must_put(base, 0, 100);  // Mapped before.
  t.must_put(base, 1, 101);  // Not yet.
  EXPECT_EQ(t.faults(FaultKind::kCopyOnWrite), 2U);
  EXPECT_EQ(device_word(8), word_of(8));
  EXPECT_EQ(*t.get(base, 0), 100U);
  EXPECT_EQ(*t.get(base, 1), 101U);
  EXPECT_EQ(*t.get(base, 2), word_of(10));
  EXPECT_TRUE(t.core().pfns.contains(t.frame(base)));
  EXPECT_EQ(t.resident(), 2_pages);
  EXPECT_EQ(query(base).protection, Protection::kExecuteReadWrite);
  EXPECT_EQ(query(t.page(base, 2)).protection, Protection::kExecuteWriteCopy);
  EXPECT_EQ(t.check(), "");
  t.push_out();
  EXPECT_EQ(t.kind(base), PteKind::kPageFile);
  EXPECT_EQ(t.kind(t.page(base, 2)), PteKind::kValid) << "never trimmed";
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(*t.get(base, 0), 100U);
  EXPECT_EQ(*t.get(base, 2), word_of(10));
  ASSERT_TRUE(t.space().unmap_view(t.cpu(), t.page(base, 3)));
  EXPECT_EQ(t.touch(base), Status::kAccessViolation);
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(t.available(), available);
  EXPECT_EQ(t.slots_used(), 0_pages);
  EXPECT_EQ(t.check(), "");
}

TEST_P(DeviceFramesTest, AFullWorkingSetMakesRoomForACopy) {
  ASSERT_TRUE(t.space().set_limits(
      t.cpu(), {.minimum = 4_pages, .maximum = 8_pages, .kind = WorkingSet::Limits::Maximum::kHard}));
  const VirtualAddress base = map(0, PageCount(32), Protection::kWriteCopy);
  for (std::uint64_t i = 0; i < 32; ++i) t.must_put(base, i, i);
  EXPECT_LE(t.resident(), 8_pages);
  for (std::uint64_t i = 0; i < 32; ++i) EXPECT_EQ(*t.get(base, i), i);
  EXPECT_EQ(t.check(), "");
}

TEST_P(DeviceFramesTest, ProtectChangesPartsOfARegion) {
  const VirtualAddress base = map(0, PageCount(16));
  const PageCount before = charged();
  for (std::uint64_t i = 0; i < 8; ++i) t.must_touch(t.page(base, i));
  ASSERT_EQ(protect(t.page(base, 4), PageCount(8), Protection::kReadWrite), Status::kSuccess);  // By a copy.
  EXPECT_EQ(query(base).size, bytes_of(PageCount(4)));
  EXPECT_EQ(query(t.page(base, 4)).protection, Protection::kWriteCopy);
  EXPECT_EQ(query(t.page(base, 4)).size, bytes_of(PageCount(8)));
  EXPECT_EQ(charged(), before + PageCount(8));
  EXPECT_EQ(t.put(base, 3, 1), Status::kAccessViolation);
  t.must_put(base, 4, 104);   // Mapped when it was protected.
  t.must_put(base, 11, 111);  // Not.
  EXPECT_EQ(t.put(base, 12, 1), Status::kAccessViolation);
  EXPECT_EQ(t.check(), "");
  // Private pages take the rights, and stay charged; the others are not charged any more.
  ASSERT_EQ(protect(base, PageCount(16), Protection::kReadOnly), Status::kSuccess);
  EXPECT_EQ(charged(), before + 2_pages);
  EXPECT_EQ(query(base).size, bytes_of(PageCount(16)));
  EXPECT_EQ(t.put(base, 4, 1), Status::kAccessViolation);
  EXPECT_EQ(*t.get(base, 4), 104U);
  EXPECT_EQ(t.check(), "");
  ASSERT_EQ(protect(base, PageCount(16), Protection::kNoAccess), Status::kSuccess);
  EXPECT_EQ(t.touch(base), Status::kAccessViolation);
  EXPECT_EQ(t.touch(t.page(base, 4)), Status::kAccessViolation);
  EXPECT_EQ(t.check(), "");
  ASSERT_EQ(protect(base, PageCount(16), Protection::kExecuteWriteCopy), Status::kSuccess);
  EXPECT_EQ(*t.get(base, 4), 104U);
  EXPECT_EQ(*t.get(base, 5), word_of(5));
  t.must_put(base, 4, 204);
  t.must_put(base, 5, 205);
  EXPECT_EQ(charged(), before + PageCount(16));
  EXPECT_EQ(device_word(5), word_of(5));
  EXPECT_EQ(t.check(), "");
}

TEST_P(DeviceFramesTest, ProtectRefuses) {
  const VirtualAddress base = map(0, PageCount(4));
  EXPECT_EQ(protect(base, PageCount(4), with_modifier(Protection::kReadOnly, kProtectionGuard)),
            Status::kInvalidPageProtection);
  EXPECT_EQ(protect(base, PageCount(4), with_modifier(Protection::kReadOnly, kProtectionNoCache)),
            Status::kInvalidParameter4);
  EXPECT_EQ(protect(base, PageCount(5), Protection::kReadOnly), Status::kConflictingAddresses);
  const auto fixed = t.space().map_frames({.first = device(8), .count = 4_pages, .no_change = true});
  EXPECT_EQ(protect(VirtualAddress(fixed->first), 4_pages, Protection::kExecuteRead), Status::kInvalidPageProtection);
  const auto secured = t.space().secure(t.cpu(), base, kPageSize, Protection::kReadOnly);
  ASSERT_TRUE(secured);
  EXPECT_EQ(protect(base, PageCount(4), Protection::kNoAccess), Status::kInvalidPageProtection);
  EXPECT_EQ(t.space().unmap_view(t.cpu(), base).error(), Status::kInvalidPageProtection);
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(t.space().unsecure(*secured));
  EXPECT_TRUE(t.space().unmap_view(t.cpu(), base));
  EXPECT_EQ(t.check(), "");
}

TEST_P(DeviceFramesTest, AWriteBeyondTheCommitLimitIsRefused) {
  const VirtualAddress base = map(0, kDevice);
  const MemoryManager::CommitInfo info = t.manager().commit();
  const VirtualAddress rest = t.commit(info.limit - info.charged - PageCount(20));
  EXPECT_EQ(protect(base, kDevice, Protection::kWriteCopy), Status::kCommitmentLimit);
  EXPECT_EQ(map_status({.first = device(0), .count = kDevice, .protection = Protection::kWriteCopy}),
            Status::kCommitmentLimit);
  EXPECT_EQ(query(base).protection, Protection::kReadOnly);
  EXPECT_EQ(protect(base, 4_pages, Protection::kWriteCopy), Status::kSuccess);
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(t.space().release(t.cpu(), rest, ByteCount(0)));
}

TEST_P(DeviceFramesTest, OtherCallsLeaveThemAlone) {
  const VirtualAddress base = map(0, PageCount(4), Protection::kWriteCopy);
  t.must_put(base, 1, 101);
  t.must_touch(base);
  ProcessSpace& s = t.space();
  EXPECT_EQ(s.commit(t.cpu(), base, kPageSize, Protection::kReadWrite).error(), Status::kConflictingAddresses);
  EXPECT_EQ(s.decommit(t.cpu(), base, kPageSize).error(), Status::kUnableToDeleteSection);
  EXPECT_EQ(s.release(t.cpu(), base, ByteCount(0)).error(), Status::kUnableToDeleteSection);
  EXPECT_EQ(s.reset(t.cpu(), base, kPageSize).error(), Status::kConflictingAddresses);
  EXPECT_EQ(s.undo_reset(t.cpu(), base, kPageSize).error(), Status::kConflictingAddresses);
  EXPECT_EQ(s.lock_pages(t.cpu(), base, kPageSize, LockKind::kInMemory).error(), Status::kIncompatibleFileMap);
  EXPECT_EQ(s.unlock_pages(t.cpu(), base, kPageSize, LockKind::kInMemory).error(), Status::kNotLocked);
  EXPECT_EQ(s.flush_view(t.cpu(), base, kPageSize).error(), Status::kNotMappedData);
  EXPECT_EQ(s.mapped_file(base).error(), Status::kInvalidAddress);
  EXPECT_EQ(s.unmap_view(t.cpu(), base, ProcessSpace::After::kPlaceholder).error(), Status::kConflictingAddresses);
  s.empty_working_set(t.cpu());
  EXPECT_EQ(t.kind(base), PteKind::kValid);
  EXPECT_EQ(*t.get(base, 0), word_of(0));
  EXPECT_EQ(*t.get(base, 1), 101U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(DeviceFramesTest, UnmapShootsDownEveryProcessor) {
  const PageCount tables = page_tables();
  const VirtualAddress base = map(0, PageCount(32));
  for (std::uint64_t i = 0; i < 32; ++i) {
    EXPECT_EQ(*t.get(base, i, 0), word_of(i));
    EXPECT_EQ(*t.get(base, i, 1), word_of(i));
  }
  ASSERT_TRUE(t.space().unmap_view(t.cpu(0), base));
  EXPECT_EQ(t.touch(base, Access::kRead, 1), Status::kAccessViolation);
  EXPECT_EQ(page_tables(), tables);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.space().unmap_view(t.cpu(0), base).error(), Status::kNotMappedView);
}

TEST_P(DeviceFramesTest, PlacesAndRefusals) {
  using enum Status;
  const VirtualAddress base(0x10000000);
  EXPECT_EQ(map_status({.first = device(0), .count = 4_pages, .base = base}), kSuccess);
  EXPECT_EQ(*t.get(base, 1), word_of(1));
  EXPECT_EQ(map_status({.first = device(0), .count = 4_pages, .base = base}), kConflictingAddresses);
  EXPECT_EQ(map_status({.first = device(0), .count = 4_pages, .base = base + kPageSize}), kMappedAlignment);
  EXPECT_EQ(map_status({.first = device(0), .count = 4_pages, .base = VirtualAddress(0)}), kInvalidParameter3);
  EXPECT_EQ(map_status({.first = device(0), .count = {}}), kInvalidParameter);
  EXPECT_EQ(map_status({.first = Pfn(0) + (kOwn - 1_pages), .count = 4_pages}), kInvalidParameter);
  EXPECT_EQ(map_status({.first = Pfn(0xFFFFFFF0), .count = 64_pages}), kInvalidParameter);
  EXPECT_EQ(map_status({.first = device(0), .count = t.space().user_range().count}),
            t.core().mode.max_frames() < t.space().user_range().count ? kInvalidParameter : kNoMemory);
  for (const Protection writable : {Protection::kReadWrite, Protection::kExecuteReadWrite, Protection::kNone,
                                    with_modifier(Protection::kReadOnly, kProtectionGuard),
                                    with_modifier(Protection::kReadOnly, kProtectionWriteCombine)}) {
    EXPECT_EQ(map_status({.first = device(0), .count = 4_pages, .protection = writable}), kInvalidPageProtection);
  }
  const auto high = t.space().map_frames({.first = device(5), .count = 4_pages, .direction = Direction::kTopDown});
  EXPECT_EQ(high->first + 16_pages, t.space().user_range().end()) << "on 64 KB";
  EXPECT_EQ(*t.get(VirtualAddress(high->first), 0), word_of(5));
  EXPECT_EQ(t.check(), "");
}

TEST_P(DeviceFramesTest, AForkInheritsThemAndSharesTheCopies) {
  const VirtualAddress base = map(0, PageCount(8), Protection::kWriteCopy);
  const VirtualAddress own = map(8, PageCount(8), Protection::kReadOnly, Inherit::kUnmap);
  t.must_touch(base);
  t.must_put(base, 1, 101);
  t.must_put(base, 2, 102);
  t.must_touch(own);
  t.push_out();
  t.must_touch(t.page(base, 2));
  ProcessSpace& child = **t.manager().clone_space(t.cpu(), t.space());
  t.manager().attach(t.cpu(1), child);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(*t.get(base, 0, 1), word_of(0));
  EXPECT_EQ(*t.get(base, 1, 1), 101U);
  EXPECT_EQ(*t.get(base, 2, 1), 102U);
  EXPECT_EQ(t.touch(own, Access::kRead, 1), Status::kAccessViolation);
  t.must_put(base, 0, 200, 1);
  t.must_put(base, 1, 201, 1);
  EXPECT_EQ(*t.get(base, 0, 0), word_of(0));
  EXPECT_EQ(*t.get(base, 1, 0), 101U);
  EXPECT_EQ(t.check(), "");
  // A page that is shared with the child gets its rights in this space alone.
  ASSERT_EQ(protect(base, PageCount(8), Protection::kReadOnly), Status::kSuccess);
  EXPECT_EQ(t.put(base, 2, 1), Status::kAccessViolation);
  t.must_put(base, 2, 202, 1);
  EXPECT_EQ(*t.get(base, 2, 0), 102U);
  EXPECT_EQ(t.check(), "");
  t.manager().attach(t.cpu(1), t.space());
  t.manager().destroy_space(t.cpu(), child);
  EXPECT_EQ(*t.get(base, 2, 0), 102U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(DeviceFramesTest, AreNoWayToWriteAFrameAndSurviveShortage) {
  const VirtualAddress device_base = map(0, kDevice, Protection::kWriteCopy);
  const VirtualAddress base = t.commit(PageCount(700));
  t.fill(base, PageCount(700));
  for (std::uint64_t i = 0; i < kDevice.value(); i += 2) t.must_put(device_base, i, i);
  t.fill(base, PageCount(700));
  EXPECT_EQ(t.differences(base, PageCount(700)), 0U);
  for (std::uint64_t i = 0; i < kDevice.value(); ++i) {
    EXPECT_EQ(*t.get(device_base, i), i % 2 == 0 ? i : word_of(i));
    EXPECT_EQ(device_word(i), word_of(i));
  }
  EXPECT_EQ(t.check(), "");
}

// Regions come and go, change their rights and are used, against a plain model of each page.
TEST_P(DeviceFramesTest, RandomUseEqualsAModel) {
  struct Page {
    Protection rights = Protection::kNone;
    std::optional<std::uint64_t> copy;  // The word of the private page.
  };
  struct Region {
    std::uint64_t first = 0;
    std::vector<Page> pages;
  };
  constexpr std::array kRights{Protection::kReadOnly,  Protection::kExecuteRead,      Protection::kNoAccess,
                               Protection::kWriteCopy, Protection::kExecuteWriteCopy, Protection::kReadWrite,
                               Protection::kExecute};
  Random random(7);
  std::map<VirtualAddress, Region> regions;
  for (int step = 0; step < 4000; ++step) {
    if (regions.size() < 3 || random.below(100) == 0) {
      const std::uint64_t first = random.below(kDevice.value());
      const PageCount count(1 + random.below(kDevice.value() - first));
      const Protection rights = kRights[random.below(5)];
      regions[map(first, count, rights)] = {first, std::vector<Page>(count.value(), Page{rights, {}})};
    }
    const auto at = std::next(regions.begin(), static_cast<std::ptrdiff_t>(random.below(regions.size())));
    const VirtualAddress base = at->first;
    Region& region = at->second;
    const std::uint64_t number = random.below(region.pages.size());
    Page& page = region.pages[number];
    switch (random.below(8)) {
      case 0:
      case 1:
      case 2: {
        const auto value = t.get(base, number, static_cast<unsigned>(random.below(2)));
        ASSERT_EQ(value.has_value(), allows(page.rights, Access::kRead, true));
        if (value) {
          ASSERT_EQ(*value, page.copy.value_or(word_of(region.first + number)));
        }
        break;
      }
      case 3:
      case 4: {
        const bool allowed = allows(page.rights, Access::kWrite, true);
        const std::uint64_t value = random.next();
        ASSERT_EQ(t.put(base, number, value), allowed ? Status::kSuccess : Status::kAccessViolation);
        if (!allowed) break;
        page.copy = value;
        page.rights = unshared(page.rights);
        break;
      }
      case 5: {
        const std::uint64_t count = 1 + random.below(region.pages.size() - number);
        const Protection rights = kRights[random.below(kRights.size())];
        const auto old = t.space().protect(t.cpu(), t.page(base, number), bytes_of(PageCount(count)), rights);
        ASSERT_TRUE(old);
        ASSERT_EQ(*old, page.rights);
        for (std::uint64_t i = number; i < number + count; ++i) {
          Page& changed = region.pages[i];
          changed.rights = changed.copy ? unshared(rights) : shared_by_fork(rights);
        }
        break;
      }
      case 6: {
        const RegionInfo info = query(t.page(base, number));
        ASSERT_EQ(info.protection, page.rights);
        std::uint64_t end = number + 1;
        while (end < region.pages.size() && region.pages[end].rights == page.rights) ++end;
        ASSERT_EQ(info.size, bytes_of(PageCount(end - number)));
        break;
      }
      default:
        if (random.below(10) == 0) t.push_out();
        if (random.below(10) == 0) {
          ASSERT_TRUE(t.space().unmap_view(t.cpu(), t.page(base, number)));
          regions.erase(at);
        }
    }
    if (step % 100 == 0) {
      ASSERT_EQ(t.check(), "");
    }
  }
  EXPECT_EQ(t.check(), "");
  for (const auto& [base, region] : regions) ASSERT_TRUE(t.space().unmap_view(t.cpu(), base));
  for (std::uint64_t i = 0; i < kDevice.value(); ++i) EXPECT_EQ(device_word(i), word_of(i));
  EXPECT_EQ(t.check(), "");
}

TEST(DeviceFrames, OfALargeFileChargeNoPageTables) {
  TestMachine t({.device_frames = pages_of(2_GiB)});
  const PageCount before = t.manager().commit().charged;
  const auto mapped = t.space().map_frames({.first = Pfn(256), .count = pages_of(2_GiB)});
  ASSERT_TRUE(mapped);
  EXPECT_EQ(t.manager().commit().charged, before);
  const VirtualAddress base(mapped->first);
  for (std::uint64_t i = 0; i < mapped->count.value(); i += 100000) EXPECT_EQ(*t.get(base, i), 0U);
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(t.space().protect(t.cpu(), base, 2_GiB - kPageSize, Protection::kExecuteRead));
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(t.space().unmap_view(t.cpu(), base));
  EXPECT_EQ(t.manager().commit().charged, before);
  EXPECT_EQ(t.check(), "");
}

TEST(DeviceFrames, ASpaceThatEndsUnmapsThem) {
  TestMachine t({.processors = 2, .device_frames = kDevice});
  const PageCount available = t.available();
  const PageCount charged = t.manager().commit().charged;
  ProcessSpace& space = t.add_space();
  t.manager().attach(t.cpu(1), space);
  const auto mapped = space.map_frames({.first = Pfn(256), .count = kDevice, .protection = Protection::kWriteCopy});
  const VirtualAddress base(mapped->first);
  t.must_touch(base, Access::kRead, 1);
  t.must_put(base, 5, 5, 1);
  t.manager().attach(t.cpu(1), t.space());
  t.manager().destroy_space(t.cpu(), space);
  EXPECT_EQ(t.available(), available);
  EXPECT_EQ(t.manager().commit().charged, charged);
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
