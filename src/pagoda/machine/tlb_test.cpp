#include "pagoda/machine/tlb.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <ostream>
#include <string>
#include <vector>

namespace pagoda::machine {
namespace {

constexpr std::array kGeometries{TlbGeometry::kLarge, TlbGeometry::kRealistic};
constexpr Asid kOne{1};
constexpr Asid kTwo{2};
constexpr std::uint64_t kUserRead = access_right(Access::kRead, Privilege::kUser);
constexpr std::uint64_t kUserWrite = access_right(Access::kWrite, Privilege::kUser);
constexpr std::uint64_t kUserExecute = access_right(Access::kExecute, Privilege::kUser);
constexpr std::uint64_t kKernelRead = access_right(Access::kRead, Privilege::kKernel);
constexpr std::uint64_t kKernelWrite = access_right(Access::kWrite, Privilege::kKernel);
constexpr std::uint64_t kKernelExecute = access_right(Access::kExecute, Privilege::kKernel);

// Where a frame's bytes would be; a TLB only computes with it.
std::byte* host_of(Pfn frame) {
  return reinterpret_cast<std::byte*>(std::uintptr_t{0x10000000000} + PhysicalAddress(frame).value());
}

std::uint64_t page_bytes(unsigned level) {
  return level == 1 ? kPageBytes : level == 2 ? (2_MiB).value() : (1_GiB).value();
}

Translation page(Pfn frame, unsigned level = 1) {
  return {.frame = frame, .level = level, .user = true, .writable = true, .executable = true, .dirty = true};
}

std::string name_of(const ::testing::TestParamInfo<TlbGeometry>& geometry) {
  return geometry.param == TlbGeometry::kLarge ? "Large" : "Realistic";
}

class TlbConformance : public ::testing::TestWithParam<TlbGeometry> {
 protected:
  void insert(VirtualAddress va, Asid asid, const Translation& translation) {
    tlb_.insert(va, asid, translation, host_of(translation.frame), true);
  }
  // What the TLB allows at the address: rights, or none.
  std::uint64_t rights(VirtualAddress va, Asid asid) {
    const Tlb::Entry* entry = tlb_.find(va, asid);
    std::uint64_t result = 0;
    for (unsigned bit = 0; entry != nullptr && bit < 6; ++bit)
      result |= entry->allows(std::uint64_t{1} << bit) ? std::uint64_t{1} << bit : 0;
    return result;
  }
  bool holds(VirtualAddress va, Asid asid) { return rights(va, asid) != 0; }

  Tlb tlb_{GetParam()};
  const VirtualAddress va_{0x7FF612345000};
};

INSTANTIATE_TEST_SUITE_P(Geometries, TlbConformance, ::testing::ValuesIn(kGeometries), name_of);

TEST_P(TlbConformance, RemembersAPageAndItsBytes) {
  EXPECT_EQ(tlb_.find(va_, kOne), nullptr);
  insert(va_, kOne, page(Pfn(9)));
  const Tlb::Entry* entry = tlb_.find(va_ + ByteCount(0x123), kOne);
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->host(va_ + ByteCount(0x123)), host_of(Pfn(9)) + 0x123);
  EXPECT_FALSE(holds(va_ + kPageSize, kOne));
  EXPECT_FALSE(holds(va_ - kPageSize, kOne));
}

TEST_P(TlbConformance, SpacesDoNotSeeEachOther) {
  insert(va_, kOne, page(Pfn(9)));
  EXPECT_FALSE(holds(va_, kTwo));
  insert(va_, kTwo, page(Pfn(10)));
  const Tlb::Entry* entry = tlb_.find(va_, kTwo);
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->host(va_), host_of(Pfn(10)));
}

TEST_P(TlbConformance, RightsFollowTheWalk) {
  struct Row {
    Translation translation;
    bool write_protect;
    std::uint64_t rights;
  };
  const Pfn f(9);
  constexpr std::uint64_t kReads = kUserRead | kKernelRead;
  constexpr std::uint64_t kWrites = kUserWrite | kKernelWrite;
  for (const Row& row : {
           Row{{.frame = f}, true, kKernelRead}, Row{{.frame = f, .user = true}, true, kReads},
           Row{{.frame = f, .executable = true}, true, kKernelRead | kKernelExecute},
           Row{{.frame = f, .user = true, .executable = true}, true, kReads | kUserExecute | kKernelExecute},
           Row{{.frame = f, .user = true, .writable = true}, true, kReads},  // [T2]: clean.
           Row{{.frame = f, .user = true, .writable = true, .dirty = true}, true, kReads | kWrites},
           Row{{.frame = f, .writable = true, .dirty = true}, true, kKernelRead | kKernelWrite},
           Row{{.frame = f, .user = true, .dirty = true}, true, kReads},
           Row{{.frame = f, .user = true, .dirty = true}, false, kReads | kKernelWrite},
           Row{{.frame = f, .user = true}, false, kReads},  // [T2] without write protection too.
       }) {
    tlb_.insert(va_, kOne, row.translation, host_of(f), row.write_protect);
    EXPECT_EQ(rights(va_, kOne), row.rights);
  }
}

