#include "pagoda/mm/region/placeholder.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using machine::PteFormat;
using testing::TestMachine;

constexpr VirtualAddress kBase{0x100000};

Status status_of(const auto& result) { return result ? Status::kSuccess : result.error(); }

class Placeholders : public ::testing::TestWithParam<PteFormat> {
 public:
  static std::string name_of(const ::testing::TestParamInfo<PteFormat>& info) {
    return std::string(machine::paging_mode(info.param).name);
  }

 protected:
  TestMachine t_{{.frames = PageCount(256), .paging = GetParam()}};

  static VirtualAddress at(std::uint64_t page) { return TestMachine::page(kBase, page); }
  Status hold(std::uint64_t first, std::uint64_t count) {
    return status_of(t_.space().reserve({.base = at(first),
                                         .size = bytes_of(PageCount(count)),
                                         .protection = Protection::kNoAccess,
                                         .placeholder = Placeholder::kReserve}));
  }
  Status replace(std::uint64_t first, std::uint64_t count, MemCommit commit = MemCommit::kYes) {
    return status_of(t_.space().reserve({.base = at(first),
                                         .size = bytes_of(PageCount(count)),
                                         .commit = commit,
                                         .placeholder = Placeholder::kReplace}));
  }
  Status release(std::uint64_t first, std::uint64_t count, ReleaseMode mode = ReleaseMode::kFree) {
    return status_of(t_.space().release(t_.cpu(), at(first), bytes_of(PageCount(count)), mode));
  }
  [[nodiscard]] PageCount charge() { return t_.space().statistics().commit; }
};

constexpr auto kPreserve = ReleaseMode::kPreservePlaceholder;
constexpr auto kCoalesce = ReleaseMode::kCoalescePlaceholders;

