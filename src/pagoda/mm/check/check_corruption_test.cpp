// The checker seen failing: for every rule, a healthy manager is corrupted and the rule's id expected.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/mm/check/check.h"
#include "pagoda/mm/check/check_context.h"
#include "pagoda/mm/testing/corruptor.h"
#include "pagoda/mm/testing/test_machine.h"
#include "pagoda/mm/ws/table_trim.h"

namespace pagoda::mm {

namespace {

using testing::TestMachine;

// Pages in every state, a read and a write under way; every frame was used, since only then any is repurposed.
// kMostUnused: the regions alone.
enum class Frames : std::uint8_t { kAllUsed, kMostUnused };

class Scene : public TestMachine {
 public:
  explicit Scene(machine::PteFormat paging = machine::PteFormat::kAmd64, Frames frames = Frames::kAllUsed)
      : TestMachine({.paging = paging}) {
    region_ = commit(PageCount(32));
    far_region_ = reserve(PageCount(core().mode.entries(1) * 2));
    if (frames == Frames::kMostUnused) return;
    // One page between them, so that none is read or written as another's neighbour.
    const auto write = [&](VirtualAddress va) { PAGODA_CHECK(put(va, 0, 1) == Status::kSuccess); };
    for (const VirtualAddress va : {paged(), reading(), standby(), writing(), at(18)}) write(va);
    push_out();
    PAGODA_CHECK(space().decommit(cpu(), at(18), bytes_of(PageCount(2))).has_value());
    write(standby());
    page_out();
    write(writing());
    space().empty_working_set(cpu());
    PAGODA_CHECK(manager().modified_writer().write_cluster(cpu()));
    write(modified());
    space().empty_working_set(cpu());
    write(dirty());
    PAGODA_CHECK(touch(clean()) == Status::kSuccess);
    {
      const LockGuard guard(core().pfns.lock);
      const Pfn frame = core().pfns.begin_zeroing();
      cpu().physical().zero(frame);
      core().pfns.finish_zeroing(frame);
    }
    cpu().set_waiting(Processor::Waiting::kYields);
    PAGODA_CHECK(touch(reading()) == Status::kPending);
  }

  [[nodiscard]] VirtualAddress at(std::uint64_t number) const { return page(region_, number); }
  [[nodiscard]] VirtualAddress dirty() const { return at(0); }
  [[nodiscard]] VirtualAddress clean() const { return at(2); }
  [[nodiscard]] VirtualAddress modified() const { return at(4); }
  [[nodiscard]] VirtualAddress standby() const { return at(6); }
  [[nodiscard]] VirtualAddress paged() const { return at(8); }
  [[nodiscard]] VirtualAddress reading() const { return at(10); }
  [[nodiscard]] VirtualAddress writing() const { return at(12); }
  [[nodiscard]] VirtualAddress hole() const { return at(18); }
  [[nodiscard]] VirtualAddress untouched() const { return at(24); }
  [[nodiscard]] VirtualAddress far_region() const { return far_region_; }

