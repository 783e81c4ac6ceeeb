#include "pagoda/nt/copy_memory.h"

#include <algorithm>
#include <array>
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

std::size_t part_of_page(VirtualAddress at, std::size_t bytes) {
  return std::min<std::size_t>(bytes, kPageBytes - at.page_offset());
}

// The other side's bytes may fault, and are reached under no lock: a page goes through this.
using Bounce = std::array<std::byte, kPageBytes>;

}  // namespace

Copied copy_from(mm::ProcessSpace& space, mm::Processor& cpu, VirtualAddress from, std::span<std::byte> into) {
  Bounce bounce;
  Copied copied;
  while (copied.bytes < into.size()) {
    const VirtualAddress here = from + ByteCount(copied.bytes);
    const std::size_t count = part_of_page(here, into.size() - copied.bytes);
    copied.status = with_page(space, cpu, here, Access::kRead,
                              [&](const std::byte* page) { std::memcpy(bounce.data(), page, count); });
    if (copied.status != Status::kSuccess) return copied;
    std::memcpy(into.data() + copied.bytes, bounce.data(), count);
    copied.bytes += count;
  }
  return copied;
}

Copied copy_to(mm::ProcessSpace& space, mm::Processor& cpu, VirtualAddress to, std::span<const std::byte> from) {
  Bounce bounce;
  Copied copied;
  while (copied.bytes < from.size()) {
    const VirtualAddress here = to + ByteCount(copied.bytes);
    const std::size_t count = part_of_page(here, from.size() - copied.bytes);
    std::memcpy(bounce.data(), from.data() + copied.bytes, count);
    copied.status =
        with_page(space, cpu, here, Access::kWrite, [&](std::byte* page) { std::memcpy(page, bounce.data(), count); });
    if (copied.status != Status::kSuccess) return copied;
    copied.bytes += count;
  }
  return copied;
}

}  // namespace pagoda::nt
