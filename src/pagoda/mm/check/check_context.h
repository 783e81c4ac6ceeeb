// What the parts of the checker share: the findings, and what is known of each frame and slot when page tables, lists
// and transfers have been walked.
//
//   lists, transfers (PFN lock) -> each space: tables, entries, VADs, working set (its lock) -> frames, slots, commit
//   (PFN lock) -> TLBs
//
// No part trusts what it reads: frame numbers, slots and links are compared with what there is before they are
// followed, and every loop has a bound that does not depend on the data checked. Nothing here takes a frame by its
// number without `is_used`.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/mm/check/check.h"
#include "pagoda/mm/region/device_frames.h"

namespace pagoda::mm::checking {

// Every rule, in the order in which the headers state them. A rule that is not here does not compile.
inline constexpr std::array<std::string_view, 76> kRules{
    "PL1",  "PL2", "PL3", "PL4",                                                             // pfn/page_lists.h
    "PF1",  "PF2", "PF3", "PF4", "PF5", "PF6", "PF7", "PF8", "PF9", "PF10", "PF11", "PF12",  // pfn/pfn_database.h
    "PF13",                                                                                  // pfn/available_blocks.h
    "PT1",  "PT2", "PT3", "PT4", "PT5", "PT6",                                               // space/page_tables.h
    "VT1",  "VT2", "VT3", "VT4", "VT5",                                                      // space/vad_tree.h
    "AS1",  "AS2", "AS3", "AS4", "AS5", "AS6", "AS7",                                        // space/address_space.h
    "VE1",  "VE2",                                                                           // region/vad_extra.h
    "WW1",                                                                                   // region/write_watch.h
    "AW1",  "AW2", "AW3",                                                                    // region/user_pages.h
    "DF1",  "DF2",                                                                           // region/device_frames.h
    "CA1",  "CA2", "CA3", "CA4",                                                             // section/control_area.h
    "PP1",  "PP2", "PP3", "PP4", "PP5",                                                      // pfn/prototype_pool.h
    "WS1",  "WS2", "WS3", "WS4",                                                             // space/working_set.h
    "SL1",  "SL2", "SL3", "CM1", "CM2",  // backing/paging_file.h, backing/commit.h
    "RA1",  "RA2",                       // backing/resident.h
    "CS1",  "CS2", "CS3", "CS4", "CS5",  // backing/compression_store.h
    "DR1",                               // backing/driver_frames.h
    "IO1",                               // backing/transfers.h
    "CT1",  "CT2", "CT3", "CT4", "CT5",  // combine/content_table.h
    "TL1",                               // check/check.h
};

class Rule {
 public:
  // Known rules only: at compile time anything else is an error.
  constexpr explicit Rule(std::string_view id) : id_(id) {
    for (const std::string_view known : kRules)
      if (known == id) return;
    PAGODA_CHECK(false);
  }
  [[nodiscard]] constexpr std::string_view id() const { return id_; }

 private:
  std::string_view id_;
};
consteval Rule operator""_rule(const char* id, std::size_t length) { return Rule(std::string_view(id, length)); }

// What the walks found out about a frame.
struct FrameFacts {
  std::uint32_t valid = 0;       // Level-1 entries that map it.
  std::uint32_t transition = 0;  // Entries in transition form that name it.
  std::uint32_t tables = 0;      // Entries that name it as a page table; a space's root counts as one.
  std::uint16_t reads = 0;       // Transfers that hold it.
  std::uint16_t writes = 0;
  std::uint32_t kept = 0;       // Of a page table, or page of prototype PTEs: entries that lead to what must stay.
  std::uint32_t awe_owner = 0;  // The space whose list of AWE frames has it.
  bool owner_is_valid = false;  // The entry at its PTE address was seen, maps it or names it in transition.
  bool owner_is_transition = false;
  bool dirty = false;  // An entry that maps it says so.
  bool listed = false;
  bool in_store = false;  // The compression store's list has it.
};

// A level-1 entry that is not zero.
struct Leaf {
  Vpn page;
  PhysicalAddress pte;
  RawPte raw = 0;
};

// What names a slot as the place of a page: an entry, or a frame's original PTE.
struct NamedSlot {
  unsigned file = 0;
  PageFileSlot slot;
  PhysicalAddress pte;  // The entry's address, or the frame's owner's.
  Pfn frame;            // kNoPfn: the entry itself says so.
};

// Where a read-only walk ended.
struct Place {
  PhysicalAddress pte;
  RawPte raw = 0;
  RawPte rights = 0;  // User and Write of all levels together, no-execute of any.
};

class Context {
 public:
  Context(MemoryManager& the_manager, const Processor& the_cpu, Pfn never_used);

  MemoryManager& manager;
  Core& core;
  const Processor& cpu;
  std::vector<FrameFacts> frames;  // One for every frame used so far.
  std::vector<NamedSlot> slots;
  std::vector<Leaf> leaves;       // The entries of the space that is being checked, by address.
  std::vector<Leaf> large_pages;  // Its entries that map large pages.
  PageCount charge;               // What all spaces, control areas and clones are charged, and locks of files' pages.
  PageCount resident;             // What must stay in memory.
  std::uint64_t page_tables = 0;
  std::uint64_t idle_tables = 0;  // Of those, the ones that could go out.
  std::uint64_t prototype_pages = 0;
  std::uint64_t pool_tables = 0;            // Of pages of prototype PTEs that are out.
  bool store_is_sound = true;               // The compression store's frames and chains may be followed.
  std::vector<VirtualAddress> clone_names;  // Prototype PTEs of clones, once for each entry that names one.
  SharingDomain domain{};                   // Of the space that is being checked.
  std::map<VirtualAddress, SharingDomain> clone_domains;  // Of the spaces that name a clone; the first one's,
  std::set<VirtualAddress> mixed_clones;                  // and where others are of another.
  std::map<const ControlArea*, std::uint32_t> views;      // VADs that name it.
  std::map<PhysicalAddress, Pfn> device_entries;          // Those that rightly map a device frame.

