#include "bench/mmu_micro.h"

#include <array>
#include <memory>

#include "bench/harness.h"
#include "bench/host.h"
#include "pagoda/hv/partition.h"

namespace pagoda::bench {

namespace {

constexpr PageCount kGuestFrames{24 * 512};
// The memory that the TLB is thrashed with: more than four times what its second level holds.
constexpr PageCount kThrashed{8192};

constexpr std::array<MicroInfo, kMicroPrograms> kInfos{{
    {.name = "syscall", .operation = "getppid: no work for the MMU", .published = std::nullopt},
    {.name = "segfault", .operation = "an access that is refused", .published = std::nullopt},
    {.name = "pgfault", .operation = "first touch of a page", .published = Published{1093, 11242}},
    {.name = "ptemod", .operation = "PTE rewritten, INVLPG, page used", .published = Published{1, 12733}},
    {.name = "switch", .operation = "to the next of 8 processes, 8 pages used", .published = std::nullopt},
    // 40,000 of them took 6.0, 36.9 and 106.4 seconds at 3.8 GHz.
    {.name = "forkwait", .operation = "fork, 16 pages written, exit", .published = Published{570000, 10108000}},
    {.name = "tlb_thrash", .operation = "a load from the next page of 32 MB", .published = std::nullopt},
}};

// A machine or a virtual machine, and a memory manager with one space on it.
class World {
 public:
  explicit World(MmuMode mode) : mode_(mode) {
    const bool native = mode == MmuMode::kNative;
    machine::SimMachineConfig machine;
    machine.frames = native ? kGuestFrames : kGuestFrames + PageCount(8192);
    machine.processors = 2;
    machine.tlb = machine::TlbGeometry::kRealistic;
    machine_ = must(machine::SimMachine::create(machine), "machine");
    if (native) {
      manager_ = manager_of(*machine_, 0);
      cpu_ = &machine_->processor();
    } else {
      host_ = manager_of(*machine_, 0);
      hv::PartitionConfig config;
      config.memory = kGuestFrames;
      config.tlb = machine::TlbGeometry::kRealistic;
      config.mmu = kind_of(mode);
      config.unsync = mode != MmuMode::kShadowSynchronous;
      config.backing = mode == MmuMode::kNestedLarge ? hv::Backing::kPinned : hv::Backing::kVirtual;
      partition_ = must(hv::Partition::create(*host_, machine_->processor(), config), "partition");
      partition_->processor(0).world().enter(machine_->processor(1));
      manager_ = manager_of(partition_->machine(), 1);
      cpu_ = &partition_->machine().processor();
    }
    space_ = new_space();
    manager_->attach(*cpu_, *space_);
    use_every_frame();
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() {
    manager_->detach(*cpu_);
    for (mm::ProcessSpace* const space : spaces_) manager_->destroy_space(*cpu_, *space);
  }

  [[nodiscard]] MmuMode mode() const { return mode_; }
  [[nodiscard]] machine::SimProcessor& cpu() { return *cpu_; }
  [[nodiscard]] mm::MemoryManager& manager() { return *manager_; }
  [[nodiscard]] mm::ProcessSpace& space() { return *space_; }
  mm::ProcessSpace* new_space() {
    spaces_.push_back(must(manager_->create_space(*cpu_, {.limits = limits()}), "address space"));
    return spaces_.back();
  }
  static VirtualAddress commit(mm::ProcessSpace& space, PageCount pages) {
    return VirtualAddress(
        must(space.reserve({.size = bytes_of(pages), .commit = mm::MemCommit::kYes}), "region").first);
  }
  void write_each(VirtualAddress base, PageCount pages) {
    for (PageCount at; at < pages; ++at) must(cpu_->store<std::uint64_t>(base + bytes_of(at), at.value()), "store");
  }
  void load(VirtualAddress va) {
    cpu_->charge(machine_->costs().reference);
    must(cpu_->load<std::uint64_t>(va), "load");
  }
  void store(VirtualAddress va) {
    cpu_->charge(machine_->costs().reference);
    must(cpu_->store<std::uint64_t>(va, va.value()), "store");
  }

  // Runs the operation so often and says what one took.
  template <class Operation>
  MicroResult measure(std::uint64_t operations, Operation&& operation) {
    const Snapshot before = snapshot();
    for (std::uint64_t i = 0; i < operations; ++i) operation(i);
    const Snapshot after = snapshot();
    const auto n = static_cast<double>(operations);
    const double cycles_per_ns = static_cast<double>(machine_->costs().cycles_per_us) / 1000;
    return {.operations = operations,
            .cycles = static_cast<double>((after.time - before.time).value()) * cycles_per_ns / n,
            .exits = static_cast<double>(after.exits - before.exits) / n,
            .references = static_cast<double>(after.references - before.references) / n};
  }

 private:
  struct Snapshot {
    Time time;
    std::uint64_t exits = 0;
    std::uint64_t references = 0;
  };

  static hv::MmuKind kind_of(MmuMode mode) {
    if (mode == MmuMode::kParavirtual) return hv::MmuKind::kParavirtual;
    const bool shadow = mode == MmuMode::kShadow || mode == MmuMode::kShadowSynchronous;
    return shadow ? hv::MmuKind::kShadow : hv::MmuKind::kNested;
  }
  static mm::WorkingSet::Limits limits() { return HostConfig::quiet(kGuestFrames).limits; }
  static std::unique_ptr<mm::MemoryManager> manager_of(machine::Machine& machine, unsigned depth) {
    return must(mm::MemoryManager::create(
                    machine, {.tunables = HostConfig::quiet(machine.frame_count()).tunables, .depth = depth}),
                "memory manager");
  }
  [[nodiscard]] Snapshot snapshot() const {
    Snapshot now{cpu_->now(), 0, cpu_->counts().walk_loads};
    if (partition_ != nullptr) {
      now.exits = partition_->counts().exits;
      now.references += partition_->counts().slat_loads;
    }
    return now;
  }
  // All frames are backed, free and zeroed afterwards.
  void use_every_frame() {
    const PageCount fit = manager_->frame_counts().zeroed;
    const PageCount pages = fit - mm::kFaultReserve - PageCount(fit.value() / 512 + 4);
    const VirtualAddress base = commit(*space_, pages);
    write_each(base, pages);
    must(space_->release(*cpu_, base, 0_B), "release");
    while (!manager_->frame_counts().free.is_zero()) manager_->zero_page_thread().run(*cpu_);
  }

  const MmuMode mode_;
  std::unique_ptr<machine::SimMachine> machine_;
  std::unique_ptr<mm::MemoryManager> host_;
  std::unique_ptr<hv::Partition> partition_;
  std::unique_ptr<mm::MemoryManager> manager_;
  machine::SimProcessor* cpu_ = nullptr;
  std::vector<mm::ProcessSpace*> spaces_;
  mm::ProcessSpace* space_ = nullptr;
};

MicroResult system_call(World& world) {
  const VirtualAddress stack = World::commit(world.space(), 1_pages);
  world.store(stack);
  return world.measure(10000, [&](std::uint64_t) {
    world.cpu().charge(world.cpu().machine().costs().system_call);
    world.load(stack);
  });
}

MicroResult segfault(World& world) {
  const VirtualAddress reserved(
      must(world.space().reserve({.size = 64_KiB, .commit = mm::MemCommit::kNo}), "region").first);
  return world.measure(2000, [&](std::uint64_t) {
    if (world.cpu().load<std::uint64_t>(reserved)) give_up("segfault", Status::kSuccess);
  });
}

MicroResult first_touch(World& world) {
  constexpr PageCount kPages{2048};
  const VirtualAddress base = World::commit(world.space(), kPages);
  return world.measure(kPages.value(), [&](std::uint64_t i) { world.store(base + bytes_of(PageCount(i))); });
}

MicroResult ptemod(World& world) {
  constexpr std::uint64_t kPages = 64;
  const VirtualAddress base = World::commit(world.space(), PageCount(kPages));
  world.write_each(base, PageCount(kPages));
  machine::SimProcessor& cpu = world.cpu();
  mm::ProcessSpace& space = world.space();
  const machine::PagingMode& mode = cpu.machine().paging();
  // Takes the right to write away and gives it back, in turns.
  return world.measure(2 * kPages * 20, [&](std::uint64_t i) {
    const VirtualAddress va = base + bytes_of(PageCount(i / 2 % kPages));
    PhysicalAddress entry;
    {
      const LockGuard guard(space.lock);
      entry = space.tables().find(cpu, va.vpn());
    }
    const machine::RawPte raw = machine::load_entry(cpu.physical(), mode, entry);
    cpu.charge(cpu.machine().costs().reference);
    machine::store_entry(cpu.physical(), mode, entry, raw ^ machine::pte_bits::kWrite);
    cpu.invalidate_page(va, space.asid());
    world.load(va);
  });
}

MicroResult switch_processes(World& world) {
  constexpr std::size_t kProcesses = 8;
  constexpr PageCount kPages{8};
  struct Process {
    mm::ProcessSpace* space = nullptr;
    VirtualAddress base;
  };
  std::array<Process, kProcesses> processes;
  for (Process& process : processes) {
    process.space = world.new_space();
    process.base = World::commit(*process.space, kPages);
    world.manager().attach(world.cpu(), *process.space);
    world.write_each(process.base, kPages);
  }
  const MicroResult result = world.measure(kProcesses * 200, [&](std::uint64_t i) {
    const Process& next = processes[i % kProcesses];
    world.manager().attach(world.cpu(), *next.space);
    for (PageCount at; at < kPages; ++at) world.load(next.base + bytes_of(at));
  });
  return result;
}

MicroResult fork_wait(World& world) {
  constexpr PageCount kResident{64};
  constexpr PageCount kWritten{16};
  const VirtualAddress base = World::commit(world.space(), kResident);
  world.write_each(base, kResident);
  return world.measure(50, [&](std::uint64_t) {
    world.cpu().charge(world.cpu().machine().costs().system_call);
    mm::ProcessSpace& child = *must(world.manager().clone_space(world.cpu(), world.space()), "fork");
    world.manager().attach(world.cpu(), child);
    for (PageCount at; at < kWritten; ++at) world.store(base + bytes_of(at));
    world.manager().attach(world.cpu(), world.space());
    world.manager().destroy_space(world.cpu(), child);
    // The parent goes on, with pages that are its own again when it writes them.
    for (PageCount at; at < kWritten; ++at) world.store(base + bytes_of(at));
  });
}

MicroResult tlb_thrash(World& world) {
  VirtualAddress base;
  if (world.mode() == MmuMode::kNestedLarge) {
    base = VirtualAddress(must(world.space().reserve(world.cpu(), {.size = bytes_of(kThrashed),
                                                                   .commit = mm::MemCommit::kYes,
                                                                   .type = mm::VadType::kLargePages}),
                               "large pages")
                              .first);
  } else {
    base = World::commit(world.space(), kThrashed);
  }
  world.write_each(base, kThrashed);
  return world.measure(kThrashed.value() * 4,
                       [&](std::uint64_t i) { world.load(base + bytes_of(PageCount(i % kThrashed.value()))); });
}

}  // namespace

std::string_view name_of(MmuMode mode) {
  constexpr std::array<std::string_view, kMmuModes> kNames{"native",      "shadow", "shadow_synchronous",
                                                           "paravirtual", "nested", "nested_2mb"};
  return kNames.at(static_cast<std::size_t>(mode));
}

const MicroInfo& info_of(MicroProgram program) { return kInfos.at(static_cast<std::size_t>(program)); }

MicroResult run_micro(MicroProgram program, MmuMode mode) {
  World world(mode);
  switch (program) {
    case MicroProgram::kSystemCall:
      return system_call(world);
    case MicroProgram::kSegfault:
      return segfault(world);
    case MicroProgram::kFirstTouch:
      return first_touch(world);
    case MicroProgram::kPtemod:
      return ptemod(world);
    case MicroProgram::kSwitch:
      return switch_processes(world);
    case MicroProgram::kForkWait:
      return fork_wait(world);
    case MicroProgram::kTlbThrash:
      return tlb_thrash(world);
  }
  PAGODA_CHECK(false);
  return {};
}

}  // namespace pagoda::bench
