// A kind of regions of an embedder's own: what the interface lets it say, and what the rest of the manager makes of it.
#include "pagoda/mm/region/region_kind.h"

#include <gtest/gtest.h>

#include <cstring>
#include <span>
#include <string>

#include "pagoda/mm/memory_manager.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;
using testing::TestMachineConfig;

// Pages that read as their own address, word by word. They cannot be protected, and a fork's child does not get them.
class AddressedRegion final : public RegionKind {
 public:
  explicit AddressedRegion(MemoryType type = MemoryType::kPrivate) : RegionKind(Residence::kPaged, type) {}

  [[nodiscard]] DefaultRun rights(const Vad& vad, Vpn /*page*/) const override {
    return {vad.range.end(), vad.protection};
  }
  fault::Outcome fault(fault::Context& context, Vad& /*vad*/) const override PAGODA_NO_THREAD_SAFETY {
    return fault::filled_page(context, [&](std::span<std::byte, kPageBytes> bytes) {
      for (std::uint64_t at = 0; at < kPageBytes; at += sizeof(std::uint64_t)) {
        const std::uint64_t word = VirtualAddress(context.page).value() + at;
        std::memcpy(bytes.data() + at, &word, sizeof(word));
      }
    });
  }
  [[nodiscard]] bool is_forked(const Vad& /*vad*/) const override { return false; }
  void check(const RegionSpace& /*space*/, const Vad& vad,
             const std::function<void(const char* rule, const std::string& text)>& finding) const override {
    if (complains) finding("AS1", "the region at " + to_string(VirtualAddress(vad.range.first)) + " complains");
  }

  bool complains = false;
};

class OwnKind : public ::testing::TestWithParam<machine::PteFormat> {
 protected:
  static constexpr PageCount kPages{24};

  OwnKind() : t_(config()), base_(VirtualAddress(t_.space().map_region(kind_, {.size = bytes_of(kPages)})->first)) {}

  static TestMachineConfig config() {
    TestMachineConfig config{.processors = 2};
    config.paging = GetParam();
    return config;
  }
  // Pages whose words are not what the kind says.
  std::uint64_t wrong() {
    std::uint64_t wrong = 0;
    for (std::uint64_t page = 0; page < kPages.value(); ++page) {
      const VirtualAddress va = TestMachine::page(base_, page) + ByteCount(8 * page);
      const auto word = t_.cpu().load<std::uint64_t>(va);
      if (!word || *word != va.value()) ++wrong;
    }
    return wrong;
  }

  const AddressedRegion kind_;
  TestMachine t_;
  VirtualAddress base_;
};

