// The checker of shadow tables seen failing: for every rule a healthy machine is corrupted and the rule expected. And
// every notice that keeps a cache right is dropped once, which the checker or the guest's data must show.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string_view>
#include <vector>

#include "pagoda/hv/testing/corruptor.h"
#include "pagoda/hv/testing/raw_guest.h"
#include "pagoda/hv/testing/shadow_corruptor.h"

namespace pagoda::hv::testing {
namespace {

using machine::Access;
using machine::Asid;
using machine::PteFormat;
using namespace machine::pte_bits;
using State = TracedTables::State;

constexpr Asid kTag{1};
constexpr VirtualAddress kDirtyPage{0x400000};
constexpr VirtualAddress kReadOnlyPage{0x401000};
constexpr VirtualAddress kUnsyncPage{0x40000000};

// Entries of all kinds: writable, read-only, and of a table that is out of sync.
class Scene {
 public:
  explicit Scene(PteFormat paging = PteFormat::kAmd64) : guest_(host_, {.paging = paging}), root_(guest_.new_root()) {
    for (const VirtualAddress va : {kDirtyPage, kReadOnlyPage, kUnsyncPage}) {
      const Gfn frame = guest_.take();
      guest_.put_in_frame(frame, va.value());
      guest_.map(root_, va, frame, va == kReadOnlyPage ? kUser : RawGuest::kRights);
    }
    guest_.load_root(root_, kTag);
    PAGODA_CHECK(guest_.write(kDirtyPage));
    PAGODA_CHECK(guest_.read(kReadOnlyPage));
    PAGODA_CHECK(guest_.read(kUnsyncPage));
    // The same again: out of sync, and right.
    guest_.set(root_, kUnsyncPage, guest_.get(root_, kUnsyncPage));
    PAGODA_CHECK_EQ(guest_.shadow().traced().unsync().size(), std::size_t{1});
    PAGODA_CHECK(guest_.check().empty());
  }

  RawGuest& guest() { return guest_; }
  ShadowMmu& shadow() { return guest_.shadow(); }
  ShadowTree& tree() { return ShadowCorruptor::tree(shadow()); }
  Gfn root() const { return root_; }
  Gfn leaf_table() { return guest_.table(root_, kDirtyPage); }
  Gfn frame_of(VirtualAddress va) { return tree().find(va)->guest; }
  Lock& lock() { return guest_.partition().vmmem().lock; }
  machine::PhysicalView hypervisor_view() { return guest_.partition().processor(0).hypervisor_view(); }

  // Changes the guest's entry without the hypervisor seeing it.
  void set_unseen(VirtualAddress va, machine::RawPte set, machine::RawPte clear) {
    const PhysicalAddress at = guest_.entry(root_, va);
    const machine::RawPte raw = machine::load_entry(hypervisor_view(), guest_.mode(), at);
    machine::store_entry(hypervisor_view(), guest_.mode(), at, (raw & ~clear) | set);
  }
  // Changes the shadow entry.
  void change(VirtualAddress va, const std::function<void(ShadowTree::Leaf&)>& how) {
    const LockGuard guard(lock());
    ShadowTree::Leaf leaf = *tree().find(va);
    how(leaf);
    tree().install(va, leaf);
  }

