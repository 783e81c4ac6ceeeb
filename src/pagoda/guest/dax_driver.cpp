#include "pagoda/guest/dax_driver.h"

#include <algorithm>

namespace pagoda::guest {

using machine::Hypercalls;

DaxDriver::DaxDriver(mm::MemoryManager& guest, machine::Processor& cpu) {
  if (Hypercalls* const hypercalls = guest.machine().hypercalls(); hypercalls != nullptr)
    files_ = hypercalls->direct_maps(cpu);
}

const Hypercalls::DirectMap* DaxDriver::find(std::string_view name) const {
  const auto found = std::ranges::find(files_, name, &Hypercalls::DirectMap::name);
  return found == files_.end() ? nullptr : &*found;
}

Result<VpnRange> DaxDriver::map(mm::ProcessSpace& space, std::string_view name, mm::Protection protection) const {
  const Hypercalls::DirectMap* const file = find(name);
  if (file == nullptr) return fail(Status::kObjectNameNotFound);
  return space.map_frames({.first = file->frames.first, .count = file->frames.count, .protection = protection});
}

}  // namespace pagoda::guest