TEST_P(TlbConformance, GlobalPagesBelongToEverySpace) {
  Translation global = page(Pfn(9));
  global.global = true;
  insert(va_, kOne, global);
  EXPECT_TRUE(holds(va_, kOne));
  EXPECT_TRUE(holds(va_, kTwo));
  tlb_.invalidate_asid(kOne);
  EXPECT_TRUE(holds(va_, kOne));
  tlb_.invalidate_page(va_, kTwo);
  EXPECT_FALSE(holds(va_, kOne));
  EXPECT_FALSE(holds(va_, kTwo));
  insert(va_, kOne, global);
  tlb_.invalidate_all();
  EXPECT_FALSE(holds(va_, kTwo));
}

TEST_P(TlbConformance, InvalidatingASpaceLeavesTheOthers) {
  insert(va_, kOne, page(Pfn(9)));
  insert(va_ + kPageSize, kTwo, page(Pfn(10)));
  tlb_.invalidate_asid(kOne);
  EXPECT_FALSE(holds(va_, kOne));
  EXPECT_TRUE(holds(va_ + kPageSize, kTwo));
}

TEST_P(TlbConformance, TheLoadedSpacesEntriesAreFound) {
  tlb_.load_space(kOne);
  insert(va_, kOne, page(Pfn(9)));
  insert(va_ + kPageSize, kTwo, page(Pfn(10)));
  EXPECT_NE(tlb_.find(va_), nullptr);
  EXPECT_EQ(tlb_.find(va_ + kPageSize), nullptr);
  tlb_.load_space(kTwo);
  EXPECT_EQ(tlb_.find(va_), nullptr);
  EXPECT_NE(tlb_.find(va_ + kPageSize), nullptr);
  tlb_.invalidate_asid(kTwo);
  EXPECT_EQ(tlb_.find(va_ + kPageSize), nullptr);
  insert(va_ + kPageSize, kTwo, page(Pfn(11)));
  ASSERT_NE(tlb_.find(va_ + kPageSize), nullptr);
  EXPECT_EQ(tlb_.find(va_ + kPageSize)->host(va_ + kPageSize), host_of(Pfn(11)));
}

// More flushes than there are numbers for spaces in entries: what was forgotten never comes back.
TEST_P(TlbConformance, AForgottenSpaceStaysForgotten) {
  for (std::uint32_t i = 0; i < 10'000; ++i) {
    const Asid space{static_cast<std::uint16_t>(1 + i % 3)};
    const VirtualAddress va = va_ + kPageSize * (i % 700);
    ASSERT_FALSE(holds(va, space)) << i;
    insert(va, space, page(Pfn(i)));
    ASSERT_TRUE(holds(va, space)) << i;
    tlb_.invalidate_asid(space);
    ASSERT_FALSE(holds(va, space)) << i;
  }
  EXPECT_TRUE(tlb_.held().empty());
}

TEST_P(TlbConformance, EverySpaceThereCanBeHasItsOwnEntries) {
  const auto space = [](unsigned number) { return Asid{static_cast<std::uint16_t>(number)}; };
  for (unsigned number = 0; number < kAsidCount; ++number) {
    insert(va_, space(number), page(Pfn(number)));
    const Tlb::Entry* const entry = tlb_.find(va_, space(number));
    ASSERT_NE(entry, nullptr);
    ASSERT_EQ(entry->host(va_), host_of(Pfn(number)));
    if (number > 0) {
      const Tlb::Entry* const before = tlb_.find(va_, space(number - 1));
      ASSERT_TRUE(before == nullptr || before->host(va_) == host_of(Pfn(number - 1)));
    }
  }
}

