// DF1, DF2: each corruption of a region of device frames is found.
#include <gtest/gtest.h>

#include <algorithm>

#include "pagoda/mm/check/check.h"
#include "pagoda/mm/testing/corruptor.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

namespace pte_bits = machine::pte_bits;

// A region of device frames whose first page is mapped, whose second was copied, and whose others were not touched; and
// private memory.
class Scene : public testing::TestMachine {
 public:
  explicit Scene(machine::PteFormat paging = machine::PteFormat::kAmd64)
      : TestMachine({.paging = paging, .device_frames = PageCount(32)}) {
    base_ = VirtualAddress(
        space().map_frames({.first = Pfn(256), .count = 16_pages, .protection = Protection::kWriteCopy})->first);
    PAGODA_CHECK(space().protect(cpu(), page(base_, 8), kPageSize * 4, Protection::kReadOnly).has_value());
    must_touch(mapped());
    must_put(base_, 1, 1);
    private_ = commit(4_pages);
    must_put(private_, 0, 1);
  }

  [[nodiscard]] VirtualAddress mapped() const { return base_; }
  [[nodiscard]] VirtualAddress copied() const { return page(base_, 1); }
  [[nodiscard]] VirtualAddress untouched() const { return page(base_, 2); }
  [[nodiscard]] VirtualAddress of_program() const { return private_; }
  [[nodiscard]] PhysicalAddress pte_address(VirtualAddress va) {
    const LockGuard guard(space().lock);
    return space().tables().find(cpu(), va.vpn());
  }
  void store(VirtualAddress va, RawPte raw) {
    const PhysicalAddress pte = pte_address(va);
    const LockGuard guard(space().lock);
    space().tables().store(cpu(), pte, raw);
  }
  void flip(VirtualAddress va, RawPte bits) {
    machine::store_entry(cpu().physical(), core().mode, pte_address(va), pte(va) ^ bits);
  }
  [[nodiscard]] Vad& vad(VirtualAddress va) { return *Corruptor::vads(space()).find(va.vpn()); }
  [[nodiscard]] DeviceFrames& device() { return device_frames(vad(base_)); }

 private:
  VirtualAddress base_;
  VirtualAddress private_;
};

struct Corruption {
  const char* rule;
  const char* what;  // For the test's name.
  void (*corrupt)(Scene& s);
};

void PrintTo(const Corruption& corruption, std::ostream* out) { *out << corruption.rule << corruption.what; }

const Corruption kCorruptions[] = {
    {"DF1", "AnotherFrame", [](Scene& s) { s.flip(s.mapped(), RawPte{1} << kPageShift); }},
    {"DF1", "Writable", [](Scene& s) { s.flip(s.mapped(), pte_bits::kWrite); }},
    {"DF1", "Shared", [](Scene& s) { s.flip(s.mapped(), soft_bits::kPrototype); }},
    {"DF1", "RightsOfAnotherPage", [](Scene& s) { s.flip(s.mapped(), soft_bits::kCopyOnWrite); }},
    {"DF1", "RightsOfTheRegion",
     [](Scene& s) { Corruptor::rights(s.device())[s.mapped().vpn()] = Protection::kNoAccess; }},
    {"DF2", "NoFrames", [](Scene& s) { s.vad(s.mapped()).extra->state.reset(); }},
    {"DF2", "FramesOfNoSuchRegion", [](Scene& s) { s.vad(s.mapped()).type = VadType::kNone; }},
    {"DF2", "RegionWithoutFrames", [](Scene& s) { s.vad(s.of_program()).type = VadType::kPhysical; }},
    {"DF2", "FramesOfTheManager", [](Scene& s) { Corruptor::first(s.device()) = Pfn(100); }},
    {"DF2", "FramesThatWrap", [](Scene& s) { Corruptor::first(s.device()) = Pfn(kNoPfn.value() - 3); }},
    {"DF2", "OtherPages", [](Scene& s) { ++Corruptor::pages(s.device()).count; }},
    {"DF2", "RightsThatNoneMayHave",
     [](Scene& s) { Corruptor::rights(s.device())[s.untouched().vpn()] = Protection::kReadWrite; }},
    {"DF2", "EqualNeighbours",
     [](Scene& s) { Corruptor::rights(s.device())[s.untouched().vpn()] = Protection::kWriteCopy; }},
    {"DF2", "DemandZero", [](Scene& s) { s.store(s.untouched(), s.core().codec.demand_zero(Protection::kReadWrite)); }},
    {"AS2", "Charge", [](Scene& s) { ++s.vad(s.mapped()).commit_charge; }},
    {"PF4", "SharesOfTheTable",
     [](Scene& s) { ++Corruptor::entry(s.core(), s.pte_address(s.mapped()).pfn()).share_count; }},
    {"PT3", "OutsideOfARegion", [](Scene& s) { s.store(s.of_program(), s.pte(s.mapped())); }},
    {"TL1", "NotMappedNow", [](Scene& s) { s.flip(s.mapped(), pte_bits::kValid); }},
    {"TL1", "RightlyAnotherFrame",
     [](Scene& s) {
       ++Corruptor::first(s.device());
       s.store(s.mapped(), s.pte(s.mapped()) + kPageBytes);
     }},
};

class CheckFindsDevice : public ::testing::TestWithParam<Corruption> {};

INSTANTIATE_TEST_SUITE_P(Corruptions, CheckFindsDevice, ::testing::ValuesIn(kCorruptions),
                         [](const ::testing::TestParamInfo<Corruption>& test) {
                           return std::string(test.param.rule) + test.param.what;
                         });

TEST_P(CheckFindsDevice, TheBrokenRule) {
  Scene scene;
  ASSERT_EQ(scene.check(), "");
  GetParam().corrupt(scene);
  const std::vector<Finding> findings = check(scene.manager(), scene.cpu());
  EXPECT_GT(std::ranges::count(findings, GetParam().rule, &Finding::rule), 0) << to_string(findings);
}

// Wild stores into the entries of the region: the check ends, reads nothing outside, and what is put back is clean.
TEST(CheckSurvivesDevice, WildStores) {
  for (const auto paging : {machine::PteFormat::kX86, machine::PteFormat::kPae, machine::PteFormat::kAmd64}) {
    Scene s(paging);
    Random random(3);
    const std::array pages{s.mapped(), s.copied(), s.untouched()};
    for (int round = 0; round < 500; ++round) {
      const PhysicalAddress pte = s.pte_address(pages[random.below(pages.size())]);
      const machine::FrameView view = s.cpu().physical().bytes(pte.pfn(), machine::Access::kWrite);
      auto& word = *reinterpret_cast<std::uint32_t*>(view.data() + pte.page_offset() +
                                                     4 * random.below(s.core().mode.entry_bytes / 4));
      with_wild_value(random, word, [&] { check(s.manager(), s.cpu()); });
    }
    EXPECT_EQ(s.check(), "");
  }
}

}  // namespace

namespace testing {

std::vector<std::string_view> rules_broken_with_device_frames() {
  std::vector<std::string_view> rules;
  for (const Corruption& corruption : kCorruptions) rules.emplace_back(corruption.rule);
  return rules;
}

}  // namespace testing
}  // namespace pagoda::mm
