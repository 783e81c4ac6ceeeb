// Shadow page tables: from guest virtual addresses straight to host frames, kept by the hypervisor where the hardware
// has one level of translation only.
//
//   TLB miss ── walk of the ShadowTree of the root ── entry allows it ─────────────────────────> translation, no exit
//                                │ exit
//                      walk of the guest's tables by software ── they forbid it ── true fault ──> the guest's handler
//                                │ hidden fault: accessed and dirty set in the guest's entries, the host's page brought
//                                │ in, the tables on the path traced, an entry installed
//                                └── again
//
// A shadow entry is a TLB entry that takes longer to lose: it allows only what a walk of the guest's tables allowed
// since the guest last invalidated the address. It is writable only if the guest's entry is dirty, the second level
// allows writing, and the frame is not a traced table: the first write to a page, by the guest and by the host's
// reckoning, is an exit. A hypervisor of a guest with write protection off cannot turn off its own: a supervisor's
// write to a read-only page gets an entry that is writable and the supervisor's alone, until a user needs it (KVM does
// so too).
//
// The guest's tables are traced (TracedTables). The kernel's write to
//   a leaf table        lets it get out of sync: entries stay as they were until INVLPG, CR3 load or flush, as in a TLB
//   a table above       drops what derives from the entries that changed, after the write
//   much of any table, or to one above too often without use in between: it is data now, everything derived is dropped
// A table whose contents the host dropped, since the guest said that they are worth nothing, is data now too.
// A program's write (a page that is data and a table) lets a leaf table get out of sync and makes others data.
//
// Invalidations: one of a page drops the entries of that address; one of a space, and the load of a root, bring the
// space's tables back in sync: entries that the guest's no longer allow are dropped, and the tables are traced again.
// Trees stay when another root is loaded. Trees are a cache: the one used longest ago is evicted when there is no room.
//
// Where software refills the TLB there is no walk and nothing to shadow; each write of a TLB entry is an exit (Disco:
// Bugnion et al. 1997).
//
// Invariants (hv::check), beside those of ShadowTree and TracedTables:
//   [SH4] An entry whose guest table is traced allows nothing, and leads nowhere, that a walk of the guest's tables
//         would not, and the guest's entries on the path are accessed, and dirty if it is writable. One whose table is
//         unsync does so but for that table's entry.
//   [SH5] An entry leads to the host frame that the second level leads to from its guest frame, and is writable only if
//         that is.
//   [SH6] The reverse map has each entry under its guest frame, and nothing else.
//   [SH7] No traced frame is writable through a shadow entry or a guest's TLB.
//   [SH8] Tables are as many as their frames in use, and within the limit.
//   [SH9] The index has each tree under each tag that its root was loaded under, and among those with global entries if
//         it has one; and nothing else.
// Locking: the lock of vmmem for the state; all virtual processors of a partition are driven by one thread.
// Source: reference/virtualization.md 2.1.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "pagoda/hv/guest_frame.h"
#include "pagoda/hv/hypervisor_view.h"
#include "pagoda/hv/shadow_tree.h"
#include "pagoda/hv/traced_tables.h"
#include "pagoda/machine/guest_mmu.h"
#include "pagoda/machine/physical_view.h"

namespace pagoda::hv {

class ShadowMmu final : public machine::GuestMmu, private GuestFrameCache {
 public:
  // Writes of the guest's kernel to a table above the leaves, without an entry derived from it in between, that make it
  // data. KVM: detect_write_flooding, 3.
  static constexpr unsigned kWriteFlood = 3;

  // All that is named outlives this.
  ShadowMmu(SecondLevel& second_level, TableFrames& frames, machine::PhysicalView host_memory,
            const PartitionConfig& config, PartitionCounts& counts);
  ~ShadowMmu() override;
  ShadowMmu(const ShadowMmu&) = delete;
  ShadowMmu& operator=(const ShadowMmu&) = delete;

  // A virtual processor whose page walks this replaces; in the order of their numbers.
  void attach(HypervisorView& view);

