// A disk of the simulated machine: real bytes, modelled time.
//
// A disk may reach the lowest bytes of memory only (`reach`): a transfer of a frame above goes by way of one below, which
// is a copy that the processor makes, counted and charged before the disk begins.
//
// The time of a transfer: it waits for one of `depth` slots, takes `latency`, and then the channel, which all transfers
// share, at `bandwidth`. Bytes are in a real file of the host, or in memory for tests; those of opened files are where
// the host has them.
//
// Any number of threads may use a disk at once: queue, space, counts and injection are under its lock, and bytes move without it,
// as of several transfers at once. What two transfers of the same bytes find of each other is for their requesters to know.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pagoda/base/lock.h"
#include "pagoda/machine/disk.h"
#include "pagoda/machine/sim/fault_injection.h"
#include "pagoda/machine/sim/host_failure.h"

namespace pagoda::machine {

struct DiskModel {
  std::string name = "disk0";
  ByteCount capacity = 1_TiB;
  Duration latency = 65_us;  // reference/baselines.md 1b: O_DIRECT 4 KB reads, p50 60 to 67 us.
  ByteCount bandwidth_per_second = 2_GiB;
  unsigned depth = 32;
  // Memory that it reaches: the lowest bytes, whole pages. What is above is copied. None: all.
  std::optional<ByteCount> reach;
  std::filesystem::path directory;  // Where its files' bytes lie; empty: in memory.
};

class SimDisk : public Disk {
 public:
  explicit SimDisk(DiskModel model);

  [[nodiscard]] const std::string& name() const override { return model_.name; }
  [[nodiscard]] ByteCount capacity() const override { return model_.capacity; }
  [[nodiscard]] ByteCount used() const override {
    const LockGuard guard(lock_);
    return used_;
  }
  // Requires: no transfer is being asked for by another thread.
  [[nodiscard]] const Counts& counts() const override PAGODA_NO_THREAD_SAFETY { return counts_; }
  Result<std::unique_ptr<DiskFile>> create(const std::string& file_name) override;
  Result<std::unique_ptr<DiskFile>> open(const std::filesystem::path& path, FileAccess access,
                                         FileCreation creation) override;

  // Where it says from now on what the host refuses it; outlives this. Without, the requester of a transfer that failed
  // hears of it only. Requires: as `counts`.
  void report_to(HostFailures& failures) { host_failures_ = &failures; }
  // From now on each transfer takes so many times as long as the model says.
  void slow_down(std::uint64_t times) {
    const LockGuard guard(lock_);
    slowness_ = times;
  }
  // Requires: as `counts`.
  FaultInjection& injection() PAGODA_NO_THREAD_SAFETY { return injection_; }

 private:
  friend class SimDiskFile;

  // A transfer as the queue has it: when it completes, and whether an error was injected.
  struct Queued {
    Time completes;
    bool fails = false;
  };

  Result<> take_space(ByteCount bytes) PAGODA_REQUIRES(lock_);
  void give_space(ByteCount bytes) PAGODA_REQUIRES(lock_) { used_ -= bytes; }
  Queued queue(Time now, ByteCount bytes, FaultInjection::Direction direction);
  Time schedule(Time now, ByteCount bytes) PAGODA_REQUIRES(lock_);
  void count_error();
  // Copies, at the processor's cost, what it does not reach.
  void bounce(Processor& cpu, std::span<const Pfn> frames);
  // `folder`: of the file.
  void report(HostFailure::Operation operation, const std::filesystem::path& folder, int error);

  const DiskModel model_;
  HostFailures* host_failures_ = nullptr;
  // A leaf. Guests' disks have a host's rank as well: their transfers take it below everything that they hold.
  mutable Lock lock_{LockRank(LockClass::kLeaf, 0)};
  FaultInjection injection_ PAGODA_GUARDED_BY(lock_);
  ByteCount used_ PAGODA_GUARDED_BY(lock_);
  Counts counts_ PAGODA_GUARDED_BY(lock_);
  std::vector<Time> slot_free_ PAGODA_GUARDED_BY(lock_);  // When each of the `depth` slots is free again.
  Time channel_free_ PAGODA_GUARDED_BY(lock_);
  Time busy_until_ PAGODA_GUARDED_BY(lock_);
  std::uint64_t slowness_ PAGODA_GUARDED_BY(lock_) = 1;
};

}  // namespace pagoda::machine
