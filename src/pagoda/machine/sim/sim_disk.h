// A disk of the simulated machine: real bytes, modelled time.
//
// The time of a transfer: it waits for one of `depth` slots, takes `latency`, and then the channel, which all transfers
// share, at `bandwidth`. Bytes are in a real file of the host, or in memory for tests; those of opened files are where
// the host has them.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "pagoda/machine/disk.h"
#include "pagoda/machine/sim/fault_injection.h"

namespace pagoda::machine {

struct DiskModel {
  std::string name = "disk0";
  ByteCount capacity = 1_TiB;
  Duration latency = 65_us;  // reference/baselines.md 1b: O_DIRECT 4 KB reads, p50 60 to 67 us.
  ByteCount bandwidth_per_second = 2_GiB;
  unsigned depth = 32;
  std::filesystem::path directory;  // Where its files' bytes lie; empty: in memory.
};

class SimDisk : public Disk {
 public:
  explicit SimDisk(DiskModel model);

  [[nodiscard]] const std::string& name() const override { return model_.name; }
  [[nodiscard]] ByteCount capacity() const override { return model_.capacity; }
  [[nodiscard]] ByteCount used() const override { return used_; }
  [[nodiscard]] const Counts& counts() const override { return counts_; }
  Result<std::unique_ptr<DiskFile>> create(const std::string& file_name) override;
  Result<std::unique_ptr<DiskFile>> open(const std::filesystem::path& path, FileAccess access,
                                         FileCreation creation) override;

  FaultInjection& injection() { return injection_; }

 private:
  friend class SimDiskFile;

  Result<> take_space(ByteCount bytes);
  void give_space(ByteCount bytes) { used_ -= bytes; }
  // Queues a transfer; says when it completes.
  Time schedule(Time now, ByteCount bytes);

  DiskModel model_;
  FaultInjection injection_;
  ByteCount used_;
  Counts counts_;
  std::vector<Time> slot_free_;  // When each of the `depth` slots is free again.
  Time channel_free_;
  Time busy_until_;
};

}  // namespace pagoda::machine