TEST_P(TlbConformance, InvalidatingAPageIsForOneSpace) {
  insert(va_, kOne, page(Pfn(9)));
  insert(va_ + kPageSize, kOne, page(Pfn(10)));
  tlb_.invalidate_page(va_, kTwo);
  EXPECT_TRUE(holds(va_, kOne));
  tlb_.invalidate_page(va_ + ByteCount(0xFFF), kOne);
  EXPECT_FALSE(holds(va_, kOne));
  EXPECT_TRUE(holds(va_ + kPageSize, kOne));
}

TEST_P(TlbConformance, InvalidatingARangeTakesGlobalPagesInsideIt) {
  Translation global = page(Pfn(9));
  global.global = true;
  insert(va_, kOne, global);
  insert(va_ + kPageSize, kOne, global);
  insert(va_ + kPageSize * 2, kOne, page(Pfn(10)));
  insert(va_ + kPageSize * 3, kTwo, page(Pfn(11)));
  tlb_.invalidate_range({va_.vpn(), 1_pages}, kOne);
  EXPECT_FALSE(holds(va_, kTwo));
  EXPECT_TRUE(holds(va_ + kPageSize, kTwo));
  EXPECT_FALSE(holds(va_ + kPageSize * 2, kOne));
  EXPECT_TRUE(holds(va_ + kPageSize * 3, kTwo));
}

TEST_P(TlbConformance, ALargePageGoesByAnyOfItsAddresses) {
  for (const unsigned level : {2U, 3U}) {
    const VirtualAddress base(0x7FF600000000 & ~(page_bytes(level) - 1));
    const VirtualAddress used = base + ByteCount(page_bytes(level) / 2 + 0x5000);
    const Translation translation = page(Pfn(0x40000) + PageCount((used - base) / kPageSize), level);
    for (const std::uint64_t offset : {std::uint64_t{0}, page_bytes(level) - 1}) {
      insert(used, kOne, translation);
      insert(used, kTwo, translation);
      ASSERT_TRUE(holds(used, kTwo));
      tlb_.invalidate_page(base + ByteCount(offset), kTwo);
      EXPECT_FALSE(holds(used, kTwo));
    }
    Translation global = translation;
    global.global = true;
    insert(used, kOne, global);
    tlb_.invalidate_range({base.vpn(), 1_pages}, kTwo);
    EXPECT_FALSE(holds(used, kOne));
  }
}

// Global for one space and not for another, which is a mistake of somebody's, but no reason to keep what was
// invalidated.
TEST_P(TlbConformance, AGlobalEntryDoesNotHideASpacesOwn) {
  Translation global = page(Pfn(9));
  global.global = true;
  insert(va_, kOne, page(Pfn(9)));
  insert(va_, kTwo, global);
  tlb_.invalidate_page(va_, kOne);
  EXPECT_FALSE(holds(va_, kOne));
}

// A page that became part of a large one, or global, with more rights: no invalidation is due, and the old entry must
// not hide the new.
TEST_P(TlbConformance, TheNewestEntryIsFound) {
  Translation read_only = page(Pfn(0x200));
  read_only.writable = false;
  const VirtualAddress base(0x7FF600000000);
  insert(base, kOne, read_only);
  insert(base, kOne, page(Pfn(0x200), 2));
  EXPECT_NE(rights(base, kOne) & kUserWrite, 0U);
  tlb_.invalidate_all();
  insert(base, kOne, read_only);
  Translation global = page(Pfn(0x200));
  global.global = true;
  insert(base, kOne, global);
  EXPECT_NE(rights(base, kOne) & kUserWrite, 0U);
  tlb_.invalidate_all();
  read_only.global = true;
  insert(base, kOne, read_only);
  insert(base, kOne, page(Pfn(0x200)));
  EXPECT_NE(rights(base, kOne) & kUserWrite, 0U);
}

TEST_P(TlbConformance, TheLastPageOfTheAddressSpace) {
  const VirtualAddress last(0xFFFFFFFFFFFFF000);
  EXPECT_EQ(tlb_.find(last, kOne), nullptr);
  Translation global = page(Pfn(9));
  global.global = true;
  insert(last, kOne, global);
  EXPECT_TRUE(holds(last, kTwo));
  ASSERT_FALSE(tlb_.held().empty());
  EXPECT_EQ(tlb_.held().front().page, last);
  tlb_.invalidate_page(last, kTwo);
  EXPECT_EQ(tlb_.find(last, kOne), nullptr);
  EXPECT_TRUE(tlb_.held().empty());
}

