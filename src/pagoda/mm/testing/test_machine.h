// For tests: a small machine with a memory manager and one space, and short ways to look inside.
//
//   TestMachine t({.frames = PageCount(128)});
//   const VirtualAddress base = t.commit(PageCount(16));
//   t.put(base, 1, 42);
//   EXPECT_EQ(t.kind(base + kPageSize), PteKind::kValid);
//   EXPECT_EQ(t.check(), "");
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pagoda/machine/sim/sim_machine.h"
#include "pagoda/machine/testing/hook_machine.h"
#include "pagoda/mm/check/check.h"
#include "pagoda/mm/memory_manager.h"
#include "pagoda/mm/testing/program_memory.h"

namespace pagoda::mm::testing {

// What the tests use in place of Tunables::for_memory: numbers small enough to reason about.
inline Tunables small_tunables() {
  return {.minimum_free = PageCount(10),
          .plenty_free = PageCount(16),
          .modified_maximum = PageCount(16),
          .commit_reserve = PageCount(16)};
}

struct TestMachineConfig {
  PageCount frames{256};
  machine::PteFormat paging = machine::PteFormat::kAmd64;
  machine::TlbRefill refill = machine::TlbRefill::kHardware;
  machine::TlbGeometry tlb = machine::TlbGeometry::kLarge;
  unsigned processors = 1;
  machine::Driving driving = machine::Driving::kOneThread;
  Tunables tunables = small_tunables();
  std::vector<machine::DiskModel> disks{{}};
  std::vector<PagingFileConfig> paging_files{{.name = "pagefile.sys", .disk = 0, .minimum = 4_MiB, .maximum = 4_MiB}};
  std::optional<WorkingSet::Limits> limits;
  PageCount device_frames;                    // Beyond those of the manager's.
  machine::Hypercalls* hypercalls = nullptr;  // Who the manager's machine says is below.
};

class TestMachine : public ProgramMemory<TestMachine> {
 public:
  explicit TestMachine(const TestMachineConfig& config = {})
      : machine_(*machine::SimMachine::create({.frames = config.frames + config.device_frames,
                                               .paging = config.paging,
                                               .processors = config.processors,
                                               .tlb = config.tlb,
                                               .refill = config.refill,
                                               .driving = config.driving,
                                               .disks = config.disks})),
        seen_(*machine_, config.frames, config.hypercalls),
        manager_(*MemoryManager::create(seen_, {.tunables = config.tunables, .paging_files = config.paging_files})),
        space_(*manager_->create_space(cpu(), {.limits = config.limits})) {
    for (unsigned number = 0; number < config.processors; ++number) manager_->attach(cpu(number), *space_);
  }

  [[nodiscard]] machine::SimMachine& machine() { return *machine_; }
  [[nodiscard]] MemoryManager& manager() { return *manager_; }
  [[nodiscard]] Core& core() { return manager_->core(); }
  [[nodiscard]] machine::SimProcessor& cpu(unsigned number = 0) { return machine_->processor(number); }
  [[nodiscard]] ProcessSpace& space() { return *space_; }
  [[nodiscard]] machine::FaultInjection& injection(unsigned disk = 0) { return machine_->sim_disk(disk).injection(); }
  // What the machine calls while a disk works and after a shoot-down.
  [[nodiscard]] machine::testing::Hooks& hooks() { return seen_.hooks(); }
  // A new file of the first disk, of so many pages of zeros.
  [[nodiscard]] std::shared_ptr<FileStream> add_file(PageCount pages) {
    auto file = *seen_.disks().front()->create("file");
    PAGODA_CHECK(file->resize(bytes_of(pages)).has_value());
    return std::make_shared<FileStream>("file", std::move(file));
  }
  [[nodiscard]] ProcessSpace& add_space(const std::optional<WorkingSet::Limits>& limits = std::nullopt) {
    return **manager_->create_space(cpu(), {.limits = limits});
  }

