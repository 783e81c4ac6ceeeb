#include "pagoda/hv/partition.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "pagoda/hv/testing/test_vm.h"

namespace pagoda::hv::testing {
namespace {

using machine::Access;

// A file of the host, whose page n begins with the word 100 + n.
mm::Section* make_file(TestHost& host, PageCount pages) {
  auto disk_file = *host.machine().sim_disk().create("program.dll");
  PAGODA_CHECK(disk_file->resize(bytes_of(pages)).has_value());
  const auto taken = [&] {
    const LockGuard guard(host.manager().core().pfns.lock);
    return host.manager().core().pfns.take(host.cpu(), mm::Contents::kZeroed)->frame;
  }();
  for (std::uint64_t n = 0; n < pages.value(); ++n) {
    host.cpu().physical().store<std::uint64_t>(PhysicalAddress(taken), 100 + n);
    disk_file->write(host.cpu(), FileOffset(bytes_of(PageCount(n)).value()), std::span(&taken, 1));
  }
  {
    const LockGuard guard(host.manager().core().pfns.lock);
    host.manager().core().pfns.give_back(taken, mm::Contents::kAny);
  }
  const auto section = host.manager().sections().create(
      host.cpu(), {.file = std::make_shared<mm::FileStream>("program.dll", std::move(disk_file)),
                   .kind = mm::SectionKind::kData,
                   .protection = mm::Protection::kReadOnly});
  PAGODA_CHECK(section.has_value());
  return *section;
}

TEST(Partition, RefusesWhatMakesNoSense) {
  TestHost host;
  struct Row {
    const char* what;
    std::function<void(PartitionConfig&)> change;
    Status status;
  };
  const std::vector<Row> rows{
      {"no memory", [](auto& c) { c.memory = PageCount(0); }, Status::kInvalidParameter},
      {"a part of a large page that is pinned",
       [](auto& c) {
         c.memory = PageCount(700);
         c.backing = Backing::kPinned;
       },
       Status::kInvalidParameter},
      {"no processor", [](auto& c) { c.processors = 0; }, Status::kInvalidParameter},
      {"a cluster that is no power of two", [](auto& c) { c.fault_cluster = PageCount(3); }, Status::kInvalidParameter},
      {"a cluster of nothing", [](auto& c) { c.fault_cluster = PageCount(0); }, Status::kInvalidParameter},
      {"more memory than PTEs can name",
       [](auto& c) {
         c.paging = machine::PteFormat::kX86;
         c.memory = pages_of(8_GiB);
       },
       Status::kInvalidParameter},
      {"a disk that stands still", [](auto& c) { c.disks = {{.bandwidth_per_second = ByteCount(0)}}; },
       Status::kInvalidParameter},
      {"more than the host can promise", [](auto& c) { c.memory = pages_of(1_GiB); }, Status::kCommitmentLimit},
      {"more large pages than the host has",
       [](auto& c) {
         c.memory = pages_of(8_MiB);
         c.backing = Backing::kPinned;
       },
       Status::kInsufficientResources},
  };
  for (const Row& row : rows) {
    PartitionConfig config{.memory = pages_of(2_MiB)};
    row.change(config);
    const auto partition = Partition::create(host.manager(), host.cpu(), config);
    ASSERT_FALSE(partition.has_value()) << row.what;
    EXPECT_EQ(partition.error(), row.status) << row.what;
    EXPECT_EQ(host.manager().commit().charged, PageCount(0)) << row.what;
    EXPECT_EQ(host.check(), "") << row.what;
  }
}

// mm/backing/resident.h: the tables, and memory that is pinned with the tables that map it.
TEST(Partition, WhatMustStayInMemoryIsChargedToTheHost) {
  TestHost host;
  mm::ResidentLedger& resident = host.manager().core().resident;
  for (const auto backing : {Backing::kVirtual, Backing::kPinned}) {
    const PartitionConfig config{.memory = pages_of(2_MiB), .backing = backing};
    PageCount needed;
    {
      const auto partition = Partition::create(host.manager(), host.cpu(), config);
      ASSERT_TRUE(partition);
      needed = resident.charged();
      const PageCount root = 1_pages;
      const PageCount pinned = backing == Backing::kPinned ? config.memory + 2_pages : 0_pages;
      EXPECT_EQ(needed, root + pinned + (*partition)->table_frames().owned());
      EXPECT_EQ(host.check(), "");
    }
    EXPECT_EQ(resident.charged(), 0_pages);
    const PageCount others = resident.limit() - 2_pages;  // Less than the root and any table.
    ASSERT_TRUE(resident.charge(others));
    const auto refused = Partition::create(host.manager(), host.cpu(), config);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), Status::kInsufficientResources);
    EXPECT_EQ(resident.charged(), others);
    resident.give_back(others);
    EXPECT_EQ(host.manager().commit().charged, 0_pages);
    EXPECT_EQ(host.check(), "");
  }
}

