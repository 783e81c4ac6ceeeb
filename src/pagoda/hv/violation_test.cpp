// What a virtual machine's host does for it. The guest here has no operating system: bare reads and writes of guest
// frames, as a guest's kernel makes them.
#include "pagoda/hv/partition.h"

#include <gtest/gtest.h>

#include <optional>

#include "pagoda/hv/testing/test_vm.h"
#include "pagoda/machine/testing/page_tables.h"
#include "pagoda/mm/ws/replacement.h"

namespace pagoda::hv::testing {
namespace {

using machine::Access;

// Where software refills the TLB: what the tables say, and no more.
class Walks final : public machine::FaultHandler {
 public:
  machine::FaultOutcome resolve(machine::Processor& /*cpu*/, const machine::PageFault& /*fault*/) override {
    return Status::kAccessViolation;
  }
  machine::FaultOutcome refill(machine::Processor& cpu, VirtualAddress va, Access access,
                               machine::Privilege privilege) override {
    std::uint64_t loads = 0;
    const auto walked = machine::walk(cpu.physical(), cpu.machine().paging(), cpu.root(), va, access, privilege,
                                      cpu.walk_rules(), loads);
    if (!walked) return Status::kAccessViolation;
    cpu.fill_tlb(va, *walked);
    return Status::kSuccess;
  }
};

// A partition without a guest's memory manager.
class BareVm {
 public:
  explicit BareVm(TestHost& host, PartitionConfig config = {.memory = pages_of(2_MiB)})
      : host_(host), partition_(*Partition::create(host.manager(), host.cpu(), config)) {
    host.dispatch(*partition_);
  }

  [[nodiscard]] Partition& partition() { return *partition_; }
  [[nodiscard]] PartitionCounts& counts() { return partition_->counts(); }
  [[nodiscard]] machine::PhysicalView memory() { return partition_->processor(0).guest().physical(); }
  void write(std::uint32_t frame, std::uint64_t value) { memory().store(PhysicalAddress(Pfn(frame)), value); }
  std::uint64_t read(std::uint32_t frame) { return memory().load<std::uint64_t>(PhysicalAddress(Pfn(frame))); }
  void write_each(std::uint32_t frames) {
    for (std::uint32_t frame = 0; frame < frames; ++frame) write(frame, frame + 1);
  }
  std::uint32_t differences(std::uint32_t frames) {
    std::uint32_t wrong = 0;
    for (std::uint32_t frame = 0; frame < frames; ++frame) wrong += read(frame) != frame + 1 ? 1 : 0;
    return wrong;
  }
  // The host takes all guest memory away, and others use its frames for a while.
  void squeeze() {
    machine::SimProcessor& cpu = host_.cpu();
    partition_->vmmem().empty_working_set(cpu);
    PAGODA_CHECK(host_.manager().flush_modified(cpu));
    host_.reuse_standby();
  }
  [[nodiscard]] bool is_resident(std::uint32_t frame) {
    const LockGuard guard(partition_->vmmem().lock);
    const Vpn page = partition_->map().find(Gfn(frame))->page_of(Gfn(frame));
    return mm::PteCodec::is_valid(partition_->vmmem().tables().read(host_.cpu(), page));
  }
  [[nodiscard]] std::string check() { return hv::to_string(hv::check(*partition_)) + host_.check(); }

