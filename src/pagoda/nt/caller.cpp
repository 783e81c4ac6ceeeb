#include "pagoda/nt/caller.h"

#include <utility>

namespace pagoda::nt {

namespace {

std::unique_ptr<Caller>& this_thread() {
  thread_local std::unique_ptr<Caller> caller;
  return caller;
}

}  // namespace

Caller* Caller::current() { return this_thread().get(); }

Result<> Caller::enter(Kernel& kernel) {
  if (this_thread() != nullptr) return fail(Status::kInvalidParameter);
  machine::SimProcessor* const cpu = kernel.take_processor();
  if (cpu == nullptr) return fail(Status::kInsufficientResources);
  this_thread().reset(new Caller(kernel, *cpu));
  return this_thread()->attach(kernel.first_process(), nullptr);
}

Result<> Caller::leave() {
  if (this_thread() == nullptr) return fail(Status::kInvalidHandle);
  this_thread()->wind_up();
  this_thread().reset();
  return {};
}

Caller::~Caller() {
  wind_up();  // A thread may end without leaving.
  kernel_.give_processor(cpu_);
}

void Caller::wind_up() {
  kernel_.manager().detach(cpu_);
  // A process that was terminated meanwhile loses its space here, on this thread's processor.
  for (; !runs_.empty(); runs_.pop_back())
    if (const Run& run = runs_.back(); run.thread != nullptr) run.thread->end_running(run.use.space());
}

Result<> Caller::attach(std::shared_ptr<Process> process, std::shared_ptr<Thread> thread) {
  auto use = PAGODA_TRY(process->use_space());
  kernel_.manager().attach(cpu_, use.space());
  runs_.push_back({std::move(process), std::move(thread), std::move(use)});
  if (const auto& now = this->thread(); now != nullptr) now->begin_running(space());
  return {};
}

Result<> Caller::detach() {
  if (runs_.size() < 2) return fail(Status::kInvalidParameter);
  const Run left = std::move(runs_.back());
  runs_.pop_back();
  if (left.thread != nullptr) left.thread->end_running(left.use.space());
  kernel_.manager().attach(cpu_, space());
  return {};
}

}  // namespace pagoda::nt
