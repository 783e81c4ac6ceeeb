// The checker seen failing where there are sections: every rule about them, and those that they widened.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/mm/check/check.h"
#include "pagoda/mm/testing/corruptor.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;
using testing::TestMachineConfig;
namespace pte_bits = machine::pte_bits;

// A file, a paging-file section and a reserved one, mapped by two spaces, with pages in every state. No page is read or
// written as another's neighbour.
class Scene : public TestMachine {
 public:
  explicit Scene(machine::PteFormat paging = machine::PteFormat::kAmd64)
      : TestMachine(config(paging)), other_(add_space()) {
    auto disk_file = *machine().sim_disk(0).create("data");
    PAGODA_CHECK(disk_file->resize(64_KiB).has_value());
    file_ = std::make_shared<FileStream>("data", std::move(disk_file));
    Section& data = make({.file = file_, .kind = SectionKind::kData});
    Section& shared = make({.size = 64_KiB});
    Section& reserved = make({.size = 1_MiB, .flags = {.reserve = true}});
    file_view_ = map(space(), data);
    copy_view_ = map(space(), data, Protection::kWriteCopy);
    shared_view_ = map(space(), shared);
    reserved_view_ = map(space(), reserved);
    other_file_view_ = map(other_, data);
    other_shared_view_ = map(other_, shared);
    PAGODA_CHECK(space().commit(cpu(), reserved_view_, 64_KiB, Protection::kReadWrite).has_value());
    region_ = commit(PageCount(1));

    fill(shared_view_, PageCount(4));
    fill(file_view_, PageCount(4));
    push_out();
    must_touch(file_standby());
    must_touch(shared_standby());
    space().empty_working_set(cpu());
    must_put(file_modified(), 0, 1);
    must_put(shared_modified(), 0, 1);
    space().empty_working_set(cpu());
    must_put(file_dirty(), 0, 1);
    must_put(shared_dirty(), 0, 1);
    must_touch(file_clean());
    must_put(copied(), 0, 1);
    must_put(region_, 0, 1);
    manager().attach(cpu(1), other_);
    must_touch(page(other_file_view_, 0), machine::Access::kRead, 1);
    must_put(other_shared_view_, 0, 2, 1);
  }

  // Pages of the views of the first space.
  [[nodiscard]] VirtualAddress file_dirty() const { return file_view_; }  // In the other space too, read there.
  [[nodiscard]] VirtualAddress file_clean() const { return page(file_view_, 1); }
  [[nodiscard]] VirtualAddress file_standby() const { return page(file_view_, 2); }
  [[nodiscard]] VirtualAddress file_modified() const { return page(file_view_, 3); }
  [[nodiscard]] VirtualAddress shared_dirty() const { return shared_view_; }  // In both spaces.
  [[nodiscard]] VirtualAddress shared_paged() const { return page(shared_view_, 1); }
  [[nodiscard]] VirtualAddress shared_standby() const { return page(shared_view_, 2); }
  [[nodiscard]] VirtualAddress shared_modified() const { return page(shared_view_, 3); }
  [[nodiscard]] VirtualAddress copied() const { return page(copy_view_, 1); }
  [[nodiscard]] VirtualAddress untouched() const { return page(shared_view_, 9); }
  [[nodiscard]] VirtualAddress private_page() const { return region_; }