TEST_P(TlbConformance, HeldTellsEveryEntry) {
  insert(va_, kOne, page(Pfn(9)));
  Translation global = page(Pfn(10));
  global.global = true;
  insert(va_ + kPageSize, kTwo, global);
  std::map<VirtualAddress, CachedTranslation> held;
  for (const CachedTranslation& each : tlb_.held()) held[each.page] = each;
  ASSERT_EQ(held.size(), 2U);
  EXPECT_EQ(held[va_].asid, kOne);
  EXPECT_EQ(held[va_].host, host_of(Pfn(9)));
  EXPECT_EQ(held[va_].rights, 0x3FU);
  EXPECT_EQ(held[va_ + kPageSize].asid, kGlobalAsid);
}

TEST(Tlb, ScatteredFramesAreKeptPageByPage) {
  Tlb tlb(TlbGeometry::kRealistic);
  const VirtualAddress base(0x7FF600000000);
  tlb.insert(base, kOne, page(Pfn(0x200), 2), host_of(Pfn(77)), true, FrameOrder::kScattered);
  ASSERT_NE(tlb.find(base, kOne), nullptr);
  EXPECT_EQ(tlb.find(base + kPageSize, kOne), nullptr);  // Its frame lies who knows where.
  tlb.invalidate_page(base + kPageSize * 100, kOne);     // [T3] all the same.
  EXPECT_EQ(tlb.find(base, kOne), nullptr);
}

// --- Against a model ---

struct Operation {
  enum class Kind { kWalk, kFind, kPage, kAsid, kRange, kAll } kind = Kind::kWalk;
  std::uint64_t va = 0;
  std::uint16_t asid = 0;
  unsigned level = 1;
  std::uint32_t frame = 0;  // The large page's first frame, if it is one.
  unsigned flags = 0;       // user, writable, executable, dirty, global.
};

// As C++ that a regression test can hold.
std::ostream& operator<<(std::ostream& out, const Operation& o) {
  static constexpr std::array<const char*, 6> kNames{"kWalk", "kFind", "kPage", "kAsid", "kRange", "kAll"};
  return out << "{Operation::Kind::" << kNames[static_cast<std::size_t>(o.kind)] << ", 0x" << std::hex << o.va
             << std::dec << ", " << o.asid << ", " << o.level << ", " << o.frame << ", " << o.flags << "}";
}

Translation translation_of(const Operation& o) {
  const std::uint64_t within = (o.va & (page_bytes(o.level) - 1)) / kPageBytes;
  return {.frame = Pfn(o.frame) + PageCount(within),
          .level = o.level,
          .user = (o.flags & 1) != 0,
          .writable = (o.flags & 2) != 0,
          .executable = (o.flags & 4) != 0,
          .dirty = (o.flags & 8) != 0,
          .global = (o.flags & 16) != 0};
}

std::uint64_t model_rights(const Translation& t) {
  std::uint64_t rights = kKernelRead;
  if (t.dirty && t.writable) rights |= kKernelWrite;
  if (t.executable) rights |= kKernelExecute;
  return t.user ? rights | rights >> 1 : rights;  // A user's right is the bit below the kernel's.
}

// Every walk since the last invalidation of its page. An entry may be forgotten, but must never allow what none of
// these allowed.
class Model {
 public:
  void walked(const Operation& o) {
    const Translation t = translation_of(o);
    const std::uint64_t size = page_bytes(o.level);
    walks_.push_back({o.va & ~(size - 1), size, Pfn(o.frame), t.global, Asid{o.asid}, model_rights(t)});
  }
  void invalidate_page(std::uint64_t va, Asid asid) {
    std::erase_if(walks_, [&](const Walk& w) { return w.reaches(asid) && w.covers(va); });
  }
  void invalidate_asid(Asid asid) {
    std::erase_if(walks_, [&](const Walk& w) { return !w.global && w.asid == asid; });
  }
  void invalidate_range(std::uint64_t first, std::uint64_t end, Asid asid) {
    invalidate_asid(asid);
    std::erase_if(walks_, [&](const Walk& w) { return w.global && w.base < end && w.base + w.size > first; });
  }
  void invalidate_all() { walks_.clear(); }
  [[nodiscard]] bool allowed(std::uint64_t va, Asid asid, std::uint64_t right, const std::byte* host) const {
    return std::ranges::any_of(walks_, [&](const Walk& w) {
      return w.reaches(asid) && w.covers(va) && (w.rights & right) != 0 &&
             host_of(w.frame + PageCount((va - w.base) / kPageBytes)) == host;
    });
  }

