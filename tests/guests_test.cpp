// Guests that know that they are ones, over the hypervisor: files of the host that are there once for all of them, and
// what they say about their memory.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/guest/dax_driver.h"
#include "pagoda/guest/enlightenments.h"
#include "pagoda/hv/testing/test_vm.h"

namespace pagoda {
namespace {

using guest::DaxDriver;
using guest::Enlightenments;
using hv::MmuKind;
using hv::testing::TestHost;
using hv::testing::TestVm;
using hv::testing::TestVmConfig;
using machine::Access;
using mm::Protection;

constexpr std::uint64_t word_of(std::uint64_t page) { return 0xF11E0000 + page; }

// A section of a file of the host's disk, whose page n begins with word_of(n).
mm::Section* make_file(TestHost& host, PageCount pages) {
  auto file = *host.machine().sim_disk().create("program.dll");
  PAGODA_CHECK(file->resize(bytes_of(pages)).has_value());
  mm::PfnDatabase& pfns = host.manager().core().pfns;
  const Pfn frame = [&] {
    const LockGuard guard(pfns.lock);
    return pfns.take(host.cpu(), mm::Contents::kZeroed)->frame;
  }();
  for (std::uint64_t page = 0; page < pages.value(); ++page) {
    host.cpu().physical().store<std::uint64_t>(PhysicalAddress(frame), word_of(page));
    file->write(host.cpu(), FileOffset(bytes_of(PageCount(page)).value()), std::span(&frame, 1));
  }
  {
    const LockGuard guard(pfns.lock);
    pfns.give_back(frame, mm::Contents::kAny);
  }
  const auto section = host.manager().sections().create(
      host.cpu(), {.file = std::make_shared<mm::FileStream>("program.dll", std::move(file)),
                   .kind = mm::SectionKind::kData,
                   .protection = Protection::kReadOnly});
  PAGODA_CHECK(section.has_value());
  return *section;
}

struct Mode {
  machine::PteFormat paging = machine::PteFormat::kAmd64;
  MmuKind mmu = MmuKind::kNested;
};

class Guests : public ::testing::TestWithParam<Mode> {
 protected:
  static hv::PartitionConfig partition() {
    return {.memory = pages_of(4_MiB), .paging = GetParam().paging, .mmu = GetParam().mmu, .disks = {{}}};
  }
};

std::string name_of(const ::testing::TestParamInfo<Mode>& test) {
  constexpr std::array kNames{"Nested", "Shadow", "Paravirtual"};
  return std::string(machine::paging_mode(test.param.paging).name) +
         kNames.at(static_cast<std::size_t>(test.param.mmu));
}
INSTANTIATE_TEST_SUITE_P(AllModes, Guests,
                         ::testing::Values(Mode{machine::PteFormat::kX86}, Mode{machine::PteFormat::kPae},
                                           Mode{machine::PteFormat::kAmd64},
                                           Mode{machine::PteFormat::kAmd64, MmuKind::kShadow},
                                           Mode{machine::PteFormat::kX86, MmuKind::kParavirtual},
                                           Mode{machine::PteFormat::kPae, MmuKind::kParavirtual},
                                           Mode{machine::PteFormat::kAmd64, MmuKind::kParavirtual}),
                         name_of);

TEST_P(Guests, ShareOneCopyOfAFileThatIsMappedDirectly) {
  constexpr PageCount kPages{40};
  TestHost host;
  mm::Section* const file = make_file(host, kPages);
  {
    std::vector<std::unique_ptr<TestVm>> vms;
    std::vector<VirtualAddress> views;
    for (int i = 0; i < 2; ++i) {
      TestVmConfig config{.partition = partition()};
      config.partition.direct_maps = {{.name = "program.dll", .section = file}};
      vms.push_back(std::make_unique<TestVm>(host, config));
      TestVm& vm = *vms.back();
      const DaxDriver driver(vm.manager(), vm.cpu());
      const PageCount used = vm.space().statistics().working_set;
      const auto view = driver.map(vm.space(), "program.dll", Protection::kExecuteWriteCopy);
      ASSERT_TRUE(view);
      views.emplace_back(view->first);
      ASSERT_TRUE(vm.cpu().fetch(views.back()));
      for (std::uint64_t page = 0; page < kPages.value(); ++page) ASSERT_EQ(*vm.get(views.back(), page), word_of(page));
      EXPECT_EQ(vm.space().statistics().working_set, used) << "nothing of it is the guest's memory";
    }
    EXPECT_EQ(host.manager().frame_counts().shared_file, kPages);
    // A write copies the page inside of the guest that writes.
    vms[0]->must_put(views[0], 3, 42);
    EXPECT_EQ(*vms[0]->get(views[0], 3), 42U);
    EXPECT_EQ(*vms[1]->get(views[1], 3), word_of(3));
    EXPECT_EQ(vms[0]->partition().counts().lost_writes, 0U);
    EXPECT_EQ(host.manager().frame_counts().shared_file, kPages);
    for (const auto& vm : vms) EXPECT_EQ(vm->check(), "");
    // The host takes the file's pages away, and the guests do not notice.
    for (const auto& vm : vms) vm->partition().vmmem().empty_working_set(host.cpu());
    EXPECT_EQ(host.manager().frame_counts().shared_file, 0_pages);
    for (std::size_t i = 0; i < vms.size(); ++i) {
      for (std::uint64_t page = 0; page < kPages.value(); ++page)
        ASSERT_EQ(*vms[i]->get(views[i], page), i == 0 && page == 3 ? 42 : word_of(page));
      EXPECT_TRUE(vms[i]->space().unmap_view(vms[i]->cpu(), views[i]));
      EXPECT_EQ(vms[i]->check(), "");
    }
  }
  host.manager().sections().dereference(host.cpu(), *file);
  EXPECT_EQ(host.check(), "");
}

// The guest frees memory; an enlightened one has its host free it too.
TEST_P(Guests, GiveMemoryBackByTellingTheirHost) {
  TestHost host;
  TestVm vm(host, {.partition = partition()});
  const auto enlightenments =
      Enlightenments::create(vm.manager(), vm.cpu(), {.reserve = PageCount(64), .hot_window = PageCount(16)});
  ASSERT_NE(enlightenments, nullptr);
  const VirtualAddress base = vm.commit(PageCount(600));
  vm.fill(base, PageCount(600));
  ASSERT_TRUE(vm.space().release(vm.cpu(), base, ByteCount(0)));
  mm::SystemThread& zeroer = vm.manager().zero_page_thread();
  while (zeroer.due(vm.cpu().now()) != kNever) zeroer.run(vm.cpu());
  const PageCount before = vm.partition().vmmem().statistics().working_set;
  EXPECT_GE(before, PageCount(600));
  enlightenments->run(vm.cpu());
  EXPECT_EQ(vm.partition().machine().last_report().available, [&] {
    const LockGuard guard(vm.manager().core().pfns.lock);
    return vm.manager().core().pfns.available();
  }());
  const PageCount hinted = enlightenments->hinted();
  EXPECT_EQ(enlightenments->counts().refused, 0U);
  EXPECT_GE(hinted, PageCount(400));
  EXPECT_EQ(vm.partition().vmmem().statistics().working_set, before - hinted);
  EXPECT_EQ(vm.check(), "");  // Which reads zeroed pages, so that they are there again.
  // What was discarded is there again when it is used, and reads as zero.
  const VirtualAddress again = vm.commit(PageCount(600));
  for (std::uint64_t page = 0; page < 600; ++page) {
    ASSERT_EQ(*vm.get(again, page), 0U);
    if (enlightenments->due(vm.cpu().now()) <= vm.cpu().now()) enlightenments->run(vm.cpu());
  }
  EXPECT_GT(vm.partition().counts().hot_pages, 0U);
  EXPECT_EQ(vm.check(), "");
}

// A guest frees, uses and hints at random, above a host that is short of memory: nothing that it wrote is lost.
TEST_P(Guests, LoseNothingByWhatTheySay) {
  TestHost host({.frames = PageCount(700)});
  TestVm vm(host, {.partition = partition()});
  const auto enlightenments =
      Enlightenments::create(vm.manager(), vm.cpu(), {.reserve = PageCount(32), .hot_window = PageCount(16)});
  constexpr std::uint64_t kPages = 150;
  struct Region {
    VirtualAddress base;
    std::vector<std::uint64_t> words;
  };
  std::vector<Region> regions;
  Random random(11);
  for (int step = 0; step < 3000; ++step) {
    switch (random.below(12)) {
      case 0:
        if (regions.size() < 6) regions.push_back({vm.commit(PageCount(kPages)), std::vector<std::uint64_t>(kPages)});
        break;
      case 1:
        if (!regions.empty() && random.below(2) == 0) {
          const auto at = regions.begin() + static_cast<std::ptrdiff_t>(random.below(regions.size()));
          ASSERT_TRUE(vm.space().release(vm.cpu(), at->base, ByteCount(0)));
          regions.erase(at);
        }
        break;
      case 2:
        vm.manager().zero_page_thread().run(vm.cpu());
        break;
      case 3:
        vm.cpu().advance_to(vm.cpu().now() + Duration(random.below(300'000'000)));
        enlightenments->run(vm.cpu());
        break;
      case 4:
        if (random.below(20) == 0) vm.partition().vmmem().empty_working_set(host.cpu());
        break;
      default: {
        if (regions.empty()) break;
        Region& region = regions[random.below(regions.size())];
        for (int i = 0; i < 8; ++i) {
          const std::uint64_t page = random.below(kPages);
          if (random.below(2) == 0) {
            region.words[page] = random.next();
            vm.must_put(region.base, page, region.words[page]);
          } else {
            ASSERT_EQ(*vm.get(region.base, page), region.words[page]);
          }
        }
      }
    }
    if (step % 500 != 0) continue;
    ASSERT_EQ(vm.check(), "") << "step " << step;
  }
  EXPECT_EQ(vm.check(), "");
}

}  // namespace
}  // namespace pagoda