TEST(Partition, IsMadeOnAHostThatIsShortOfFramesJustNow) {
  TestHost host({.frames = PageCount(300)});
  TestVm vm(host);
  const VirtualAddress base = vm.commit(PageCount(360));
  std::uint64_t shortages = 0;
  for (std::uint64_t page = 0; page < 360; ++page) {
    vm.must_put(base, page, page);
    const std::uint64_t before = host.manager().counters().shortages;
    const auto partition = Partition::create(host.manager(), host.cpu(), {.memory = pages_of(2_MiB)});
    ASSERT_TRUE(partition) << page << ": " << to_string(partition.error());
    shortages += host.manager().counters().shortages - before;
  }
  EXPECT_GT(shortages, 0U);
  EXPECT_EQ(vm.check(), "");
}

TEST(Partition, GivesEverythingBackWhenItGoes) {
  for (const auto mmu : kAllMmus) {
    TestHost host;
    {
      TestVm vm(host, {.partition = {.memory = pages_of(2_MiB), .mmu = mmu, .disks = {{}}}});
      vm.fill(vm.commit(PageCount(300)), PageCount(300));
      EXPECT_GT(host.manager().frame_counts().active, PageCount(300));
    }
    EXPECT_EQ(host.manager().commit().charged, PageCount(0));
    EXPECT_EQ(host.manager().frame_counts().active, PageCount(0));
    EXPECT_EQ(host.check(), "");
  }
}

TEST(Partition, PinnedMemoryIsMappedByLargeEntries) {
  TestHost host({.frames = PageCount(4096)});
  TestVm vm(host, {.partition = {.memory = pages_of(4_MiB), .backing = Backing::kPinned, .disks = {{}}}});
  const VirtualAddress base = vm.commit(PageCount(600));
  vm.fill(base, PageCount(600));
  host.manager().balance_set_manager().run(host.cpu());
  vm.partition().vmmem().empty_working_set(host.cpu());
  EXPECT_EQ(vm.differences(base, PageCount(600)), 0U);
  std::size_t large = 0;
  vm.partition().slat().for_each([&](Gfn, unsigned level, machine::RawPte) {
    EXPECT_EQ(level, Slat::kLargeLevel);
    ++large;
  });
  EXPECT_EQ(large, 2U);
  EXPECT_EQ(vm.partition().counts().violations, 2U);
  EXPECT_EQ(vm.check(), "");
}

TEST(Partition, ALargeEntryGoesFromAllCachesAtOnce) {
  for (const auto mmu : kAllMmus) {
    TestHost host({.frames = PageCount(4096)});
    TestVm vm(host, {.partition = {.memory = pages_of(2_MiB), .mmu = mmu, .backing = Backing::kPinned, .disks = {{}}}});
    const VirtualAddress base = vm.commit(PageCount(100));
    vm.fill(base, PageCount(100));
    const GpaRange& memory = vm.partition().map().ranges().front();
    ASSERT_TRUE(vm.partition()
                    .vmmem()
                    .protect(host.cpu(), VirtualAddress(memory.backing), bytes_of(memory.frames.count),
                             mm::Protection::kReadOnly)
                    .has_value());
    EXPECT_EQ(to_string(hv::check(vm.partition())), "");
    // An entry that only reads does not stand in the way of one that writes.
    const Pfn unused(500);
    EXPECT_EQ(vm.cpu().physical().load<std::uint64_t>(PhysicalAddress(unused)), 0U);
    ASSERT_TRUE(vm.partition()
                    .vmmem()
                    .protect(host.cpu(), VirtualAddress(memory.backing), bytes_of(memory.frames.count),
                             mm::Protection::kReadWrite)
                    .has_value());
    vm.cpu().physical().store<std::uint64_t>(PhysicalAddress(unused), 0);
    vm.fill(base, PageCount(100));
    EXPECT_EQ(vm.differences(base, PageCount(100)), 0U);
    EXPECT_EQ(vm.check(), "");
  }
}

