// The checker of a paravirtual guest's tables seen failing: for every rule a healthy machine is corrupted and the rule
// expected.
#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "pagoda/hv/testing/paravirtual_corruptor.h"
#include "pagoda/hv/testing/raw_guest.h"

namespace pagoda::hv::testing {
namespace {

using machine::PteFormat;
using machine::RawPte;
using namespace machine::pte_bits;
using Corrupt = ParavirtualCorruptor;

constexpr VirtualAddress kPage{0x400000};

// A root, tables, and a page that may be written.
class Scene {
 public:
  explicit Scene(PteFormat paging)
      : guest_(host_, {.paging = paging, .mmu = MmuKind::kParavirtual}), root_(guest_.new_root()) {
    data_ = guest_.page(root_, kPage, 1);
    guest_.load_root(root_, machine::Asid{1});
    PAGODA_CHECK(guest_.write(kPage));
    PAGODA_CHECK(guest_.check().empty());
  }

  RawGuest& guest() { return guest_; }
  ParavirtualMmu& mmu() { return *guest_.partition().paravirtual(); }
  Gfn root() const { return root_; }
  Gfn data() const { return data_; }
  Gfn leaf_table() { return guest_.table(root_, kPage); }
  std::uint64_t index() { return guest_.entry(root_, kPage).page_offset() / guest_.mode().entry_bytes; }
  // Changes the validated entry of the page.
  void change(RawPte raw) { Corrupt::store(mmu(), leaf_table(), index(), raw); }

 private:
  TestHost host_;
  RawGuest guest_;
  const Gfn root_;
  Gfn data_;
};

struct Corruption {
  std::string_view rule;
  std::string_view name;
  void (*corrupt)(Scene&);
};

const std::vector<Corruption>& corruptions() {
  static const std::vector<Corruption> all{
      {"PV1", "a table's links", [](Scene& s) { ++Corrupt::table(s.mmu(), s.leaf_table()).links; }},
      {"PV1", "a root's loads", [](Scene& s) { ++Corrupt::table(s.mmu(), s.root()).loads; }},
      {"PV1", "a pinned table that is no root",
       [](Scene& s) { Corrupt::table(s.mmu(), s.leaf_table()).pinned = true; }},
      {"PV1", "a table that nothing needs",
       [](Scene& s) {
         const std::uint64_t entries = s.guest().mode().entries(s.guest().mode().levels);
         for (std::uint64_t i = 0; i < entries; ++i) Corrupt::store(s.mmu(), s.root(), i, 0);
         Corrupt::table(s.mmu(), s.guest().table(s.root(), kPage, s.guest().mode().levels - 1)).links = 0;
       }},
      {"PV1", "a table that is not marked", [](Scene& s) { Corrupt::flag(s.mmu(), s.leaf_table()) = false; }},
      {"PV1", "data that are marked", [](Scene& s) { Corrupt::flag(s.mmu(), s.data()) = true; }},
      {"PV1", "a loaded root that is no table",
       [](Scene& s) {
         const Gfn root = s.root();
         Corrupt::erase(s.mmu(), root);
       }},
      {"PV2", "a frame's writers", [](Scene& s) { ++Corrupt::writers(s.mmu(), s.data()); }},
      {"PV2", "a table that is mapped writably",
       [](Scene& s) {
         const Gfn table = s.leaf_table();
         s.change(GuestPhysicalAddress(table).value() | kValid | kWrite);
         Corrupt::writers(s.mmu(), s.data()) = 0;
         Corrupt::writers(s.mmu(), table) = 1;
       }},
      {"PV3", "an entry with nothing behind it",
       [](Scene& s) { s.change(GuestPhysicalAddress(Gfn(0x90000)).value() | kValid); }},
      {"PV3", "an entry that names a table that is none", [](Scene& s) { Corrupt::erase(s.mmu(), s.leaf_table()); }},
      {"PV3", "an entry that names a table of another level",
       [](Scene& s) { ++Corrupt::table(s.mmu(), s.leaf_table()).level; }},
      {"PV4", "a TLB that may write a table",
       [](Scene& s) {
         s.guest().cpu().fill_tlb(
             kPage,
             {.frame = to_guest_pfn(s.leaf_table()), .user = true, .writable = true, .dirty = true, .entry = {}});
       }},
  };
  return all;
}

TEST(ParavirtualCheck, FindsEveryCorruption) {
  for (const PteFormat paging : {PteFormat::kAmd64, PteFormat::kPae, PteFormat::kX86}) {
    for (const Corruption& corruption : corruptions()) {
      Scene scene(paging);
      corruption.corrupt(scene);
      const auto findings = hv::check(scene.guest().partition());
      EXPECT_TRUE(std::ranges::any_of(findings, [&](const Finding& found) { return found.rule == corruption.rule; }))
          << corruption.rule << ": " << corruption.name << "\n"
          << hv::to_string(findings);
    }
  }
}

}  // namespace
}  // namespace pagoda::hv::testing
