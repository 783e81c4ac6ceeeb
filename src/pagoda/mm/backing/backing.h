// Where a page's contents are while it is in no frame: in slots of a backing, which PTEs name by a number (four bits)
// and a slot. A paging file on a disk (paging_file.h) and the compression store in memory (compression_store.h) are
// equals here; BackingSet has them by their numbers.
//
// Locking: the PFN lock for everything but `read` from a disk, since slots live and die with the states of frames.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "pagoda/base/units.h"
#include "pagoda/machine/disk.h"
#include "pagoda/machine/physical_view.h"
#include "pagoda/machine/processor.h"

namespace pagoda::mm {

class Backing {
 public:
  using Page = std::span<std::byte, kPageBytes>;
  enum class Medium : std::uint8_t {
    kMemory,  // A read is done when `read` returns, so a fault reads under the PFN lock: a soft fault.
    kDisk,    // A read is a transfer, during which the caller holds no PFN lock and the frames are being read.
  };

  explicit Backing(Medium medium) : medium_(medium) {}
  Backing(const Backing&) = delete;
  Backing& operator=(const Backing&) = delete;
  virtual ~Backing() = default;

  [[nodiscard]] Medium medium() const { return medium_; }
  [[nodiscard]] virtual std::string_view name() const = 0;
  // The pages of consecutive slots into frames, at the processor's cost. The pages keep their slots.
  // Fails with: kIoDeviceError.
  virtual machine::DiskTransfer read(machine::Processor& cpu, PageFileSlot first, std::span<const Pfn> frames) = 0;
  // The page of the slot needs it no more.
  virtual void free(PageFileSlot slot) = 0;
  // The page of the slot has another PTE from now on.
  virtual void moved(PageFileSlot slot, PhysicalAddress pte) = 0;

  // --- For the checker: trusts no slot, costs nothing ---
  [[nodiscard]] virtual bool is_used(PageFileSlot slot) const = 0;
  // False if there is no page.
  [[nodiscard]] virtual bool peek(const machine::PhysicalView& memory, PageFileSlot slot, Page page) const = 0;

 private:
  const Medium medium_;
};

}  // namespace pagoda::mm