  [[nodiscard]] const PteCodec& codec() { return core().codec; }
  [[nodiscard]] Vad& vad(VirtualAddress va) { return *Corruptor::vads(space()).find(va.vpn()); }
  [[nodiscard]] ControlArea& area(VirtualAddress va) { return *vad(va).control_area; }
  [[nodiscard]] ControlArea& data() { return area(file_view_); }
  [[nodiscard]] ControlArea& shared() { return area(shared_view_); }
  [[nodiscard]] ControlArea& reserved() { return area(reserved_view_); }
  // The prototype PTE of a page of a view.
  [[nodiscard]] PhysicalAddress prototype(VirtualAddress va) {
    const LockGuard guard(core().pfns.lock);
    return core().prototypes.find(prototype_address(va));
  }
  [[nodiscard]] VirtualAddress prototype_address(VirtualAddress va) {
    const Vad& view = vad(va);
    return view.control_area->prototype_of(codec(), view.section_page_of(va.vpn()));
  }
  [[nodiscard]] RawPte load(PhysicalAddress pte) { return core().load(cpu(), pte); }
  void store(PhysicalAddress pte, RawPte raw) { machine::store_entry(cpu().physical(), core().mode, pte, raw); }
  [[nodiscard]] Pfn prototype_frame(VirtualAddress va) { return codec().frame(load(prototype(va))); }
  [[nodiscard]] PfnEntry& frame_entry(Pfn frame) { return Corruptor::entry(core(), frame); }
  [[nodiscard]] PfnEntry& entry(VirtualAddress va) { return frame_entry(frame(va)); }
  [[nodiscard]] PfnEntry& prototype_entry(VirtualAddress va) { return frame_entry(prototype_frame(va)); }
  [[nodiscard]] PfnEntry& prototype_page(VirtualAddress va) { return frame_entry(prototype(va).pfn()); }
  [[nodiscard]] PhysicalAddress pte_address(VirtualAddress va) {
    const LockGuard guard(space().lock);
    return space().tables().find(cpu(), va.vpn());
  }
  void scribble(Pfn frame) { cpu().physical().bytes(frame, machine::Access::kWrite).bytes()[77] ^= std::byte{1}; }
  [[nodiscard]] WorkingSet& working_set() { return Corruptor::working_set(space()); }
  // A page of clone entries, one of which may be in use and is named by nobody.
  void make_clone(bool in_use = false) {
    const LockGuard guard(core().pfns.lock);
    PAGODA_CHECK(core().commit.charge(1_pages).has_value());
    clone_ = *core().prototypes.make_clone_page(cpu());
    if (in_use) core().prototypes.use_clone_entry(clone_, Protection::kReadWrite, 2);
  }
  [[nodiscard]] VirtualAddress clone() const { return clone_; }

 private:
  static TestMachineConfig config(machine::PteFormat paging) {
    TestMachineConfig config{.frames = PageCount(160), .paging = paging, .processors = 2};
    config.tunables.read_cluster = 1;
    return config;
  }
  Section& make(const SectionRequest& request) { return **manager().sections().create(cpu(), request); }
  VirtualAddress map(ProcessSpace& into, Section& section, Protection protection = Protection::kReadWrite) {
    return VirtualAddress(into.map_view(cpu(), section, {.protection = protection})->first);
  }

  ProcessSpace& other_;
  std::shared_ptr<FileStream> file_;
  VirtualAddress file_view_;
  VirtualAddress copy_view_;
  VirtualAddress shared_view_;
  VirtualAddress reserved_view_;
  VirtualAddress other_file_view_;
  VirtualAddress other_shared_view_;
  VirtualAddress region_;
  VirtualAddress clone_;
};

struct Corruption {
  const char* rule;
  const char* what;  // For the test's name.
  void (*corrupt)(Scene& s);
};

void PrintTo(const Corruption& corruption, std::ostream* out) { *out << corruption.rule << corruption.what; }

