// Sections of large pages: frames in a row from the start, shared by entries of page directories.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "pagoda/mm/region/large_pages.h"
#include "pagoda/mm/section/sections.h"
#include "pagoda/mm/testing/corruptor.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using machine::Access;
using testing::TestMachine;

Status status_of(const auto& result) { return result ? Status::kSuccess : result.error(); }

class LargeSections : public ::testing::TestWithParam<machine::PteFormat> {
 protected:
  static constexpr PageCount kFrames{8192};

  LargeSections()
      : t({.frames = kFrames, .paging = GetParam(), .processors = 2}),
        other(t.add_space()),
        large(large_page_size(t.core().mode)),
        pages(pages_of(large)) {
    t.manager().attach(t.cpu(1), other);
  }

  Result<Section*> try_make(ByteCount size, Protection protection = Protection::kReadWrite) {
    return t.manager().sections().create(t.cpu(),
                                         {.size = size, .protection = protection, .flags = {.large_pages = true}});
  }
  Section& make(std::uint64_t count, Protection protection = Protection::kReadWrite) {
    const auto made = try_make(large * count, protection);
    PAGODA_CHECK(made.has_value());
    return **made;
  }
  void close(Section& section) { t.manager().sections().dereference(t.cpu(), section); }
  VirtualAddress map(ProcessSpace& space, Section& section, const ViewRequest& request = {}) {
    const auto mapped = space.map_view(t.cpu(), section, request);
    PAGODA_CHECK(mapped.has_value());
    return VirtualAddress(mapped->first);
  }
  [[nodiscard]] Pfn first_frame(ProcessSpace& space, VirtualAddress va) {
    const LockGuard guard(space.lock);
    const RawPte raw = t.core().load(t.cpu(), space.tables().find_large(t.cpu(), va.vpn()));
    return PageTables::is_large(raw, PageTables::kLargeLevel) ? t.core().codec.frame(raw) : kNoPfn;
  }
  [[nodiscard]] PageCount charged() { return t.manager().commit().charged; }

  TestMachine t;
  ProcessSpace& other;
  const ByteCount large;
  const PageCount pages;
};

INSTANTIATE_TEST_SUITE_P(Modes, LargeSections,
                         ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                           machine::PteFormat::kAmd64),
                         [](const ::testing::TestParamInfo<machine::PteFormat>& test) {
                           return std::string(machine::paging_mode(test.param).name);
                         });

TEST_P(LargeSections, TakeZeroedFramesInARowWhenMade) {
  const VirtualAddress old = t.commit(PageCount(2000));
  t.fill(old, PageCount(2000));
  ASSERT_TRUE(t.space().release(t.cpu(), old, 0_B));
  const PageCount available = t.available();
  const PageCount before = charged();
  Section& section = make(2);
  EXPECT_EQ(charged(), before + pages * 2 + 2_pages) << "the pages and their prototype PTEs";
  EXPECT_EQ(t.available(), available - pages * 2 - 2_pages);
  EXPECT_EQ(t.check(), "");
  const VirtualAddress base = map(t.space(), section);
  EXPECT_EQ(base.value() % large.value(), 0U);
  EXPECT_EQ(first_frame(t.space(), base).value() % pages.value(), 0U);
  const std::uint64_t faults = t.faults();
  for (std::uint64_t page = 0; page < pages.value() * 2; page += 97) EXPECT_EQ(t.get(base, page), 0U);
  EXPECT_EQ(t.faults(), faults);
  EXPECT_EQ(t.resident(), 0_pages);
  EXPECT_EQ(t.check(), "");
}

