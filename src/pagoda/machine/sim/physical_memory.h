// A host's physical memory: an arena of this process's memory, sparse, so that a 1 TiB host costs what is touched.
//
// Frames never written read as zero. Where the arena is at most a quarter of this computer's memory, each 2 MB of it
// are a huge page from their first touch on, which spares the real TLB: it costs up to its size then, and no more. A
// larger one costs 4 KB for each frame touched. Owner of the mapping; views reach into it and must not outlive it.
#pragma once

#include <cstddef>

#include "pagoda/base/status.h"
#include "pagoda/base/units.h"
#include "pagoda/machine/physical_view.h"

namespace pagoda::machine {

enum class FrameMemory : std::uint8_t {
  kPrivate,    // Anonymous memory: no Linux backs a memfd with huge pages unless it is told to.
  kShareable,  // A memfd, whose pages can be mapped a second time, elsewhere or by another process.
};

class PhysicalMemory {
 public:
  // Fails with: kInsufficientResources: this computer does not give the addresses, or the memfd.
  static Result<PhysicalMemory> create(PageCount frames, FrameMemory kind = FrameMemory::kPrivate);
  PhysicalMemory(PhysicalMemory&& other) noexcept;
  PhysicalMemory(const PhysicalMemory&) = delete;
  PhysicalMemory& operator=(const PhysicalMemory&) = delete;
  PhysicalMemory& operator=(PhysicalMemory&&) = delete;
  ~PhysicalMemory();

  [[nodiscard]] PageCount frames() const { return frames_; }
  [[nodiscard]] PhysicalView view() const { return PhysicalView(base_, frames_); }
  // Requires: kShareable.
  [[nodiscard]] int memfd() const;
  // What the arena costs this computer by now. Reads /proc.
  [[nodiscard]] ByteCount resident() const;

  // Linux gets the memory of the frames until they are touched again. Part of a huge page splits it: that part is free
  // for others when Linux needs memory, and what is touched again lies on 4 KB pages.
  // Requires: frames of the arena.
  void give_back(PfnRange frames);

 private:
  PhysicalMemory() = default;

  int memfd_ = -1;               // kPrivate: none.
  std::byte* base_ = nullptr;    // On a border of huge pages.
  std::byte* mapped_ = nullptr;  // What was reserved: the arena, and inaccessible addresses on both sides.
  std::size_t mapped_bytes_ = 0;
  PageCount frames_;
};

}  // namespace pagoda::machine
