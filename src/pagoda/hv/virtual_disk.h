// A guest's disk: the transfers of a simulated disk, of which GuestMemory hears: what the guest writes to its disk the
// host may have to read in first (double paging). A disk that does not reach all of the host's memory has HotIoPages.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "pagoda/machine/disk.h"

namespace pagoda::hv {

class GuestMemory;
class HotIoPages;
class VirtualProcessor;

class VirtualDisk final : public machine::Disk {
 public:
  // `hot`: null where it reaches all memory. `processors`: those whose transfers come. All outlive it.
  VirtualDisk(GuestMemory& memory, machine::Disk& disk, HotIoPages* hot,
              std::span<const std::unique_ptr<VirtualProcessor>> processors)
      : memory_(memory), disk_(disk), hot_(hot), processors_(processors) {}

  [[nodiscard]] const std::string& name() const override { return disk_.name(); }
  [[nodiscard]] ByteCount capacity() const override { return disk_.capacity(); }
  [[nodiscard]] ByteCount used() const override { return disk_.used(); }
  [[nodiscard]] const Counts& counts() const override { return disk_.counts(); }
  Result<std::unique_ptr<machine::DiskFile>> create(const std::string& file_name) override;
  Result<std::unique_ptr<machine::DiskFile>> open(const std::filesystem::path& path, machine::FileAccess access,
                                                  machine::FileCreation creation) override;

 private:
  class File;

  GuestMemory& memory_;
  machine::Disk& disk_;
  HotIoPages* const hot_;
  const std::span<const std::unique_ptr<VirtualProcessor>> processors_;
};

}  // namespace pagoda::hv
