// The two-dimensional walk, counted: reference/virtualization.md 2.2. With n guest levels and m host levels it reads
// n + m + n * m entries: n of the guest's, and m of the second level's for each of those n and for the page itself.
#include <gtest/gtest.h>

#include <array>

#include "pagoda/hv/testing/corruptor.h"
#include "pagoda/hv/testing/test_vm.h"
#include "pagoda/machine/testing/page_tables.h"

namespace pagoda::hv::testing {
namespace {

using machine::Access;
using namespace machine::pte_bits;

constexpr machine::Asid kSpace{1};
constexpr VirtualAddress kHigh(std::uint64_t{5} << 39 | std::uint64_t{7} << 30);  // A multiple of 1 GB.

// Guest tables in consecutive guest frames, and one page mapped by an entry of the level, all of it used once.
class GuestPage {
 public:
  // Tables from `tables` on; the page is `data`, whose contents become `value`.
  GuestPage(machine::SimProcessor& cpu, unsigned level, Pfn tables, Pfn data, std::uint64_t value)
      : cpu_(cpu), tables_(cpu.physical(), machine::kAmd64Paging, tables) {
    const std::uint64_t coverage = tables_.mode().coverage(level).value();
    const std::uint64_t at = PhysicalAddress(data).value();
    va_ = kHigh + ByteCount(at % coverage);
    tables_.map(kHigh, PhysicalAddress(at / coverage * coverage).pfn(), kWrite | kUser, level);
    cpu.physical().store<std::uint64_t>(PhysicalAddress(data), value);
    cpu.load_root(tables_.root(), kSpace);
    EXPECT_EQ(*cpu.load<std::uint64_t>(va_), value);  // Accessed is set on the way.
  }
  // With the guest's TLB empty. Returns the guest's entries that were read.
  std::uint64_t load_again(std::uint64_t value) {
    cpu_.forget_all();
    const std::uint64_t before = cpu_.counts().walk_loads;
    EXPECT_EQ(*cpu_.load<std::uint64_t>(va_), value);
    return cpu_.counts().walk_loads - before;
  }

 private:
  machine::SimProcessor& cpu_;
  machine::testing::PageTables tables_;
  VirtualAddress va_;
};

// The second level as hardware without any nested TLB reads it: every reach walks.
class EveryReachWalks final : public machine::GuestFrameAccess {
 public:
  EveryReachWalks(const Slat& slat, machine::PhysicalView host) : slat_(slat), host_(host) {}

  std::byte* pin(Pfn frame, Access use, machine::FrameExtent /*part*/) override { return bytes(frame, use); }
  void unpin(Pfn /*frame*/, Access /*use*/, machine::FrameExtent /*part*/) override {}
  machine::TlbBytes reach_for_tlb(Pfn frame, Access use, VirtualAddress /*va*/, machine::Asid /*asid*/) override {
    return {.bytes = bytes(frame, use)};
  }
  [[nodiscard]] std::uint64_t loads() const { return loads_; }

 private:
  std::byte* bytes(Pfn frame, Access use) {
    const auto walked = slat_.walk(to_gfn(frame), use, loads_);
    PAGODA_CHECK(walked.has_value());
    return host_.bytes(walked->frame, use).data();
  }