  // --- machine::GuestMmu ---
  std::expected<machine::Translation, machine::PageFault> walk(machine::Processor& cpu, VirtualAddress va,
                                                               machine::Access access, machine::Privilege privilege,
                                                               std::uint64_t& loads) override;
  void root_loaded(machine::Processor& cpu) override;
  void rules_changed(machine::Processor& cpu) override;
  void page_invalidated(machine::Processor& cpu, VirtualAddress va, machine::Asid asid) override;
  void space_invalidated(machine::Processor& cpu, machine::Asid asid) override;
  void all_invalidated(machine::Processor& cpu) override;

  // --- The guest's kernel writes a frame of its own, which may be a page table ---
  void before_write(WorldSwitch& world, Gfn frame, machine::FrameExtent part) {
    if (traced_.is_traced(frame)) [[unlikely]]
      table_write(world, frame, part);
  }
  void after_write(Gfn frame, machine::FrameExtent part) {
    if (traced_.is_traced(frame)) [[unlikely]]
      table_written(frame, part);
  }
  // The guest's kernel writes an entry of a software-managed TLB.
  void tlb_written(WorldSwitch& world);

  // --- GuestFrameCache: with vmmem's lock held ---
  void forget(Gfn frame) override;
  bool test_and_clear_accessed(Gfn frame) override;
  void contents_lost(GfnRange frames) override;
  void forget_all() override;

  // --- For the checker and for tests ---
  struct Mapping {
    ShadowTree* tree = nullptr;
    VirtualAddress va;

    friend bool operator==(const Mapping&, const Mapping&) = default;
  };
  using Trees = std::map<ShadowRole, std::unique_ptr<ShadowTree>>;
  using ReverseMap = std::unordered_map<Gfn, std::vector<Mapping>>;
  // Which trees an invalidation is for. In the order in which they came.
  struct Index {
    std::unordered_map<machine::Asid, std::vector<ShadowTree*>> by_tag;
    std::vector<ShadowTree*> with_global;  // A global entry is under every tag.
  };
  [[nodiscard]] const Trees& trees() const { return trees_; }
  [[nodiscard]] const Index& index() const { return index_; }
  [[nodiscard]] const TracedTables& traced() const { return traced_; }
  [[nodiscard]] const ReverseMap& reverse_map() const { return reverse_map_; }
  [[nodiscard]] PageCount table_count() const;

 private:
  friend struct ShadowCorruptor;

  enum class Derivation : std::uint8_t { kDone, kAgain, kCannot };
  using Path = std::vector<Gfn>;  // The guest's tables on the way to an entry, from the root.

  template <class Work>
  static decltype(auto) exit(WorldSwitch& world, Work&& work) {
    return world.exit(std::forward<Work>(work));
  }

  // --- Faults ---
  // Makes an entry that allows the access (null), or says what the translation is that no entry can stand for, or what
  // the guest's fault is.
  std::expected<std::optional<machine::Translation>, machine::PageFault> fill(HypervisorView& view,
                                                                              const ShadowRole& role, VirtualAddress va,
                                                                              machine::Access access,
                                                                              machine::Privilege privilege);
  // Whether there is memory behind the frame that the guest may use so.
  [[nodiscard]] bool is_memory(Gfn frame, machine::Access access) const;
  void reserve_tables(machine::Processor& host);
  Path path_to(HypervisorView& view, Gfn root, VirtualAddress va, unsigned leaf_level) const;
  Derivation derive(const ShadowRole& role, machine::Asid asid, VirtualAddress va, machine::Access access,
                    const machine::Translation& walked, const Path& path) PAGODA_REQUIRES(vmmem_.lock);
  // Stops tracing a frame that a program writes. False: it will be traced again at once.
  bool make_writable(Gfn frame, const Path& path, unsigned leaf_level) PAGODA_REQUIRES(vmmem_.lock);

