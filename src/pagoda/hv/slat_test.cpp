#include "pagoda/hv/slat.h"

#include <gtest/gtest.h>

#include <map>

#include "pagoda/base/random.h"
#include "pagoda/hv/testing/test_vm.h"

namespace pagoda::hv::testing {
namespace {

using machine::Access;
using namespace machine::pte_bits;

// A second level over nobody's memory: its entries name frames that are never read.
class SlatTest : public ::testing::Test {
 protected:
  SlatTest() : vmmem_(**host_.manager().create_space(host_.cpu(), {})), frames_(vmmem_) {
    reserve();
    const LockGuard guard(vmmem_.lock);
    slat_ = std::make_unique<Slat>(host_.cpu().physical(), frames_);
  }
  ~SlatTest() override {
    frames_.give_spare_back(host_.cpu());
    host_.manager().destroy_space(host_.cpu(), vmmem_);
    EXPECT_EQ(host_.check(), "");
  }
  void reserve() { PAGODA_CHECK(frames_.reserve(host_.cpu(), Slat::kTablesPerPath + 1_pages).has_value()); }
  void fill(Gfn guest, unsigned level, Pfn host, bool write) {
    reserve();
    const LockGuard guard(vmmem_.lock);
    slat_->fill(guest, level, host, {.write = write});
  }
  // What the hardware finds; kNoPfn: a violation.
  Pfn walk(Gfn guest, Access access = Access::kRead) {
    std::uint64_t loads = 0;
    const auto walked = slat_->walk(guest, access, loads);
    return walked ? walked->frame : kNoPfn;
  }

  TestHost host_;
  mm::ProcessSpace& vmmem_;
  TableFrames frames_;
  std::unique_ptr<Slat> slat_;
};

TEST_F(SlatTest, AWriteNeedsAnEntryThatAllowsIt) {
  EXPECT_EQ(walk(Gfn(7)), kNoPfn);
  fill(Gfn(7), 1, Pfn(1000), false);
  EXPECT_EQ(walk(Gfn(7)), Pfn(1000));
  EXPECT_EQ(walk(Gfn(7), Access::kWrite), kNoPfn);
  fill(Gfn(7), 1, Pfn(1000), true);
  EXPECT_EQ(walk(Gfn(7), Access::kWrite), Pfn(1000));
}

TEST_F(SlatTest, TheWalkSetsAccessedAndTheHostTakesIt) {
  fill(Gfn(7), 1, Pfn(1000), false);
  const LockGuard guard(vmmem_.lock);
  EXPECT_FALSE(slat_->test_and_clear_accessed(Gfn(7)));
  walk(Gfn(7));
  EXPECT_TRUE(slat_->test_and_clear_accessed(Gfn(7)));
  EXPECT_FALSE(slat_->test_and_clear_accessed(Gfn(7)));
  EXPECT_FALSE(slat_->test_and_clear_accessed(Gfn(8))) << "there is no entry";
}

// Random entries of both sizes, far apart and close together, against plain maps.
TEST_F(SlatTest, IsWhatAPlainMapIs) {
  struct Entry {
    Pfn host;
    bool write = false;
  };
  constexpr std::uint32_t kLarge = 512;
  Random random(1);
  std::map<std::uint32_t, Entry> small;
  std::map<std::uint32_t, Entry> large;  // By the first of their frames.
  const auto choose = [&] {
    // Some pieces of 2 MB next to each other, and the same in other 512 GB.
    return static_cast<std::uint32_t>(random.below(2) << 27 | random.below(3) << 18 | random.below(2 * kLarge));
  };
  const auto drop_small = [&](std::uint32_t piece) {
    small.erase(small.lower_bound(piece), small.lower_bound(piece + kLarge));
  };
  for (int step = 0; step < 6000; ++step) {
    const std::uint32_t guest = choose();
    const std::uint32_t piece = guest / kLarge * kLarge;
    const std::uint64_t what = random.below(100);
    if (what < 50) {
      const Entry entry{Pfn(static_cast<std::uint32_t>(random.below(100000))), random.chance(0.5)};
      fill(Gfn(guest), 1, entry.host, entry.write);
      large.erase(piece);
      small[guest] = entry;
    } else if (what < 53) {
      const Entry entry{Pfn(static_cast<std::uint32_t>(random.below(100) * kLarge)), random.chance(0.5)};
      fill(Gfn(piece), Slat::kLargeLevel, entry.host, entry.write);
      drop_small(piece);
      large[piece] = entry;
    } else if (what < 70) {
      const LockGuard guard(vmmem_.lock);
      slat_->clear(Gfn(guest));
      if (large.erase(piece) == 0) small.erase(guest);
    }
    if (step % 2000 == 1999) {
      const LockGuard guard(vmmem_.lock);
      slat_->reset();
      small.clear();
      large.clear();
      EXPECT_EQ(frames_.in_use(), 1_pages) << "the root";
    }
    for (int look = 0; look < 4; ++look) {
      const std::uint32_t asked = look == 0 ? guest : choose();
      Entry expected{kNoPfn};
      if (const auto in = large.find(asked / kLarge * kLarge); in != large.end()) {
        expected = {in->second.host + PageCount(asked % kLarge), in->second.write};
      } else if (const auto at = small.find(asked); at != small.end()) {
        expected = at->second;
      }
      ASSERT_EQ(slat_->frame_of(Gfn(asked)), expected.host) << "step " << step;
      ASSERT_EQ((slat_->entry(Gfn(asked)) & kWrite) != 0, expected.write) << "step " << step;
      ASSERT_EQ(walk(Gfn(asked)), expected.host);
      ASSERT_EQ(walk(Gfn(asked), Access::kWrite), expected.write ? expected.host : kNoPfn);
    }
  }
  std::size_t entries = 0;
  slat_->for_each([&](Gfn first, unsigned level, machine::RawPte) {
    ++entries;
    EXPECT_EQ((level == 1 ? small : large).count(first.value()), 1U);
  });
  EXPECT_EQ(entries, small.size() + large.size());
  const LockGuard guard(vmmem_.lock);
  slat_->reset();
}

TEST_F(SlatTest, TableFramesAreZeroedWhenTheyAreTakenAgain) {
  fill(Gfn(7), 1, Pfn(1000), true);
  const PageCount owned = frames_.owned();
  {
    const LockGuard guard(vmmem_.lock);
    slat_->reset();
  }
  fill(Gfn(8), 1, Pfn(1001), true);
  EXPECT_EQ(walk(Gfn(7)), kNoPfn);
  EXPECT_EQ(walk(Gfn(8)), Pfn(1001));
  EXPECT_EQ(frames_.owned(), owned) << "the same frames served again";
  frames_.give_spare_back(host_.cpu());
  EXPECT_EQ(frames_.owned(), frames_.in_use());
  EXPECT_EQ(frames_.in_use(), 4_pages);
}

TEST_F(SlatTest, TableFramesFailWhenTheHostHasNoMore) {
  const auto all = frames_.reserve(host_.cpu(), PageCount(100000));
  ASSERT_FALSE(all);
  EXPECT_EQ(all.error(), Status::kInsufficientResources);
  frames_.give_spare_back(host_.cpu());
  EXPECT_EQ(frames_.owned(), 1_pages);
}

}  // namespace
}  // namespace pagoda::hv::testing
