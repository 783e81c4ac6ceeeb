// The checker seen failing on sharing by contents: for each rule of the table of contents, and those of clones and mappings
// that sharing leans on.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "pagoda/mm/check/check.h"
#include "pagoda/mm/check/check_context.h"
#include "pagoda/mm/combine/combiner.h"
#include "pagoda/mm/testing/corruptor.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {

namespace {

using testing::TestMachine;

// Three pages that share one frame, two hints, and a space of another domain that does not take part.
class Scene : public TestMachine {
 public:
  Scene() : TestMachine({.processors = 2}), other_(add_space()) {
    PAGODA_CHECK(combiner().allow(space()).has_value());
    manager().attach(cpu(1), other_);
    base_ = commit(PageCount(6));
    for (unsigned i = 0; i < 5; ++i) must_put(base_, i, i < 3 ? 7 : i);
    other_base_ = VirtualAddress(
        other_.reserve({.size = kPageSize, .protection = Protection::kReadWrite, .commit = MemCommit::kYes})->first);
    must_put(other_base_, 0, 7, 1);
    for (int pass = 0; pass < 2; ++pass) combiner().scan(cpu(), {PageCount(100), PageCount(100)});
    PAGODA_CHECK_EQ(combiner().statistics().saved, 2_pages);
    PAGODA_CHECK_EQ(combiner().statistics().hints, 2_pages);
  }
  [[nodiscard]] Combiner& combiner() { return manager().combiner(); }
  [[nodiscard]] ContentTable& table() { return Corruptor::table(combiner()); }
  [[nodiscard]] VirtualAddress shared(unsigned number) const { return page(base_, number); }
  // The first entry of the kind.
  [[nodiscard]] std::uint32_t entry(bool is_shared) {
    std::uint32_t number = 1;
    while (!table().is_used(number) || table().is_shared(number) != is_shared) ++number;
    return number;
  }
  [[nodiscard]] std::uint32_t shared_entry() { return entry(true); }
  [[nodiscard]] std::uint32_t hint() { return entry(false); }
  [[nodiscard]] VirtualAddress prototype() { return table().prototype(shared_entry()); }
  void scribble() { cpu().physical().bytes(frame(shared(0)), machine::Access::kWrite).bytes()[100] ^= std::byte{1}; }
  // The other space's page leads to the clone entry of the first space's too.
  void share_across_domains() {
    const LockGuard guard(other_.lock);
    const PhysicalAddress pte = other_.tables().find(cpu(), other_base_.vpn());
    const LockGuard pfn_guard(core().pfns.lock);
    core().prototypes.add_clone_reference(prototype());
    other_.tables().store(cpu(), pte,
                          core().codec.prototype(prototype(), Protection::kWriteCopy, PteCodec::ReadOnly::kNo));
  }
  void change_references(std::int32_t by) {
    const LockGuard guard(core().pfns.lock);
    Corruptor::clone_references(core().prototypes, prototype()) += static_cast<std::uint32_t>(by);
  }
  void allow_writes() {
    const LockGuard guard(space().lock);
    const PhysicalAddress pte = space().tables().find(cpu(), shared(0).vpn());
    const RawPte raw = core().load(cpu(), pte);
    space().tables().replace(cpu(), pte, raw | machine::pte_bits::kWrite | machine::pte_bits::kDirty);
  }

 private:
  ProcessSpace& other_;
  VirtualAddress base_;
  VirtualAddress other_base_;
};

struct Corruption {
  const char* rule;
  const char* what;
  void (*corrupt)(Scene& s);
};

void PrintTo(const Corruption& corruption, std::ostream* out) { *out << corruption.rule << corruption.what; }

const Corruption kCorruptions[] = {
    {"CT1", "Hints", [](Scene& s) { ++Corruptor::hints(s.table()); }},
    {"CT1", "Shared", [](Scene& s) { --Corruptor::shared(s.table()); }},
    {"CT1", "AChainRunsInACircle",
     [](Scene& s) { Corruptor::set_next(s.table(), s.shared_entry(), s.shared_entry()); }},
    {"CT1", "AChainLeadsOut", [](Scene& s) { Corruptor::set_next(s.table(), s.hint(), 4000); }},
    {"CT1", "AChainLosesAnEntry", [](Scene& s) { Corruptor::lose(s.table(), s.hint()); }},
    {"CT1", "AnotherBucket", [](Scene& s) { Corruptor::set_end(s.table(), s.hint(), 5); }},
    {"CT1", "UsedAndFree", [](Scene& s) { Corruptor::set_used(s.table(), s.hint(), false); }},
    {"CT2", "AnotherClone", [](Scene& s) { Corruptor::set_where(s.table(), s.shared_entry(), 1000); }},
    {"CT2", "NoTag", [](Scene& s) { Corruptor::clone_tag(s.core().prototypes, s.prototype()) = 0; }},
    {"CT2", "TheTagOfAHint", [](Scene& s) { Corruptor::clone_tag(s.core().prototypes, s.prototype()) = s.hint(); }},
    {"CT2", "ATagOfNothing", [](Scene& s) { Corruptor::clone_tag(s.core().prototypes, s.prototype()) = 999; }},
    {"CT2", "References", [](Scene& s) { ++Corruptor::tagged_references(s.core().prototypes); }},
    {"CT3", "AnotherDomain", [](Scene& s) { Corruptor::set_owner(s.table(), s.shared_entry(), 77); }},
    {"CT3", "SharedAcrossDomains", [](Scene& s) { s.share_across_domains(); }},
    {"CT4", "Scribbled", [](Scene& s) { s.scribble(); }},
    {"CT4", "AnotherHash", [](Scene& s) { Corruptor::set_tag(s.table(), s.shared_entry(), 12345); }},
    {"CT5", "NoMember", [](Scene& s) { Corruptor::set_owner(s.table(), s.hint(), 77); }},
    {"PP3", "TooManyReferences", [](Scene& s) { s.change_references(1); }},
    {"PP3", "TooFewReferences", [](Scene& s) { s.change_references(-1); }},
    {"PT3", "WritableMapping", [](Scene& s) { s.allow_writes(); }},
};

class CheckFindsInSharing : public ::testing::TestWithParam<Corruption> {};

INSTANTIATE_TEST_SUITE_P(Corruptions, CheckFindsInSharing, ::testing::ValuesIn(kCorruptions),
                         [](const ::testing::TestParamInfo<Corruption>& test) {
                           return std::string(test.param.rule) + test.param.what;
                         });

TEST_P(CheckFindsInSharing, TheBrokenRule) {
  Scene scene;
  ASSERT_EQ(scene.check(), "");
  GetParam().corrupt(scene);
  const std::vector<Finding> findings = check(scene.manager(), scene.cpu());
  EXPECT_GT(std::ranges::count(findings, GetParam().rule, &Finding::rule), 0) << to_string(findings);
}

TEST(CheckSharing, SurvivesWildEntries) {
  Scene scene;
  Random random(1);
  for (int round = 0; round < 100; ++round) {
    for (const std::uint32_t number : {scene.shared_entry(), scene.hint()}) {
      for (std::uint64_t& word : Corruptor::words(scene.table(), number))
        with_wild_value(random, word, [&] { static_cast<void>(check(scene.manager(), scene.cpu())); });
    }
  }
  EXPECT_EQ(scene.check(), "");
}

}  // namespace

namespace testing {

std::vector<std::string_view> rules_broken_with_sharing() {
  std::vector<std::string_view> rules;
  for (const Corruption& corruption : kCorruptions) rules.emplace_back(corruption.rule);
  return rules;
}

}  // namespace testing
}  // namespace pagoda::mm
