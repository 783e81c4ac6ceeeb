// A kernel instance: a machine, its memory manager, and everything that has a handle. pagoda/nt.h is its thin edge.
//
//   auto kernel = nt::Kernel::create({.machine = {.frames = pages_of(64_MiB)}});
//   nt::enter(**kernel);                       // This thread runs in the first process.
//   NtAllocateVirtualMemory(NtCurrentProcess(), ...);
//   nt::leave();
//
// Locking: `lock_` guards the list of processes and the free processors; ranks before all of mm's locks.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "pagoda/machine/sim/sim_machine.h"
#include "pagoda/mm/memory_manager.h"
#include "pagoda/nt/files.h"
#include "pagoda/nt/objects.h"
#include "pagoda/nt/process.h"
#include "pagoda/nt/version.h"

namespace pagoda::nt {

struct KernelConfig {
  // Disk 0, for paging files, and disk 1, for files, are added when it names no disks.
  machine::SimMachineConfig machine;
  mm::MemoryManagerConfig manager;
  std::filesystem::path directory;                    // The files' directory; empty: there are none.
  mm::UserRange user_range = mm::UserRange::kNormal;  // kLarge: /3GB, for images that are marked for it.
  std::optional<Version> version;                     // None: the paging mode's default_version.
};

class Kernel {
 public:
  // Fails with: what the machine and the manager say, kObjectNameNotFound (no such directory).
  static Result<std::unique_ptr<Kernel>> create(const KernelConfig& config);
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;
  // Ends every process. No thread may be in it.
  ~Kernel();

  [[nodiscard]] machine::SimMachine& machine() { return *machine_; }
  [[nodiscard]] mm::MemoryManager& manager() { return *manager_; }
  [[nodiscard]] const mm::MemoryManager& manager() const { return *manager_; }
  [[nodiscard]] Namespace& names() { return names_; }
  [[nodiscard]] Files& files() { return files_; }
  [[nodiscard]] const std::shared_ptr<Process>& first_process() const { return first_process_; }
  [[nodiscard]] mm::UserRange user_range() const { return user_range_; }
  // Whether it answers as newer versions do.
  [[nodiscard]] bool has(Difference difference) const { return nt::has(version_, difference); }

  // A process with an empty address space.
  // Fails with: what MemoryManager::create_space says.
  Result<std::shared_ptr<Process>> create_process(mm::Processor& cpu, const mm::SpaceConfig& config,
                                                  Token::Privileges privileges);
  // A process whose address space is a copy.
  // Fails with: what MemoryManager::clone_space says.
  Result<std::shared_ptr<Process>> clone_process(mm::Processor& cpu, mm::ProcessSpace& parent,
                                                 Token::Privileges privileges);

  // A processor that no thread drives; null if there is none.
  machine::SimProcessor* take_processor();
  void give_processor(machine::SimProcessor& cpu);
  [[nodiscard]] bool has_threads() const;

 private:
  std::shared_ptr<Process> process_of(mm::ProcessSpace& space, Token::Privileges privileges);
  Kernel(std::unique_ptr<machine::SimMachine> machine, std::unique_ptr<mm::MemoryManager> manager,
         const KernelConfig& config);

  std::unique_ptr<machine::SimMachine> machine_;
  std::unique_ptr<mm::MemoryManager> manager_;
  mm::UserRange user_range_;
  Version version_;
  Namespace names_;
  Files files_;
  mutable Lock lock_;
  std::vector<machine::SimProcessor*> free_processors_ PAGODA_GUARDED_BY(lock_);
  std::vector<std::weak_ptr<Process>> processes_ PAGODA_GUARDED_BY(lock_);
  std::uint32_t next_process_id_ PAGODA_GUARDED_BY(lock_) = 4;  // Ids are multiples of 4, as handles are.
  std::shared_ptr<Process> first_process_;
};

// A processor for a piece of the kernel's own work: the calling thread's, or a free one for a while.
class ProcessorLease {
 public:
  explicit ProcessorLease(Kernel& kernel);
  ProcessorLease(const ProcessorLease&) = delete;
  ProcessorLease& operator=(const ProcessorLease&) = delete;
  ~ProcessorLease();

  machine::SimProcessor& operator*() const { return *cpu_; }

 private:
  Kernel& kernel_;
  machine::SimProcessor* cpu_ = nullptr;
  bool borrowed_ = false;
};

}  // namespace pagoda::nt
