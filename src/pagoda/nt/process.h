// A process: an address space, handles, and what it may do. NT: EPROCESS.
//
//   create -> alive -> terminate -> (the last user of the space leaves) -> no space
//   The object stays while a handle refers to it.
//
// Invariants:
//   [PR1] While a SpaceUse exists, so does the address space; threads that run in the process hold one.
//   [PR2] A terminated process has no handles and gives out no SpaceUse; the last one's end destroys its space.
// Locking: `lock_` guards the life of the space and is held for no other work.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "pagoda/mm/memory_manager.h"
#include "pagoda/nt/objects.h"
#include "pagoda/nt/token.h"

namespace pagoda::nt {

class Kernel;
class Process;

// Keeps a process's address space while it lives.
class SpaceUse {
 public:
  SpaceUse() = default;
  SpaceUse(SpaceUse&& other) noexcept : process_(std::exchange(other.process_, nullptr)) {}
  SpaceUse& operator=(SpaceUse&& other) noexcept;
  SpaceUse(const SpaceUse&) = delete;
  SpaceUse& operator=(const SpaceUse&) = delete;
  ~SpaceUse() { release(); }

  [[nodiscard]] Process& process() const { return *process_; }
  [[nodiscard]] mm::ProcessSpace& space() const;
  void release();

 private:
  friend class Process;
  explicit SpaceUse(std::shared_ptr<Process> process) : process_(std::move(process)) {}

  std::shared_ptr<Process> process_;
};

class Process : public Object, public std::enable_shared_from_this<Process> {
 public:
  static constexpr ObjectType kType = ObjectType::kProcess;

  // A process in a space that was made for it.
  Process(Kernel& kernel, mm::ProcessSpace& space, Token::Privileges privileges, std::uint32_t id);
  ~Process() override;

  [[nodiscard]] Kernel& kernel() const { return kernel_; }
  [[nodiscard]] std::uint32_t id() const { return id_; }
  [[nodiscard]] HandleTable& handles() { return handles_; }
  [[nodiscard]] const HandleTable& handles() const { return handles_; }
  [[nodiscard]] Token& token() { return token_; }
  // Fails with: kProcessIsTerminating.
  Result<SpaceUse> use_space();
  // Closes its handles; its space is destroyed at the end of the last use. False: it was terminated before.
  bool terminate();
  [[nodiscard]] bool is_terminating() const;

 private:
  friend class SpaceUse;

  void end_use();
  void destroy_space(mm::ProcessSpace& space);

  Kernel& kernel_;
  const std::uint32_t id_;
  HandleTable handles_;
  Token token_;
  mutable Lock lock_;
  mm::ProcessSpace* space_ PAGODA_GUARDED_BY(lock_);  // Null once it is destroyed.
  std::size_t uses_ PAGODA_GUARDED_BY(lock_) = 0;
  bool terminating_ PAGODA_GUARDED_BY(lock_) = false;
};

}  // namespace pagoda::nt
