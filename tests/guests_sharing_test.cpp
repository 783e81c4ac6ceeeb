// Sharing by contents below guests: what two machines hold alike is one frame of the host, and neither can tell by what it
// reads; every cache between lets go of what is merged.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>

#include "pagoda/base/random.h"
#include "pagoda/hv/testing/test_vm.h"
#include "pagoda/mm/combine/combiner.h"
#include "pagoda/sim/scenario/scenario.h"
#include "pagoda/sim/simulation.h"

namespace pagoda {
namespace {

using hv::MmuKind;
using hv::testing::TestHost;
using hv::testing::TestVm;
using hv::testing::TestVmConfig;

class GuestsThatShare : public ::testing::TestWithParam<MmuKind> {
 protected:
  static TestVmConfig config() { return {.partition = {.memory = pages_of(4_MiB), .mmu = GetParam(), .disks = {{}}}}; }
  GuestsThatShare() : one(host, config()), two(host, config()) {}

  mm::Combiner& combiner() { return host.manager().combiner(); }
  void allow(std::optional<mm::SharingDomain> domain) {
    for (TestVm* vm : {&one, &two}) {
      mm::ProcessSpace& vmmem = vm->partition().vmmem();
      ASSERT_TRUE(domain ? combiner().allow(vmmem, *domain) : combiner().allow(vmmem));
    }
  }
  void scan(int passes = 3) {
    for (int pass = 0; pass < passes; ++pass) combiner().scan(host.cpu(), {PageCount(100'000), PageCount(100'000)});
  }
  std::string check() { return one.check() + two.check(); }

