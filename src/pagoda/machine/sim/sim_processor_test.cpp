#include "pagoda/machine/sim/sim_processor.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/machine/sim/sim_machine.h"
#include "pagoda/machine/testing/page_tables.h"

namespace pagoda::machine {
namespace {

using namespace pte_bits;
using testing::PageTables;
using testing::ScatteredFrames;

constexpr RawPte kAllRights = kWrite | kUser;
constexpr VirtualAddress kVa{0x10000};

// The smallest operating system: it maps a page where a fault is, unless told to do something else.
class Pager : public FaultHandler {
 public:
  explicit Pager(PageTables& tables) : tables_(tables) {}

  FaultOutcome resolve(Processor& cpu, const PageFault& fault) override {
    faults.push_back(fault);
    if (on_fault) return on_fault(cpu, fault);
    tables_.map(fault.address, tables_.allocate(), kAllRights);
    return Status::kSuccess;
  }
  FaultOutcome refill(Processor& cpu, VirtualAddress va, Access access, Privilege privilege) override {
    ++refills;
    std::uint64_t loads = 0;
    const auto walked =
        walk(cpu.physical(), tables_.mode(), cpu.root(), va, access, privilege, cpu.walk_rules(), loads);
    if (!walked) return resolve(cpu, walked.error());
    cpu.fill_tlb(va, *walked);
    return Status::kSuccess;
  }

  std::function<FaultOutcome(Processor&, const PageFault&)> on_fault;
  std::vector<PageFault> faults;
  std::uint64_t refills = 0;

 private:
  PageTables& tables_;
};

// A machine with one address space.
struct Rig {
  explicit Rig(SimMachineConfig config = {})
      : machine(*SimMachine::create(std::move(config))),
        tables(machine->memory().view(), machine->paging(), Pfn(1)),
        pager(tables),
        cpu(machine->processor()) {
    for (Processor* each : machine->processors()) {
      each->attach(pager);
      each->load_root(tables.root(), Asid{1});
    }
  }
  [[nodiscard]] SimProcessor& other() const { return machine->processor(1); }
  // A frame whose first word is `word`.
  Pfn frame_with(std::uint32_t word) {
    const Pfn frame = tables.allocate();
    cpu.physical().store(PhysicalAddress(frame), word);
    return frame;
  }
  void shoot_down(const ProcessorSet& targets, VpnRange pages) const {
    const StaleRun run{pages, kNoPfn};
    machine->shoot_down(cpu, {tables.root(), Asid{1}, targets}, std::span(&run, 1));
  }
  [[nodiscard]] std::uint64_t cycles() const { return cpu.now().value() * cpu.machine().costs().cycles_per_us / 1000; }

