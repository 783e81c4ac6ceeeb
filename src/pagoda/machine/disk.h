// Disks: bytes in files, time from a queue.
//
// A transfer moves its bytes at once and says when the disk would have been done; the requester waits until then.
// Frames are named by number, as for a DMA. Errors are injected (FaultInjection) or come from the real file; a failed
// transfer has moved nothing that may be relied on and takes its time like any other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "pagoda/base/status.h"
#include "pagoda/base/units.h"
#include "pagoda/machine/processor.h"

namespace pagoda::machine {

struct DiskTransfer {
  // kIoDeviceError: the transfer failed. kAccessDenied: a write to a file that is only read; it was not even begun.
  Status status = Status::kSuccess;
  Time completes;  // When the requester learns it.
};

enum class FileAccess : std::uint8_t { kRead, kReadWrite };
enum class FileCreation : std::uint8_t {
  kOpenExisting,  // NT: FILE_OPEN.
  kOpenOrCreate,  // NT: FILE_OPEN_IF; a new file is empty.
  kCreateNew,     // NT: FILE_CREATE.
};

// A file on a disk, as far as paging needs one: pages at offsets. It need not end with a whole page: the last frame of
// a transfer may reach past the end. What is read there is zero, and what is written there is dropped.
class DiskFile {
 public:
  virtual ~DiskFile() = default;

  [[nodiscard]] virtual Disk& disk() = 0;
  [[nodiscard]] virtual ByteCount size() const = 0;
  // Whether it may be resized and written.
  [[nodiscard]] virtual bool writable() const = 0;
  // Grows (new bytes read as zero) or shrinks.
  // Fails with: kAccessDenied (not writable); kDiskFull. Nothing has changed then.
  virtual Result<> resize(ByteCount size) = 0;
  // Moves whole frames from or to consecutive pages at `at`, one transfer, queued at `cpu`'s time. `at` need not be a
  // multiple of a page (the sections of an image are not). Requires: every frame begins before the end of the file.
  virtual DiskTransfer read(Processor& cpu, FileOffset at, std::span<const Pfn> frames) = 0;
  virtual DiskTransfer write(Processor& cpu, FileOffset at, std::span<const Pfn> frames) = 0;
  // What the file holds at `at`, for checkers and inspectors: takes no time, is not counted and never injected. Past
  // the end it is zero, as far as a transfer reaches; false if the bytes are not there.
  [[nodiscard]] virtual bool peek(FileOffset at, std::span<std::byte> into) const = 0;
};

class Disk {
 public:
  struct Counts {
    std::uint64_t reads = 0;
    std::uint64_t writes = 0;
    ByteCount bytes_read;
    ByteCount bytes_written;
    std::uint64_t errors = 0;
    std::uint64_t bounced = 0;  // Pages that it did not reach, and that were copied.
    Duration busy;              // Time during which at least one transfer was under way, as the queue model sees it.
  };

  virtual ~Disk() = default;
  [[nodiscard]] virtual const std::string& name() const = 0;
  [[nodiscard]] virtual ByteCount capacity() const = 0;
  [[nodiscard]] virtual ByteCount used() const = 0;
  [[nodiscard]] virtual const Counts& counts() const = 0;
  // A new, empty file; freed with its space when its last owner drops it.
  // Fails with: kInsufficientResources: the host refuses.
  virtual Result<std::unique_ptr<DiskFile>> create(const std::string& file_name) = 0;
  // A file of the host, which stays when its last owner drops it. Its size is read once. What it has when it is opened
  // takes no space of the disk; what it grows by does, while it is open.
  // Requires: no other program changes the size meanwhile.
  // Fails with: kObjectNameNotFound; kObjectNameCollision (kCreateNew, and it is there); kAccessDenied (the host
  // refuses, or the file is being executed); kInvalidFileForSection (a directory, a device: no regular file);
  // kInsufficientResources.
  virtual Result<std::unique_ptr<DiskFile>> open(const std::filesystem::path& path, FileAccess access,
                                                 FileCreation creation) = 0;
};

}  // namespace pagoda::machine
