// What happened to pages, one event at a time, for observers: the history of a page, the inspector, tests.
#pragma once

#include <cstdint>
#include <string_view>

#include "pagoda/base/units.h"

namespace pagoda::mm {

enum class EventKind : std::uint8_t {
  kDemandZero,    // A fresh page.
  kReadStarted,   // From its slot into the frame.
  kRescued,       // From standby, modified or a write under way.
  kMapped,        // Read before, now in the working set.
  kCopied,        // A write made a private copy of a shared page.
  kFirstWrite,    // Became dirty; its slot, if any, was freed.
  kEvicted,       // Left the working set.
  kWriteStarted,  // To the slot.
  kWriteFailed,   // Stays in memory, dirty.
  kReadFailed,    // The access gets an in-page error.
  kRemoved,       // Decommitted or released.
  kProtected,
  kCompressed,    // Into the compression store; clean now.
  kDecompressed,  // From there into the frame.
  kZeroFound,     // Nothing but zeros: demand zero again.
  kMerged,        // Equal to the page in the frame, and mapped there now.
};
std::string_view name(EventKind kind);

struct Event {
  Time time;
  EventKind kind = EventKind::kDemandZero;
  PhysicalAddress pte;       // Names the page.
  Pfn frame = kNoPfn;        // Where it is or was.
  std::uint64_t detail = 0;  // The PTE before, or the original PTE.
};

// Called with locks held: must return soon and must not call back.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void on_event(const Event& event) = 0;
};

}  // namespace pagoda::mm
