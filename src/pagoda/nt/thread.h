// A thread: what can be current in a process, and its stack. NT: ETHREAD and the stack fields of its TEB.
//
//   allocation base                              limit          base
//   | kept back |  reserved ...  | guard page | committed ... |
//
// The thread's touch of the guard page makes the page below the next guard page and moves the limit down. The lowest
// page, and kStackGuarantee above it, are never used up that way: STATUS_STACK_OVERFLOW is raised instead, and the page
// that was hit stays usable, so that a handler has a stack to run on.
// Source: reference/nt.md section 4, "Guard in a thread stack".
#pragma once

#include <memory>

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
  VirtualAddress allocation_base;  // Of the region.
};

class Thread : public Object {
 public:
  static constexpr ObjectType kType = ObjectType::kThread;

  // With a stack of `reserve` bytes in the process, `commit` of them committed at once. Fails with kInvalidParameter
  // (no room for a guard page in what is reserved), kProcessIsTerminating, kNoMemory, kCommitmentLimit.
  static Result<std::shared_ptr<Thread>> create(mm::Processor& cpu, const std::shared_ptr<Process>& process,
                                                ByteCount reserve, ByteCount commit);
  Thread(std::shared_ptr<Process> process, const Stack& stack);

  [[nodiscard]] const std::shared_ptr<Process>& process() const { return process_; }
  [[nodiscard]] Stack stack() const;
  [[nodiscard]] bool is_on_stack(VirtualAddress address) const;
  // The thread hit the guard page at the address, which has lost its guard. kPageFaultGuardPage: the stack grew, repeat
  // the access. kStackOverflow: it cannot. kGuardPageViolation: that was not the stack's guard page.
  Status grow_stack(mm::Processor& cpu, mm::AddressSpace& space, VirtualAddress hit);

 private:
  const std::shared_ptr<Process> process_;
  mutable Lock lock_;
  Stack stack_ PAGODA_GUARDED_BY(lock_);
};

}  // namespace pagoda::nt