const Corruption kCorruptions[] = {
    // --- Control areas ---
    {"CA1", "Resident", [](Scene& s) { ++s.data().resident; }},
    {"CA1", "ResidentOfPagingFile", [](Scene& s) { --s.shared().resident; }},
    {"CA2", "Views", [](Scene& s) { ++s.data().mapped_views; }},
    {"CA2", "Sections", [](Scene& s) { --s.shared().section_references; }},
    {"CA2", "ViewOfAnother", [](Scene& s) { s.vad(s.copied()).control_area = &s.shared(); }},
    {"CA3", "Charge", [](Scene& s) { ++s.shared().charge; }},
    {"CA3", "FileCharged", [](Scene& s) { ++s.data().charge; }},
    {"CA3", "Committed", [](Scene& s) { s.reserved().committed.add(PageCount(20), PageCount(21)); }},
    {"CA4", "ZeroInACommittedSegment", [](Scene& s) { s.store(s.prototype(s.untouched()), 0); }},
    {"CA4", "DemandZeroInAFile",
     [](Scene& s) {
       s.store(s.prototype(s.file_clean()) + 80_B, s.codec().demand_zero(Protection::kExecuteReadWrite));
     }},
    {"CA4", "AnotherProtection",
     [](Scene& s) { s.store(s.prototype(s.untouched()), s.codec().demand_zero(Protection::kReadOnly)); }},
    {"CA4", "NoSuchSubsection",
     [](Scene& s) {
       const PhysicalAddress pte = s.prototype(s.file_clean()) + 80_B;
       s.store(pte, s.codec().subsection(s.data().subsections().front()->address + 64_B,
                                         s.codec().protection(s.load(pte), PteHome::kSegment)));
     }},
    {"CA4", "FrameOutOfMemory",
     [](Scene& s) {
       const PhysicalAddress pte = s.prototype(s.file_clean());
       s.store(pte, s.load(pte) ^ RawPte{1} << 40);
     }},
    {"CA4", "BehindTheEnd",
     [](Scene& s) { s.store(s.prototype(s.untouched()) + 800_B, s.codec().demand_zero(Protection::kReadWrite)); }},

    // --- Pages of prototype PTEs ---
    {"PP1", "AnotherPlace", [](Scene& s) { s.prototype_page(s.file_clean()).used_entries += 5; }},
    {"PP1", "OutOfPool", [](Scene& s) { s.prototype_page(s.file_clean()).used_entries = ~std::uint32_t{0}; }},
    {"PP1", "CloneOfNobody",
     [](Scene& s) { s.prototype_page(s.file_clean()).original_pte = std::uint64_t{1} << 63 | 5; }},
    {"PP1", "OfTwoPlaces",
     [](Scene& s) {
       auto& frames = Corruptor::prototype_frames(s.core());
       frames[s.prototype_page(s.file_clean()).used_entries] = s.prototype(s.shared_dirty()).pfn().value();
     }},
    {"PP2", "AnotherOwner", [](Scene& s) { s.prototype_page(s.file_clean()).original_pte = s.shared().number(); }},
    {"PP2", "NoSuchOwner", [](Scene& s) { s.prototype_page(s.file_clean()).original_pte = 77; }},
    {"PP2", "OutOfRun", [](Scene& s) { Corruptor::runs(s.data()).front().prototypes += kPageSize; }},
    {"PP2", "NothingResident",
     [](Scene& s) {
       // As if the segment went on, and somebody had looked there.
       auto& runs = Corruptor::runs(s.data());
       const LockGuard guard(s.core().pfns.lock);
       ControlArea::Run run = runs.front();
       run.first += run.pages;
       run.prototypes = *s.core().prototypes.reserve(1_pages);
       runs.push_back(run);
       ASSERT_TRUE(s.core().prototypes.make(s.cpu(), run.prototypes, s.data()));
     }},
    {"PP3", "NamedByNobody", [](Scene& s) { s.make_clone(true); }},
    {"PP3", "HoldsAndCountsNothing",
     [](Scene& s) {
       s.make_clone();
       const LockGuard guard(s.core().pfns.lock);
       s.store(s.core().prototypes.find(s.clone()), s.codec().demand_zero(Protection::kReadWrite));
     }},
    {"PP3", "NamesNoClone",
     [](Scene& s) {
       s.store(s.pte_address(s.private_page()), s.codec().prototype(s.prototype_address(s.untouched()),
                                                                    Protection::kReadWrite, PteCodec::ReadOnly::kNo));
     }},

    {"PP4", "AFreeCloneEntryIsLost",
     [](Scene& s) {
       s.make_clone();
       Corruptor::take_free_clone_entry(s.core().prototypes);
     }},
    {"PP4", "NobodyLooksAtAPageWithFreeCloneEntries",
     [](Scene& s) {
       s.make_clone();
       Corruptor::partial_clones(s.core().prototypes).clear();
     }},
    {"PP5", "APageThatCouldGoOutIsNotKnown",
     [](Scene& s) {
       s.make_clone();
       Corruptor::idle(Corruptor::prototype_pages(s.core())).clear();
     }},

    // --- Frames of shared pages ---
    {"PF2", "SharedByMore", [](Scene& s) { ++s.entry(s.shared_dirty()).share_count; }},
    {"PF2", "SharedByFewer", [](Scene& s) { s.entry(s.shared_dirty()).share_count = 1; }},
    {"PF2", "MappedAsPrivate",
     [](Scene& s) {
       const PhysicalAddress pte = s.pte_address(s.shared_dirty());
       s.store(pte, s.load(pte) ^ soft_bits::kPrototype);
     }},
    {"PF2", "PrivateMappedAsShared",
     [](Scene& s) {
       const PhysicalAddress pte = s.pte_address(s.copied());
       s.store(pte, s.load(pte) ^ soft_bits::kPrototype);
     }},
    {"PF2", "PrototypeSaysInTransition",
     [](Scene& s) {
       s.store(s.prototype(s.file_clean()),
               s.codec().transition(s.prototype_frame(s.file_clean()), Protection::kExecuteReadWrite));
     }},
    {"PF2", "PrototypeOfAStandbyPageIsValid",
     [](Scene& s) {
       s.store(s.prototype(s.file_standby()), s.load(s.prototype(s.file_standby())) | pte_bits::kValid);
     }},
    {"PF3", "OwnerIsNoPrototype", [](Scene& s) { s.entry(s.file_clean()).prototype_pte = 0; }},
    {"PF4", "PrototypesInMemory", [](Scene& s) { ++s.prototype_page(s.file_clean()).share_count; }},
    {"PF5", "PrototypeForgot",
     [](Scene& s) { s.store(s.prototype(s.shared_standby()), s.codec().demand_zero(Protection::kReadWrite)); }},
    {"PF5", "TwoPrototypes",
     [](Scene& s) { s.store(s.prototype(s.untouched()), s.load(s.prototype(s.shared_modified()))); }},
    {"PF6", "SlotOfASharedPageDiffers", [](Scene& s) { s.scribble(s.prototype_frame(s.shared_standby())); }},
    {"PF6", "CleanAndWritable", [](Scene& s) { s.entry(s.shared_dirty()).modified = 0; }},
    {"PF6", "CleanOnTheModifiedListOfFiles", [](Scene& s) { s.prototype_entry(s.file_modified()).modified = 0; }},
    {"PF8", "FileDiffers", [](Scene& s) { s.scribble(s.frame(s.file_clean())); }},
    {"PF8", "FileDiffersOnStandby", [](Scene& s) { s.scribble(s.prototype_frame(s.file_standby())); }},
    {"PF8", "NobodysFile",
     [](Scene& s) {
       PfnEntry& clean = s.prototype_entry(s.shared_standby());
       clean.original_pte = s.codec().subsection(s.data().subsections().front()->address, Protection::kReadWrite);
     }},

    // --- Lists ---
    {"PL1", "OfAFileAndNotOnItsList",
     [](Scene& s) {
       s.prototype_entry(s.file_modified()).original_pte = s.codec().demand_zero(Protection::kExecuteReadWrite);
     }},
    {"PL1", "OnTheListOfFilesAndNotOfOne",
     [](Scene& s) {
       s.prototype_entry(s.shared_modified()).original_pte =
           s.codec().subsection(s.data().subsections().front()->address, Protection::kReadWrite);
     }},
    {"PL2", "CountOfFiles", [](Scene& s) { ++Corruptor::modified_of_files(s.core()).count; }},
    {"PL2", "BackLinkOfFiles", [](Scene& s) { s.prototype_entry(s.file_modified()).blink = 3; }},
    {"PL2", "CircleOfFiles",
     [](Scene& s) { s.prototype_entry(s.file_modified()).flink = s.prototype_frame(s.file_modified()).value(); }},

    // --- Spaces ---
    {"PT3", "RightsOfAnotherView",
     [](Scene& s) { s.store(s.pte_address(s.file_clean()), s.pte(s.file_clean()) ^ pte_bits::kCacheDisable); }},
    {"PT3", "LeadsElsewhere",
     [](Scene& s) {
       s.store(s.pte_address(s.shared_standby()), s.codec().prototype(s.prototype_address(s.untouched()),
                                                                      Protection::kReadWrite, PteCodec::ReadOnly::kNo));
     }},
    {"PT3", "MapsAnotherPage", [](Scene& s) { s.store(s.pte_address(s.file_clean()), s.pte(s.file_dirty())); }},
    {"PT3", "LookupInARegion",
     [](Scene& s) { s.store(s.pte_address(s.private_page()), s.codec().lookup_needed(Protection::kReadWrite)); }},
    {"PT3", "StrayBitsOfAPointer",
     [](Scene& s) {
       const PhysicalAddress pte = s.pte_address(s.shared_standby());
       s.store(pte, s.load(pte) ^ 2);
     }},
    {"AS2", "ViewCharge", [](Scene& s) { ++s.vad(s.copied()).commit_charge; }},
    {"AS2", "ChargeOfAViewThatCopiesNothing", [](Scene& s) { ++s.vad(s.file_clean()).commit_charge; }},
    {"AS3", "PrivateView", [](Scene& s) { s.vad(s.file_clean()).is_private = true; }},
    {"AS3", "HoleInAView", [](Scene& s) { s.store(s.pte_address(s.shared_standby()), s.codec().decommitted()); }},
    {"AS2", "DemandZeroInAView",
     [](Scene& s) { s.store(s.pte_address(s.shared_standby()), s.codec().demand_zero(Protection::kReadWrite)); }},

    // --- Working sets ---
    {"WS2", "SharedSaidToBePrivate",
     [](Scene& s) { s.working_set().make_private(s.working_set().find_shared(s.file_clean().vpn())); }},
    {"WS2", "HashLost", [](Scene& s) { std::ranges::fill(Corruptor::hash(s.working_set()), WorkingSet::kNoSlot); }},
    {"WS2", "HashToAnother",
     [](Scene& s) {
       auto& hash = Corruptor::hash(s.working_set());
       const std::uint32_t from = s.working_set().find_shared(s.file_clean().vpn());
       const std::uint32_t to = s.working_set().find_shared(s.file_dirty().vpn());
       std::ranges::replace(hash, from, to);
     }},
    {"WS2", "HashOfNothing",
     [](Scene& s) {
       // One that leads nowhere, besides those that are right.
       auto& hash = Corruptor::hash(s.working_set());
       *std::ranges::find(hash, WorkingSet::kNoSlot) = s.entry(s.copied()).ws_index;
     }},

    // --- Slots ---
    {"SL1", "PrototypesSlotIsFree",
     [](Scene& s) { s.core().paging_files[0].free(s.codec().slot(s.load(s.prototype(s.shared_paged())))); }},
    {"SL1", "TwoPrototypesOneSlot",
     [](Scene& s) { s.store(s.prototype(s.untouched()), s.load(s.prototype(s.shared_paged()))); }},
};