 private:
  struct Walk {
    std::uint64_t base;
    std::uint64_t size;
    Pfn frame;
    bool global;
    Asid asid;
    std::uint64_t rights;
    [[nodiscard]] bool reaches(Asid other) const { return global || asid == other; }
    [[nodiscard]] bool covers(std::uint64_t va) const { return va >= base && va - base < size; }
  };
  std::vector<Walk> walks_;
};

// Addresses that meet in the same sets, in the same large pages, and at the ends of things.
constexpr std::array<std::uint64_t, 14> kAddresses{
    0x10000,    0x11000,    0x2010000,  0x4010000,   // 8192 pages apart: one slot of the large geometry.
    0x10000000, 0x10001000, 0x101FF000, 0x10200000,  // At a 256 MB border, where piece and page share a set.
    0x20000000, 0x40000000, 0x40200000, 0x7FFFF000, 0x7FF612345000, 0xFFFFFFFFFFFFF000};

void run(Tlb& tlb, const std::vector<Operation>& operations) {
  Model model;
  for (const Operation& o : operations) {
    const VirtualAddress va(o.va);
    const Asid asid{o.asid};
    switch (o.kind) {
      case Operation::Kind::kWalk: {
        const Translation t = translation_of(o);
        model.walked(o);
        tlb.insert(va, asid, t, host_of(t.frame), true);
        const Tlb::Entry* entry = tlb.find(va, asid);
        RC_ASSERT(entry != nullptr);
        for (unsigned bit = 0; bit < 6; ++bit)
          RC_ASSERT(entry->allows(std::uint64_t{1} << bit) == ((model_rights(t) >> bit & 1) != 0));
        break;
      }
      case Operation::Kind::kFind:
        break;
      case Operation::Kind::kPage:
        model.invalidate_page(o.va, asid);
        tlb.invalidate_page(va, asid);
        break;
      case Operation::Kind::kAsid:
        model.invalidate_asid(asid);
        tlb.invalidate_asid(asid);
        break;
      case Operation::Kind::kRange:
        model.invalidate_range(o.va, o.va + (kPageSize * 40).value(), asid);
        tlb.invalidate_range({va.vpn(), 40_pages}, asid);
        break;
      case Operation::Kind::kAll:
        model.invalidate_all();
        tlb.invalidate_all();
        break;
    }
    for (const std::uint64_t address : kAddresses) {
      for (const Asid space : {kUntagged, kOne, kTwo}) {
        const Tlb::Entry* entry = tlb.find(VirtualAddress(address), space);
        for (unsigned bit = 0; entry != nullptr && bit < 6; ++bit) {
          const std::uint64_t right = std::uint64_t{1} << bit;
          if (entry->allows(right))
            RC_ASSERT(model.allowed(address, space, right, entry->host(VirtualAddress(address))));
        }
      }
    }
  }
  for (const CachedTranslation& held : tlb.held()) {
    for (unsigned bit = 0; bit < 6; ++bit) {
      const std::uint64_t right = std::uint64_t{1} << bit;
      if ((held.rights & right) == 0) continue;
      RC_ASSERT(model.allowed(held.page.value(), held.asid, right, held.host));
    }
  }
}

rc::Gen<std::vector<Operation>> operations() {
  using Kind = Operation::Kind;
  return rc::gen::container<std::vector<Operation>>(rc::gen::build<Operation>(
      rc::gen::set(&Operation::kind,
                   rc::gen::weightedElement<Kind>(
                       {{12, Kind::kWalk}, {6, Kind::kPage}, {1, Kind::kAsid}, {1, Kind::kRange}, {1, Kind::kAll}})),
      rc::gen::set(&Operation::va, rc::gen::elementOf(kAddresses)),
      rc::gen::set(&Operation::asid, rc::gen::inRange<std::uint16_t>(0, 3)),
      rc::gen::set(&Operation::level, rc::gen::weightedElement<unsigned>({{4, 1}, {2, 2}, {1, 3}})),
      rc::gen::set(&Operation::frame,
                   rc::gen::map(rc::gen::inRange<std::uint32_t>(0, 4), [](std::uint32_t n) { return n * 0x40000; })),
      rc::gen::set(&Operation::flags, rc::gen::inRange(0U, 32U))));
}

RC_GTEST_PROP(TlbModel, LargeAllowsOnlyWhatWasWalked, ()) {
  Tlb tlb(TlbGeometry::kLarge);
  run(tlb, *operations());
}