TEST_P(LargeSections, AreSharedByTwoProcessesAndNeverPagedOut) {
  Section& section = make(2);
  const VirtualAddress here = map(t.space(), section);
  const VirtualAddress there = map(other, section, {.offset = large, .size = large});
  EXPECT_EQ(first_frame(other, there), first_frame(t.space(), here + large));
  t.must_put(here, pages.value() + 3, 33);
  EXPECT_EQ(t.get(there, 3, 1), 33U);
  t.must_put(there, 4, 44, 1);
  EXPECT_EQ(t.get(here, pages.value() + 4), 44U);
  EXPECT_EQ(t.core().pfns.entry(first_frame(other, there)).share_count, 3U);
  EXPECT_EQ(t.get(there, pages.value(), 1), fail(Status::kAccessViolation));
  EXPECT_EQ(t.check(), "");
  const std::uint64_t faults = t.faults();
  t.page_out();
  other.empty_working_set(t.cpu(1));
  EXPECT_EQ(t.get(there, 3, 1), 33U);
  EXPECT_EQ(t.get(here, pages.value() + 4), 44U);
  EXPECT_EQ(t.faults(), faults);
  EXPECT_EQ(t.check(), "");
}

TEST_P(LargeSections, LastReferenceAndLastViewGiveEverythingBack) {
  const PageCount before = charged();
  const PageCount available = t.available();
  Section& section = make(2);
  const VirtualAddress here = map(t.space(), section);
  const VirtualAddress there = map(other, section);
  t.must_put(here, 7, 7);
  close(section);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.get(there, 7, 1), 7U);
  ASSERT_TRUE(t.space().unmap_view(t.cpu(), here + 12_KiB));
  EXPECT_EQ(t.get(here, 7), fail(Status::kAccessViolation));
  EXPECT_EQ(t.get(there, 7, 1), 7U);
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(other.unmap_view(t.cpu(1), there));
  EXPECT_EQ(t.get(there, 7, 1), fail(Status::kAccessViolation));
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(t.available(), available);
  EXPECT_EQ(t.manager().frame_counts().prototypes, 0_pages);
  EXPECT_EQ(t.check(), "");
  // Without any view, and by a space that dies.
  Section& second = make(1);
  static_cast<void>(map(t.space(), second));
  ProcessSpace& third = t.add_space();
  static_cast<void>(map(third, second));
  EXPECT_EQ(t.check(), "");
  t.manager().destroy_space(t.cpu(), third);
  EXPECT_EQ(t.check(), "");
  close(make(1));
  EXPECT_EQ(t.check(), "");
}

TEST_P(LargeSections, ProtectTakesTheWholeViewAndNoOther) {
  Section& section = make(2, Protection::kExecuteReadWrite);
  const VirtualAddress here = map(t.space(), section);
  const VirtualAddress there = map(other, section, {.protection = Protection::kExecuteReadWrite});
  ASSERT_TRUE(other.protect(t.cpu(1), there, large * 2, Protection::kReadOnly));
  t.must_put(here, 5, 1);
  EXPECT_EQ(t.put(there, 5, 2, 1), Status::kAccessViolation);
  EXPECT_EQ(t.get(there, 5, 1), 1U);
  const auto protect = [&](ByteCount size, Protection protection) {
    return t.space().protect(t.cpu(), here, size, protection);
  };
  EXPECT_EQ(status_of(protect(large, Protection::kReadOnly)), Status::kConflictingAddresses);
  EXPECT_EQ(status_of(protect(large * 2, Protection::kNoAccess)), Status::kInvalidPageProtection);
  EXPECT_EQ(status_of(protect(large * 2, Protection::kWriteCopy)), Status::kInvalidPageProtection);
  EXPECT_EQ(t.put(here, 5, 2), Status::kSuccess);
  EXPECT_EQ(protect(large * 2, Protection::kReadOnly), Protection::kReadWrite);
  EXPECT_EQ(t.put(here, 5, 3), Status::kAccessViolation);
  EXPECT_EQ(t.get(here, 5), 2U);
  const auto info = t.space().query(t.cpu(), here + 8_KiB);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->protection, Protection::kReadOnly);
  EXPECT_EQ(info->allocation_protection, Protection::kReadWrite);
  EXPECT_EQ(info->type, MemoryType::kMapped);
  EXPECT_EQ(info->state, MemoryState::kCommitted);
  EXPECT_EQ(info->size, large * 2 - 8_KiB);
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(other.protect(t.cpu(1), there, large * 2, Protection::kExecuteReadWrite));
  EXPECT_EQ(t.put(there, 5, 4, 1), Status::kSuccess);
  EXPECT_EQ(t.touch(there, Access::kExecute, 1), Status::kSuccess);
  EXPECT_EQ(t.put(here, 5, 5), Status::kAccessViolation);
  EXPECT_EQ(t.check(), "");
}

