// The guest's driver for files of the host that lie in guest-physical memory: a program's mapping of one points at the
// host's own frames, so that the host and all guests share one copy, and the guest reads and caches nothing. DAX:
// direct access.
//
// Locking: none; immutable after construction. Source: reference/virtualization.md section 5, "Direct map".
#pragma once

#include <span>
#include <string_view>

#include "pagoda/machine/hypercalls.h"
#include "pagoda/mm/memory_manager.h"

namespace pagoda::guest {

class DaxDriver {
 public:
  // Asks the guest's machine once which files it has; on bare hardware none.
  DaxDriver(mm::MemoryManager& guest, machine::Processor& cpu);

  [[nodiscard]] std::span<const machine::Hypercalls::DirectMap> files() const { return files_; }
  // By its name; null if there is none.
  [[nodiscard]] const machine::Hypercalls::DirectMap* find(std::string_view name) const;
  // Maps a whole file into a space of the guest's, where the manager chooses; the last page is zero behind the end of
  // the file. `ProcessSpace::unmap_view` removes it.
  // Requires: what is writable is so by a copy (kWriteCopy, kExecuteWriteCopy).
  // Fails with: kObjectNameNotFound, what `ProcessSpace::map_frames` says.
  Result<VpnRange> map(mm::ProcessSpace& space, std::string_view name, mm::Protection protection) const;

 private:
  std::span<const machine::Hypercalls::DirectMap> files_;
};

}  // namespace pagoda::guest