 private:
  TestHost& host_;
  std::unique_ptr<Partition> partition_;
};

class Clusters : public ::testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Sizes, Clusters, ::testing::Values(1, 2, 4, 8, 16));

TEST_P(Clusters, OneViolationFillsAllItsPages) {
  TestHost host;
  BareVm vm(host, {.memory = pages_of(2_MiB), .fault_cluster = PageCount(GetParam())});
  vm.write_each(128);
  EXPECT_EQ(vm.counts().violations, 128 / GetParam());
  EXPECT_EQ(vm.counts().write_violations, 0U);
  EXPECT_EQ(vm.counts().entries_filled, 128U);
  EXPECT_EQ(vm.counts().exits, vm.counts().violations);
  EXPECT_EQ(vm.differences(128), 0U);
  EXPECT_EQ(vm.counts().violations, 128 / GetParam()) << "what was written can be read";
  EXPECT_EQ(vm.check(), "");
}

TEST_P(Clusters, AFirstWriteToAPageThatWasReadIsAViolationOfItsOwn) {
  TestHost host;
  BareVm vm(host, {.memory = pages_of(2_MiB), .fault_cluster = PageCount(GetParam())});
  for (std::uint32_t frame = 0; frame < 64; ++frame) EXPECT_EQ(vm.read(frame), 0U);
  EXPECT_EQ(vm.counts().violations, 64 / GetParam());
  vm.write_each(64);
  EXPECT_EQ(vm.counts().write_violations, 64U) << "the host must see that each page becomes dirty";
  EXPECT_EQ(vm.counts().violations, 64 / GetParam() + 64);
  vm.write_each(64);
  EXPECT_EQ(vm.counts().write_violations, 64U);
  EXPECT_EQ(vm.check(), "");
}

TEST(Violation, NeighboursAreNotBroughtInWhenMemoryIsShort) {
  TestHost host({.frames = PageCount(320)});
  BareVm vm(host, {.memory = pages_of(2_MiB), .fault_cluster = PageCount(16)});
  // One page of every cluster: 16 times as many as there are frames would follow.
  for (std::uint32_t frame = 0; frame < 512; frame += 16) vm.write(frame, frame + 1);
  EXPECT_LT(vm.counts().entries_filled, 512U);
  EXPECT_EQ(host.manager().counters().page_file_reads, 0U);
  for (std::uint32_t frame = 0; frame < 512; frame += 16) EXPECT_EQ(vm.read(frame), frame + 1);
  EXPECT_EQ(vm.check(), "");
}

TEST(Violation, WhatTheHostTookComesBackAsItWas) {
  TestHost host;
  BareVm vm(host);
  vm.write_each(100);
  vm.squeeze();
  EXPECT_GT(vm.counts().invalidations, 0U);
  EXPECT_FALSE(vm.is_resident(50));
  EXPECT_EQ(vm.check(), "");
  EXPECT_EQ(vm.differences(100), 0U);
  EXPECT_GT(vm.counts().page_ins, 0U);
  EXPECT_EQ(vm.check(), "");
}

// A hole between the guest's memory and a file, and the file's frames, which the guest cannot write.
TEST(Violation, HolesAndFilesAreNotWritten) {
  TestHost host;
  mm::Section& section = **host.manager().sections().create(host.cpu(), {.size = 64_KiB});
  {
    BareVm vm(host, {.memory = pages_of(2_MiB), .direct_maps = {{.name = "file", .section = &section}}});
    vm.write_each(8);
    EXPECT_EQ(vm.read(512), 0U) << "the file";
    vm.write(512, 5);
    EXPECT_EQ(vm.read(512), 0U);
    EXPECT_GT(vm.counts().lost_writes, 0U);
    EXPECT_EQ(vm.counts().wild_accesses, 0U);
    EXPECT_EQ(vm.read(512 + 16), ~std::uint64_t{0}) << "behind it";
    EXPECT_EQ(vm.differences(8), 0U);
    EXPECT_EQ(vm.check(), "");
  }
  host.manager().sections().dereference(host.cpu(), section);
}

// The same through a program's mapping: no entry of a TLB may keep what was never there.
TEST(Violation, ProgramsDoNotWriteThereEither) {
  for (const MmuKind mmu : {MmuKind::kNested, MmuKind::kShadow}) {
    for (const auto refill : {machine::TlbRefill::kHardware, machine::TlbRefill::kSoftware}) {
      TestHost host;
      mm::Section& section = **host.manager().sections().create(host.cpu(), {.size = 64_KiB});
      {
        BareVm vm(host, {.memory = pages_of(2_MiB),
                         .refill = refill,
                         .mmu = mmu,
                         .direct_maps = {{.name = "file", .section = &section}}});
        machine::SimProcessor& cpu = vm.partition().processor(0).guest();
        Walks handler;
        cpu.attach(handler);
        machine::testing::PageTables tables(cpu.physical(), machine::kAmd64Paging, Pfn(16));
        const VirtualAddress file(0x10000);
        const VirtualAddress wild(0x20000);
        tables.map(file, Pfn(512), machine::pte_bits::kWrite | machine::pte_bits::kUser);
        tables.map(wild, Pfn(100000), machine::pte_bits::kWrite | machine::pte_bits::kUser);
        cpu.load_root(tables.root(), machine::Asid{1});
        for (int turn = 0; turn < 2; ++turn) {
          EXPECT_EQ(*cpu.load<std::uint64_t>(file), 0U);
          EXPECT_TRUE(cpu.store<std::uint64_t>(file, 5));
          EXPECT_EQ(*cpu.load<std::uint64_t>(file), 0U) << "the file is as it was";
          EXPECT_EQ(*cpu.load<std::uint64_t>(wild), ~std::uint64_t{0});
          EXPECT_TRUE(cpu.store<std::uint64_t>(wild, 5));
          EXPECT_EQ(*cpu.load<std::uint64_t>(wild), ~std::uint64_t{0});
        }
        EXPECT_GT(vm.counts().lost_writes, 0U);
        EXPECT_EQ(vm.check(), "");
      }
      host.manager().sections().dereference(host.cpu(), section);
    }
  }
}

TEST(Violation, AHeldFrameKeepsItsBytesWhileTheHostTakesIt) {
  TestHost host;
  BareVm vm(host);
  vm.write_each(64);
  {
    const machine::FrameView view = vm.memory().bytes(Pfn(5), Access::kRead);
    vm.squeeze();
    EXPECT_FALSE(vm.is_resident(5));
    std::uint64_t word = 0;
    std::memcpy(&word, view.data(), sizeof word);
    EXPECT_EQ(word, 6U) << "the frame was given to nobody else";
    EXPECT_EQ(vm.read(5), 6U) << "a second way to it";
  }
  EXPECT_EQ(vm.differences(64), 0U);
  EXPECT_EQ(vm.check(), "");
}

TEST(Violation, WhatIsWrittenToAHeldFrameThatTheHostTookIsNotLost) {
  TestHost host;
  BareVm vm(host);
  vm.write_each(64);
  {
    const machine::FrameView view = vm.memory().bytes(Pfn(5), Access::kWrite);
    vm.squeeze();  // The bytes in the paging file are the old ones.
    const std::uint64_t word = 1234;
    std::memcpy(view.data(), &word, sizeof word);
  }
  vm.squeeze();
  EXPECT_EQ(vm.read(5), 1234U);
  vm.write(5, 6);
  EXPECT_EQ(vm.differences(64), 0U);
  EXPECT_EQ(vm.check(), "");
}

TEST(Violation, AFrameMayBeHeldMoreThanOnce) {
  TestHost host;
  BareVm vm(host);
  vm.write_each(64);
  std::optional<machine::FrameView> first(vm.memory().bytes(Pfn(5), Access::kRead));
  std::optional<machine::FrameView> second(vm.memory().bytes(Pfn(5), Access::kWrite));
  vm.squeeze();
  first.reset();
  vm.squeeze();
  const std::uint64_t word = 99;
  std::memcpy(second->data(), &word, sizeof word);
  second.reset();
  vm.squeeze();
  EXPECT_EQ(vm.read(5), 99U);
  EXPECT_EQ(vm.check(), "");
}

// The host ages what the guest uses by the second level's accessed bits: nothing else shows that a page is in use.
TEST(Violation, WhatOnlyTheGuestUsesStaysYoungInTheHost) {
  TestHost host;
  BareVm vm(host, {.memory = pages_of(2_MiB), .fault_cluster = PageCount(1)});
  vm.write_each(32);
  mm::ProcessSpace& vmmem = vm.partition().vmmem();
  const std::uint64_t violations = vm.counts().violations;
  for (int pass = 0; pass < 5; ++pass) {
    {
      const LockGuard guard(vmmem.lock);
      mm::age_working_set(vmmem, host.cpu());
    }
    for (std::uint32_t frame = 0; frame < 16; ++frame) EXPECT_EQ(vm.read(frame), frame + 1);
  }
  EXPECT_EQ(vm.counts().violations, violations) << "to be looked at costs the guest no exit";
  {
    const LockGuard guard(vmmem.lock);
    mm::trim_working_set(vmmem, host.cpu(), PageCount(100), PageCount(0), mm::Wsle::kOldest);
  }
  for (std::uint32_t frame = 0; frame < 32; ++frame) EXPECT_EQ(vm.is_resident(frame), frame < 16) << frame;
  EXPECT_EQ(vm.check(), "");
  EXPECT_EQ(vm.differences(16), 0U);
  EXPECT_EQ(vm.counts().violations, violations);
  EXPECT_EQ(vm.differences(32), 0U);
  EXPECT_EQ(vm.counts().violations, violations + 16);
  EXPECT_EQ(vm.check(), "");
}

}  // namespace
}  // namespace pagoda::hv::testing
