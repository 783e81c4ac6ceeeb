// The calling Linux thread: which kernel it is in, which processor it drives, and which process and thread are current.
//
//   enter -> first process -attach-> another -attach-> ... -detach-> ... -> leave
//
// All of it is thread-local. A thread that is in a kernel has a processor of the machine to itself.
#pragma once

#include <memory>
#include <vector>

#include "pagoda/nt/kernel.h"
#include "pagoda/nt/thread.h"

namespace pagoda::nt {

class Caller {
 public:
  // This thread's caller; null if the thread is in no kernel.
  static Caller* current();

  // Fails with: kInvalidParameter (in a kernel already) or kInsufficientResources (every processor has a thread).
  static Result<> enter(Kernel& kernel);
  // Undoes all attachments.
  // Fails with: kInvalidHandle (the thread is in no kernel).
  static Result<> leave();
  // Runs in the process from now on; as the thread, if there is one. By value, since the caller may pass process_pointer()
  // and thread(), which move when this call adds to them.
  // Fails with: kProcessIsTerminating.
  Result<> attach(std::shared_ptr<Process> process, std::shared_ptr<Thread> thread);
  // Fails with: kInvalidParameter (that was where it entered).
  Result<> detach();

  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;
  ~Caller();

  [[nodiscard]] Kernel& kernel() const { return kernel_; }
  [[nodiscard]] machine::SimProcessor& cpu() const { return cpu_; }
  [[nodiscard]] Process& process() const { return *runs_.back().process; }
  [[nodiscard]] const std::shared_ptr<Process>& process_pointer() const { return runs_.back().process; }
  [[nodiscard]] mm::ProcessSpace& space() const { return runs_.back().use.space(); }
  // Null where it runs as no thread.
  [[nodiscard]] const std::shared_ptr<Thread>& thread() const { return runs_.back().thread; }

 private:
  Caller(Kernel& kernel, machine::SimProcessor& cpu) : kernel_(kernel), cpu_(cpu) {}

  void wind_up();

  // Where the thread runs: an attachment, or where it entered.
  struct Run {
    std::shared_ptr<Process> process;
    std::shared_ptr<Thread> thread;
    SpaceUse use;
  };
  Kernel& kernel_;
  machine::SimProcessor& cpu_;
  std::vector<Run> runs_;
};

}  // namespace pagoda::nt