  TestHost host;
  TestVm one;
  TestVm two;
};

std::string name_of(const ::testing::TestParamInfo<MmuKind>& test) {
  constexpr std::array kNames{"Nested", "Shadow", "Paravirtual"};
  return kNames.at(static_cast<std::size_t>(test.param));
}
INSTANTIATE_TEST_SUITE_P(Mmus, GuestsThatShare, ::testing::ValuesIn(hv::testing::kAllMmus), name_of);

TEST_P(GuestsThatShare, ReadWhatTheyWroteWhateverIsMerged) {
  allow(mm::named_domain(0));
  constexpr std::uint64_t kPages = 60;
  const VirtualAddress a = one.commit(PageCount(kPages));
  const VirtualAddress b = two.commit(PageCount(kPages));
  for (std::uint64_t page = 0; page < kPages; ++page) {
    one.must_put(a, page, Random::mix(page));
    two.must_put(b, page, Random::mix(page));
  }
  scan();
  EXPECT_EQ(check(), "");
  EXPECT_GE(combiner().statistics().saved, PageCount(kPages));
  Random random(1);
  for (int step = 0; step < 300; ++step) {
    const std::uint64_t page = random.below(kPages);
    TestVm& vm = random.below(2) == 0 ? one : two;
    const VirtualAddress base = &vm == &one ? a : b;
    vm.must_put(base, page, 1);
    ASSERT_EQ(*vm.get(base, page), 1U);
    vm.must_put(base, page, Random::mix(page));
    if (step % 20 == 0) scan(1);
    if (step % 60 == 0) {
      ASSERT_EQ(check(), "");
    }
  }
  scan();
  for (std::uint64_t page = 0; page < kPages; ++page) {
    EXPECT_EQ(*one.get(a, page), Random::mix(page));
    EXPECT_EQ(*two.get(b, page), Random::mix(page));
  }
  EXPECT_GE(combiner().statistics().saved, PageCount(kPages));
  EXPECT_EQ(check(), "");
}

TEST_P(GuestsThatShare, PagesThatTheHostTakesFromThemAreOfferedFirst) {
  allow(mm::named_domain(0));
  constexpr std::uint64_t kPages = 40;
  const VirtualAddress a = one.commit(PageCount(kPages));
  for (std::uint64_t page = 0; page < kPages; ++page) one.must_put(a, page, Random::mix(page));
  scan(1);  // Hints.
  const VirtualAddress b = two.commit(PageCount(kPages));
  for (std::uint64_t page = 0; page < kPages; ++page) two.must_put(b, page, Random::mix(page));
  static_cast<void>(two.partition().vmmem().empty_working_set(host.cpu()));
  for (mm::SystemThread* thread : host.manager().system_threads())
    if (thread->name() == "combine thread") thread->run(host.cpu());
  EXPECT_EQ(check(), "");
  EXPECT_GE(host.manager().counters().sharing_offers_merged, kPages);
  EXPECT_GE(combiner().statistics().saved, PageCount(kPages));
  for (std::uint64_t page = 0; page < kPages; ++page) {
    EXPECT_EQ(*one.get(a, page), Random::mix(page));
    EXPECT_EQ(*two.get(b, page), Random::mix(page));
  }
  EXPECT_EQ(check(), "");
}

TEST_P(GuestsThatShare, NothingOfEachOtherOutsideOfADomain) {
  allow(std::nullopt);
  const VirtualAddress a = one.commit(PageCount(40));
  const VirtualAddress b = two.commit(PageCount(40));
  for (std::uint64_t page = 0; page < 40; ++page) {
    one.must_put(a, page, Random::mix(page));
    two.must_put(b, page, Random::mix(page));
  }
  scan();
  EXPECT_EQ(combiner().statistics().saved, 0_pages);
  EXPECT_EQ(check(), "") << "[CT3]";
}

// A whole run: machines with the same programs, with and without sharing, and what the samples say.
std::string clones(std::string_view sharing, std::string_view vm_sharing) {
  std::string text = "seed = 3\n[host]\nmemory = '64MiB'\n" + std::string(sharing);
  for (const char* name : {"a", "b"}) {
    text += "[[vm]]\nname = '" + std::string(name) + "'\nmemory = '8MiB'\n" + std::string(vm_sharing) +
            "[[vm.process]]\nname = 'p'\n"
            "fill = { image = '" PAGODA_SOURCE_DIR
            "/data/images/all14.vpm.zst', name = 'py' }\n"
            "program = { kind = 'zipf', memory = '2MiB', operations = 250000, writes = 0.01 }\n";
  }
  return text;
}

PageCount most_saved(const std::string& text, bool& verified) {
  const auto scenario = sim::parse_scenario(text, "clones.toml");
  if (!scenario) {
    ADD_FAILURE() << scenario.error().message;
    return {};
  }
  const auto result = sim::run_scenario(*scenario, {.verify = true});
  if (!result) {
    ADD_FAILURE() << result.error().message;
    return {};
  }
  verified = result->verified;
  PageCount most;
  for (const sim::Sample& sample : result->samples) most = std::max(most, sample.shared_saved);
  return most;
}

TEST(SimulatedSharing, ClonesShareWithinTheirDomain) {
  bool verified = false;
  EXPECT_EQ(most_saved(clones("", ""), verified), 0_pages);
  const std::string fast = "[host.sharing]\nrate = 500000\nvm_rate = 500000\n";
  const PageCount apart = most_saved(clones(fast, ""), verified);
  EXPECT_TRUE(verified);
  const PageCount together =
      most_saved(clones(fast + "[[host.sharing.domain]]\nname = 'd'\n", "[vm.sharing]\ndomain = 'd'\n"), verified);
  EXPECT_TRUE(verified);
  EXPECT_GT(together, apart * 2) << "what the guests' programs hold is the same in both";
}

TEST(SimulatedSharing, WithTheSameBehaviourPagesAreSharedUntilTheyAreUsed) {
  const std::string host =
      "[host.sharing]\nrate = 500000\nvm_rate = 500000\ncombine = 'same_behaviour'\n[[host.sharing.domain]]\nname = "
      "'d'\n";
  bool verified = false;
  EXPECT_GT(most_saved(clones(host, "[vm.sharing]\ndomain = 'd'\n"), verified), 0_pages);
  EXPECT_TRUE(verified);
}

}  // namespace
}  // namespace pagoda