TEST_P(LargeSections, ProtectKeepsToTheView) {
  Section& section = make(1, Protection::kReadOnly);
  EXPECT_EQ(status_of(t.space().map_view(t.cpu(), section, {})), Status::kSectionProtection);
  const VirtualAddress here = map(t.space(), section, {.protection = Protection::kReadOnly});
  EXPECT_EQ(status_of(t.space().protect(t.cpu(), here, large, Protection::kReadWrite)), Status::kSectionProtection);
  const VirtualAddress reader = map(t.space(), make(1), {.protection = Protection::kReadOnly});
  EXPECT_EQ(status_of(t.space().protect(t.cpu(), reader, large, Protection::kReadWrite)), Status::kSectionProtection);
  EXPECT_EQ(t.check(), "");
}

TEST_P(LargeSections, ForkSharesInheritedViews) {
  Section& section = make(1);
  const VirtualAddress shared = map(t.space(), section, {.inherit = Inherit::kShare});
  const VirtualAddress kept = map(t.space(), section, {.inherit = Inherit::kUnmap});
  ASSERT_TRUE(t.space().protect(t.cpu(), shared, large, Protection::kReadOnly));
  t.must_put(kept, 9, 9);
  ProcessSpace& child = **t.manager().clone_space(t.cpu(), t.space());
  t.manager().attach(t.cpu(1), child);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(first_frame(child, shared), first_frame(t.space(), shared));
  EXPECT_EQ(t.get(shared, 9, 1), 9U);
  EXPECT_EQ(t.put(shared, 9, 1, 1), Status::kAccessViolation) << "the rights that the parent's view has now";
  EXPECT_EQ(t.get(kept, 9, 1), fail(Status::kAccessViolation));
  ASSERT_TRUE(child.protect(t.cpu(1), shared, large, Protection::kReadWrite));
  t.must_put(shared, 9, 10, 1);
  EXPECT_EQ(t.get(kept, 9), 10U);
  EXPECT_EQ(t.check(), "");
  close(section);
  ASSERT_TRUE(t.space().unmap_view(t.cpu(), shared));
  ASSERT_TRUE(t.space().unmap_view(t.cpu(), kept));
  EXPECT_EQ(t.get(shared, 9, 1), 10U);
  t.manager().attach(t.cpu(1), other);
  t.manager().destroy_space(t.cpu(), child);
  EXPECT_EQ(t.manager().frame_counts().prototypes, 0_pages);
  EXPECT_EQ(t.check(), "");
}

