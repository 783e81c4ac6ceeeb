// The checker seen failing on the compression store: for each of its rules, and those of slots and frames that reach
// into it.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "pagoda/mm/check/check.h"
#include "pagoda/mm/check/check_context.h"
#include "pagoda/mm/testing/corruptor.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {

namespace {

using testing::TestMachine;

testing::TestMachineConfig config() {
  testing::TestMachineConfig config;
  config.tunables.compression_budget = PageCount(16);
  return config;
}

class Scene : public TestMachine {
 public:
  Scene() : TestMachine(config()) {
    base_ = commit(PageCount(12));
    Random random(1);
    for (std::uint64_t i = 0; i < 12; ++i) {
      for (std::uint64_t word = 0; word < 128; ++word)
        PAGODA_CHECK(cpu().store<std::uint64_t>(page(base_, i) + ByteCount(word * 8), random.next()));
    }
    push_out();
    must_touch(resident());
    PAGODA_CHECK_EQ(store().pages(), PageCount(12));
  }
  [[nodiscard]] VirtualAddress stored() const { return page(base_, 2); }
  [[nodiscard]] VirtualAddress other() const { return page(base_, 5); }
  [[nodiscard]] VirtualAddress resident() const { return page(base_, 7); }
  [[nodiscard]] CompressionStore& store() { return Corruptor::store(core()); }
  [[nodiscard]] PageFileSlot slot() { return core().codec.slot(pte(stored())); }
  [[nodiscard]] Pfn first_frame() { return Corruptor::frames(store())[0]; }
  [[nodiscard]] std::uint32_t& first_chunk() { return Corruptor::first_chunk(store(), slot()); }
  void store_raw(VirtualAddress va, RawPte raw) {
    const LockGuard guard(space().lock);
    space().tables().store(cpu(), space().tables().find(cpu(), va.vpn()), raw);
  }
  void give_another_owner(PageFileSlot slot) {
    const LockGuard guard(core().pfns.lock);
    store().moved(slot, PhysicalAddress(0x5000));
  }
  void scribble(Pfn frame, std::size_t at) {
    cpu().physical().bytes(frame, machine::Access::kWrite).bytes()[at] ^= std::byte{0xFF};
  }

 private:
  VirtualAddress base_;
};

struct Corruption {
  const char* rule;
  const char* what;
  void (*corrupt)(Scene& s);
};

void PrintTo(const Corruption& corruption, std::ostream* out) { *out << corruption.rule << corruption.what; }

const Corruption kCorruptions[] = {
    {"CS1", "ChainBreaks",
     [](Scene& s) { Corruptor::next_chunk(s.store(), s.first_chunk()) = Corruptor::first_chunk(s.store(), s.slot()); }},
    {"CS1", "ChainLeavesTheStore", [](Scene& s) { Corruptor::next_chunk(s.store(), s.first_chunk()) = 1U << 30; }},
    {"CS1", "ChainTooShort", [](Scene& s) { Corruptor::bytes(s.store(), s.slot()) = 129; }},
    {"CS1", "TwoChainsOneChunk",
     [](Scene& s) {
       Corruptor::first_chunk(s.store(), s.slot()) =
           Corruptor::first_chunk(s.store(), s.core().codec.slot(s.pte(s.other())));
     }},
    {"CS1", "UsedAndFree", [](Scene& s) { Corruptor::free_chunks(s.store())[0] |= 1; }},
    {"CS1", "FreeCount", [](Scene& s) { ++Corruptor::free_count(s.store()); }},
    {"CS1", "Pages", [](Scene& s) { ++Corruptor::pages(s.store()); }},
    {"CS1", "OrderOfAge", [](Scene& s) { Corruptor::oldest(s.store()) = s.slot().value(); }},
    {"CS2", "FrameOfAnother", [](Scene& s) { Corruptor::frames(s.store())[0] = s.frame(s.resident()); }},
    {"CS2", "FrameTwice", [](Scene& s) { Corruptor::frames(s.store())[1] = Corruptor::frames(s.store())[0]; }},
    {"CS2", "FrameNeverUsed", [](Scene& s) { Corruptor::frames(s.store())[0] = Pfn(99999); }},
    {"CS2", "NonpagedAndMapped", [](Scene& s) { Corruptor::entry(s.core(), s.frame(s.resident())).nonpaged = 1; }},
    {"CS2", "MoreThanTheBudget", [](Scene& s) { Corruptor::held(s.store()) = PageCount(17); }},
    {"CS2", "AnEmptyFrame", [](Scene& s) { Corruptor::free_chunks(s.store())[0] = ~0U; }},
    {"CS3", "AnotherOwner", [](Scene& s) { s.give_another_owner(s.slot()); }},
    {"CS3", "OwnerOfAPageInMemory",
     [](Scene& s) { s.give_another_owner(s.core().codec.slot(s.entry(s.resident()).original_pte)); }},
    {"CS5", "OwnersInATable", [](Scene& s) { ++Corruptor::compressed_in(s.core(), s.store().owner(s.slot()).pfn()); }},
    {"CS4", "Scribbled",
     [](Scene& s) {
       const std::uint32_t chunk = s.first_chunk();
       s.scribble(Corruptor::frames(s.store())[chunk / 32], chunk % 32 * 128);
     }},
    {"SL1", "NamedTwice", [](Scene& s) { s.store_raw(s.other(), s.pte(s.stored())); }},
    {"SL1", "NamedAndFree",
     [](Scene& s) {
       const PageFileSlot slot = s.slot();
       const LockGuard guard(s.core().pfns.lock);
       s.store().free(slot);
     }},
    {"SL1", "NoSuchSlot",
     [](Scene& s) {
       s.store_raw(s.other(),
                   s.core().codec.page_file(CompressionStore::kNumber, PageFileSlot(70000), Protection::kReadWrite));
     }},
    {"PF3", "NonpagedAndATable", [](Scene& s) { Corruptor::entry(s.core(), s.first_frame()).page_table = 1; }},
    {"PF6", "SlotDiffers", [](Scene& s) { s.scribble(s.frame(s.resident()), 100); }},
};

class CheckFindsInTheStore : public ::testing::TestWithParam<Corruption> {};

INSTANTIATE_TEST_SUITE_P(Corruptions, CheckFindsInTheStore, ::testing::ValuesIn(kCorruptions),
                         [](const ::testing::TestParamInfo<Corruption>& test) {
                           return std::string(test.param.rule) + test.param.what;
                         });

TEST_P(CheckFindsInTheStore, TheBrokenRule) {
  Scene scene;
  ASSERT_EQ(scene.check(), "");
  GetParam().corrupt(scene);
  const std::vector<Finding> findings = check(scene.manager(), scene.cpu());
  EXPECT_GT(std::ranges::count(findings, GetParam().rule, &Finding::rule), 0) << to_string(findings);
}

}  // namespace

namespace testing {

std::vector<std::string_view> rules_broken_with_compression() {
  std::vector<std::string_view> rules;
  for (const Corruption& corruption : kCorruptions) rules.emplace_back(corruption.rule);
  return rules;
}

}  // namespace testing
}  // namespace pagoda::mm