TEST_P(Placeholders, SplitReplaceAndGoBack) {
  EXPECT_EQ(hold(0, 32), Status::kSuccess);
  EXPECT_EQ(release(5, 6, kPreserve), Status::kSuccess);  // Three, on page borders.
  EXPECT_EQ(replace(5, 6), Status::kSuccess);
  t_.fill(at(5), 6_pages);
  EXPECT_EQ(charge(), 6_pages);
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(release(5, 6, kPreserve), Status::kSuccess);
  EXPECT_EQ(charge(), 0_pages);
  EXPECT_EQ(t_.put(at(5), 0, 1), Status::kAccessViolation);
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(release(0, 32, kCoalesce), Status::kSuccess);
  EXPECT_EQ(replace(0, 32, MemCommit::kNo), Status::kSuccess);
  EXPECT_EQ(status_of(t_.space().commit(t_.cpu(), at(0), kPageSize, Protection::kReadWrite)), Status::kSuccess);
  t_.must_put(at(0), 0, 7);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(Placeholders, BehaveAsReservedMemoryThatTakesNoCommit) {
  EXPECT_EQ(hold(0, 16), Status::kSuccess);
  EXPECT_EQ(t_.touch(at(0)), Status::kAccessViolation);
  EXPECT_EQ(status_of(t_.space().commit(t_.cpu(), at(0), kPageSize, Protection::kReadWrite)),
            Status::kConflictingAddresses);
  EXPECT_EQ(status_of(t_.space().protect(t_.cpu(), at(0), kPageSize, Protection::kReadWrite)), Status::kNotCommitted);
  EXPECT_EQ(status_of(t_.space().lock_pages(t_.cpu(), at(0), kPageSize, LockKind::kInWorkingSet)),
            Status::kAccessViolation);
  EXPECT_EQ(status_of(t_.space().decommit(t_.cpu(), at(0), kPageSize)), Status::kSuccess);
  EXPECT_EQ(status_of(t_.space().reserve({.base = at(0), .size = kPageSize})), Status::kConflictingAddresses);
  const auto info = t_.space().query(t_.cpu(), at(3));
  ASSERT_TRUE(info);
  EXPECT_EQ(info->state, MemoryState::kReserved);
  EXPECT_EQ(info->size, bytes_of(13_pages));
  EXPECT_EQ(t_.check(), "");
}

TEST_P(Placeholders, MistakesHaveTheirStatusAndChangeNothing) {
  const auto reserve = [&](const ReserveRequest& request) { return status_of(t_.space().reserve(request)); };
  EXPECT_EQ(reserve({.size = kPageSize, .placeholder = Placeholder::kReserve}), Status::kInvalidParameter);
  EXPECT_EQ(reserve({.size = kPageSize,
                     .protection = Protection::kNoAccess,
                     .commit = MemCommit::kYes,
                     .placeholder = Placeholder::kReserve}),
            Status::kInvalidParameter);
  EXPECT_EQ(reserve({.size = kPageSize, .placeholder = Placeholder::kReplace}), Status::kInvalidParameter);
  EXPECT_EQ(hold(0, 16), Status::kSuccess);
  EXPECT_EQ(status_of(t_.space().reserve({.base = at(16), .size = bytes_of(16_pages)})), Status::kSuccess);
  for (const auto& [first, count] :
       std::vector<std::pair<std::uint64_t, std::uint64_t>>{{0, 15}, {1, 15}, {0, 17}, {16, 16}, {40, 4}})
    EXPECT_EQ(replace(first, count), Status::kConflictingAddresses) << first << " " << count;
  EXPECT_EQ(release(0, 16, kPreserve), Status::kConflictingAddresses);  // Nothing to split.
  EXPECT_EQ(release(0, 0, kPreserve), Status::kInvalidParameter3);
  EXPECT_EQ(release(16, 16, kPreserve), Status::kConflictingAddresses);  // Never was one.
  EXPECT_EQ(release(16, 4, kPreserve), Status::kConflictingAddresses);
  EXPECT_EQ(release(10, 10, kPreserve), Status::kUnableToFreeVm);
  EXPECT_EQ(release(64, 1, kPreserve), Status::kMemoryNotAllocated);
  EXPECT_EQ(release(0, 0, kCoalesce), Status::kInvalidParameter3);
  EXPECT_EQ(release(0, 16, kCoalesce), Status::kConflictingAddresses);  // One alone.
  EXPECT_EQ(release(0, 32, kCoalesce), Status::kConflictingAddresses);
  EXPECT_EQ(release(64, 16, kCoalesce), Status::kMemoryNotAllocated);
  EXPECT_EQ(release(8, 8, kPreserve), Status::kSuccess);
  EXPECT_EQ(release(0, 15, kCoalesce), Status::kConflictingAddresses);
  EXPECT_EQ(release(1, 15, kCoalesce), Status::kConflictingAddresses);
  EXPECT_EQ(release(0, 17, kCoalesce), Status::kConflictingAddresses);
  EXPECT_EQ(release(0, 16, kCoalesce), Status::kSuccess);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(Placeholders, ReplacingIsRefusedBeyondTheCommitLimitAndLeavesThePlaceholder) {
  const std::uint64_t pages = 4096;
  EXPECT_EQ(hold(0, pages), Status::kSuccess);
  EXPECT_EQ(replace(0, pages), Status::kCommitmentLimit);
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(replace(0, pages, MemCommit::kNo), Status::kSuccess);
}

TEST_P(Placeholders, TheFunctionsForViewsChangePlacesExactly) {
  EXPECT_EQ(hold(0, 16), Status::kSuccess);
  {
    const LockGuard guard(t_.space().lock);
    Vad view;
    view.range = {kBase.vpn(), 16_pages};
    view.protection = Protection::kReadWrite;
    view.mem_commit = MemCommit::kYes;
    view.commit_charge = 16_pages;
    Vad shorter = view;
    shorter.range.count = 8_pages;
    EXPECT_EQ(t_.space().replace_placeholder(shorter).error(), Status::kConflictingAddresses);
    const auto put = t_.space().replace_placeholder(view);
    ASSERT_TRUE(put);
    EXPECT_TRUE((*put)->from_placeholder);
    EXPECT_EQ(t_.space().replace_placeholder(view).error(), Status::kConflictingAddresses);
    t_.space().leave_placeholder(**put);
  }
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(replace(0, 16), Status::kSuccess);
}

// --- Against a map of regions ---

struct Region {
  std::uint64_t count = 0;
  enum class Kind : std::uint8_t { kPlaceholder, kReplacement, kPlain } kind = Kind::kPlain;
};
struct Secured {
  SecureHandle handle{};
  std::uint64_t first = 0;
  std::uint64_t end = 0;
  Protection weakest = Protection::kReadOnly;
};

// Plain and replaced regions are committed, RW when they are made; a page's protection is of no interest but where a
// range is secured.
struct Model {
  std::map<std::uint64_t, Region> regions;  // By first page.
  std::vector<Secured> secured;

  using Place = std::map<std::uint64_t, Region>::iterator;
  Place find(std::uint64_t page) {
    auto after = regions.upper_bound(page);
    if (after == regions.begin()) return regions.end();
    --after;
    return page < after->first + after->second.count ? after : regions.end();
  }
  bool overlaps(std::uint64_t first, std::uint64_t end) {
    if (find(first) != regions.end()) return true;
    const auto after = regions.lower_bound(first);
    return after != regions.end() && after->first < end;
  }
  [[nodiscard]] bool meets_secured(std::uint64_t first, std::uint64_t end) const {
    for (const Secured& s : secured)
      if (s.first < end && first < s.end) return true;
    return false;
  }
  void cut(Place place, std::uint64_t first, std::uint64_t end) {
    const auto [start, region] = *place;
    regions.erase(place);
    if (start < first) regions[start] = {first - start, region.kind};
    if (end < start + region.count) regions[end] = {start + region.count - end, region.kind};
  }
  Status release(std::uint64_t first, std::uint64_t count, ReleaseMode mode) {
    using Kind = Region::Kind;
    if (mode != ReleaseMode::kFree && count == 0) return Status::kInvalidParameter3;
    const auto place = find(first);
    if (place == regions.end()) return Status::kMemoryNotAllocated;
    const std::uint64_t region_end = place->first + place->second.count;
    std::uint64_t end = first + count;
    if (mode == ReleaseMode::kCoalescePlaceholders) {
      std::uint64_t reached = first;
      int parts = 0;
      for (auto at = place; reached < end; ++at, ++parts) {
        if (at == regions.end() || at->first != reached || at->second.kind != Kind::kPlaceholder)
          return Status::kConflictingAddresses;
        reached += at->second.count;
      }
      if (reached != end || parts < 2) return Status::kConflictingAddresses;
      regions.erase(place, regions.lower_bound(end));
      regions[first] = {count, Kind::kPlaceholder};
      return Status::kSuccess;
    }
    if (count == 0) {
      if (first != place->first) return Status::kFreeVmNotAtBase;
      end = region_end;
    }
    if (end > region_end) return Status::kUnableToFreeVm;
    if (meets_secured(first, end)) return Status::kInvalidPageProtection;
    if (mode == ReleaseMode::kPreservePlaceholder) {
      const bool whole = first == place->first && end == region_end;
      if (place->second.kind == Kind::kPlain || (place->second.kind == Kind::kPlaceholder && whole))
        return Status::kConflictingAddresses;
    }
    cut(place, first, end);
    if (mode == ReleaseMode::kPreservePlaceholder) regions[first] = {end - first, Kind::kPlaceholder};
    return Status::kSuccess;
  }
};

TEST_P(Placeholders, AgreeWithAMapOfRegionsOverManyOperations) {
  constexpr std::uint64_t kArena = 512;  // Pages.
  constexpr std::uint64_t kGranule = 16;
  constexpr int kOperations = 100'000;
  Random random(2026 + static_cast<std::uint64_t>(GetParam()));
  Model model;
  std::array<int, 12> succeeded{};
  for (int n = 0; n < kOperations; ++n) {
    std::uint64_t first = random.below(kArena);
    std::uint64_t count = 1 + random.below(random.below(4) == 0 ? 96 : 12);
    // Half of the time something that exists, in full.
    if (const auto place = model.find(first); place != model.regions.end() && random.below(2) == 0) {
      first = place->first;
      count = place->second.count;
      if (const auto next = std::next(place); next != model.regions.end() && random.below(4) == 0)
        count = next->first + next->second.count - first;
    }
    const std::uint64_t what = random.below(12);
    // To coalesce, often two that can be.
    if ((what == 7 || what == 8) && random.below(2) == 0) {
      for (auto place = model.regions.lower_bound(first); place != model.regions.end(); ++place) {
        const auto next = std::next(place);
        if (place->second.kind != Region::Kind::kPlaceholder || next == model.regions.end() ||
            next->second.kind != Region::Kind::kPlaceholder || next->first != place->first + place->second.count)
          continue;
        first = place->first;
        count = place->second.count + next->second.count;
        break;
      }
    }
    const std::uint64_t end = first + count;
    const ByteCount size = bytes_of(PageCount(count));
    Status expected = Status::kSuccess;
    Status got = Status::kSuccess;
    if (what < 2) {
      const std::uint64_t base = first / kGranule * kGranule;
      expected = model.overlaps(base, end) ? Status::kConflictingAddresses : Status::kSuccess;
      got = what == 0 ? hold(first, count)
                      : status_of(t_.space().reserve({.base = at(first), .size = size, .commit = MemCommit::kYes}));
      if (expected == Status::kSuccess)
        model.regions[base] = {end - base, what == 0 ? Region::Kind::kPlaceholder : Region::Kind::kPlain};
    } else if (what < 4) {
      const auto place = model.find(first);
      const bool fits = place != model.regions.end() && place->first == first && place->second.count == count &&
                        place->second.kind == Region::Kind::kPlaceholder;
      expected = fits ? Status::kSuccess : Status::kConflictingAddresses;
      got = replace(first, count);
      if (fits) place->second.kind = Region::Kind::kReplacement;
    } else if (what < 9) {
      const auto mode = what < 5 ? ReleaseMode::kFree : what < 7 ? kPreserve : kCoalesce;
      if (random.below(16) == 0) count = 0;
      expected = model.release(first, count, mode);
      got = release(first, count, mode);
    } else if (what == 9) {
      const auto place = model.find(first);
      const bool may = place != model.regions.end() && end <= place->first + place->second.count &&
                       place->second.kind != Region::Kind::kPlaceholder;
      const auto weakest = random.below(2) == 0 ? Protection::kReadOnly : Protection::kReadWrite;
      const auto handle = model.secured.size() < 6 ? t_.space().secure(t_.cpu(), at(first), size, weakest)
                                                   : fail(Status::kConflictingAddresses);
      // Pages may have been protected: only then may what has room be refused.
      if (handle) {
        EXPECT_TRUE(may);
        model.secured.push_back({*handle, first, end, weakest});
      } else {
        continue;
      }
    } else if (what == 10) {
      if (model.secured.empty()) continue;
      const std::uint64_t which = random.below(model.secured.size());
      got = status_of(t_.space().unsecure(model.secured[which].handle));
      model.secured.erase(model.secured.begin() + static_cast<std::ptrdiff_t>(which));
    } else {
      const auto place = model.find(first);
      const auto protection = random.below(3) == 0 ? Protection::kReadOnly : Protection::kReadWrite;
      if (place == model.regions.end() || end > place->first + place->second.count) {
        expected = Status::kConflictingAddresses;
      } else if (place->second.kind == Region::Kind::kPlaceholder) {
        expected = Status::kNotCommitted;
      } else if (protection == Protection::kReadOnly) {
        for (const Secured& s : model.secured)
          if (s.first < end && first < s.end && s.weakest == Protection::kReadWrite)
            expected = Status::kInvalidPageProtection;
      }
      got = status_of(t_.space().protect(t_.cpu(), at(first), size, protection));
    }
    ASSERT_EQ(got, expected) << "operation " << n << ", kind " << what << ", pages " << first << " + " << count;
    if (got == Status::kSuccess) ++succeeded[what];
    // Some pages get contents, so that freeing has something to free.
    if (n % 8 == 0) static_cast<void>(t_.put(at(first), 0, first));
    if (n % 4096 == 0) {
      ASSERT_EQ(t_.check(), "") << "operation " << n;
    }
  }
  EXPECT_EQ(t_.check(), "");
  for (std::size_t what = 0; what < succeeded.size(); ++what) EXPECT_GT(succeeded[what], 100) << "kind " << what;
  // Region by region.
  const LockGuard guard(t_.space().lock);
  EXPECT_EQ(t_.space().vads().size(), model.regions.size());
  for (const auto& [first, region] : model.regions) {
    const Vad* const vad = t_.space().vads().find(at(first).vpn());
    ASSERT_NE(vad, nullptr);
    EXPECT_EQ(vad->range, (VpnRange{at(first).vpn(), PageCount(region.count)}));
    EXPECT_EQ(vad->placeholder, region.kind == Region::Kind::kPlaceholder);
    EXPECT_EQ(vad->from_placeholder, region.kind == Region::Kind::kReplacement);
  }
  EXPECT_EQ(t_.space().extras().handles(), model.secured.size());
}

INSTANTIATE_TEST_SUITE_P(Modes, Placeholders, ::testing::Values(PteFormat::kX86, PteFormat::kPae, PteFormat::kAmd64),
                         Placeholders::name_of);

}  // namespace
}  // namespace pagoda::mm
