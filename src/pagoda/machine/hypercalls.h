// What a guest may ask of its hypervisor. A machine on bare hardware has none (`Machine::hypercalls`), and a guest that
// asks nothing runs unchanged.
//
// The names and figures are those of Hyper-V's extended hypercalls; source: reference/virtualization.md section 5.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "pagoda/base/status.h"
#include "pagoda/base/units.h"

namespace pagoda::machine {

class Processor;

// What the guest says about pages of its. The values are the low two bits of the hypercall's header.
enum class HeatHint : std::uint8_t {
  kCold = 0,         // Not needed soon: the host may take them; the contents are kept.
  kHot = 1,          // Needed soon: resident, and mapped.
  kColdDiscard = 2,  // Not needed, and the contents are worth nothing: read as zero afterwards.
};

// Frames in a row, of the guest that speaks.
using FrameRange = PfnRange;

class Hypercalls {
 public:
  // Ranges that one call takes: what fits into its page beside the header.
  static constexpr std::size_t kMostRanges = 511;

  // HvExtCallQueryCapabilities (0x8001).
  struct Capabilities {
    bool cold_hint = false;
    bool hot_hint = false;
    bool cold_discard_hint = false;  // Bit 8.
    bool memory_report = false;
    // A discarded run shorter than this, or not aligned to it, is of no use to the host: its fault cluster.
    PageCount reporting_granule{1};
  };

  // What a guest says about its own memory, for what decides about memory there.
  struct MemoryReport {
    PageCount available;  // Zeroed, free and standby.
    PageCount committed;
    PageCount commit_limit;
  };

  // A file of the host that lies in guest-physical memory: a guest's mapping of it may point there.
  struct DirectMap {
    std::string name;
    FrameRange frames;
    ByteCount size;  // The file's; the rest of the last frame is zero.
  };

  virtual ~Hypercalls() = default;

  [[nodiscard]] virtual Capabilities query_capabilities(Processor& cpu) = 0;
  // HvExtCallMemoryHeatHint (0x8003). A hint is a hint: success says that it was understood.
  // Fails with: kInvalidParameter (no range, more than kMostRanges, an empty range, or one that is not all memory of
  // the guest's own); kNotSupported (a kind of hint that the host did not enable). Nothing is done then.
  virtual Result<> heat_hint(Processor& cpu, HeatHint hint, std::span<const FrameRange> ranges) = 0;
  // Fails with: kNotSupported.
  virtual Result<> report_memory(Processor& cpu, const MemoryReport& report) = 0;
  [[nodiscard]] virtual std::span<const DirectMap> direct_maps(Processor& cpu) = 0;
};

}  // namespace pagoda::machine
