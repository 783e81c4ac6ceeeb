#include "pagoda/nt/kernel.h"

#include <algorithm>

#include "pagoda/nt/caller.h"

namespace pagoda::nt {

namespace {

constexpr unsigned kFileDisk = 1;
constexpr std::uint32_t kProcessIdStep = 4;

}  // namespace

Result<std::unique_ptr<Kernel>> Kernel::create(const KernelConfig& config) {
  std::error_code error;
  if (!config.directory.empty() && !std::filesystem::is_directory(config.directory, error))
    return fail(Status::kObjectNameNotFound);
  KernelConfig complete = config;
  if (complete.machine.disks.empty()) complete.machine.disks.push_back({.name = "paging"});
  if (complete.machine.disks.size() <= kFileDisk) complete.machine.disks.push_back({.name = "files"});
  auto machine = PAGODA_TRY(machine::SimMachine::create(complete.machine));
  auto manager = PAGODA_TRY(mm::MemoryManager::create(*machine, complete.manager));
  std::unique_ptr<Kernel> kernel(new Kernel(std::move(machine), std::move(manager), complete));
  const ProcessorLease cpu(*kernel);
  auto first = PAGODA_TRY(kernel->create_process(*cpu, {}, Token::kAll));
  kernel->first_process_ = std::move(first);
  return kernel;
}

Kernel::Kernel(std::unique_ptr<machine::SimMachine> machine, std::unique_ptr<mm::MemoryManager> manager,
               const KernelConfig& config)
    : machine_(std::move(machine)),
      manager_(std::move(manager)),
      user_range_(config.user_range),
      version_(config.version.value_or(default_version(config.machine.paging))),
      files_(&machine_->sim_disk(kFileDisk), config.directory),
      lock_(LockRank(LockClass::kObjects, 0)) {
  for (machine::SimProcessor* cpu : machine_->sim_processors()) free_processors_.push_back(cpu);
  std::ranges::reverse(free_processors_);  // Processor 0 is taken first.
}

Kernel::~Kernel() {
  PAGODA_CHECK(!has_threads());
  // Handles may refer to processes in a circle; ending them all opens it.
  std::vector<std::shared_ptr<Process>> alive;
  {
    const LockGuard guard(lock_);
    for (const auto& process : processes_)
      if (auto held = process.lock()) alive.push_back(std::move(held));
  }
  for (const auto& process : alive) process->terminate();
}

Result<std::shared_ptr<Process>> Kernel::create_process(mm::Processor& cpu, const mm::SpaceConfig& config,
                                                        Token::Privileges privileges) {
  auto* const space = PAGODA_TRY(manager_->create_space(cpu, config));
  return process_of(*space, privileges);
}

Result<std::shared_ptr<Process>> Kernel::clone_process(mm::Processor& cpu, mm::ProcessSpace& parent,
                                                       Token::Privileges privileges) {
  auto* const space = PAGODA_TRY(manager_->clone_space(cpu, parent));
  return process_of(*space, privileges);
}

std::shared_ptr<Process> Kernel::process_of(mm::ProcessSpace& space, Token::Privileges privileges) {
  const LockGuard guard(lock_);
  auto process = std::make_shared<Process>(*this, space, privileges, next_process_id_);
  next_process_id_ += kProcessIdStep;
  std::erase_if(processes_, [](const auto& other) { return other.expired(); });
  processes_.push_back(process);
  return process;
}

machine::SimProcessor* Kernel::take_processor() {
  const LockGuard guard(lock_);
  if (free_processors_.empty()) return nullptr;
  machine::SimProcessor* const cpu = free_processors_.back();
  free_processors_.pop_back();
  return cpu;
}

void Kernel::give_processor(machine::SimProcessor& cpu) {
  const LockGuard guard(lock_);
  free_processors_.push_back(&cpu);
}

bool Kernel::has_threads() const {
  const LockGuard guard(lock_);
  return free_processors_.size() != machine_->processors().size();
}

ProcessorLease::ProcessorLease(Kernel& kernel) : kernel_(kernel) {
  const Caller* const caller = Caller::current();
  if (caller != nullptr && &caller->kernel() == &kernel) {
    cpu_ = &caller->cpu();
    return;
  }
  cpu_ = kernel.take_processor();
  borrowed_ = true;
  // Only a thread that has left its kernel comes here, and its own processor is free at least until it enters again.
  PAGODA_CHECK(cpu_ != nullptr);
}

ProcessorLease::~ProcessorLease() {
  if (borrowed_) kernel_.give_processor(*cpu_);
}

}  // namespace pagoda::nt
