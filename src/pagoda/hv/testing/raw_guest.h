// For tests: a guest without a memory manager. It writes its page tables entry by entry, as any operating system may,
// and what its programs meet is told to the test.
//
//   RawGuest g(host);  // Under shadow paging, or paravirtual where the configuration says so.
//   const Gfn root = g.new_root();
//   g.map(root, va, g.take(), kWrite | kUser);
//   g.load_root(root, Asid{1});
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "pagoda/hv/shadow_mmu.h"
#include "pagoda/hv/testing/test_vm.h"

namespace pagoda::hv::testing {

class RawGuest final : private machine::FaultHandler {
 public:
  static constexpr machine::RawPte kRights = machine::pte_bits::kWrite | machine::pte_bits::kUser;

  explicit RawGuest(TestHost& host, PartitionConfig config = {}) : host_(host) {
    if (config.mmu == MmuKind::kNested) config.mmu = MmuKind::kShadow;
    if (config.memory > pages_of(8_MiB)) config.memory = pages_of(8_MiB);
    partition_ = *Partition::create(host.manager(), host.cpu(), config);
    host.dispatch(*partition_);
    for (unsigned number = 0; number < config.processors; ++number) cpu(number).attach(*this);
  }

  [[nodiscard]] Partition& partition() { return *partition_; }
  [[nodiscard]] ShadowMmu& shadow() { return *partition_->shadow(); }
  [[nodiscard]] const PartitionCounts& counts() { return partition_->counts(); }
  [[nodiscard]] machine::SimProcessor& cpu(unsigned number = 0) { return partition_->machine().processor(number); }
  [[nodiscard]] const machine::PagingMode& mode() { return partition_->machine().paging(); }
  void load_root(Gfn root, machine::Asid asid, unsigned on = 0) { cpu(on).load_root(to_guest_pfn(root), asid); }

  // Frames never used: one, or in a row and aligned.
  Gfn take() { return std::exchange(next_, next_ + 1_pages); }
  Gfn take(PageCount count) {
    const std::uint64_t n = count.value();
    const Gfn first(static_cast<std::uint32_t>((next_.value() + n - 1) / n * n));
    next_ = first + count;
    return first;
  }
  Gfn new_table() {
    const Gfn table = take();
    zero(table);
    return table;
  }
  Gfn new_root() { return new_table(); }
  // A page with a value in it, mapped; its frame.
  Gfn page(Gfn root, VirtualAddress va, std::uint64_t value, machine::RawPte bits = kRights) {
    const Gfn frame = take();
    put_in_frame(frame, value);
    map(root, va, frame, bits);
    return frame;
  }

  // The table that has the entry of the level for the address, made where it is missing.
  Gfn table(Gfn root, VirtualAddress va, unsigned level = 1) {
    Gfn table = root;
    for (unsigned above = mode().levels; above > level; --above) {
      const PhysicalAddress at = mode().entry_address(to_guest_pfn(table), va, above);
      machine::RawPte raw = machine::load_entry(cpu().physical(), mode(), at);
      if ((raw & machine::pte_bits::kValid) == 0) {
        const machine::RawPte rights = mode().level[above].carries_rights ? kRights : 0;
        raw = GuestPhysicalAddress(new_table()).value() | machine::pte_bits::kValid | rights;
        machine::store_entry(cpu().physical(), mode(), at, raw);
      }
      table = to_gfn(mode().frame(raw));
    }
    return table;
  }
  PhysicalAddress entry(Gfn root, VirtualAddress va, unsigned level = 1) {
    return mode().entry_address(to_guest_pfn(table(root, va, level)), va, level);
  }
  [[nodiscard]] machine::RawPte get(Gfn root, VirtualAddress va, unsigned level = 1) {
    return machine::load_entry(cpu().physical(), mode(), entry(root, va, level));
  }
  void set(Gfn root, VirtualAddress va, machine::RawPte raw, unsigned level = 1) {
    machine::store_entry(cpu().physical(), mode(), entry(root, va, level), raw);
  }
  // `bits` besides valid, and large where it is.
  void map(Gfn root, VirtualAddress va, Gfn frame, machine::RawPte bits = kRights, unsigned level = 1) {
    const machine::RawPte large = level > 1 ? machine::pte_bits::kLarge : 0;
    set(root, va, GuestPhysicalAddress(frame).value() | machine::pte_bits::kValid | large | bits, level);
  }
  // A value into the frame, past all tables.
  void put_in_frame(Gfn frame, std::uint64_t value) {
    cpu().physical().store<std::uint64_t>(PhysicalAddress(to_guest_pfn(frame)), value);
  }
  void zero(Gfn frame) { cpu().physical().zero(to_guest_pfn(frame)); }

  // What a program does; false: it faulted, and `fault` says how.
  bool read(VirtualAddress va, machine::Privilege privilege = machine::Privilege::kUser) {
    return cpu().touch(va, machine::Access::kRead, privilege).has_value();
  }
  bool write(VirtualAddress va, std::uint64_t value = 1, machine::Privilege privilege = machine::Privilege::kUser) {
    return cpu().store<std::uint64_t>(va, value, privilege).has_value();
  }
  std::optional<std::uint64_t> value(VirtualAddress va) {
    const auto result = cpu().load<std::uint64_t>(va);
    return result ? std::optional(*result) : std::nullopt;
  }
  [[nodiscard]] const std::optional<machine::PageFault>& fault() const { return fault_; }
  // The shadow entry; none: there is no tree, or no entry.
  [[nodiscard]] std::optional<ShadowTree::Leaf> shadow_entry(Gfn root, VirtualAddress va) {
    const machine::WalkRules& rules = cpu().walk_rules();
    const auto tree = shadow().trees().find({root, rules.write_protect, rules.no_execute});
    return tree == shadow().trees().end() ? std::nullopt : tree->second->find(va);
  }

  // The host takes all it can.
  void page_out() {
    partition_->vmmem().empty_working_set(host_.cpu());
    PAGODA_CHECK(host_.manager().flush_modified(host_.cpu()));
  }
  [[nodiscard]] std::string check() { return hv::to_string(hv::check(*partition_)) + host_.check(); }

 private:
  machine::FaultOutcome resolve(machine::Processor& /*cpu*/, const machine::PageFault& fault) override {
    fault_ = fault;
    return Status::kAccessViolation;
  }
  machine::FaultOutcome refill(machine::Processor& /*cpu*/, VirtualAddress /*va*/, machine::Access /*access*/,
                               machine::Privilege /*privilege*/) override {
    return Status::kAccessViolation;
  }

  TestHost& host_;
  std::unique_ptr<Partition> partition_;
  Gfn next_{1};
  std::optional<machine::PageFault> fault_;
};

}  // namespace pagoda::hv::testing
