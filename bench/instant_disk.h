// A machine whose disk answers at once and moves no bytes: what is left of a hard fault is its own work.
#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <string>

#include "pagoda/machine/disk.h"
#include "pagoda/machine/machine.h"

namespace pagoda::bench {

class InstantDisk : public machine::Disk {
 public:
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] ByteCount capacity() const override { return 1_TiB; }
  [[nodiscard]] ByteCount used() const override { return {}; }
  [[nodiscard]] const Counts& counts() const override { return counts_; }
  Result<std::unique_ptr<machine::DiskFile>> create(const std::string& file_name) override;
  // Has the size of the host's file; a new one is not made on the host.
  Result<std::unique_ptr<machine::DiskFile>> open(const std::filesystem::path& path, machine::FileAccess access,
                                                  machine::FileCreation creation) override;

 private:
  std::string name_ = "instant";
  Counts counts_;
};

// Everything but the disks is the other machine's.
class InstantDiskMachine : public machine::Machine {
 public:
  explicit InstantDiskMachine(machine::Machine& hardware) : hardware_(hardware) {}

  [[nodiscard]] const machine::PagingMode& paging() const override { return hardware_.paging(); }
  [[nodiscard]] machine::TlbRefill refill() const override { return hardware_.refill(); }
  [[nodiscard]] PageCount frame_count() const override { return hardware_.frame_count(); }
  [[nodiscard]] const machine::CostModel& costs() const override { return hardware_.costs(); }
  [[nodiscard]] std::span<machine::Processor* const> processors() override { return hardware_.processors(); }
  [[nodiscard]] std::span<machine::Disk* const> disks() override { return disks_; }
  [[nodiscard]] machine::Hypercalls* hypercalls() override { return hardware_.hypercalls(); }
  [[nodiscard]] PageCount give_back_granule() const override { return hardware_.give_back_granule(); }
  void give_back(PfnRange frames) override { hardware_.give_back(frames); }
  void shoot_down(machine::Processor& initiator, const machine::CachedSpace& space,
                  std::span<const machine::StaleRun> runs) override {
    hardware_.shoot_down(initiator, space, runs);
  }

 private:
  machine::Machine& hardware_;
  InstantDisk disk_;
  std::array<machine::Disk*, 1> disks_{&disk_};
};

}  // namespace pagoda::bench