RC_GTEST_PROP(TlbModel, RealisticAllowsOnlyWhatWasWalked, ()) {
  Tlb tlb(TlbGeometry::kRealistic);
  run(tlb, *operations());
}

// --- Exact miss counts of the realistic geometry ---

class MissCounter {
 public:
  // One pass over `pages` pages of 2^`shift` bytes, `stride` of them apart. Returns its misses.
  std::uint64_t pass(std::uint64_t pages, std::uint64_t stride = 1, unsigned level = 1) {
    std::uint64_t misses = 0;
    for (std::uint64_t i = 0; i < pages; ++i) {
      const VirtualAddress va(kBase + i * stride * page_bytes(level));
      if (tlb_.find(va, kOne) != nullptr) continue;
      ++misses;
      const Pfn frame(static_cast<std::uint32_t>(va.vpn().value()));
      tlb_.insert(va, kOne, page(frame, level), host_of(frame), true);
    }
    return misses;
  }

 private:
  static constexpr std::uint64_t kBase = 0x100000000;  // A multiple of everything.
  Tlb tlb_{TlbGeometry::kRealistic};
};

TEST(TlbRealistic, SequentialLoopsMissOnceWithinTheReach) {
  for (const std::uint64_t pages : {1U, 64U, 65U, 512U, 1536U}) {
    MissCounter tlb;
    EXPECT_EQ(tlb.pass(pages), pages);
    for (int round = 0; round < 3; ++round) EXPECT_EQ(tlb.pass(pages), 0U) << pages;
  }
}

// One page more than 12 ways hold, and true LRU in its set loses all 13 of them in every pass (the worst case of LRU).
TEST(TlbRealistic, SequentialLoopsBeyondTheReachThrashSetBySet) {
  for (const std::uint64_t extra : {1U, 2U, 64U, 128U}) {
    MissCounter tlb;
    EXPECT_EQ(tlb.pass(1536 + extra), 1536 + extra);
    for (int round = 0; round < 3; ++round) EXPECT_EQ(tlb.pass(1536 + extra), 13 * extra) << extra;
  }
  MissCounter tlb;
  tlb.pass(4000);
  EXPECT_EQ(tlb.pass(4000), 4000U);
}

TEST(TlbRealistic, TwelveWaysHoldTwelvePagesOfOneSet) {
  MissCounter twelve;
  EXPECT_EQ(twelve.pass(12, 128), 12U);
  for (int round = 0; round < 3; ++round) EXPECT_EQ(twelve.pass(12, 128), 0U);
  MissCounter thirteen;
  for (int round = 0; round < 3; ++round) EXPECT_EQ(thirteen.pass(13, 128), 13U);
  MissCounter half;  // A stride of 64 uses two sets.
  EXPECT_EQ(half.pass(24, 64), 24U);
  EXPECT_EQ(half.pass(24, 64), 0U);
  MissCounter over;
  over.pass(26, 64);
  EXPECT_EQ(over.pass(26, 64), 26U);
}

TEST(TlbRealistic, TwoMegabytePagesReachThreeGibibytes) {
  MissCounter tlb;
  EXPECT_EQ(tlb.pass(1536, 1, 2), 1536U);
  for (int round = 0; round < 3; ++round) EXPECT_EQ(tlb.pass(1536, 1, 2), 0U);
  MissCounter over;
  over.pass(1537, 1, 2);
  EXPECT_EQ(over.pass(1537, 1, 2), 13U);
}

TEST(TlbRealistic, OneWalkServesAllOfATwoMegabytePiece) {
  Tlb tlb(TlbGeometry::kRealistic);
  const VirtualAddress base(0x40000000);
  const VirtualAddress used = base + kPageSize * 17;
  tlb.insert(used, kOne, page(Pfn(0x200 + 17), 2), host_of(Pfn(0x200 + 17)), true);
  for (std::uint32_t i = 0; i < 512; ++i) {
    const VirtualAddress va = base + kPageSize * i + ByteCount(8);
    const Tlb::Entry* entry = tlb.find(va, kOne);
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->host(va), host_of(Pfn(0x200 + i)) + 8);
  }
  EXPECT_EQ(tlb.find(base + 2_MiB, kOne), nullptr);
  EXPECT_EQ(tlb.held().size(), 2 * 512U);  // In the first level and in the second.
}

}  // namespace
}  // namespace pagoda::machine