  std::unique_ptr<SimMachine> machine;
  PageTables tables;
  Pager pager;
  SimProcessor& cpu;
};

SimMachineConfig two_processors() { return {.processors = 2}; }

class ProcessorTlbs : public ::testing::TestWithParam<TlbGeometry> {};
INSTANTIATE_TEST_SUITE_P(Geometries, ProcessorTlbs, ::testing::Values(TlbGeometry::kLarge, TlbGeometry::kRealistic),
                         [](const auto& geometry) {
                           return geometry.param == TlbGeometry::kLarge ? "Large" : "Realistic";
                         });

class ProcessorModes : public ::testing::TestWithParam<PteFormat> {};
INSTANTIATE_TEST_SUITE_P(Modes, ProcessorModes, ::testing::Values(PteFormat::kX86, PteFormat::kPae, PteFormat::kAmd64),
                         [](const auto& format) { return std::string(paging_mode(format.param).name); });

TEST_P(ProcessorModes, WordsRoundTripAndFaultOncePerPage) {
  Rig s({.paging = GetParam()});
  ASSERT_TRUE(s.cpu.store<std::uint32_t>(kVa, 0xCAFE));
  EXPECT_EQ(s.cpu.load<std::uint32_t>(kVa), 0xCAFEU);
  EXPECT_EQ(s.cpu.load<std::uint8_t>(kVa + ByteCount(1)), 0xCAU);
  ASSERT_EQ(s.pager.faults.size(), 1U);
  EXPECT_EQ(s.pager.faults[0].address, kVa);
  EXPECT_EQ(s.pager.faults[0].access, Access::kWrite);
  EXPECT_EQ(s.pager.faults[0].privilege, Privilege::kUser);
  EXPECT_FALSE(s.pager.faults[0].present);
  EXPECT_EQ(s.tables.get(kVa) & (kAccessed | kDirty), kAccessed | kDirty);
  // The bytes are in the frame that the tables name.
  const Pfn frame = s.tables.mode().frame(s.tables.get(kVa));
  EXPECT_EQ(s.cpu.physical().load<std::uint32_t>(PhysicalAddress(frame)), 0xCAFEU);
}

TEST(Processor, WordsCrossPageBorders) {
  Rig s;
  const Pfn second = s.tables.allocate();
  const Pfn first = s.tables.allocate();  // Not in order, so that running past a frame's end is seen.
  s.tables.map(kVa, first, kAllRights);
  s.tables.map(kVa + kPageSize, second, kAllRights);
  const VirtualAddress border = kVa + kPageSize - ByteCount(3);
  ASSERT_TRUE(s.cpu.store<std::uint64_t>(border, 0x1122334455667788));
  EXPECT_EQ(s.cpu.load<std::uint64_t>(border), 0x1122334455667788U);
  EXPECT_EQ(s.cpu.physical().load<std::uint8_t>(PhysicalAddress(first) + ByteCount(0xFFD)), 0x88U);
  EXPECT_EQ(s.cpu.physical().load<std::uint8_t>(PhysicalAddress(second) + ByteCount(4)), 0x11U);
  EXPECT_EQ(s.tables.get(kVa) & kDirty, kDirty);
  EXPECT_EQ(s.tables.get(kVa + kPageSize) & kDirty, kDirty);
  EXPECT_TRUE(s.pager.faults.empty());
}

TEST_P(ProcessorTlbs, SpansCoverManyPages) {
  Rig s({.tlb = GetParam()});
  std::vector<std::byte> out(5 * kPageBytes + 77);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>(i * 31 >> 3);
  const VirtualAddress at = kVa + ByteCount(0xF01);
  ASSERT_TRUE(s.cpu.store(at, std::span<const std::byte>(out)));
  EXPECT_EQ(s.pager.faults.size(), 6U);
  EXPECT_EQ(s.pager.faults[0].address, at);
  EXPECT_EQ(s.pager.faults[1].address, kVa + kPageSize);
  std::vector<std::byte> in(out.size());
  ASSERT_TRUE(s.cpu.load(at, std::span(in)));
  EXPECT_EQ(in, out);
  EXPECT_TRUE(s.cpu.load(at, std::span<std::byte>()));
}

TEST(Processor, HandlerRaisesAStatusToTheProgram) {
  Rig s;
  s.pager.on_fault = [](Processor&, const PageFault&) { return Status::kAccessViolation; };
  std::uint32_t word = 5;
  const auto result = s.cpu.load(kVa, std::as_writable_bytes(std::span(&word, 1)));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error(), Status::kAccessViolation);
  EXPECT_EQ(word, 5U);
  EXPECT_EQ(s.cpu.load<std::uint64_t>(kVa).error(), Status::kAccessViolation);
  EXPECT_EQ(s.cpu.store<std::uint64_t>(kVa, 1).error(), Status::kAccessViolation);
}

TEST(Processor, FailureInASpanLeavesThePagesBeforeItDone) {
  Rig s;
  s.tables.map(kVa, s.tables.allocate(), kAllRights);
  s.pager.on_fault = [](Processor&, const PageFault&) { return Status::kInPageError; };
  const std::array<std::byte, 8> bytes{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
  const VirtualAddress at = kVa + kPageSize - ByteCount(4);
  EXPECT_EQ(s.cpu.store(at, std::span<const std::byte>(bytes)).error(), Status::kInPageError);
  EXPECT_EQ(s.cpu.load<std::uint32_t>(at), 0x04030201U);
}

TEST(Processor, KernelPagesAreNotTheUsers) {
  Rig s;
  s.tables.map(kVa, s.frame_with(7), kWrite);
  s.pager.on_fault = [](Processor&, const PageFault&) { return Status::kAccessViolation; };
  EXPECT_EQ(s.cpu.load<std::uint32_t>(kVa, Privilege::kKernel), 7U);
  EXPECT_FALSE(s.cpu.load<std::uint32_t>(kVa, Privilege::kUser));  // Also where the TLB holds the kernel's entry.
  EXPECT_TRUE(s.pager.faults.at(0).present);
}

TEST(Processor, NonCanonicalAddressesAreRefusedWithoutAWalk) {
  for (const PteFormat format : {PteFormat::kX86, PteFormat::kPae, PteFormat::kAmd64}) {
    Rig s({.paging = format});
    for (const std::uint64_t address : {0x8000000000000000U, 0x0000800000000000U, 0xFFFF7FFFFFFFFFF8U}) {
      EXPECT_EQ(s.cpu.load<std::uint64_t>(VirtualAddress(address)).error(), Status::kAccessViolation);
      EXPECT_EQ(s.cpu.store<std::uint64_t>(VirtualAddress(address), 1).error(), Status::kAccessViolation);
      EXPECT_EQ(s.cpu.fetch(VirtualAddress(address)).error(), Status::kAccessViolation);
    }
    EXPECT_TRUE(s.pager.faults.empty());
    EXPECT_EQ(s.cpu.counts().walk_loads, 0U);
  }
}

TEST(Processor, FetchObeysNoExecute) {
  for (const PteFormat format : {PteFormat::kPae, PteFormat::kAmd64}) {
    Rig s({.paging = format});
    s.pager.on_fault = [](Processor&, const PageFault&) { return Status::kAccessViolation; };
    s.tables.map(kVa, s.frame_with(7), kUser | kNoExecute);
    s.tables.map(kVa + kPageSize, s.frame_with(8), kUser);
    EXPECT_TRUE(s.cpu.load<std::uint32_t>(kVa));
    EXPECT_EQ(s.cpu.fetch(kVa).error(), Status::kAccessViolation);
    ASSERT_EQ(s.pager.faults.size(), 1U);
    EXPECT_EQ(s.pager.faults[0].error_code(true), 0x15U);
    EXPECT_TRUE(s.cpu.fetch(kVa + kPageSize));
  }
}

TEST(Processor, WalkRulesTakeEffectAtOnce) {
  Rig s;
  s.pager.on_fault = [](Processor&, const PageFault&) { return Status::kAccessViolation; };
  s.tables.map(kVa, s.frame_with(7), kUser);
  EXPECT_FALSE(s.cpu.store<std::uint32_t>(kVa, 8, Privilege::kKernel));
  s.cpu.set_walk_rules({.write_protect = false});
  EXPECT_TRUE(s.cpu.store<std::uint32_t>(kVa, 8, Privilege::kKernel));
  EXPECT_FALSE(s.cpu.store<std::uint32_t>(kVa, 9, Privilege::kUser));
  s.cpu.set_walk_rules({.write_protect = true});
  EXPECT_FALSE(s.cpu.store<std::uint32_t>(kVa, 9, Privilege::kKernel));
  EXPECT_EQ(s.cpu.load<std::uint32_t>(kVa), 8U);
}

// --- The TLB is stale until somebody invalidates it ---

TEST_P(ProcessorTlbs, StaysStaleUntilInvalidated) {
  Rig s({.tlb = GetParam()});
  s.tables.map(kVa, s.frame_with(1), kAllRights);
  EXPECT_EQ(s.cpu.load<std::uint32_t>(kVa), 1U);
  s.tables.map(kVa, s.frame_with(2), kAllRights);
  EXPECT_EQ(s.cpu.load<std::uint32_t>(kVa), 1U);
  s.cpu.invalidate_page(kVa, Asid{1});
  EXPECT_EQ(s.cpu.load<std::uint32_t>(kVa), 2U);
  s.tables.map(kVa, s.frame_with(3), kAllRights);
  s.cpu.invalidate_asid(Asid{2});
  EXPECT_EQ(s.cpu.load<std::uint32_t>(kVa), 2U);
  s.cpu.invalidate_asid(Asid{1});
  EXPECT_EQ(s.cpu.load<std::uint32_t>(kVa), 3U);
  s.tables.map(kVa, s.frame_with(4), kAllRights);
  s.cpu.invalidate_all();
  EXPECT_EQ(s.cpu.load<std::uint32_t>(kVa), 4U);
  EXPECT_EQ(s.cpu.counts().invalidations, 4U);
}

TEST_P(ProcessorTlbs, FirstWriteWalksAndSetsDirty) {
  Rig s({.tlb = GetParam()});
  s.tables.map(kVa, s.frame_with(1), kAllRights);
  ASSERT_TRUE(s.cpu.load<std::uint32_t>(kVa));
  EXPECT_EQ(s.tables.get(kVa) & (kAccessed | kDirty), kAccessed);
  ASSERT_TRUE(s.cpu.store<std::uint32_t>(kVa, 2));
  EXPECT_EQ(s.tables.get(kVa) & kDirty, kDirty);
  EXPECT_EQ(s.cpu.counts().tlb_misses, 2U);
  // Whoever clears dirty has to invalidate, or the next write goes unseen.
  s.tables.set(kVa, s.tables.get(kVa) & ~kDirty);
  ASSERT_TRUE(s.cpu.store<std::uint32_t>(kVa, 3));
  EXPECT_EQ(s.tables.get(kVa) & kDirty, 0U);
  s.cpu.invalidate_page(kVa, Asid{1});
  ASSERT_TRUE(s.cpu.store<std::uint32_t>(kVa, 4));
  EXPECT_EQ(s.tables.get(kVa) & kDirty, kDirty);
}

TEST_P(ProcessorTlbs, TaggedSpacesKeepTheirEntries) {
  Rig s({.tlb = GetParam()});
  PageTables second(s.machine->memory().view(), s.machine->paging(), Pfn(1000));
  s.tables.map(kVa, s.frame_with(1), kAllRights);
  second.map(kVa, s.frame_with(2), kAllRights);
  EXPECT_EQ(s.cpu.load<std::uint32_t>(kVa), 1U);
  s.cpu.load_root(second.root(), Asid{2});
  EXPECT_EQ(s.cpu.load<std::uint32_t>(kVa), 2U);
  s.cpu.load_root(s.tables.root(), Asid{1});
  EXPECT_EQ(s.cpu.load<std::uint32_t>(kVa), 1U);
  // In the large geometry both spaces' pages want the same slot.
  EXPECT_EQ(s.cpu.counts().tlb_misses, GetParam() == TlbGeometry::kLarge ? 3U : 2U);
}

TEST_P(ProcessorTlbs, LoadingARootUnderTagZeroFlushesIt) {
  Rig s({.tlb = GetParam()});
  s.tables.map(kVa, s.frame_with(1), kAllRights);
  s.tables.map(kVa + kPageSize, s.frame_with(10), kAllRights | kGlobal);
  s.cpu.load_root(s.tables.root(), kUntagged);
  EXPECT_EQ(s.cpu.load<std::uint32_t>(kVa), 1U);
  EXPECT_EQ(s.cpu.load<std::uint32_t>(kVa + kPageSize), 10U);
  s.tables.map(kVa, s.frame_with(2), kAllRights);
  s.tables.map(kVa + kPageSize, s.frame_with(20), kAllRights | kGlobal);
  s.cpu.load_root(s.tables.root(), kUntagged);
  EXPECT_EQ(s.cpu.load<std::uint32_t>(kVa), 2U);
  EXPECT_EQ(s.cpu.load<std::uint32_t>(kVa + kPageSize), 10U);  // Global entries stay.
}

TEST_P(ProcessorTlbs, LargePagesReadTheRightBytes) {
  for (const PteFormat format : {PteFormat::kX86, PteFormat::kPae, PteFormat::kAmd64}) {
    Rig s({.frames = pages_of(32_MiB), .paging = format, .tlb = GetParam()});
    const ByteCount size = s.machine->paging().coverage(2);
    const Pfn first = Pfn(0) + pages_of(8_MiB);
    const VirtualAddress base(0x40000000);
    s.tables.map(base, first, kAllRights, 2);
    for (const std::uint64_t offset : {std::uint64_t{0x3008}, size.value() / 2, size.value() - 8}) {
      ASSERT_TRUE(s.cpu.store<std::uint64_t>(base + ByteCount(offset), offset));
      EXPECT_EQ(s.cpu.physical().load<std::uint64_t>(PhysicalAddress(first) + ByteCount(offset)), offset);
      EXPECT_EQ(s.cpu.load<std::uint64_t>(base + ByteCount(offset)), offset);
    }
    // Any address of it invalidates all of it.
    s.tables.map(base, first + pages_of(size), kAllRights, 2);
    s.cpu.invalidate_page(base + ByteCount(0x5000), Asid{1});
    EXPECT_EQ(s.cpu.load<std::uint64_t>(base + size - ByteCount(8)), 0U);
  }
}

// The choice of geometry is one of counting, never of contents.
TEST(Processor, GeometryChangesNothingThatAProgramReads) {
  const auto run = [](TlbGeometry geometry) {
    Rig s({.tlb = geometry});
    Random random(17);
    std::uint64_t sum = 0;
    for (int i = 0; i < 20'000; ++i) {
      const VirtualAddress va(0x100000 + random.below(3000) * kPageBytes + random.below(kPageBytes));
      if (random.chance(0.5)) {
        EXPECT_TRUE(s.cpu.store<std::uint64_t>(va, random.next()));
      } else {
        sum = sum * 31 + s.cpu.load<std::uint64_t>(va).value();
      }
    }
    return std::pair(sum, s.pager.faults.size());
  };
  EXPECT_EQ(run(TlbGeometry::kLarge), run(TlbGeometry::kRealistic));
}

// --- Shoot-downs ---

TEST(Processor, ShootDownReachesTheOthersAndIsCharged) {
  Rig s(two_processors());
  s.tables.map(kVa, s.frame_with(1), kAllRights);
  EXPECT_EQ(s.cpu.load<std::uint32_t>(kVa), 1U);
  EXPECT_EQ(s.other().load<std::uint32_t>(kVa), 1U);
  s.tables.map(kVa, s.frame_with(2), kAllRights);
  s.cpu.invalidate_page(kVa, Asid{1});
  EXPECT_EQ(s.other().load<std::uint32_t>(kVa), 1U);  // Still.

  const Time before = s.cpu.now();
  const Time other_before = s.other().now();
  ProcessorSet both;
  both.add(0);
  both.add(1);
  s.shoot_down(both, {kVa.vpn(), 1_pages});
  EXPECT_EQ(s.other().load<std::uint32_t>(kVa), 2U);
  EXPECT_EQ(s.other().counts().shootdowns_received, 1U);
  EXPECT_EQ(s.cpu.counts().shootdowns_received, 0U);
  EXPECT_EQ(s.cpu.counts().invalidations, 2U);
  EXPECT_EQ(s.other().counts().invalidations, 1U);
  // 2000 cycles and an INVLPG of 100 each at 3000 cycles a microsecond; the other has walked again since, 4 loads
  // of 12.
  EXPECT_EQ(s.cpu.now() - before, 700_ns);
  EXPECT_EQ(s.other().now() - other_before, 716_ns);
}

TEST(Processor, ShootDownSparesThoseNotNamed) {
  Rig s(two_processors());
  s.tables.map(kVa, s.frame_with(1), kAllRights);
  EXPECT_EQ(s.cpu.load<std::uint32_t>(kVa), 1U);
  EXPECT_EQ(s.other().load<std::uint32_t>(kVa), 1U);
  s.tables.map(kVa, s.frame_with(2), kAllRights);
  const Time before = s.other().now();
  ProcessorSet only_first;
  only_first.add(0);
  s.shoot_down(only_first, {kVa.vpn(), 1_pages});
  EXPECT_EQ(s.cpu.load<std::uint32_t>(kVa), 2U);
  EXPECT_EQ(s.other().load<std::uint32_t>(kVa), 1U);
  EXPECT_EQ(s.other().now(), before);
  EXPECT_EQ(s.other().counts().shootdowns_received, 0U);
}

// Many pages go by one flush; a global page among them may not survive it.
TEST(Processor, ShootDownOfManyPagesTakesGlobalOnesToo) {
  for (const std::uint64_t count : {33U, 34U, 1000U}) {
    Rig s(two_processors());
    s.tables.map(kVa, s.frame_with(1), kAllRights);
    s.tables.map(kVa + kPageSize, s.frame_with(10), kAllRights | kGlobal);
    EXPECT_EQ(s.other().load<std::uint32_t>(kVa), 1U);
    EXPECT_EQ(s.other().load<std::uint32_t>(kVa + kPageSize), 10U);
    s.tables.map(kVa, s.frame_with(2), kAllRights);
    s.tables.map(kVa + kPageSize, s.frame_with(20), kAllRights | kGlobal);
    ProcessorSet both;
    both.add(0);
    both.add(1);
    s.shoot_down(both, {kVa.vpn(), PageCount(count)});
    EXPECT_EQ(s.other().load<std::uint32_t>(kVa), 2U) << count;
    EXPECT_EQ(s.other().load<std::uint32_t>(kVa + kPageSize), 20U) << count;
    EXPECT_EQ(s.other().counts().invalidations, count > 33 ? 1U : count);
  }
}

TEST(Processor, ShootDownOfManyRunsInterruptsOnce) {
  for (const std::uint64_t count : {1U, 16U, 17U}) {  // Of two runs: up to 33 pages go one by one.
    Rig s(two_processors());
    const VirtualAddress far = kVa + kPageSize * 64;
    for (const VirtualAddress va : {kVa, far, kVa + kPageSize * 32}) s.tables.map(va, s.frame_with(1), kAllRights);
    for (const VirtualAddress va : {kVa, far, kVa + kPageSize * 32}) ASSERT_EQ(s.other().load<std::uint32_t>(va), 1U);
    for (const VirtualAddress va : {kVa, far}) s.tables.map(va, s.frame_with(2), kAllRights);
    const std::array runs{StaleRun{{far.vpn(), PageCount(count)}}, StaleRun{{kVa.vpn(), PageCount(count)}}};
    ProcessorSet both;
    both.add(0);
    both.add(1);
    s.machine->shoot_down(s.cpu, {s.tables.root(), Asid{1}, both}, runs);
    for (const VirtualAddress va : {kVa, far}) EXPECT_EQ(s.other().load<std::uint32_t>(va), 2U) << count;
    EXPECT_EQ(s.other().counts().shootdowns_received, 1U);
    EXPECT_EQ(s.other().counts().invalidations, count > 16 ? 1U : 2 * count);
  }
}

// --- Software refill ---

TEST(Processor, SoftwareFillsTheTlbWhereTheMachineSaysSo) {
  Rig s({.refill = TlbRefill::kSoftware});
  ASSERT_TRUE(s.cpu.store<std::uint32_t>(kVa, 7));
  EXPECT_EQ(s.cpu.load<std::uint32_t>(kVa), 7U);
  EXPECT_EQ(s.cpu.counts().refills, 2U);  // One that became a fault, one that filled.
  EXPECT_EQ(s.pager.refills, 2U);
  EXPECT_EQ(s.cpu.counts().walk_loads, 0U);
  EXPECT_EQ(s.pager.faults.size(), 1U);
  EXPECT_EQ(s.cycles(), 2 * s.machine->costs().refill_exception.value() - 1);  // 40 cycles are 13 whole nanoseconds.
  s.pager.on_fault = [](Processor&, const PageFault&) { return Status::kAccessViolation; };
  EXPECT_EQ(s.cpu.load<std::uint32_t>(kVa + kPageSize).error(), Status::kAccessViolation);
}

// --- Waiting ---

TEST(Processor, WaitingMovesTheClockByItself) {
  Rig s;
  s.pager.on_fault = [&s](Processor& cpu, const PageFault& fault) {
    cpu.wait_until(Time() + 1_ms);
    s.tables.map(fault.address, s.frame_with(7), kAllRights);
    return Status::kSuccess;
  };
  EXPECT_EQ(s.cpu.load<std::uint32_t>(kVa), 7U);
  EXPECT_GE(s.cpu.now(), Time() + 1_ms);
  EXPECT_EQ(s.cpu.take_blocked_until(), Time());
}

TEST(Processor, WaitingYieldsUnderAnEventLoop) {
  Rig s;
  s.cpu.set_waiting(Processor::Waiting::kYields);
  s.pager.on_fault = [&s](Processor& cpu, const PageFault& fault) {
    cpu.wait_until(Time() + 1_ms);
    cpu.wait_until(Time() + 500_us);  // The longest wait counts.
    s.tables.map(fault.address, s.frame_with(7), kAllRights);
    return Status::kSuccess;
  };
  const auto first = s.cpu.load<std::uint32_t>(kVa);
  ASSERT_FALSE(first);
  EXPECT_EQ(first.error(), Status::kPending);
  EXPECT_LT(s.cpu.now(), Time() + 1_us);
  const Time until = s.cpu.take_blocked_until();
  EXPECT_EQ(until, Time() + 1_ms);
  EXPECT_EQ(s.cpu.take_blocked_until(), Time());
  s.cpu.advance_to(until);
  EXPECT_EQ(s.cpu.load<std::uint32_t>(kVa), 7U);
  EXPECT_EQ(s.pager.faults.size(), 1U);
}

TEST(Processor, WaitingForThePastIsNoWait) {
  Rig s;
  s.cpu.set_waiting(Processor::Waiting::kYields);
  s.cpu.advance_to(Time() + 1_ms);
  s.cpu.wait_until(Time() + 1_ms);
  EXPECT_EQ(s.cpu.take_blocked_until(), Time());
}

// --- The clock ---

TEST(Processor, ChargesWalksAndExceptions) {
  Rig s;
  ASSERT_TRUE(s.cpu.load<std::uint32_t>(kVa));
  // A walk that ends at the root, a fault, and a walk of four loads: 12 + 350 + 48 cycles.
  EXPECT_EQ(s.cpu.counts().walk_loads, 5U);
  EXPECT_EQ(s.cpu.counts().faults, 1U);
  EXPECT_EQ(s.cpu.counts().tlb_misses, 1U);
  EXPECT_EQ(s.cpu.now(), Time(410 * 1000 / 3000));
  ASSERT_TRUE(s.cpu.load<std::uint32_t>(kVa));
  EXPECT_EQ(s.cpu.counts().tlb_misses, 1U);
}

TEST(Processor, ClockArithmetic) {
  for (const std::uint64_t cycles_per_us : {1000U, 2600U, 3000U, 4321U}) {
    CostModel costs;
    costs.cycles_per_us = cycles_per_us;
    Rig s({.costs = costs});
    for (const std::uint64_t ns : {1U, 2U, 3U, 999U, 1000U, 1001U, 123'456'789U}) {
      s.cpu.advance_to(Time(ns));
      EXPECT_EQ(s.cpu.now(), Time(ns)) << cycles_per_us;
    }
    s.cpu.advance_to(Time(5));  // Never backwards.
    EXPECT_EQ(s.cpu.now(), Time(123'456'789));
    s.cpu.resume_at(Time(5));  // A scheduler may.
    EXPECT_EQ(s.cpu.now(), Time(5));
    s.cpu.resume_at(Time(123'456'789));
    EXPECT_EQ(s.cpu.now(), Time(123'456'789));
    s.cpu.charge(Cycles(cycles_per_us));
    EXPECT_EQ(s.cpu.now(), Time(123'457'789));
    // A year, at which cycles times 1000 would have overflowed.
    const Time year = Time() + 1_s * (365 * 24 * 3600);
    s.cpu.advance_to(year);
    EXPECT_EQ(s.cpu.now(), year);
    s.cpu.charge(Cycles(cycles_per_us));
    EXPECT_EQ(s.cpu.now(), year + 1_us);
  }
}

// --- Frames that the view reaches one by one, as a guest's ---

struct ScatteredRig {
  explicit ScatteredRig(TlbGeometry geometry)
      : machine(*SimMachine::create({})),
        reach(2048),
        tables(PhysicalView(reach), machine->paging(), Pfn(1)),
        pager(tables),
        cpu(*machine, 0, PhysicalView(reach), geometry) {
    cpu.attach(pager);
    cpu.load_root(tables.root(), Asid{1});
  }
  std::unique_ptr<SimMachine> machine;
  ScatteredFrames reach;
  PageTables tables;
  Pager pager;
  SimProcessor cpu;
};

TEST_P(ProcessorTlbs, LargePagesOfScatteredFrames) {
  ScatteredRig s(GetParam());
  const VirtualAddress base(0x40000000);
  s.tables.map(base, Pfn(1024), kAllRights, 2);
  for (std::uint32_t page = 0; page < 512; page += 7)
    ASSERT_TRUE(s.cpu.store<std::uint32_t>(base + kPageSize * page, page));
  for (std::uint32_t page = 0; page < 512; page += 7) {
    EXPECT_EQ(s.cpu.load<std::uint32_t>(base + kPageSize * page), page);
    EXPECT_EQ(s.cpu.physical().load<std::uint32_t>(PhysicalAddress(Pfn(1024 + page))), page);
  }
  EXPECT_TRUE(s.reach.balanced());
}

// The host may have given a shared frame to a reader: the first write must reach it for writing, dirty or not.
TEST_P(ProcessorTlbs, WritesReachScatteredFramesForWriting) {
  ScatteredRig s(GetParam());
  const Pfn frame(100);
  s.tables.map(kVa, frame, kAllRights | kDirty | kAccessed);
  ASSERT_TRUE(s.cpu.load<std::uint32_t>(kVa));
  EXPECT_EQ(s.reach.write_holds(frame), 0U);
  ASSERT_TRUE(s.cpu.store<std::uint32_t>(kVa, 1));
  EXPECT_EQ(s.reach.write_holds(frame), 1U);
  EXPECT_TRUE(s.reach.balanced());
}

}  // namespace
}  // namespace pagoda::machine
