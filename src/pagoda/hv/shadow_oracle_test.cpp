// "A TLB is a TLB": whatever a guest does to its page tables, and whatever its host takes away meanwhile, the shadow
// holds only what a TLB could legally hold. The oracle keeps, per root and page, every translation that a walk of the
// guest's tables would have given at some time since the guest last invalidated it.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/hv/testing/raw_guest.h"

namespace pagoda::hv::testing {
namespace {

using machine::Access;
using machine::Asid;
using machine::Privilege;
using machine::PteFormat;
using machine::RawPte;
using namespace machine::pte_bits;

// The guest's memory as a walk reads it, without the marks that a walk leaves.
class Onlooker final : private machine::GuestFrameAccess {
 public:
  explicit Onlooker(machine::PhysicalView memory) : memory_(memory), scratch_(2 * kPageBytes) {}
  machine::PhysicalView view() { return machine::PhysicalView(*this); }

 private:
  std::byte* pin(Pfn frame, Access use, machine::FrameExtent /*part*/) override {
    const machine::FrameView bytes = memory_.bytes(frame, Access::kRead);
    std::byte* const copy = scratch_.data() + (use == Access::kWrite ? kPageBytes : 0);
    std::memcpy(copy, bytes.data(), kPageBytes);
    return copy;
  }
  void unpin(Pfn /*frame*/, Access /*use*/, machine::FrameExtent /*part*/) override {}
  machine::TlbBytes reach_for_tlb(Pfn frame, Access use, VirtualAddress /*va*/, Asid /*asid*/) override {
    return {.bytes = pin(frame, use, {})};
  }

  machine::PhysicalView memory_;
  std::vector<std::byte> scratch_;
};

struct Option {
  Gfn frame;
  bool writable = false;  // And dirty.
  bool user = false;
  bool executable = false;
  bool may_write = false;  // Dirty or not.

  friend constexpr auto operator<=>(const Option&, const Option&) = default;
};

class Storm {
 public:
  Storm(PteFormat paging, bool unsync, PageCount limit, std::uint64_t seed)
      : guest_(host_, {.paging = paging, .shadow_limit = limit, .unsync = unsync}), random_(seed) {
    for (unsigned i = 0; i < 3; ++i) roots_.push_back(guest_.new_root());
    const std::uint64_t reach = guest_.mode().coverage(2).value();
    for (const std::uint64_t base : {std::uint64_t{0x400000}, 0x400000 + reach, std::uint64_t{0x40000000}})
      for (std::uint64_t i = 0; i < 4; ++i) addresses_.emplace_back(base + i * kPageBytes);
    for (int i = 0; i < 8; ++i) data_.push_back(guest_.new_table());
    for (const Gfn root : roots_)
      for (const VirtualAddress va : addresses_) tables_.insert(guest_.table(root, va));
    // The leaf tables have been made by asking for them; those above stay what they are.
    large_ = guest_.take(pages_of(guest_.mode().coverage(2)));
    for (unsigned i = 0; i < 4; ++i) all_.insert(large_ + PageCount(i));
    all_.insert(data_.begin(), data_.end());
    all_.insert(tables_.begin(), tables_.end());
    load(0);
    record();
  }

  RawGuest& guest() { return guest_; }