  // --- Where pages are ---
  [[nodiscard]] RawPte pte(VirtualAddress va) {
    const LockGuard guard(space_->lock);
    return space_->tables().read(cpu(), va.vpn());
  }
  [[nodiscard]] PteKind kind(VirtualAddress va) { return core().codec.kind(pte(va)); }
  // The frame of a valid or transition page; kNoPfn elsewhere.
  [[nodiscard]] Pfn frame(VirtualAddress va) {
    const RawPte raw = pte(va);
    return PteCodec::is_valid(raw) || PteCodec::is_transition(raw) ? core().codec.frame(raw) : kNoPfn;
  }
  [[nodiscard]] const PfnEntry& entry(VirtualAddress va) { return core().pfns.entry(frame(va)); }
  [[nodiscard]] PageState state(VirtualAddress va) { return entry(va).state; }
  [[nodiscard]] PageCount count(PageState state) {
    const LockGuard guard(core().pfns.lock);
    return core().pfns.count(state);
  }
  [[nodiscard]] PageCount available() {
    const LockGuard guard(core().pfns.lock);
    return core().pfns.available();
  }
  [[nodiscard]] PageCount slots_used() {
    const LockGuard guard(core().pfns.lock);
    return core().paging_files.used();
  }
  [[nodiscard]] std::uint64_t faults(FaultKind kind) {
    return manager_->counters().faults[static_cast<std::size_t>(kind)];
  }
  // Faults of all kinds.
  [[nodiscard]] std::uint64_t faults() {
    std::uint64_t all = 0;
    for (const std::uint64_t count : manager_->counters().faults) all += count;
    return all;
  }
  [[nodiscard]] PageCount resident() { return space_->statistics().working_set; }

  // --- Moving pages ---
  // Everything out of the working set, written, and its transfers done: pages are clean and on standby.
  void page_out() {
    static_cast<void>(space_->empty_working_set(cpu()));
    PAGODA_CHECK(manager_->flush_modified(cpu()));
  }
  // The same, and the frames given to others meanwhile: the pages are in paging files only.
  void push_out() {
    page_out();
    reuse_standby();
  }
  // Gives the frames of all pages on standby to others, who give them back.
  void reuse_standby() {
    const LockGuard guard(core().pfns.lock);
    std::vector<Pfn> held;  // Frames given back at once would be taken again.
    while (core().pfns.lists().oldest_standby() != kNoPfn)
      held.push_back(core().pfns.take_kept(cpu(), Contents::kAny)->frame);
    for (const Pfn frame : held) core().pfns.give_back(frame, Contents::kAny);
  }
  // Does something while only so many frames are available, because others have the rest.
  template <class Body>
  void while_only(PageCount frames, const Body& body) {
    std::vector<Pfn> held;
    {
      const LockGuard guard(core().pfns.lock);
      while (core().pfns.available() > frames) held.push_back(core().pfns.take_kept(cpu(), Contents::kAny)->frame);
    }
    body();
    const LockGuard guard(core().pfns.lock);
    for (const Pfn frame : held) core().pfns.give_back(frame, Contents::kAny);
  }
  // Ends all transfers under way, at the time when the last of them completes.
  void finish_io(unsigned on = 0) {
    for (Time next = manager_->next_completion(); next != kNever; next = manager_->next_completion()) {
      cpu(on).advance_to(next);
      manager_->complete_io(cpu(on));
    }
  }

  // What the checker finds; empty for a healthy machine.
  [[nodiscard]] std::string check() { return check_manager(*manager_, cpu()); }
  static std::string check_manager(MemoryManager& manager, const Processor& cpu) {
#if __has_include("pagoda/mm/check/check.cpp")
    return to_string(mm::check(manager, cpu));
#else
    static_cast<void>(manager);
    static_cast<void>(cpu);
    return "";
#endif
  }

 private:
  std::unique_ptr<machine::SimMachine> machine_;
  machine::testing::HookMachine seen_;
  std::unique_ptr<MemoryManager> manager_;
  ProcessSpace* space_;
};

}  // namespace pagoda::mm::testing