TEST_P(OwnKind, BringsItsPages) {
  EXPECT_EQ(wrong(), 0U);
  EXPECT_EQ(t_.faults(FaultKind::kDemandZero), kPages.value());
  const auto info = t_.space().query(t_.cpu(), base_);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->size, bytes_of(kPages));
  EXPECT_EQ(info->state, MemoryState::kCommitted);
  EXPECT_EQ(info->protection, Protection::kReadWrite);
  EXPECT_EQ(info->type, MemoryType::kPrivate);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(OwnKind, ItsPagesArePagedLikeAnyOther) {
  EXPECT_EQ(wrong(), 0U);
  t_.must_put(base_, 3, 42);
  t_.push_out();
  EXPECT_EQ(t_.kind(base_), PteKind::kPageFile);
  EXPECT_EQ(t_.get(base_, 3), 42U);
  t_.must_put(base_, 3, TestMachine::page(base_, 3).value());
  EXPECT_EQ(wrong(), 0U);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(OwnKind, CannotBeProtectedCommittedOrReset) {
  EXPECT_EQ(wrong(), 0U);
  const auto& refused = Status::kInvalidPageProtection;
  EXPECT_EQ(t_.space().protect(t_.cpu(), base_, kPageSize, Protection::kReadOnly).error(), refused);
  EXPECT_EQ(t_.space().commit(t_.cpu(), base_, kPageSize, Protection::kReadOnly).error(),
            Status::kConflictingAddresses);
  EXPECT_EQ(t_.space().decommit(t_.cpu(), base_, kPageSize).error(), Status::kMemoryNotAllocated);
  EXPECT_EQ(t_.space().reset(t_.cpu(), base_, kPageSize).error(), Status::kConflictingAddresses);
  EXPECT_EQ(t_.space().discard(t_.cpu(), {base_.vpn(), 1_pages}).error(), Status::kConflictingAddresses);
  EXPECT_EQ(wrong(), 0U);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(OwnKind, IsSkippedByAFork) {
  EXPECT_EQ(wrong(), 0U);
  const VirtualAddress other = t_.commit(PageCount(2));
  t_.must_put(other, 1, 7);
  ProcessSpace& child = **t_.manager().clone_space(t_.cpu(), t_.space());
  t_.manager().attach(t_.cpu(1), child);
  EXPECT_EQ(t_.get(other, 1, 1), 7U);
  EXPECT_EQ(t_.touch(base_, machine::Access::kRead, 1), Status::kAccessViolation);
  EXPECT_FALSE(child.allocation(base_));
  EXPECT_EQ(wrong(), 0U);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(OwnKind, IsReleasedAndGivesItsChargeBack) {
  EXPECT_EQ(t_.space().statistics().commit, kPages);
  EXPECT_EQ(wrong(), 0U);
  EXPECT_EQ(t_.space().unmap_view(t_.cpu(), base_).error(), Status::kNotMappedView);
  ASSERT_TRUE(t_.space().release(t_.cpu(), base_, ByteCount()));
  EXPECT_EQ(t_.space().statistics().commit, 0_pages);
  EXPECT_EQ(t_.touch(base_), Status::kAccessViolation);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(OwnKind, OfMappedMemoryIsUnmapped) {
  const AddressedRegion mapped(MemoryType::kMapped);
  const VpnRange region = *t_.space().map_region(mapped, {.size = 64_KiB});
  const VirtualAddress base(region.first);
  EXPECT_EQ(t_.get(base, 1), TestMachine::page(base, 1).value());
  EXPECT_EQ(t_.space().query(t_.cpu(), base)->type, MemoryType::kMapped);
  EXPECT_EQ(t_.check(), "");
  ASSERT_TRUE(t_.space().unmap_view(t_.cpu(), base));
  EXPECT_EQ(t_.check(), "");
}

TEST_P(OwnKind, LooksSayWhereItsPagesAreAndBringNoneIn) {
  EXPECT_EQ(t_.space().page_info(t_.cpu(), base_).place, PagePlace::kNowhere);
  EXPECT_EQ(wrong(), 0U);
  const std::uint64_t faults = t_.faults();
  const VpnRange pages{base_.vpn(), kPages};
  EXPECT_EQ(t_.space().residency(t_.cpu(), pages).working_set, kPages);
  const PageInfo last = t_.space().page_info(t_.cpu(), TestMachine::page(base_, kPages.value() - 1));
  EXPECT_EQ(last.place, PagePlace::kWorkingSet);
  EXPECT_EQ(last.share_count, 1U);
  EXPECT_EQ(last.frame, t_.frame(TestMachine::page(base_, kPages.value() - 1)));
  EXPECT_TRUE(last.dirty);
  t_.push_out();
  EXPECT_EQ(t_.space().residency(t_.cpu(), pages).paging_file, kPages);
  EXPECT_EQ(t_.space().page_info(t_.cpu(), base_).place, PagePlace::kPagingFile);
  EXPECT_EQ(t_.faults(), faults);
}

TEST_P(OwnKind, IsAskedByTheChecker) {
  AddressedRegion complaining;
  ASSERT_TRUE(t_.space().map_region(complaining, {.size = 64_KiB}));
  EXPECT_EQ(t_.check(), "");
  complaining.complains = true;
  EXPECT_NE(t_.check().find("complains"), std::string::npos);
}

TEST_P(OwnKind, RefusesWhatCannotBe) {
  ProcessSpace& space = t_.space();
  EXPECT_EQ(space.map_region(kind_, {.size = ByteCount()}).error(), Status::kInvalidParameter4);
  EXPECT_EQ(space.map_region(kind_, {.base = base_ + kPageSize, .size = 64_KiB}).error(), Status::kMappedAlignment);
  EXPECT_EQ(space.map_region(kind_, {.base = base_, .size = 64_KiB}).error(), Status::kConflictingAddresses);
  EXPECT_EQ(space.map_region(kind_, {.size = 64_KiB, .protection = Protection::kNone}).error(),
            Status::kInvalidPageProtection);
}

INSTANTIATE_TEST_SUITE_P(Modes, OwnKind,
                         ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                           machine::PteFormat::kAmd64));

}  // namespace
}  // namespace pagoda::mm