  [[nodiscard]] PhysicalAddress pte_address(VirtualAddress va) {
    const LockGuard guard(space().lock);
    return space().tables().find(cpu(), va.vpn());
  }
  // Changes an entry and keeps the use count, as a wild store would not.
  void store(VirtualAddress va, RawPte raw) {
    const PhysicalAddress pte = pte_address(va);
    const LockGuard guard(space().lock);
    space().tables().store(cpu(), pte, raw);
  }
  // The entry of the given level, bare.
  [[nodiscard]] PhysicalAddress directory_entry(VirtualAddress va, unsigned level) {
    Pfn table = space().root();
    for (unsigned at = core().mode.levels; at > level; --at)
      table = core().codec.frame(core().load(cpu(), core().mode.entry_address(table, va, at)));
    return core().mode.entry_address(table, va, level);
  }
  void store_entry(PhysicalAddress entry, RawPte raw) {
    machine::store_entry(cpu().physical(), core().mode, entry, raw);
  }
  void flip(PhysicalAddress entry, RawPte bits) { store_entry(entry, core().load(cpu(), entry) ^ bits); }
  [[nodiscard]] PfnEntry& frame_entry(Pfn frame) { return Corruptor::entry(core(), frame); }
  [[nodiscard]] PfnEntry& entry(VirtualAddress va) { return frame_entry(frame(va)); }
  [[nodiscard]] PfnEntry& table_entry(VirtualAddress va) { return frame_entry(pte_address(va).pfn()); }
  void scribble(Pfn frame) { cpu().physical().bytes(frame, machine::Access::kWrite).bytes()[77] ^= std::byte{1}; }
  [[nodiscard]] Pfn first_on(PageState state) { return Pfn(Corruptor::head(core(), state).flink); }
  [[nodiscard]] Vad& vad() { return *Corruptor::vads(space()).find(region_.vpn()); }
  [[nodiscard]] Vad& far_vad() { return *Corruptor::vads(space()).find(far_region_.vpn()); }
  [[nodiscard]] WorkingSet& working_set() { return Corruptor::working_set(space()); }
  // An AWE frame, mapped at the beginning of a window; and where those of the space are.
  Pfn awe_frame() {
    window_ = VirtualAddress(space().reserve({.size = 64_KiB, .type = VadType::kAwe})->first);
    const std::vector<Pfn> frames = *space().user_pages().allocate(cpu(), 1_pages);
    PAGODA_CHECK(space().user_pages().map(cpu(), window_, frames).has_value());
    return frames[0];
  }
  [[nodiscard]] VirtualAddress window() const { return window_; }
  [[nodiscard]] DriverFrames& drivers() { return manager().driver_frames(); }
  // A driver's; no driver has the one before it.
  Pfn driver_frame() { return drivers().allocate(cpu(), 1_pages)->front(); }
  // The frame of a page table that is out; its first entry is the only one.
  Pfn table_out() {
    const VirtualAddress base = reserve(PageCount(2048));
    const VirtualAddress first((base.value() >> 21U << 21U) + (2_MiB).value());  // The first of a table.
    PAGODA_CHECK(space().commit(cpu(), first, kPageSize, Protection::kReadWrite).has_value());
    const LockGuard guard(space().lock);
    PAGODA_CHECK_EQ(trim_tables(space(), cpu(), 1_pages), 1_pages);
    return core().codec.frame(core().load(cpu(), space().tables().find_out(cpu(), first.vpn()).entry));
  }
  [[nodiscard]] AweFrames& awe() {
    awe_frame();
    return Corruptor::awe(space());
  }
  [[nodiscard]] Wsle& wsle(VirtualAddress va) { return working_set()[entry(va).ws_index]; }
  void secure(VirtualAddress va) { PAGODA_CHECK(space().secure(cpu(), va, kPageSize, Protection::kReadWrite)); }
  [[nodiscard]] PagingFile& file() { return core().paging_files[0]; }

