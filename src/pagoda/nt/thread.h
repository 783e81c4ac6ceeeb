// A thread: what can be current in a process, and its stack. NT: ETHREAD and the stack fields of its TEB.
//
//   allocation base                              limit          base
//   | kept back |  reserved ...  | guard page | committed ... |
//
// The address space knows the stack and makes it grow (mm/process/stacks.h) while a processor runs as the thread: to
// others its guard page is one like any other. The memory itself stays until the program frees it, or the process ends.
// Source: reference/nt.md section 4, "Guard in a thread stack".
#pragma once

#include <memory>
#include <mutex>

#include "pagoda/nt/objects.h"
#include "pagoda/nt/process.h"

namespace pagoda::nt {

// NT's defaults for an image that says nothing: 1 MB reserved, a page committed.
inline constexpr ByteCount kDefaultStackReserve = 1_MiB;
inline constexpr ByteCount kDefaultStackCommit = kPageSize;
// Pages above the lowest one that growth leaves alone. A choice after public documentation: one page.
inline constexpr ByteCount kStackGuarantee = kPageSize;

struct Stack {
  VirtualAddress base;             // One past its highest byte.
  VirtualAddress limit;            // Its lowest byte above the guard page.
  VirtualAddress allocation_base;  // The first byte of its region.
};

class Thread : public Object {
 public:
  static constexpr ObjectType kType = ObjectType::kThread;

  // A thread with a stack of `reserve` bytes in the process, `commit` of them committed at once.
  // Fails with: kInvalidParameter (no room for a guard page in what is reserved), kProcessIsTerminating, kNoMemory,
  // kCommitmentLimit.
  static Result<std::shared_ptr<Thread>> create(mm::Processor& cpu, const std::shared_ptr<Process>& process,
                                                ByteCount reserve, ByteCount commit);
  Thread(std::shared_ptr<Process> process, const Stack& stack);

  [[nodiscard]] const std::shared_ptr<Process>& process() const { return process_; }
  // As it is now.
  // Fails with: kProcessIsTerminating.
  [[nodiscard]] Result<Stack> stack() const;
  // A caller runs as this thread from now on, or no longer, in the space of its process. Nests.
  void begin_running(mm::ProcessSpace& space);
  void end_running(mm::ProcessSpace& space);

 private:
  const std::shared_ptr<Process> process_;
  mutable std::mutex mutex_;  // Guards all below. Taken before locks of the address space.
  Stack stack_;               // Its limit is old while the thread runs.
  unsigned running_ = 0;
  bool known_ = false;  // The address space knows the stack.
};

}  // namespace pagoda::nt