  void step() {
    const VirtualAddress va = pick(addresses_);
    const Gfn root = pick(roots_);
    switch (random_.below(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
        maybe_page_out();
        read(va);
        break;
      case 4:
      case 5:
      case 6:
        maybe_page_out();
        write(va);
        break;
      case 7:
      case 8:
        set_leaf(root, va, random_entry());
        break;
      case 9: {
        const auto current = now(root, va);
        if (!current) break;
        const RawPte raw = guest_.get(root, va);
        const std::array changes{kAccessed | kDirty, kAccessed, kDirty, kWrite, kUser, kNoExecute};
        RawPte bits = changes[random_.below(changes.size())];
        if (bits == kNoExecute && !guest_.mode().has_no_execute) bits = kWrite;
        set_leaf(root, va, random_.below(4) == 0 ? raw | bits : bits == kNoExecute ? raw | bits : raw & ~bits);
        break;
      }
      case 10:
        change_table(root, va);
        break;
      case 11:
      case 12: {
        guest_.cpu().invalidate_page(va, asids_[current_]);
        forget(asids_[current_], va);
        break;
      }
      case 13:
        maybe_page_out();
        load(random_.below(roots_.size()));
        break;
      case 14:
        flush();
        break;
      default:
        if (random_.below(4) == 0) guest_.zero(pick(std::vector<Gfn>(tables_.begin(), tables_.end())));
        break;
    }
    record();
    check();
  }

 private:
  template <class T>
  const T& pick(const std::vector<T>& from) {
    return from[random_.below(from.size())];
  }
  template <class Set>
  Gfn pick_of(const Set& from) {
    return *std::next(from.begin(), static_cast<std::ptrdiff_t>(random_.below(from.size())));
  }

  // Never one that points to a table above the leaves: their contents are the storm's own.
  RawPte random_entry() {
    if (random_.below(5) == 0) return 0;
    RawPte raw = GuestPhysicalAddress(pick_of(all_)).value() | kValid | kUser;
    if (random_.below(4) != 0) raw |= kWrite;
    if (random_.below(3) == 0) raw |= kAccessed;
    if (random_.below(3) == 0) raw |= kAccessed | kDirty;
    if (random_.below(8) == 0) raw &= ~kUser;
    if (guest_.mode().has_no_execute && random_.below(3) == 0) raw |= kNoExecute;
    return raw;
  }
  // Where there is a leaf table.
  void set_leaf(Gfn root, VirtualAddress va, RawPte raw) {
    const RawPte above = guest_.get(root, va, 2);
    if ((above & kValid) != 0 && (above & kLarge) == 0) guest_.set(root, va, raw);
  }
  void change_table(Gfn root, VirtualAddress va) {
    switch (random_.below(6)) {
      case 0:
        return guest_.set(root, va, 0, 2);
      case 1:
        return guest_.map(root, va, large_, random_.below(2) == 0 ? kUser : kUser | kWrite, 2);
      case 2:  // Data become a table; what programs wrote there look like entries.
        return guest_.set(root, va, GuestPhysicalAddress(pick(data_)).value() | kValid | RawGuest::kRights, 2);
      default:
        return guest_.set(
            root, va,
            GuestPhysicalAddress(pick_of(tables_)).value() | kValid | kUser | (random_.below(3) != 0 ? kWrite : 0), 2);
    }
  }
  void maybe_page_out() {
    if (random_.below(8) == 0) guest_.page_out();
  }
  void flush() {
    if (random_.below(2) == 0) {
      guest_.cpu().invalidate_all();
      legal_.clear();
    } else {
      guest_.cpu().invalidate_asid(asids_[current_]);
      for (const VirtualAddress va : addresses_) forget(asids_[current_], va);
    }
  }
  void load(std::size_t number) {
    current_ = number;
    guest_.load_root(roots_[number], asids_[number]);
    if (asids_[number] == machine::kUntagged)
      for (const VirtualAddress va : addresses_) forget(machine::kUntagged, va);
  }
  void forget(Asid asid, VirtualAddress va) {
    for (std::size_t i = 0; i < roots_.size(); ++i)
      if (asids_[i] == asid) legal_.erase({roots_[i], va});
  }

  // What a walk gives now.
  std::optional<Option> now(Gfn root, VirtualAddress va) {
    Onlooker onlooker(guest_.partition().processor(0).hypervisor_view());
    std::uint64_t loads = 0;
    const auto walked = machine::walk(onlooker.view(), guest_.mode(), to_guest_pfn(root), va, Access::kRead,
                                      Privilege::kKernel, {}, loads);
    if (!walked) return std::nullopt;
    return Option{to_gfn(walked->frame), walked->writable && walked->dirty, walked->user, walked->executable,
                  walked->writable};
  }
  void record() {
    for (const Gfn root : roots_)
      for (const VirtualAddress va : addresses_)
        if (const auto option = now(root, va)) legal_[{root, va}].insert(*option);
  }

  // A word of each frame that programs can reach.
  std::map<Gfn, RawPte> words(std::uint64_t offset) {
    std::map<Gfn, RawPte> words;
    for (const Gfn frame : all_)
      words[frame] = machine::load_entry(guest_.partition().processor(0).hypervisor_view(), guest_.mode(),
                                         PhysicalAddress(to_guest_pfn(frame)) + ByteCount(offset));
    return words;
  }
  std::uint64_t random_slot() {
    const VirtualAddress va = pick(addresses_);
    return guest_.mode().index(va, 1) * guest_.mode().entry_bytes;
  }

  void read(VirtualAddress va) {
    const std::uint64_t offset = random_slot();
    const bool wide = guest_.mode().entry_bytes == 8;
    std::optional<RawPte> got;
    if (wide) {
      if (const auto value = guest_.cpu().load<std::uint64_t>(va + ByteCount(offset))) got = *value;
    } else if (const auto value = guest_.cpu().load<std::uint32_t>(va + ByteCount(offset))) {
      got = *value;
    }
    if (!got) {
      const auto current = now(roots_[current_], va);
      ASSERT_TRUE(!current || !current->user) << "a fault that the tables do not raise";
      return;
    }
    record();
    const auto words_now = words(offset);
    bool found = false;
    for (const Option& option : legal_[{roots_[current_], va}])
      found |= option.user && words_now.contains(option.frame) && words_now.at(option.frame) == *got;
    ASSERT_TRUE(found) << "read what no legal translation leads to: " << std::hex << *got << " at " << va.value() << "+"
                       << offset << ", of frames " << [&] {
                            std::string text;
                            for (const Option& option : legal_[{roots_[current_], va}])
                              text += std::to_string(option.frame.value()) + (option.user ? " " : "s ");
                            return text;
                          }();
  }

  void write(VirtualAddress va) {
    const std::uint64_t offset = random_slot();
    const RawPte value = random_entry() & (guest_.mode().entry_bytes == 8 ? ~RawPte{0} : RawPte{0xFFFFFFFF});
    const auto before = words(offset);
    auto at_first = now(roots_[current_], va);
    if (at_first) at_first->writable = at_first->may_write;
    const bool stored =
        guest_.mode().entry_bytes == 8
            ? guest_.cpu().store<std::uint64_t>(va + ByteCount(offset), value).has_value()
            : guest_.cpu().store<std::uint32_t>(va + ByteCount(offset), static_cast<std::uint32_t>(value)).has_value();
    record();
    // The entry that maps the page may be in the page: the walk made it dirty, and then the write changed it.
    if (stored && at_first) legal_[{roots_[current_], va}].insert(*at_first);
    const auto& legal = legal_[{roots_[current_], va}];
    const auto after = words(offset);
    unsigned changed = 0;
    bool same = false;
    for (const auto& [frame, word] : before) {
      const bool may = std::ranges::any_of(legal, [&](const Option& o) { return o.frame == frame && o.user; });
      // Where at most accessed and dirty changed it may have been the walk.
      if ((after.at(frame) & ~(kAccessed | kDirty)) == (word & ~(kAccessed | kDirty))) {
        same |= may && (word & ~(kAccessed | kDirty)) == (value & ~(kAccessed | kDirty));
        continue;
      }
      ++changed;
      ASSERT_TRUE(stored && may && (after.at(frame) & ~(kAccessed | kDirty)) == (value & ~(kAccessed | kDirty)))
          << "wrote where no legal translation leads";
    }
    ASSERT_TRUE(!stored || changed == 1 || same) << "the write went to " << changed << " frames";
  }

  void check() {
    for (const auto& [role, tree] : guest_.shadow().trees()) {
      for (const VirtualAddress va : tree->addresses()) {
        const ShadowTree::Leaf leaf = *tree->find(va);
        const auto& legal = legal_[{role.root, va}];
        const bool held = std::ranges::any_of(legal, [&](const Option& o) {
          return o.frame == leaf.guest && (!leaf.writable || o.writable) && (!leaf.user || o.user) &&
                 (!leaf.executable || o.executable);
        });
        ASSERT_TRUE(held) << "root " << role.root.value() << " " << std::hex << va.value() << " leads to guest frame "
                          << leaf.guest.value() << (leaf.writable ? " writable" : "") << " of " << legal.size();
      }
    }
  }

  TestHost host_;
  RawGuest guest_;
  Random random_;
  std::vector<Gfn> roots_;
  const std::array<Asid, 3> asids_{Asid{1}, Asid{2}, machine::kUntagged};
  std::size_t current_ = 0;
  std::vector<VirtualAddress> addresses_;
  std::vector<Gfn> data_;
  std::set<Gfn> tables_;  // Leaf tables.
  Gfn large_;
  std::set<Gfn> all_;  // What entries may name.
  std::map<std::pair<Gfn, VirtualAddress>, std::set<Option>> legal_;
};

class ShadowOracle : public ::testing::TestWithParam<PteFormat> {};
INSTANTIATE_TEST_SUITE_P(Modes, ShadowOracle, ::testing::Values(PteFormat::kAmd64, PteFormat::kPae, PteFormat::kX86));

TEST_P(ShadowOracle, TheShadowHoldsOnlyWhatATlbCouldLegallyHold) {
  const std::array all{&PartitionCounts::hidden_faults, &PartitionCounts::true_faults,
                       &PartitionCounts::table_writes,  &PartitionCounts::unsyncs,
                       &PartitionCounts::resyncs,       &PartitionCounts::unshadowed,
                       &PartitionCounts::root_hits,     &PartitionCounts::shadow_evictions};
  std::array<int, all.size()> seen{};
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    Storm storm(GetParam(), seed % 4 != 0, PageCount(seed % 3 == 0 ? 7 : 64), seed);
    for (int i = 0; i < 400; ++i) {
      ASSERT_NO_FATAL_FAILURE(storm.step()) << "step " << i;
      if (i % 8 == 0) {
        ASSERT_EQ(storm.guest().check(), "") << "step " << i;
      }
    }
    const PartitionCounts& counts = storm.guest().counts();
    for (std::size_t i = 0; i < all.size(); ++i) seen[i] += counts.*all[i] > 0 ? 1 : 0;
  }
  // The storm goes everywhere.
  for (std::size_t i = 0; i < all.size(); ++i) EXPECT_GT(seen[i], 2) << "count " << i;
}

}  // namespace
}  // namespace pagoda::hv::testing