TEST_P(LargeSections, RefuseWhatIsNoLargePage) {
  const PageCount before = charged();
  const auto create = [&](const SectionRequest& request) {
    return status_of(t.manager().sections().create(t.cpu(), request));
  };
  EXPECT_EQ(create({.size = large, .flags = {.reserve = true, .large_pages = true}}), Status::kInvalidParameter6);
  EXPECT_EQ(create({.size = large + 64_KiB, .flags = {.large_pages = true}}), Status::kInvalidParameter4);
  EXPECT_EQ(create({.size = 0_B, .flags = {.large_pages = true}}), Status::kInvalidParameter4);
  EXPECT_EQ(create({.size = large,
                    .protection = with_modifier(Protection::kReadWrite, kProtectionNoCache),
                    .flags = {.large_pages = true}}),
            Status::kInvalidPageProtection);
  EXPECT_EQ(charged(), before);

  Section& section = make(2);
  const auto mapping = [&](const ViewRequest& request) {
    return status_of(t.space().map_view(t.cpu(), section, request));
  };
  const VirtualAddress aligned(large.value() * 8);
  EXPECT_EQ(mapping({.base = aligned + 64_KiB}), Status::kMappedAlignment);
  EXPECT_EQ(mapping({.offset = 64_KiB}), Status::kMappedAlignment);
  EXPECT_EQ(mapping({.size = 64_KiB}), Status::kInvalidViewSize);
  EXPECT_EQ(mapping({.size = large * 3}), Status::kInvalidViewSize);
  EXPECT_EQ(mapping({.offset = large * 2}), Status::kInvalidViewSize);
  EXPECT_EQ(mapping({.protection = Protection::kWriteCopy}), Status::kInvalidPageProtection);
  EXPECT_EQ(mapping({.protection = Protection::kNoAccess}), Status::kInvalidPageProtection);
  EXPECT_EQ(mapping({.protection = with_modifier(Protection::kReadWrite, kProtectionGuard)}),
            Status::kInvalidPageProtection);
  EXPECT_EQ(mapping({.base = aligned, .offset = large, .size = large}), Status::kSuccess);
  EXPECT_EQ(mapping({.base = aligned}), Status::kConflictingAddresses);
  EXPECT_EQ(t.check(), "");
}

TEST_P(LargeSections, ViewsCannotBeCommittedLockedSecuredResetOrReleased) {
  Section& section = make(1);
  const VirtualAddress base = map(t.space(), section);
  ProcessSpace& space = t.space();
  EXPECT_EQ(status_of(space.commit(t.cpu(), base, 4_KiB, Protection::kReadWrite)), Status::kInvalidPageProtection);
  EXPECT_EQ(status_of(space.decommit(t.cpu(), base, large)), Status::kUnableToDeleteSection);
  EXPECT_EQ(status_of(space.release(t.cpu(), base, 0_B)), Status::kUnableToDeleteSection);
  for (const LockKind kind : {LockKind::kInWorkingSet, LockKind::kInMemory}) {
    EXPECT_EQ(status_of(space.lock_pages(t.cpu(), base, 4_KiB, kind)), Status::kIncompatibleFileMap);
    EXPECT_EQ(status_of(space.unlock_pages(t.cpu(), base, 4_KiB, kind)), Status::kNotLocked);
  }
  EXPECT_EQ(status_of(space.secure(t.cpu(), base, 4_KiB, Protection::kReadOnly)), Status::kAccessViolation);
  EXPECT_EQ(status_of(space.reset(t.cpu(), base, 4_KiB)), Status::kConflictingAddresses);
  EXPECT_EQ(t.put(base, 1, 1), Status::kSuccess);
  EXPECT_EQ(t.check(), "");
}

TEST_P(LargeSections, TooManyChangeNothing) {
  const PageCount before = charged();
  const PageCount available = t.available();
  EXPECT_EQ(status_of(try_make(large * (kFrames / pages))), Status::kInsufficientResources);
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(t.available(), available);
  EXPECT_EQ(status_of(try_make(large * 100)), Status::kCommitmentLimit);
  EXPECT_EQ(t.manager().frame_counts().prototypes, 0_pages);
  EXPECT_EQ(t.check(), "");
  Section& most = make(kFrames / pages - 2);
  EXPECT_EQ(t.check(), "");
  close(most);
  EXPECT_EQ(t.available(), available);
  EXPECT_EQ(t.check(), "");
}