class CheckFindsInSections : public ::testing::TestWithParam<Corruption> {};

INSTANTIATE_TEST_SUITE_P(Corruptions, CheckFindsInSections, ::testing::ValuesIn(kCorruptions),
                         [](const ::testing::TestParamInfo<Corruption>& test) {
                           return std::string(test.param.rule) + test.param.what;
                         });

TEST_P(CheckFindsInSections, TheBrokenRule) {
  Scene scene;
  ASSERT_EQ(scene.check(), "");
  GetParam().corrupt(scene);
  const std::vector<Finding> findings = check(scene.manager(), scene.cpu());
  EXPECT_GT(std::ranges::count(findings, GetParam().rule, &Finding::rule), 0) << to_string(findings);
}

TEST(CheckRules, SceneHasSharedPagesInAllStates) {
  Scene s;
  EXPECT_EQ(s.state(s.file_dirty()), PageState::kActive);
  EXPECT_EQ(s.entry(s.file_dirty()).share_count, 2U);
  EXPECT_EQ(s.entry(s.file_clean()).modified, 0U);
  EXPECT_EQ(s.prototype_entry(s.file_standby()).state, PageState::kStandby);
  EXPECT_EQ(s.prototype_entry(s.file_modified()).state, PageState::kModified);
  EXPECT_EQ(s.entry(s.shared_dirty()).share_count, 2U);
  EXPECT_EQ(s.codec().kind(s.load(s.prototype(s.shared_paged())), PteHome::kSegment), PteKind::kPageFile);
  EXPECT_EQ(s.prototype_entry(s.shared_standby()).state, PageState::kStandby);
  EXPECT_EQ(s.prototype_entry(s.shared_modified()).state, PageState::kModified);
  EXPECT_EQ(s.entry(s.copied()).prototype_pte, 0U);
}

