#include "pagoda/hv/virtual_machine.h"

#include <gtest/gtest.h>

#include "pagoda/hv/testing/test_vm.h"

namespace pagoda::hv::testing {
namespace {

struct Kind {
  machine::PteFormat paging;
  MmuKind mmu;
  machine::TlbRefill refill;
};

class VirtualMachines : public ::testing::TestWithParam<Kind> {
 protected:
  static TestVmConfig config() {
    TestVmConfig config;
    config.partition.paging = GetParam().paging;
    config.partition.mmu = GetParam().mmu;
    config.partition.refill = GetParam().refill;
    return config;
  }
};
INSTANTIATE_TEST_SUITE_P(Kinds, VirtualMachines, ::testing::ValuesIn([] {
                           std::vector<Kind> kinds;
                           for (const auto paging :
                                {machine::PteFormat::kAmd64, machine::PteFormat::kPae, machine::PteFormat::kX86})
                             for (const auto mmu : kAllMmus)
                               for (const auto refill : {machine::TlbRefill::kHardware, machine::TlbRefill::kSoftware})
                                 if (mmu != MmuKind::kParavirtual || refill == machine::TlbRefill::kHardware)
                                   kinds.push_back({paging, mmu, refill});
                           return kinds;
                         }()));

TEST_P(VirtualMachines, AGuestReadsWhatItWrote) {
  TestHost host;
  TestVm vm(host, config());
  const VirtualAddress base = vm.commit(PageCount(64));
  vm.fill(base, PageCount(64));
  EXPECT_EQ(vm.differences(base, PageCount(64)), 0U);
  EXPECT_EQ(vm.check(), "");
}

TEST_P(VirtualMachines, BothLevelsPage) {
  TestHost host({.frames = PageCount(320)});
  TestVm vm(host, config());
  constexpr PageCount kPages{900};  // More than the guest has, which has more than the host.
  const VirtualAddress base = vm.commit(kPages);
  vm.fill(base, kPages);
  EXPECT_EQ(vm.differences(base, kPages), 0U);
  vm.fill(base, kPages, 5000);
  EXPECT_EQ(vm.differences(base, kPages, 5000), 0U);
  EXPECT_GT(vm.partition().counts().page_ins, 0U);
  EXPECT_GT(vm.partition().counts().double_paged, 0U);
  EXPECT_EQ(vm.check(), "");
}

}  // namespace
}  // namespace pagoda::hv::testing