TEST_P(LargeSections, ReplaceAndLeavePlaceholders) {
  const auto placeholder = t.space().reserve({.base = VirtualAddress(large.value() * 4),
                                              .size = large * 2,
                                              .protection = Protection::kNoAccess,
                                              .placeholder = Placeholder::kReserve});
  ASSERT_TRUE(placeholder);
  const VirtualAddress base(placeholder->first);
  Section& section = make(2);
  const PageCount before = charged();
  const ViewRequest whole{.base = base, .replaces_placeholder = true};
  EXPECT_EQ(
      status_of(t.space().map_view(t.cpu(), section, {.base = base, .size = large, .replaces_placeholder = true})),
      Status::kConflictingAddresses);
  ASSERT_EQ(map(t.space(), section, whole), base);
  t.must_put(base, 3, 3);
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(t.space().unmap_view(t.cpu(), base, ProcessSpace::After::kPlaceholder));
  EXPECT_EQ(t.get(base, 3), fail(Status::kAccessViolation));
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(t.check(), "");
  ASSERT_EQ(map(t.space(), section, whole), base);
  EXPECT_EQ(t.get(base, 3), 3U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(LargeSections, OfABaseAreThereInEveryProcess) {
  Section& section =
      **t.manager().sections().create(t.cpu(), {.size = large * 2, .flags = {.based = true, .large_pages = true}});
  const VirtualAddress here = map(t.space(), section);
  EXPECT_EQ(map(other, section), here);
  t.must_put(here, 1, 1);
  EXPECT_EQ(t.get(here, 1, 1), 1U);
  EXPECT_EQ(t.check(), "");
}

// A view takes page tables; if there is no frame for them, nothing is left of it.
TEST_P(LargeSections, AViewWithoutFramesForItsTablesIsTakenBack) {
  Section& section = make(2);
  std::vector<Pfn> held;
  t.cpu().set_waiting(machine::Processor::Waiting::kYields);
  {
    const LockGuard guard(t.core().pfns.lock);
    while (t.core().pfns.available() > PageCount(0)) held.push_back(t.core().pfns.take(t.cpu(), Contents::kAny)->frame);
  }
  const PageCount before = charged();
  const auto mapped = other.map_view(t.cpu(), section, {.protection = Protection::kReadOnly});
  {
    const LockGuard guard(t.core().pfns.lock);
    for (const Pfn frame : held) t.core().pfns.give_back(frame, Contents::kAny);
  }
  // Two levels have the directory that the entry stands in from the start.
  EXPECT_EQ(mapped.has_value(), t.core().mode.levels == 2);
  if (!mapped) {
    EXPECT_EQ(charged(), before);
  }
  EXPECT_EQ(t.check(), "");
}

TEST_P(LargeSections, TheCheckerSeesTheirMappings) {
  Section& section = make(2);
  const VirtualAddress base = map(t.space(), section);
  const Pfn first = first_frame(t.space(), base);
  Vad& vad = *Corruptor::vads(t.space()).find(base.vpn());
  const auto finds = [&](const std::string& rule) {
    for (const Finding& finding : check(t.manager(), t.cpu()))
      if (finding.rule == rule) return true;
    return false;
  };
  ASSERT_EQ(t.check(), "");
  vad.large_protection = Protection::kReadOnly;
  EXPECT_TRUE(finds("PT2")) << "rights";
  vad.large_protection = Protection::kReadWrite;
  vad.section_page = pages;
  EXPECT_TRUE(finds("PT2")) << "another part of the segment";
  vad.section_page = {};
  ++Corruptor::entry(t.core(), first + 5_pages).share_count;
  EXPECT_TRUE(finds("PF2"));
  --Corruptor::entry(t.core(), first + 5_pages).share_count;
  ++section.control_area().charge;
  EXPECT_TRUE(finds("CA3"));
  --section.control_area().charge;
  // Each of two entries names the other's frame, which says so too: only the row is broken.
  const auto exchange = [&] {
    PfnEntry& one = Corruptor::entry(t.core(), first + 5_pages);
    PfnEntry& two = Corruptor::entry(t.core(), first + 6_pages);
    const RawPte raw = t.core().load(t.cpu(), one.pte());
    machine::store_entry(t.cpu().physical(), t.core().mode, one.pte(), t.core().load(t.cpu(), two.pte()));
    machine::store_entry(t.cpu().physical(), t.core().mode, two.pte(), raw);
    const PhysicalAddress of_one = one.pte();
    one.set_pte(two.pte());
    two.set_pte(of_one);
  };
  exchange();
  EXPECT_TRUE(finds("CA4"));
  exchange();
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