// Wild stores into what the checker reads: it ends, reads nothing outside, and what is put back is clean again.
class CheckSurvivesInSections : public ::testing::TestWithParam<machine::PteFormat> {};

INSTANTIATE_TEST_SUITE_P(AllModes, CheckSurvivesInSections,
                         ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                           machine::PteFormat::kAmd64),
                         [](const ::testing::TestParamInfo<machine::PteFormat>& test) {
                           return std::string(machine::paging_mode(test.param).name);
                         });

TEST_P(CheckSurvivesInSections, WildStores) {
  Scene s(GetParam());
  s.make_clone();
  Random random(2);
  const auto wild = [&](auto& word) { with_wild_value(random, word, [&] { check(s.manager(), s.cpu()); }); };
  const std::array pages{s.file_dirty(),   s.file_clean(),     s.file_standby(),    s.file_modified(), s.shared_dirty(),
                         s.shared_paged(), s.shared_standby(), s.shared_modified(), s.copied()};
  const auto entry_at = [&](PhysicalAddress pte) -> std::uint32_t& {
    const machine::FrameView view = s.cpu().physical().bytes(pte.pfn(), machine::Access::kWrite);
    return *reinterpret_cast<std::uint32_t*>(view.data() + pte.page_offset() +
                                             4 * random.below(s.core().mode.entry_bytes / 4));
  };
  for (int round = 0; round < 3000; ++round) {
    const VirtualAddress va = pages[random.below(pages.size())];
    switch (random.below(4)) {
      case 0:
        wild(entry_at(s.prototype(va)));
        break;
      case 1:
        wild(entry_at(s.pte_address(va)));
        break;
      case 2: {
        PfnEntry& entry = s.frame_entry(Pfn(static_cast<std::uint32_t>(random.below(120))));
        wild(reinterpret_cast<std::uint64_t*>(&entry)[random.below(sizeof entry / sizeof(std::uint64_t))]);
        break;
      }
      default: {
        auto& hash = Corruptor::hash(s.working_set());
        wild(hash[random.below(hash.size())]);
      }
    }
  }
  EXPECT_EQ(s.check(), "");
}

}  // namespace

namespace testing {

std::vector<std::string_view> rules_broken_with_sections() {
  std::vector<std::string_view> rules;
  for (const Corruption& corruption : kCorruptions) rules.emplace_back(corruption.rule);
  return rules;
}

}  // namespace testing
}  // namespace pagoda::mm