  // An entry of the space that is being checked names a clone.
  void name_clone(VirtualAddress clone) {
    clone_names.push_back(clone);
    if (clone_domains.emplace(clone, domain).first->second != domain) mixed_clones.insert(clone);
  }
  void find(Rule rule, std::string text);
  std::vector<Finding> take_findings() { return std::move(findings_); }

  [[nodiscard]] bool is_used(Pfn frame) const { return frame.value() < frames.size(); }
  FrameFacts& facts(Pfn frame) { return frames[frame.value()]; }
  [[nodiscard]] const PfnEntry& entry(Pfn frame) const { return core.pfns.entry(frame); }
  // An entry of the table leads to what must stay.
  void keep(Pfn table);
  // The frame that an entry names, if it was ever used. All bits of the entry count, not only those of a Pfn.
  [[nodiscard]] std::optional<Pfn> frame_of(RawPte raw) const;
  // Whether a valid entry names a frame that the database has not.
  [[nodiscard]] bool names_device_frame(RawPte raw) const;
  // The page's entry in the tables below `root`; nothing where a table is missing or not a table. A large page
  // gives the address of its entry, and what a level-1 entry for this page of it would say. Sets no bits.
  [[nodiscard]] std::optional<Place> walk(Pfn root, Vpn page) const;
  // Also of frames never used, none of which may be asked for above.
  [[nodiscard]] bool is_zero(Pfn frame) const;

  // Witnesses.
  [[nodiscard]] std::string text_of(Pfn frame) const;
  [[nodiscard]] std::string text_of(const Leaf& leaf) const;

 private:
  // A broken structure breaks many rules at once: the first few findings of each say what there is to say.
  static constexpr std::uint32_t kMostOfOneRule = 16;

  std::vector<Finding> findings_;
  std::array<std::uint32_t, kRules.size()> found_{};
};

// --- The parts ---
void check_lists(Context& c) PAGODA_REQUIRES(c.core.pfns.lock);
void check_transfers(Context& c) PAGODA_REQUIRES(c.core.pfns.lock);
// Takes the space's lock.
void check_space(Context& c, ProcessSpace& space);
void check_tables(Context& c, const PageTables& tables) PAGODA_REQUIRES(c.core.pfns.lock);  // Fills `leaves`.
// An entry in transition form against the frame that it names.
void check_transition(Context& c, const Leaf& leaf);
// Whether what the working set's hash leads to may be followed; what else is wrong with it is a finding too.
bool check_hash(Context& c, const ProcessSpace& space) PAGODA_REQUIRES(space.lock);
void check_entries(Context& c, ProcessSpace& space) PAGODA_REQUIRES(space.lock);
void check_awe_frames(Context& c, ProcessSpace& space) PAGODA_REQUIRES(space.lock);  // Before its regions.
void check_vads(Context& c, ProcessSpace& space, PageCount commit) PAGODA_REQUIRES(space.lock);
// DF2 for one region of any kind: whether what it knows of device frames may be asked.
bool check_device_region(Context& c, const ProcessSpace& space, const Vad& vad) PAGODA_REQUIRES(space.lock);
// The entries of one region, from number `at` on; returns where those of the next begin.
std::size_t check_device_entries(Context& c, ProcessSpace& space, const Vad& vad, std::size_t at)
    PAGODA_REQUIRES(space.lock);
// PT3 for a region of another kind.
void check_no_device_entries(Context& c, const ProcessSpace& space, const Vad& vad, std::size_t at)
    PAGODA_REQUIRES(space.lock);
void check_extras(Context& c, ProcessSpace& space) PAGODA_REQUIRES(space.lock);
void check_working_set(Context& c, ProcessSpace& space) PAGODA_REQUIRES(space.lock);
void check_trim_candidates(Context& c, const SpaceList& spaces) PAGODA_REQUIRES(spaces.lock);
// Takes the PFN lock.
void check_sections(Context& c, Sections& sections) PAGODA_REQUIRES(sections.lock);
void check_combine(Context& c, const Combiner& combiner) PAGODA_REQUIRES(c.core.pfns.lock);
// CT2 from a clone entry's side.
void check_tag(Context& c, const Combiner& combiner, VirtualAddress clone) PAGODA_REQUIRES(c.core.pfns.lock);
void check_compression(Context& c) PAGODA_REQUIRES(c.core.pfns.lock);  // Before the frames.
void check_frames(Context& c) PAGODA_REQUIRES(c.core.pfns.lock);
void check_contents(Context& c) PAGODA_REQUIRES(c.core.pfns.lock);
void check_slots(Context& c) PAGODA_REQUIRES(c.core.pfns.lock);
void check_resident(Context& c) PAGODA_REQUIRES(c.core.pfns.lock);  // When all have said what they keep.
void check_commit(Context& c) PAGODA_REQUIRES(c.core.pfns.lock);
void check_tlbs(Context& c, const SpaceList& spaces) PAGODA_REQUIRES(spaces.lock);

}  // namespace pagoda::mm::checking
