#include "pagoda/nt/copy_memory.h"

#include <algorithm>
#include <cstring>

#include "pagoda/mm/fault/fault.h"

namespace pagoda::nt {

namespace {

using machine::Access;

// A page of the space that may be used for the access: `move` gets its bytes.
template <class Move>
Status with_page(mm::ProcessSpace& space, mm::Processor& cpu, VirtualAddress at, Access access, const Move& move) {
  if (at > space.highest_user()) return Status::kAccessViolation;
  for (;;) {
    machine::PageFault fault{};
    {
      const LockGuard guard(space.lock);
      const auto walked = space.walk(cpu, at, access, machine::Privilege::kUser);
      if (walked) {
        const machine::FrameView page = cpu.physical().bytes(walked->frame, access);
        move(page.data() + at.page_offset());
        return Status::kSuccess;
      }
      fault = walked.error();
    }
    if (cpu.root() != space.root()) {
      const auto region = space.query(cpu, at);
      if (region && mm::is_guard(region->protection)) return Status::kAccessViolation;
    }
    const Status status = mm::resolve_fault(space, cpu, fault);
    if (status != Status::kSuccess) return status;
    if (cpu.is_blocked()) return Status::kPending;
  }
}

template <class MovePage>
Copied for_each_page(mm::ProcessSpace& space, mm::Processor& cpu, VirtualAddress at, std::size_t bytes, Access access,
                     const MovePage& move) {
  Copied copied;
  while (copied.bytes < bytes) {
    const VirtualAddress here = at + ByteCount(copied.bytes);
    const auto count = std::min<std::size_t>(bytes - copied.bytes, kPageBytes - here.page_offset());
    copied.status = with_page(space, cpu, here, access, [&](std::byte* page) { move(page, copied.bytes, count); });
    if (copied.status != Status::kSuccess) return copied;
    copied.bytes += count;
  }
  return copied;
}

}  // namespace

Copied copy_from(mm::ProcessSpace& space, mm::Processor& cpu, VirtualAddress from, std::span<std::byte> into) {
  return for_each_page(
      space, cpu, from, into.size(), Access::kRead,
      [&](const std::byte* page, std::size_t at, std::size_t count) { std::memcpy(into.data() + at, page, count); });
}

Copied copy_to(mm::ProcessSpace& space, mm::Processor& cpu, VirtualAddress to, std::span<const std::byte> from) {
  return for_each_page(
      space, cpu, to, from.size(), Access::kWrite,
      [&](std::byte* page, std::size_t at, std::size_t count) { std::memcpy(page, from.data() + at, count); });
}

}  // namespace pagoda::nt
