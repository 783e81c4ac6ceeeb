// A host's physical memory: an arena in a memfd, sparse, so that a 1 TiB host costs what is touched.
//
// Frames never written read as zero, as a memfd's do. Owner of the mapping; views reach into it and must not outlive
// it.
#pragma once

#include <cstddef>

#include "pagoda/base/status.h"
#include "pagoda/base/units.h"
#include "pagoda/machine/physical_view.h"

namespace pagoda::machine {

class PhysicalMemory {
 public:
  // Fails with kInsufficientResources when the host gives neither the memfd nor the addresses.
  static Result<PhysicalMemory> create(PageCount frames);
  PhysicalMemory(PhysicalMemory&& other) noexcept;
  PhysicalMemory(const PhysicalMemory&) = delete;
  PhysicalMemory& operator=(const PhysicalMemory&) = delete;
  PhysicalMemory& operator=(PhysicalMemory&&) = delete;
  ~PhysicalMemory();

  [[nodiscard]] PageCount frames() const { return frames_; }
  [[nodiscard]] PhysicalView view() const { return PhysicalView(base_, frames_); }
  [[nodiscard]] int memfd() const { return memfd_; }
  // What the arena costs the host by now.
  [[nodiscard]] ByteCount resident() const;

 private:
  PhysicalMemory(int memfd, std::byte* base, PageCount frames) : memfd_(memfd), base_(base), frames_(frames) {}

  int memfd_;
  std::byte* base_;
  PageCount frames_;
};

}  // namespace pagoda::machine