TEST(Partition, ProcessorsOfOneGuestShootEachOtherDown) {
  TestHost host({.frames = PageCount(400)});
  TestVm vm(host, {.partition = {.memory = pages_of(2_MiB), .processors = 3, .disks = {{}}}});
  constexpr PageCount kPages{600};
  const VirtualAddress base = vm.commit(kPages);
  for (std::uint64_t round = 0; round < 4; ++round) {
    for (std::uint64_t i = 0; i < kPages.value(); ++i) {
      const auto writer = static_cast<unsigned>(i % 3);
      vm.must_put(base, i, round * 1000 + i, writer);
      ASSERT_EQ(vm.get(base, i, (writer + 1) % 3), round * 1000 + i);
    }
    vm.space().empty_working_set(vm.cpu(static_cast<unsigned>(round % 3)));
  }
  EXPECT_GT(vm.cpu(1).counts().shootdowns_received, 0U);
  EXPECT_EQ(vm.check(), "");
}

TEST(Partition, FilesOfTheHostLieInGuestMemoryOnce) {
  TestHost host;
  constexpr PageCount kPages{20};
  mm::Section* const file = make_file(host, kPages);
  {
    std::vector<std::unique_ptr<TestVm>> vms;
    for (int i = 0; i < 2; ++i)
      vms.push_back(std::make_unique<TestVm>(
          host, TestVmConfig{.partition = {.memory = pages_of(2_MiB),
                                           .disks = {{}},
                                           .direct_maps = {{.name = "program.dll", .section = file}}}}));
    for (const auto& vm : vms) {
      const auto maps = vm->partition().machine().hypercalls()->direct_maps(vm->cpu());
      ASSERT_EQ(maps.size(), 1U);
      EXPECT_EQ(maps[0].name, "program.dll");
      EXPECT_EQ(maps[0].size, bytes_of(kPages));
      EXPECT_EQ(maps[0].frames.count, kPages);
      EXPECT_GE(maps[0].frames.first.value(), pages_of(2_MiB).value());
      for (std::uint64_t n = 0; n < kPages.value(); ++n) {
        const PhysicalAddress at(maps[0].frames.first + PageCount(n));
        EXPECT_EQ(vm->cpu().physical().load<std::uint64_t>(at), 100 + n);
        vm->cpu().physical().store<std::uint64_t>(at, 7);  // Lost: it is the host's file.
        EXPECT_EQ(vm->cpu().physical().load<std::uint64_t>(at), 100 + n);
      }
      EXPECT_EQ(vm->partition().counts().lost_writes, kPages.value());
      EXPECT_EQ(vm->check(), "");
    }
    EXPECT_EQ(host.manager().frame_counts().shared_file, kPages);
  }
  host.manager().sections().dereference(host.cpu(), *file);
  EXPECT_EQ(host.check(), "");
}

TEST(Partition, NothingIsBehindWildFrames) {
  TestHost host;
  TestVm vm(host);
  const std::uint64_t frames = vm.partition().machine().frame_count().value();
  for (const std::uint64_t frame : {frames, frames + 1, std::uint64_t{1} << 20, std::uint64_t{0xFFFFFFFE}}) {
    const PhysicalAddress at(Pfn(static_cast<std::uint32_t>(frame)));
    EXPECT_EQ(vm.cpu().physical().load<std::uint64_t>(at), ~std::uint64_t{0});
    vm.cpu().physical().store<std::uint64_t>(at, 5);
    EXPECT_EQ(vm.cpu().physical().load<std::uint64_t>(at), ~std::uint64_t{0});
  }
  EXPECT_EQ(vm.partition().counts().wild_accesses, 12U);
  EXPECT_EQ(vm.check(), "");
}

TEST(Partition, AHostThatCannotReadGuestMemoryLosesOnlyThatMachine) {
  TestHost host({.frames = PageCount(400)});
  TestVm vm(host);
  TestVm other(host);
  const VirtualAddress base = vm.commit(PageCount(100));
  vm.fill(base, PageCount(100));
  const VirtualAddress elsewhere = other.commit(PageCount(20));
  other.fill(elsewhere, PageCount(20));
  vm.partition().vmmem().empty_working_set(host.cpu());
  ASSERT_TRUE(host.manager().flush_modified(host.cpu()));
  host.reuse_standby();
  host.machine().sim_disk().injection().read_error_rate = 1;
  EXPECT_THROW(static_cast<void>(vm.differences(base, PageCount(100))), GuestMemoryLost);
  host.machine().sim_disk().injection().read_error_rate = 0;
  EXPECT_EQ(other.differences(elsewhere, PageCount(20)), 0U);
  EXPECT_EQ(host.check(), "");
}

}  // namespace
}  // namespace pagoda::hv::testing