 private:
  VirtualAddress region_;
  VirtualAddress far_region_;
  VirtualAddress window_;
};

struct Corruption {
  const char* rule;
  const char* what;  // For the test's name.
  void (*corrupt)(Scene& s);
  Frames frames = Frames::kAllUsed;
};

void PrintTo(const Corruption& corruption, std::ostream* out) { *out << corruption.rule << corruption.what; }

namespace pte_bits = machine::pte_bits;

const Corruption kCorruptions[] = {
    // --- Lists ---
    {"PL1", "StateOfAnotherList", [](Scene& s) { s.entry(s.standby()).state = PageState::kModified; }},
    {"PL1", "ListedAndActive", [](Scene& s) { s.entry(s.standby()).state = PageState::kActive; }},
    {"PL1", "OnNoList", [](Scene& s) { s.entry(s.reading()).state = PageState::kStandby; }},
    {"PL1", "AnotherPriority", [](Scene& s) { s.entry(s.standby()).priority = 2; }},
    {"PL2", "BackLink", [](Scene& s) { s.frame_entry(s.first_on(PageState::kFree)).blink = 3; }},
    {"PL2", "Circle",
     [](Scene& s) {
       const Pfn first = s.first_on(PageState::kFree);
       s.frame_entry(first).flink = first.value();
     }},
    {"PL2", "LinkOutOfMemory", [](Scene& s) { s.frame_entry(s.first_on(PageState::kFree)).flink = 0xFFFFFFF0; }},
    {"PL2", "Count", [](Scene& s) { ++Corruptor::head(s.core(), PageState::kFree).count; }},
    {"PL2", "LastPage", [](Scene& s) { Corruptor::head(s.core(), PageState::kFree).blink = kNoPfn.value(); }},
    {"PL3", "Referenced", [](Scene& s) { s.entry(s.standby()).reference_count = 1; }},
    {"PL4", "FreeWithOwner", [](Scene& s) { s.frame_entry(s.first_on(PageState::kFree)).pte_address = 0x1000; }},
    {"PL4", "ZeroedWithOriginal", [](Scene& s) { s.frame_entry(s.first_on(PageState::kZeroed)).original_pte = 0x80; }},

    // --- Frames ---
    {"PF1", "Available", [](Scene& s) { ++Corruptor::available(s.core()); }},
    {"PF1", "MoreFramesThanMemory", [](Scene& s) { Corruptor::never_used(s.core()) = Pfn(1000); }},
    {"PF2", "ShareCount", [](Scene& s) { s.entry(s.dirty()).share_count = 2; }},
    {"PF2", "Unmapped", [](Scene& s) { s.store(s.clean(), s.core().codec.demand_zero(Protection::kReadWrite)); }},
    {"PF2", "OwnerElsewhere", [](Scene& s) { s.entry(s.dirty()).set_pte(s.entry(s.dirty()).pte() + 64_B); }},
    {"PF2", "FreeFrameMapped",
     [](Scene& s) {
       s.store(s.untouched(), s.core().codec.valid(s.first_on(PageState::kFree), Protection::kReadWrite,
                                                   PteCodec::Owner::kUser, PteCodec::Dirty::kNo));
     }},
    {"PF3", "OneTooMany", [](Scene& s) { ++s.entry(s.dirty()).reference_count; }},
    {"PF3", "NobodyHoldsIt", [](Scene& s) { s.entry(s.writing()).reference_count = 0; }},
    {"PF3", "DeletedAndActive", [](Scene& s) { s.entry(s.dirty()).deleted = 1; }},
    {"PF4", "UsedEntries", [](Scene& s) { ++s.table_entry(s.dirty()).used_entries; }},
    {"PF4", "TableShares", [](Scene& s) { --s.table_entry(s.dirty()).share_count; }},
    {"PF4", "RootShares", [](Scene& s) { ++s.frame_entry(s.space().root()).share_count; }},
    {"PF5", "OwnerForgot", [](Scene& s) { s.store(s.standby(), s.core().codec.demand_zero(Protection::kReadWrite)); }},
    {"PF5", "TwoOwners", [](Scene& s) { s.store(s.untouched(), s.pte(s.modified())); }},
    {"PF5", "DeletedAndNamed", [](Scene& s) { s.entry(s.writing()).deleted = 1; }},
    {"PF5", "TransitionToActive",
     [](Scene& s) { s.store(s.untouched(), s.core().codec.transition(s.frame(s.dirty()), Protection::kReadWrite)); }},
    {"PF6", "SlotDiffers", [](Scene& s) { s.scribble(s.frame(s.standby())); }},
    {"PF6", "ModifiedWithSlot", [](Scene& s) { s.entry(s.standby()).modified = 1; }},
    {"PF6", "CleanOnModifiedList", [](Scene& s) { s.entry(s.modified()).modified = 0; }},
    {"PF6", "CleanAndWritable", [](Scene& s) { s.entry(s.dirty()).modified = 0; }},
    {"PF7", "Scribbled", [](Scene& s) { s.scribble(s.first_on(PageState::kZeroed)); }},
    {"PF8", "Scribbled", [](Scene& s) { s.scribble(s.frame(s.clean())); }},
    {"PF10", "Modified", [](Scene& s) { s.entry(s.modified()).reset = 1; }},
    {"PF10", "HasSlot", [](Scene& s) { s.entry(s.standby()).reset = 1; }},
    {"PF10", "PageTable", [](Scene& s) { s.table_entry(s.dirty()).reset = 1; }},
    {"PF11", "OtherThanItsPte", [](Scene& s) { s.entry(s.dirty()).cache = CacheAttribute::kWriteCombined; }},
    {"PF11", "PteOtherThanIts", [](Scene& s) { s.flip(s.pte_address(s.dirty()), machine::pte_bits::kCacheDisable); }},
    {"PF11", "NotMapped", [](Scene& s) { s.entry(s.standby()).cache = CacheAttribute::kCached; }},
    {"PF13", "CountsOneMore", [](Scene& s) { Corruptor::blocks(s.core()).take(Pfn(1)); }},
    {"PF13", "FlagLost", [](Scene& s) { Corruptor::broken(Corruptor::blocks(s.core())).clear(0); }},
    {"PF9", "First", [](Scene& s) { s.frame_entry(Corruptor::never_used(s.core())).reference_count = 1; },
     Frames::kMostUnused},
    {"PF9", "Last", [](Scene& s) { s.frame_entry(Pfn(255)).modified = 1; }, Frames::kMostUnused},
    {"PF12", "File", [](Scene& s) { ++Corruptor::active_shared(s.core()).file; }},
    {"PF12", "PageFile", [](Scene& s) { ++Corruptor::active_shared(s.core()).page_file; }},

    // --- Page tables ---
    {"PT1", "Empty",
     [](Scene& s) {
       const LockGuard guard(s.space().lock);
       ASSERT_TRUE(s.space().tables().make(s.cpu(), s.far_region().vpn() + PageCount(600)));
     }},
    {"PT2", "Rights", [](Scene& s) { s.flip(s.directory_entry(s.dirty(), 2), pte_bits::kUser); }},
    {"PT2", "FrameOutOfMemory", [](Scene& s) { s.flip(s.directory_entry(s.dirty(), 2), RawPte{1} << 40); }},
    {"PT2", "NotPresent", [](Scene& s) { s.flip(s.directory_entry(s.dirty(), 2), pte_bits::kValid); }},
    {"PT2", "Circle",
     [](Scene& s) {
       s.store_entry(s.directory_entry(s.dirty(), 3),
                     s.core().codec.table(s.space().root(), 3, PteCodec::Owner::kUser));
     }},
    {"PT2", "PointsToPage",
     [](Scene& s) {
       s.store_entry(s.directory_entry(s.dirty(), 2),
                     s.core().codec.table(s.frame(s.dirty()), 2, PteCodec::Owner::kUser));
     }},
    {"PT2", "TableOfNobody",
     [](Scene& s) {
       const LockGuard guard(s.core().pfns.lock);
       const auto taken = s.core().pfns.take(s.cpu(), Contents::kZeroed);
       s.core().pfns.make_page_table(taken->frame, PhysicalAddress(taken->frame));
     }},
    {"PT2", "RootIsNone", [](Scene& s) { s.frame_entry(s.space().root()).page_table = 0; }},
    {"PT3", "Caching", [](Scene& s) { s.flip(s.pte_address(s.dirty()), pte_bits::kCacheDisable); }},
    {"PT3", "Writable", [](Scene& s) { s.flip(s.pte_address(s.clean()), pte_bits::kWrite); }},
    {"PT3", "RightsOfTransition",
     [](Scene& s) { s.store(s.standby(), s.core().codec.transition(s.frame(s.standby()), Protection::kReadOnly)); }},
    {"PT3", "FrameOutOfMemory", [](Scene& s) { s.flip(s.pte_address(s.dirty()), RawPte{1} << 45); }},
    {"PT3", "Prototype", [](Scene& s) { s.store(s.untouched(), soft_bits::kPrototype | RawPte{5} << 20 | 2); }},
    {"PT3", "StrayBits", [](Scene& s) { s.store(s.untouched(), 0x1E); }},
    {"PT4", "MoreMade",
     [](Scene& s) {
       const LockGuard guard(s.core().pfns.lock);
       ++s.core().counters.page_tables_made;
     }},
    {"PT6", "OneMoreCouldGo", [](Scene& s) { ++Corruptor::idle_tables(s.core()); }},

    {"PT5", "ResidentEntry",
     [](Scene& s) { s.store_entry(PhysicalAddress(s.table_out()), s.pte(s.dirty())); }},
    {"PT5", "OneEntryMore",
     [](Scene& s) { s.store_entry(PhysicalAddress(s.table_out()) + ByteCount(64), s.core().codec.decommitted()); }},
    {"PT5", "AnotherCount",
     [](Scene& s) {
       PfnEntry& entry = s.frame_entry(s.table_out());
       entry.original_pte = s.core().codec.with_use_count(entry.original_pte, 2);
     }},

    // --- Spaces ---
    {"VT1", "Empty", [](Scene& s) { s.vad().range.count = 0_pages; }},
    {"VT1", "Overlap", [](Scene& s) { s.vad().range.count = PageCount(10000); }},
    {"VT2", "Balance", [](Scene& s) { Corruptor::unbalance(s.vad()); }},
    {"VT3", "Gap", [](Scene& s) { s.vad().range = {s.vad().range.first + PageCount(16), PageCount(16)}; }},
    {"VT4", "Parent", [](Scene& s) { Corruptor::lose_parent(s.vad()); }},
    {"VT5", "Pages", [](Scene& s) { ++Corruptor::vad_pages(s.space()); }},
    {"AS1", "EntriesOutside",
     [](Scene& s) { Corruptor::vads(s.space()).shrink(s.vad(), {s.vad().range.first, PageCount(4)}); }},
    {"AS2", "RegionCharge", [](Scene& s) { ++s.vad().commit_charge; }},
    {"AS2", "SpaceCharge", [](Scene& s) { ++Corruptor::commit(s.space()); }},
    {"AS2", "TableCharge", [](Scene& s) { ++Corruptor::table_charge(s.space()); }},
    {"AS3", "WriteCopy", [](Scene& s) { s.far_vad().protection = Protection::kWriteCopy; }},
    {"AS3", "WriteCopyWhenMade", [](Scene& s) { s.far_vad().allocation_protection = Protection::kWriteCopy; }},
    {"AS3", "HoleInReserved", [](Scene& s) { s.vad().mem_commit = MemCommit::kNo; }},
    {"AS5", "EntriesInPlaceholder", [](Scene& s) { s.vad().placeholder = true; }},
    {"AS5", "RightsOfPlaceholder", [](Scene& s) { s.far_vad().placeholder = true; }},
    {"AS4", "SameTag",
     [](Scene& s) {
       Corruptor::asids(s.manager()).clear(static_cast<std::size_t>(s.space().asid()));
       static_cast<void>(s.add_space());
     }},
    {"AS7", "NotInTheSet", [](Scene& s) { Corruptor::loaded_on(s.space()).remove(0); }},
    {"AS7", "LeftWithoutAWord", [](Scene& s) { s.cpu().load_root(kNoPfn, machine::kUntagged); }},

    {"WW1", "NoWatch", [](Scene& s) { s.vad().type = VadType::kWriteWatch; }},
    {"WW1", "MarkLost",
     [](Scene& s) {
       const auto pages = s.space().reserve({.size = 64_KiB, .commit = MemCommit::kYes, .type = VadType::kWriteWatch});
       s.must_put(VirtualAddress(pages->first), 1, 1);
       Corruptor::vads(s.space()).find(pages->first)->extra->watch->clear(*pages);
     },
     Frames::kMostUnused},

    {"AS1", "LargePageMissing",
     [](Scene& s) {
       Corruptor::vads(s.space()).shrink(s.far_vad(), {s.far_vad().range.first, PageCount(512)});
       s.far_vad().type = VadType::kLargePages;
     }},
    {"AS1", "LargePageOfNoRegion",
     [](Scene& s) {
       s.store_entry(s.directory_entry(s.far_region(), 2),
                     s.core().codec.large(Pfn(0), Protection::kReadWrite, PteCodec::Owner::kUser));
     }},
    {"PT2", "LargePageOutOfLine",
     [](Scene& s) {
       s.store_entry(s.directory_entry(s.far_region(), 2),
                     s.core().codec.large(Pfn(5), Protection::kReadWrite, PteCodec::Owner::kUser));
     }},
    {"AW1", "NotInTheList", [](Scene& s) { Corruptor::list(s.awe()).pop_back(); }, Frames::kMostUnused},
    {"AW1", "AnotherPlace", [](Scene& s) { s.frame_entry(s.awe_frame()).awe_index = 1; }, Frames::kMostUnused},
    {"AW1", "InTheListAndNone", [](Scene& s) { Corruptor::list(s.awe()).push_back(s.space().root()); },
     Frames::kMostUnused},
    {"AW1", "TwoOwners",
     [](Scene& s) {
       const Pfn frame = s.awe_frame();
       Corruptor::list(Corruptor::awe(s.add_space())).push_back(frame);
     },
     Frames::kMostUnused},
    {"AW2", "MappedTwice",
     [](Scene& s) {
       const Pfn frame = s.awe_frame();
       s.store(s.window() + kPageSize,
               s.core().codec.valid(frame, Protection::kReadWrite, PteCodec::Owner::kUser, PteCodec::Dirty::kYes));
     },
     Frames::kMostUnused},
    {"AW2", "NamesAnotherEntry", [](Scene& s) { s.frame_entry(s.awe_frame()).set_pte(s.frame_entry(s.awe_frame()).pte() + 8_B); }, Frames::kMostUnused},
    {"AW3", "PageInWindow",
     [](Scene& s) {
       s.awe_frame();
       s.must_put(s.untouched(), 0, 1);
       s.store(s.window() + kPageSize, s.pte(s.untouched()));
     },
     Frames::kMostUnused},
    {"AW3", "FrameOutsideOfWindows",
     [](Scene& s) {
       s.awe_frame();
       s.must_put(s.untouched(), 0, 1);
       s.store(s.untouched(), s.pte(s.window()));
     },
     Frames::kMostUnused},
    // --- Extras ---
    {"VE1", "Empty",
     [](Scene& s) {
       s.secure(s.dirty());
       s.vad().extra->secured.clear();
     }},
    {"VE1", "NobodysHandle",
     [](Scene& s) {
       s.secure(s.dirty());
       s.vad().extra->secured[0].handle = SecureHandle{77};
     }},
    {"VE1", "Outside",
     [](Scene& s) {
       s.secure(s.dirty());
       s.vad().extra->secured[0].pages.count += PageCount(32);
     }},
    {"VE1", "OfTwoRegions",
     [](Scene& s) {
       s.secure(s.dirty());
       s.far_vad().extra = s.vad().extra;
     }},
    {"VE2", "AllowsLess",
     [](Scene& s) {
       s.secure(s.dirty());
       s.vad().extra->secured[0].weakest = Protection::kExecuteReadWrite;
     }},
    {"VE2", "NotCommitted",
     [](Scene& s) {
       s.secure(s.untouched());
       s.store(s.untouched(), s.core().codec.decommitted());
     }},

    // --- Working sets ---
    {"WS1", "PteAddress", [](Scene& s) { Corruptor::pte(s.wsle(s.dirty())) += 8; }},
    {"WS1", "PageNotMapped",
     [](Scene& s) { s.store(s.dirty(), s.core().codec.transition(s.frame(s.dirty()), Protection::kReadWrite)); }},
    {"WS1", "MappedAndNotIn", [](Scene& s) { s.working_set().erase(s.entry(s.dirty()).ws_index); }},
    {"WS2", "AnotherSlot", [](Scene& s) { s.entry(s.dirty()).ws_index = s.entry(s.clean()).ws_index; }},
    {"WS2", "NoSlot", [](Scene& s) { s.entry(s.dirty()).ws_index = PfnEntry::kNoWsIndex; }},
    {"WS3", "Size", [](Scene& s) { ++Corruptor::size(s.working_set()); }},
    {"WS3", "Locked", [](Scene& s) { ++Corruptor::locked(s.working_set()); }},
    {"WS3", "OfAge", [](Scene& s) { ++Corruptor::of_age(s.working_set(), 1); }},
    {"WS4", "MoreThanWasTold", [](Scene& s) { Corruptor::watched(s.working_set()) = WorkingSet::Trimmable::kNothing; }},
    {"WS3", "FreeChainLeadsToUsed",
     [](Scene& s) { Corruptor::first_free(s.working_set()) = s.entry(s.dirty()).ws_index; }},
    {"WS3", "FreeChainCircle",
     [](Scene& s) {
       WorkingSet& ws = s.working_set();
       Corruptor::word(ws[ws.first_free()]) = std::uint64_t{ws.first_free()} << 12;
     }},
    {"WS3", "FreeChainCut", [](Scene& s) { Corruptor::first_free(s.working_set()) = WorkingSet::kNoSlot; }},
    {"WS3", "EndOutOfMemory", [](Scene& s) { Corruptor::end_slot(s.working_set()) = 1 << 20; }},

    {"AS6", "CommittedAsAWhole", [](Scene& s) { s.vad().commits_on_touch = true; }},

    // --- Paging files and commit ---
    {"SL1", "LeakedSlot",
     [](Scene& s) {
       const LockGuard guard(s.core().pfns.lock);
       s.core().paging_files.allocate(1_pages);
     }},
    {"SL1", "NamedAndFree", [](Scene& s) { s.file().free(s.core().codec.slot(s.pte(s.paged()))); }},
    {"SL1", "NamedTwice", [](Scene& s) { s.store(s.untouched(), s.pte(s.paged())); }},
    {"SL1", "SlotZero", [](Scene& s) { Corruptor::slots(s.file()).clear(0); }},
    {"SL2", "OutOfFile",
     [](Scene& s) {
       s.store(s.untouched(), s.core().codec.page_file(0, PageFileSlot(70000), Protection::kReadWrite));
     }},
    {"SL2", "NoSuchFile",
     [](Scene& s) { s.store(s.untouched(), s.core().codec.page_file(9, PageFileSlot(1), Protection::kReadWrite)); }},
    {"SL3", "FileGrew", [](Scene& s) { ASSERT_TRUE(s.file().file().resize(8_MiB)); }},
    {"CM1", "Charge",
     [](Scene& s) {
       const LockGuard guard(s.core().pfns.lock);
       ASSERT_TRUE(s.core().commit.charge(1_pages));
     }},
    {"RA1", "Charge", [](Scene& s) { ASSERT_TRUE(s.core().resident.charge(1_pages)); }},
    {"RA1", "NotCharged",
     [](Scene& s) {
       ASSERT_TRUE(s.space().lock_pages(s.cpu(), s.dirty(), kPageSize, LockKind::kInMemory));
       --Corruptor::charged(s.core().resident);
     }},
    {"RA1", "LockedByTheWay", [](Scene& s) { Corruptor::word(s.wsle(s.dirty())) |= 4; }},
    {"RA2", "KeptByNothing", [](Scene& s) { ++s.table_entry(s.dirty()).kept_entries; }},
    {"RA2", "NotKept",
     [](Scene& s) {
       s.awe_frame();
       --s.table_entry(s.window()).kept_entries;
     }},
    {"RA2", "ChargedAndNotKept", [](Scene& s) { s.table_entry(s.dirty()).kept_charge = 1; }},
    {"DR1", "NonpagedOfNobody", [](Scene& s) { Corruptor::held(s.drivers()).clear(s.driver_frame().value()); }},
    {"DR1", "NotNonpaged", [](Scene& s) { Corruptor::held(s.drivers()).set(s.driver_frame().value() - 1); }},
    {"DR1", "NeverTaken",
     [](Scene& s) {
       s.driver_frame();
       Corruptor::held(s.drivers()).set(0);
     }},
    {"CM2", "MoreSlotsThanFile", [](Scene& s) { Corruptor::slots(s.file()).resize(s.file().slots().size() + 100); }},
    {"CM2", "MoreRetiredThanSlots", [](Scene& s) { Corruptor::retired(s.file()) = PageCount(1 << 20); }},

    // --- Transfers and TLBs ---
    {"IO1", "TransferOfNobody",
     [](Scene& s) {
       const Pfn frame = s.frame(s.standby());
       const LockGuard guard(s.core().pfns.lock);
       s.core().transfers.begin(Transfers::Kind::kRead, std::span(&frame, 1), SlotName{});
     }},
    {"IO1", "TransferOfNoFrame",
     [](Scene& s) {
       const LockGuard guard(s.core().pfns.lock);
       const Pfn frame(12345678);
       s.core().transfers.begin(Transfers::Kind::kWrite, std::span(&frame, 1), SlotName{});
     }},
    {"SL1", "TransferToAFreeSlot",
     [](Scene& s) {
       const Pfn frame = s.frame(s.modified());
       const LockGuard guard(s.core().pfns.lock);
       s.core().transfers.begin(Transfers::Kind::kWrite, std::span(&frame, 1),
                                {.file = 0, .slot = PageFileSlot(static_cast<std::uint32_t>(s.file().slots().size() - 1))});
     }},
    {"IO1", "FlagWithoutTransfer", [](Scene& s) { s.entry(s.modified()).write_in_progress = 1; }},
    {"IO1", "AnotherTime", [](Scene& s) { ++s.entry(s.reading()).io_completes; }},
    {"TL1", "LessPermissiveNow", [](Scene& s) { s.flip(s.pte_address(s.dirty()), pte_bits::kWrite); }},
    {"TL1", "CleanNow", [](Scene& s) { s.flip(s.pte_address(s.dirty()), pte_bits::kDirty); }},
    {"TL1", "NotPresentNow", [](Scene& s) { s.flip(s.pte_address(s.clean()), pte_bits::kValid); }},
    {"TL1", "AnotherFrame", [](Scene& s) { s.store(s.dirty(), s.pte(s.clean())); }},
    {"TL1", "DeadSpace",
     [](Scene& s) {
       s.cpu().load_root(s.space().root(), machine::Asid{77});
       s.cpu().fill_tlb(s.dirty(), {.frame = s.frame(s.dirty()), .user = true, .entry = s.pte_address(s.dirty())});
     }},
};

class CheckFinds : public ::testing::TestWithParam<Corruption> {};

INSTANTIATE_TEST_SUITE_P(Corruptions, CheckFinds, ::testing::ValuesIn(kCorruptions),
                         [](const ::testing::TestParamInfo<Corruption>& test) {
                           return std::string(test.param.rule) + test.param.what;
                         });

TEST_P(CheckFinds, TheBrokenRule) {
  Scene scene(machine::PteFormat::kAmd64, GetParam().frames);
  ASSERT_EQ(scene.check(), "");
  GetParam().corrupt(scene);
  const std::vector<Finding> findings = check(scene.manager(), scene.cpu());
  EXPECT_GT(std::ranges::count(findings, GetParam().rule, &Finding::rule), 0) << to_string(findings);
}

TEST(CheckRules, EachHasACorruption) {
  std::set<std::string_view> broken;
  for (const Corruption& corruption : kCorruptions) broken.insert(corruption.rule);
  for (const std::string_view rule : testing::rules_broken_with_sections()) broken.insert(rule);
  for (const std::string_view rule : testing::rules_broken_with_device_frames()) broken.insert(rule);
  for (const std::string_view rule : testing::rules_broken_with_compression()) broken.insert(rule);
  for (const std::string_view rule : testing::rules_broken_with_sharing()) broken.insert(rule);
  for (const std::string_view rule : checking::kRules) EXPECT_TRUE(broken.contains(rule)) << rule;
  EXPECT_EQ(broken.size(), checking::kRules.size());
}

TEST(CheckRules, SceneHasPagesInAllStates) {
  Scene s;
  EXPECT_EQ(s.state(s.dirty()), PageState::kActive);
  EXPECT_EQ(s.state(s.clean()), PageState::kActive);
  EXPECT_EQ(s.state(s.modified()), PageState::kModified);
  EXPECT_EQ(s.state(s.standby()), PageState::kStandby);
  EXPECT_EQ(s.kind(s.paged()), PteKind::kPageFile);
  EXPECT_EQ(s.entry(s.reading()).read_in_progress, 1);
  EXPECT_EQ(s.entry(s.writing()).write_in_progress, 1);
  EXPECT_EQ(s.kind(s.hole()), PteKind::kDecommitted);
  EXPECT_EQ(s.kind(s.untouched()), PteKind::kZero);
}

// Wild stores into what the checker reads: it ends, reads nothing outside, and what is put back is clean again.
class CheckSurvives : public ::testing::TestWithParam<machine::PteFormat> {};

INSTANTIATE_TEST_SUITE_P(AllModes, CheckSurvives,
                         ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                           machine::PteFormat::kAmd64),
                         [](const ::testing::TestParamInfo<machine::PteFormat>& test) {
                           return std::string(machine::paging_mode(test.param).name);
                         });

TEST_P(CheckSurvives, WildStores) {
  Scene s(GetParam());
  Random random(1);
  const auto wild = [&](auto& word) { with_wild_value(random, word, [&] { check(s.manager(), s.cpu()); }); };
  std::vector<Pfn> tables;
  for (std::uint32_t number = 1; number < Corruptor::never_used(s.core()).value(); ++number)
    if (s.frame_entry(Pfn(number)).page_table != 0) tables.push_back(Pfn(number));
  WorkingSet& ws = s.working_set();
  for (int round = 0; round < 3000; ++round) {
    switch (random.below(5)) {
      case 0: {
        const machine::FrameView view =
            s.cpu().physical().bytes(tables[random.below(tables.size())], machine::Access::kWrite);
        wild(reinterpret_cast<std::uint64_t*>(view.data())[random.below(kPageBytes / sizeof(std::uint64_t))]);
        break;
      }
      case 1: {  // An entry that is used.
        const auto va = s.at(2 * random.below(10));
        const machine::FrameView view = s.cpu().physical().bytes(s.pte_address(va).pfn(), machine::Access::kWrite);
        wild(*reinterpret_cast<std::uint32_t*>(view.data() + s.pte_address(va).page_offset()));
        break;
      }
      case 2: {
        PfnEntry& entry = s.frame_entry(Pfn(static_cast<std::uint32_t>(random.below(40))));
        wild(reinterpret_cast<std::uint64_t*>(&entry)[random.below(sizeof entry / sizeof(std::uint64_t))]);
        break;
      }
      case 3: {
        PageLists::Head& head = Corruptor::head(
            s.core(), static_cast<PageState>(random.below(static_cast<std::uint64_t>(PageState::kActive))));
        wild(random.below(2) == 0 ? head.flink : head.blink);
        break;
      }
      default: {
        Wsle& wsle = ws[static_cast<std::uint32_t>(random.below(ws.end_slot()))];
        wild(random.below(2) == 0 ? Corruptor::word(wsle) : Corruptor::pte(wsle));
      }
    }
  }
  EXPECT_EQ(s.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