  // --- Trees ---
  [[nodiscard]] ShadowTree* find_tree(const ShadowRole& role) PAGODA_REQUIRES(vmmem_.lock);
  void loaded_under(ShadowTree& tree, machine::Asid asid) PAGODA_REQUIRES(vmmem_.lock);
  // Calls `visit(tree)` for those that may have entries under the tag.
  template <class Visit>
  void for_each_under(machine::Asid asid, Visit&& visit) PAGODA_REQUIRES(vmmem_.lock);
  // The tree got its first global entry, or lost its last, if `had` is not what it has.
  void note_global(ShadowTree& tree, bool had) PAGODA_REQUIRES(vmmem_.lock);
  ShadowTree& tree_for(const ShadowRole& role, machine::Asid asid) PAGODA_REQUIRES(vmmem_.lock);
  // Evicts until so many tables more are within the limit; `keep` loses its entries only if nothing else helps.
  void make_room(PageCount tables, ShadowTree* keep) PAGODA_REQUIRES(vmmem_.lock);
  bool evict_oldest(const ShadowTree* keep) PAGODA_REQUIRES(vmmem_.lock);
  void evict(Trees::iterator tree) PAGODA_REQUIRES(vmmem_.lock);
  void drop_entries(ShadowTree& tree) PAGODA_REQUIRES(vmmem_.lock);

  // --- Entries: the only ways to add and to drop one ---
  void add(ShadowTree& tree, VirtualAddress va, const ShadowTree::Leaf& leaf) PAGODA_REQUIRES(vmmem_.lock);
  void drop(ShadowTree& tree, VirtualAddress va) PAGODA_REQUIRES(vmmem_.lock);
  void drop_range(ShadowTree& tree, VirtualAddress base, ByteCount bytes) PAGODA_REQUIRES(vmmem_.lock);
  // An address is invalidated, and with it all of a large page that it lies in.
  void drop_page(ShadowTree& tree, VirtualAddress va) PAGODA_REQUIRES(vmmem_.lock);

  // --- Traced tables ---
  [[nodiscard]] VirtualAddress base_of(VirtualAddress va, unsigned level) const;
  [[nodiscard]] bool derives_from(const ShadowTree& tree, VirtualAddress va, const Path& path) const;
  void use_tables(ShadowTree& tree, VirtualAddress va, const Path& path) PAGODA_REQUIRES(vmmem_.lock);
  void add_use(ShadowTree& tree, unsigned level, VirtualAddress base, Gfn frame) PAGODA_REQUIRES(vmmem_.lock);
  void remove_use(ShadowTree& tree, unsigned level, VirtualAddress base) PAGODA_REQUIRES(vmmem_.lock);
  void trace(Gfn frame) PAGODA_REQUIRES(vmmem_.lock);
  // It is a table no more: drops what derives from it.
  void unshadow(Gfn frame) PAGODA_REQUIRES(vmmem_.lock);
  // Lets it get out of sync, or if it may not, unshadows it.
  void allow_writes(Gfn frame) PAGODA_REQUIRES(vmmem_.lock);
  void resync(Gfn frame) PAGODA_REQUIRES(vmmem_.lock);
  void resync(const ShadowTree& tree) PAGODA_REQUIRES(vmmem_.lock);
  // Whether the guest's leaf entry still allows what the shadow entry does.
  [[nodiscard]] bool still_allows(const ShadowTree& tree, machine::RawPte raw, const ShadowTree::Leaf& leaf) const;
  void table_write(WorldSwitch& world, Gfn frame, machine::FrameExtent part);
  void table_written(Gfn frame, machine::FrameExtent part);

  // The frame that an entry of the guest's names.
  [[nodiscard]] Gfn frame_in(machine::RawPte guest_entry) const { return to_gfn(mode_.frame(guest_entry)); }
  [[nodiscard]] HypervisorView& view_of(const machine::Processor& guest) { return *views_[guest.number()]; }

  const PartitionConfig& config_;
  SecondLevel& second_level_;
  const Slat& slat_;
  mm::ProcessSpace& vmmem_;
  TableFrames& frames_;
  const machine::PhysicalView host_memory_;
  const machine::PagingMode& mode_;  // The guest's.
  std::vector<HypervisorView*> views_;
  PartitionCounts& counts_;
  Trees trees_;
  Index index_;
  TracedTables traced_;
  ReverseMap reverse_map_;  // By guest frame.
  std::uint64_t uses_ = 0;
};

}  // namespace pagoda::hv
