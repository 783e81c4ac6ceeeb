// One reference of a page trace, and where a stream of them goes.
//
// A trace is the order in which a program touched its pages, reduced so that a replacement policy cannot tell the
// difference (see trace_reducer.h). A record stands for one or more raw references (loads, stores and instruction
// fetches) of the program.
#pragma once

#include <cstdint>

#include "pagoda/base/units.h"

namespace pagoda::sim {

// What was done to the page: a set, because one record stands for several references.
class TraceAccess {
 public:
  constexpr TraceAccess() = default;
  // The low three bits as the trace format has them: 1 read, 2 write, 4 execute.
  static constexpr TraceAccess from_bits(std::uint64_t bits) {
    TraceAccess access;
    access.bits_ = static_cast<std::uint8_t>(bits & 7);
    return access;
  }

  [[nodiscard]] constexpr bool reads() const { return (bits_ & 1) != 0; }
  [[nodiscard]] constexpr bool writes() const { return (bits_ & 2) != 0; }
  [[nodiscard]] constexpr bool executes() const { return (bits_ & 4) != 0; }
  [[nodiscard]] constexpr std::uint8_t bits() const { return bits_; }

  friend constexpr bool operator==(TraceAccess, TraceAccess) = default;
  friend constexpr TraceAccess operator|(TraceAccess a, TraceAccess b) {
    return from_bits(static_cast<std::uint64_t>(a.bits_ | b.bits_));
  }
  constexpr TraceAccess& operator|=(TraceAccess b) { return *this = *this | b; }

 private:
  std::uint8_t bits_ = 0;
};

inline constexpr TraceAccess kTraceRead = TraceAccess::from_bits(1);
inline constexpr TraceAccess kTraceWrite = TraceAccess::from_bits(2);
inline constexpr TraceAccess kTraceExecute = TraceAccess::from_bits(4);

// Page numbers are below this: a 64-bit address has 52 bits of page number.
inline constexpr unsigned kTracePageBits = 64 - kPageShift;
inline constexpr std::uint64_t kTracePageLimit = std::uint64_t{1} << kTracePageBits;

struct TraceRecord {
  Vpn page;  // In a guest-physical trace: the guest's frame number.
  std::uint64_t raw_references =
      0;               // The program's since the record before, this one included. They sum up to the whole run.
  TraceAccess access;  // Never empty.

  friend constexpr bool operator==(const TraceRecord&, const TraceRecord&) = default;
};

// Takes the records of a trace in order.
class TraceSink {
 public:
  TraceSink() = default;
  TraceSink(const TraceSink&) = delete;
  TraceSink& operator=(const TraceSink&) = delete;
  virtual ~TraceSink() = default;

  virtual void append(const TraceRecord& record) = 0;
};

}  // namespace pagoda::sim