  const Slat& slat_;
  const machine::PhysicalView host_;
  std::uint64_t loads_ = 0;
};

struct Cell {
  unsigned guest_level;  // The level of the entry that maps the page: 1 4 KB, 2 2 MB, 3 1 GB.
  unsigned host_level;
  std::uint64_t references;
};

std::string name_of(const ::testing::TestParamInfo<Cell>& cell) {
  const std::array<std::string, 4> sizes{"", "4K", "2M", "1G"};
  return "Guest" + sizes.at(cell.param.guest_level) + "Host" + sizes.at(cell.param.host_level);
}

class TwoDimensionalWalk : public ::testing::TestWithParam<Cell> {};
INSTANTIATE_TEST_SUITE_P(Table, TwoDimensionalWalk,
                         ::testing::Values(Cell{1, 1, 24}, Cell{1, 2, 19}, Cell{1, 3, 14}, Cell{2, 1, 19},
                                           Cell{2, 2, 15}, Cell{2, 3, 11}, Cell{3, 1, 14}, Cell{3, 2, 11},
                                           Cell{3, 3, 8}),
                         name_of);

TEST_P(TwoDimensionalWalk, ReadsAsManyEntriesAsTheFormulaSays) {
  TestHost host;
  mm::ProcessSpace& vmmem = **host.manager().create_space(host.cpu(), {});
  {
    // 2 MB of frames in a row, which have the same numbers in the guest.
    const VpnRange pages =
        *vmmem.reserve(host.cpu(), {.size = 2_MiB, .commit = mm::MemCommit::kYes, .type = mm::VadType::kLargePages});
    TableFrames frames(vmmem);
    // The root, the tables down to the directory, and as many page tables as there may be: one.
    ASSERT_TRUE(frames.reserve(host.cpu(), Slat::kTablesPerPath + 1_pages));
    const LockGuard guard(vmmem.lock);
    const mm::Core& core = host.manager().core();
    const Pfn first = core.codec.frame(core.load(host.cpu(), vmmem.tables().find_large(host.cpu(), pages.first)));
    Slat slat(host.cpu().physical(), frames);
    const auto [guest_level, host_level, references] = GetParam();
    const std::uint64_t covered = pages_of(Slat::mode().coverage(host_level)).value();
    for (Pfn frame = first; frame < first + PageCount(512); ++frame) {
      const Pfn piece(static_cast<std::uint32_t>(frame.value() / covered * covered));
      if (slat.entry(to_gfn(piece)) == 0) slat.fill(to_gfn(piece), host_level, piece, {.write = true});
    }

    EveryReachWalks reach(slat, host.cpu().physical());
    machine::SimProcessor cpu(host.machine(), 0, machine::PhysicalView(reach), machine::TlbGeometry::kLarge);
    GuestPage page(cpu, guest_level, first, first + PageCount(300), 77);
    const std::uint64_t before = reach.loads();
    const std::uint64_t guest_loads = page.load_again(77);
    const std::uint64_t slat_loads = reach.loads() - before;

    const std::uint64_t n = 5 - guest_level;
    const std::uint64_t m = 5 - host_level;
    EXPECT_EQ(guest_loads, n);
    EXPECT_EQ(slat_loads, n * m + m);
    EXPECT_EQ(guest_loads + slat_loads, references);
    EXPECT_EQ(slat.frame_of(to_gfn(first + PageCount(300))), first + PageCount(300));
  }
  host.manager().destroy_space(host.cpu(), vmmem);
  EXPECT_EQ(host.check(), "");
}

// The same by a virtual processor in a partition, whose second level comes of violations; a host process has no pages
// of 1 GB. Its nested TLB is empty, and then it is not.
class PartitionWalk : public TwoDimensionalWalk {};
INSTANTIATE_TEST_SUITE_P(Table, PartitionWalk,
                         ::testing::Values(Cell{1, 1, 24}, Cell{1, 2, 19}, Cell{2, 1, 19}, Cell{2, 2, 15},
                                           Cell{3, 1, 14}, Cell{3, 2, 11}),
                         name_of);

TEST_P(PartitionWalk, WithAnEmptyNestedTlbReadsTheSame) {
  const auto [guest_level, host_level, references] = GetParam();
  TestHost host;
  const auto partition = *Partition::create(
      host.manager(), host.cpu(),
      {.memory = pages_of(4_MiB), .backing = host_level == 2 ? Backing::kPinned : Backing::kVirtual});
  host.dispatch(*partition);
  VirtualProcessor& vcpu = partition->processor(0);
  GuestPage page(vcpu.guest(), guest_level, Pfn(16), Pfn(512 + 33), 78);
  const std::uint64_t violations = partition->counts().violations;
  {
    const LockGuard guard(partition->vmmem().lock);
    vcpu.tlb().forget_all();
  }
  std::uint64_t slat_loads = partition->counts().slat_loads;
  std::uint64_t guest_loads = page.load_again(78);
  EXPECT_EQ(guest_loads + partition->counts().slat_loads - slat_loads, references);

  slat_loads = partition->counts().slat_loads;
  guest_loads = page.load_again(78);
  EXPECT_EQ(guest_loads, 5 - guest_level);
  EXPECT_EQ(partition->counts().slat_loads, slat_loads) << "the nested TLB knows all of its frames";
  EXPECT_EQ(partition->counts().violations, violations);
  EXPECT_EQ(hv::to_string(hv::check(*partition)), "");
}

// The smaller of the two levels' page sizes is what a TLB keeps.
TEST(PartitionLargePages, OnBothLevelsAreOneEntryOfTheTlb) {
  for (const Backing backing : {Backing::kPinned, Backing::kVirtual}) {
    TestHost host;
    const auto partition =
        *Partition::create(host.manager(), host.cpu(),
                           {.memory = pages_of(4_MiB), .tlb = machine::TlbGeometry::kRealistic, .backing = backing});
    host.dispatch(*partition);
    machine::SimProcessor& cpu = partition->processor(0).guest();
    machine::testing::PageTables tables(cpu.physical(), machine::kAmd64Paging, Pfn(16));
    tables.map(kHigh, Pfn(512), kWrite | kUser, 2);
    cpu.load_root(tables.root(), kSpace);
    constexpr std::uint64_t kPages = 100;
    const auto store_each = [&] {
      for (std::uint64_t i = 0; i < kPages; ++i)
        EXPECT_TRUE(cpu.store<std::uint64_t>(kHigh + bytes_of(PageCount(i)), i));
    };
    store_each();
    const std::uint64_t one_each = backing == Backing::kPinned ? 1 : kPages;
    EXPECT_EQ(cpu.counts().tlb_misses, one_each);
    for (std::uint64_t i = 0; i < kPages; ++i)
      EXPECT_EQ(cpu.physical().load<std::uint64_t>(PhysicalAddress(Pfn(512) + PageCount(i))), i);
    EXPECT_EQ(hv::to_string(hv::check(*partition)), "");

    // The host takes one page of it away: nothing around it stays in any TLB.
    {
      const LockGuard guard(partition->vmmem().lock);
      const Vpn page = partition->map().find(Gfn(512 + 7))->page_of(Gfn(512 + 7));
      Corruptor::invalidate(*partition, {page, 1_pages});
    }
    EXPECT_EQ(hv::to_string(hv::check(*partition)), "");
    store_each();
    EXPECT_EQ(cpu.counts().tlb_misses, 2 * one_each);
  }
}

}  // namespace
}  // namespace pagoda::hv::testing