 private:
  TestHost host_;
  RawGuest guest_;
  const Gfn root_;
};

bool finds(RawGuest& guest, std::string_view rule) {
  const auto findings = hv::check(guest.partition());
  return std::ranges::any_of(findings, [&](const Finding& finding) { return finding.rule == rule; });
}

struct Corruption {
  std::string_view rule;
  std::string_view name;
  void (*corrupt)(Scene&);
};

const std::vector<Corruption>& corruptions() {
  static const std::vector<Corruption> all{
      {"SH1", "a table's count", [](Scene& s) { ++ShadowCorruptor::table(s.tree(), s.tree().root()).used; }},
      {"SH2", "a use's count",
       [](Scene& s) { ++ShadowCorruptor::tables(s.shadow()).at(s.leaf_table()).uses.front().entries; }},
      {"SH2", "a use that is lost", [](Scene& s) { ShadowCorruptor::tables(s.shadow()).at(s.root()).uses.clear(); }},
      {"SH2", "a use that the tree does not know",
       [](Scene& s) { s.tree().guest_tables().erase(s.tree().guest_tables().begin()); }},
      {"SH2", "a table that is not marked",
       [](Scene& s) { ShadowCorruptor::flag(s.shadow(), s.leaf_table()) = false; }},
      {"SH2", "data that are marked",
       [](Scene& s) { ShadowCorruptor::flag(s.shadow(), s.frame_of(kDirtyPage)) = true; }},
      {"SH3", "a root out of sync",
       [](Scene& s) {
         ShadowCorruptor::tables(s.shadow()).at(s.root()).state = State::kUnsync;
         ShadowCorruptor::unsync(s.shadow()).insert(s.root());
       }},
      {"SH3", "a table that nobody will bring in sync", [](Scene& s) { ShadowCorruptor::unsync(s.shadow()).clear(); }},
      {"SH4", "a guest's entry that went", [](Scene& s) { s.set_unseen(kDirtyPage, 0, kValid); }},
      {"SH4", "a guest's entry that lost a right", [](Scene& s) { s.set_unseen(kDirtyPage, 0, kWrite); }},
      {"SH4", "a guest's entry that is the supervisor's", [](Scene& s) { s.set_unseen(kReadOnlyPage, 0, kUser); }},
      {"SH4", "a guest's entry that is clean", [](Scene& s) { s.set_unseen(kDirtyPage, 0, kDirty); }},
      {"SH4", "a guest's entry that is not accessed", [](Scene& s) { s.set_unseen(kReadOnlyPage, 0, kAccessed); }},
      {"SH4", "a guest's entry that leads elsewhere", [](Scene& s) { s.set_unseen(kReadOnlyPage, 0x100000, 0); }},
      {"SH4", "a table above the leaves that changed",
       [](Scene& s) {
         const PhysicalAddress at = s.guest().entry(s.root(), kUnsyncPage, 2);
         machine::store_entry(s.hypervisor_view(), s.guest().mode(), at, 0);
       }},
      {"SH4", "an entry that allows more",
       [](Scene& s) { s.change(kReadOnlyPage, [](auto& l) { l.writable = true; }); }},
      {"SH5", "an entry that leads to another host frame",
       [](Scene& s) {
         const Pfn other = s.tree().find(kDirtyPage)->host;
         s.change(kReadOnlyPage, [&](auto& leaf) { leaf.host = other; });
       }},
      {"SH5", "an entry that may write what the second level may not",
       [](Scene& s) {
         // Read in again it is clean, of a table that may say anything.
         s.guest().page_out();
         PAGODA_CHECK(s.guest().read(kUnsyncPage));
         s.change(kUnsyncPage, [](auto& leaf) { leaf.writable = true; });
       }},
      {"SH6", "an entry that the reverse map does not have",
       [](Scene& s) { ShadowCorruptor::reverse_map(s.shadow()).erase(s.frame_of(kDirtyPage)); }},
      {"SH6", "an entry that only the reverse map has",
       [](Scene& s) {
         ShadowCorruptor::reverse_map(s.shadow())[s.frame_of(kDirtyPage)].push_back({&s.tree(), kUnsyncPage});
       }},
      {"SH7", "an entry that may write a table",
       [](Scene& s) {
         s.change(kDirtyPage, [&](auto& leaf) {
           leaf.guest = s.leaf_table();
           leaf.host = s.guest().partition().slat().frame_of(leaf.guest);
         });
       }},
      {"SH7", "a TLB that may write a table",
       [](Scene& s) {
         s.guest().cpu().fill_tlb(
             kDirtyPage,
             {.frame = to_guest_pfn(s.leaf_table()), .user = true, .writable = true, .dirty = true, .entry = {}});
       }},
      {"SH8", "a table frame that is lost",
       [](Scene& s) {
         const LockGuard guard(s.lock());
         TableFrames& frames = s.guest().partition().table_frames();
         frames.assert_held();
         [[maybe_unused]] const Pfn lost = frames.take(s.guest().partition().memory().host_memory());
       }},
      {"SH9", "a tag that finds no tree", [](Scene& s) { ShadowCorruptor::index(s.shadow()).by_tag.clear(); }},
      {"SH9", "a tree under a tag that it was not loaded under",
       [](Scene& s) { ShadowCorruptor::index(s.shadow()).by_tag[machine::Asid{77}].push_back(&s.tree()); }},
      {"SH9", "a tree without global entries among those with",
       [](Scene& s) { ShadowCorruptor::index(s.shadow()).with_global.push_back(&s.tree()); }},
  };
  return all;
}

TEST(ShadowCheck, FindsEveryCorruption) {
  for (const PteFormat paging : {PteFormat::kAmd64, PteFormat::kPae, PteFormat::kX86}) {
    for (const Corruption& corruption : corruptions()) {
      Scene scene(paging);
      corruption.corrupt(scene);
      EXPECT_TRUE(finds(scene.guest(), corruption.rule)) << corruption.rule << ": " << corruption.name << "\n"
                                                         << hv::to_string(hv::check(scene.guest().partition()));
    }
  }
}

// --- Notices that get lost ---

// The guest's processor does something that its hypervisor does not see.
template <class Do>
void unseen(RawGuest& guest, Do&& what) {
  guest.cpu().attach(static_cast<machine::GuestMmu*>(nullptr));
  what();
  guest.cpu().attach(&guest.shadow());
}

class LostNotices : public ::testing::Test {
 protected:
  LostNotices() : g(host) {
    root = g.new_root();
    for (std::uint64_t value : {1, 2}) {
      frames.push_back(g.take());
      g.put_in_frame(frames.back(), value);
    }
    g.map(root, kDirtyPage, frames[0]);
    g.load_root(root, machine::kUntagged);
    EXPECT_EQ(g.value(kDirtyPage), 1U);
  }

