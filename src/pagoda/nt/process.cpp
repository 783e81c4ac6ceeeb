#include "pagoda/nt/process.h"

#include "pagoda/nt/kernel.h"

namespace pagoda::nt {

SpaceUse& SpaceUse::operator=(SpaceUse&& other) noexcept {
  if (this != &other) {
    release();
    process_ = std::exchange(other.process_, nullptr);
  }
  return *this;
}

// The space is not taken away while this use lasts, so that no lock is needed.
mm::ProcessSpace& SpaceUse::space() const PAGODA_NO_THREAD_SAFETY { return *process_->space_; }

void SpaceUse::release() {
  if (process_ != nullptr) process_->end_use();
  process_ = nullptr;
}

Process::Process(Kernel& kernel, mm::ProcessSpace& space, Token::Privileges privileges, std::uint32_t id)
    : Object(kType),
      kernel_(kernel),
      id_(id),
      token_(privileges),
      lock_(LockRank(LockClass::kObjects, 0)),
      space_(&space) {}

Process::~Process() { terminate(); }

Result<SpaceUse> Process::use_space() {
  const LockGuard guard(lock_);
  if (terminating_) return fail(Status::kProcessIsTerminating);
  ++uses_;
  return SpaceUse(shared_from_this());
}

void Process::end_use() {
  mm::ProcessSpace* space = nullptr;
  {
    const LockGuard guard(lock_);
    if (--uses_ == 0 && terminating_) space = std::exchange(space_, nullptr);
  }
  if (space != nullptr) destroy_space(*space);
}

bool Process::terminate() {
  mm::ProcessSpace* space = nullptr;
  {
    const LockGuard guard(lock_);
    if (terminating_) return false;
    terminating_ = true;
    if (uses_ == 0) space = std::exchange(space_, nullptr);
  }
  handles_.close_all();
  if (space != nullptr) destroy_space(*space);
  return true;
}

bool Process::is_terminating() const {
  const LockGuard guard(lock_);
  return terminating_;
}

void Process::destroy_space(mm::ProcessSpace& space) {
  const ProcessorLease cpu(kernel_);
  kernel_.manager().destroy_space(*cpu, space);
}

}  // namespace pagoda::nt