  TestHost host;
  RawGuest g;
  Gfn root;
  std::vector<Gfn> frames;
};

TEST_F(LostNotices, OfAnInvalidatedPageShowInWhatTheGuestReads) {
  g.map(root, kDirtyPage, frames[1]);
  unseen(g, [&] { g.cpu().invalidate_page(kDirtyPage, machine::kUntagged); });
  EXPECT_EQ(g.value(kDirtyPage), 1U);  // Wrong.
  g.cpu().invalidate_page(kDirtyPage, machine::kUntagged);
  EXPECT_EQ(g.value(kDirtyPage), 2U);
}

TEST_F(LostNotices, OfALoadedRootShowInWhatTheGuestReads) {
  g.map(root, kDirtyPage, frames[1]);
  unseen(g, [&] { g.load_root(root, machine::kUntagged); });
  EXPECT_EQ(g.value(kDirtyPage), 1U);  // Wrong.
  g.load_root(root, machine::kUntagged);
  EXPECT_EQ(g.value(kDirtyPage), 2U);
}

TEST_F(LostNotices, OfAFlushShowInWhatTheGuestReads) {
  g.map(root, kDirtyPage, frames[1]);
  unseen(g, [&] { g.cpu().invalidate_all(); });
  EXPECT_EQ(g.value(kDirtyPage), 1U);  // Wrong.
  g.cpu().invalidate_all();
  EXPECT_EQ(g.value(kDirtyPage), 2U);
}

TEST_F(LostNotices, OfAWriteToATracedTableShowInTheChecker) {
  const machine::RawPte raw = GuestPhysicalAddress(frames[1]).value() | kValid | RawGuest::kRights;
  machine::store_entry(g.partition().processor(0).hypervisor_view(), g.mode(), g.entry(root, kDirtyPage), raw);
  EXPECT_TRUE(finds(g, "SH4"));
}

TEST_F(LostNotices, OfAFrameThatTheHostTakesShowInTheChecker) {
  // The shadow looks its entries up in the reverse map, and finds none.
  auto& map = ShadowCorruptor::reverse_map(g.shadow());
  const auto hidden = std::move(map.at(frames[0]));
  map.erase(frames[0]);
  g.page_out();
  map[frames[0]] = hidden;
  EXPECT_TRUE(finds(g, "SH5"));
}

// A guest with a memory manager, whose own checker sees what its TLB holds.
TEST(LostNotice, OfAGuestsShootDownShowsInTheGuestsChecker) {
  TestHost host;
  TestVm vm(host, {.partition = {.memory = pages_of(2_MiB), .mmu = MmuKind::kShadow, .disks = {{}}}});
  const VirtualAddress base = vm.commit(PageCount(8));
  vm.fill(base, PageCount(8));
  // The guest revokes a right of a table that is out of sync already.
  ASSERT_TRUE(vm.space().protect(vm.cpu(), base, kPageSize, mm::Protection::kReadOnly));
  ASSERT_EQ(vm.get(base, 1), 2U);
  ASSERT_TRUE(vm.cpu().store<std::uint64_t>(base + kPageSize, 2));
  vm.cpu().attach(static_cast<machine::GuestMmu*>(nullptr));
  ASSERT_TRUE(vm.space().protect(vm.cpu(), base + kPageSize, kPageSize, mm::Protection::kReadOnly));
  vm.cpu().attach(vm.partition().shadow());
  EXPECT_EQ(vm.check(), "");                                        // Nothing stale is in the processor's TLB yet.
  EXPECT_TRUE(vm.cpu().store<std::uint64_t>(base + kPageSize, 3));  // Wrong.
  EXPECT_NE(vm.check().find("TL1"), std::string::npos);
}

// The host's own notices, under all kinds of paging.
TEST(LostNotice, OfTheHostShowsInTheCheckerAndInWhatTheGuestReads) {
  for (const MmuKind mmu : kAllMmus) {
    TestHost host({.frames = PageCount(512)});
    TestVm vm(host, {.partition = {.memory = pages_of(2_MiB), .mmu = mmu, .disks = {{}}}});
    const VirtualAddress base = vm.commit(PageCount(64));
    vm.fill(base, PageCount(64));
    mm::ProcessSpace& vmmem = vm.partition().vmmem();
    vmmem.remove_observer(Corruptor::observer(vm.partition()));
    vmmem.empty_working_set(host.cpu());
    ASSERT_TRUE(host.manager().flush_modified(host.cpu()));
    vmmem.add_observer(Corruptor::observer(vm.partition()));
    const auto findings = hv::check(vm.partition());
    EXPECT_TRUE(std::ranges::any_of(findings, [](const Finding& finding) { return finding.rule == "SL2-1"; }));
    // Somebody else gets the frames.
    mm::ProcessSpace& other = **host.manager().create_space(host.cpu(), {});
    host.manager().attach(host.cpu(), other);
    const PageCount many{800};
    const VirtualAddress others(other.reserve({.size = bytes_of(many), .commit = mm::MemCommit::kYes})->first);
    for (PageCount i; i < many; ++i) ASSERT_TRUE(host.cpu().store<std::uint64_t>(others + bytes_of(i), ~i.value()));
    EXPECT_GT(vm.differences(base, PageCount(64)), 0U);
    host.manager().detach(host.cpu());
  }
}

}  // namespace
}  // namespace pagoda::hv::testing
