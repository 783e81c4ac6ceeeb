// What an operation does that found no frame: it asks for some to be made available, and begins again.
#pragma once

#include <cstdint>

#include "pagoda/base/status.h"
#include "pagoda/base/units.h"
#include "pagoda/machine/processor.h"
#include "pagoda/mm/base/tunables.h"

namespace pagoda::mm {

using machine::Processor;

// Makes frames available when they have run out: the manager, which knows all spaces and the writers.
class ShortageRelief {
 public:
  enum class Outcome : std::uint8_t {
    kAvailable,  // So many are: who still finds too few needs more.
    kTryAgain,   // Not so many yet, but something was gained.
    kYield,      // The processor is blocked until something changes: give it back to the event loop.
    kHopeless,   // Nothing can be trimmed, written or waited for.
  };
  virtual ~ShortageRelief() = default;
  // Tries to make `pages` frames available: trims, writes, waits for transfers.
  // Requires: the caller holds no lock.
  virtual Outcome relieve(Processor& cpu, PageCount pages) = 0;
  // A charge was refused by the commit limit: whether something gave a charge of its own back for it.
  // Requires: the caller holds no lock.
  virtual bool relieve_commit(Processor& cpu) = 0;
};

// Rounds of relief in a row, each of which gained something, after which there is nevertheless not enough: what is gained
// is what the operation itself brings in again, such as its page tables. A choice.
inline constexpr unsigned kMostReliefs = 1000;

// Repeats an operation that changed nothing for want of frames, or of charge, until it succeeds, fails otherwise, or has
// to wait under an event loop (kPending). What it needs is not known here, a fork's need least of all, so more is asked for each time
// that enough was said to be available: it gets what it needs, or there is no more to be had. Requires: the caller holds
// no lock.
template <class Operation>
auto with_memory(ShortageRelief& relief, Processor& cpu, Operation&& operation) -> decltype(operation()) {
  PageCount wanted = kFaultReserve;
  for (unsigned reliefs = 0;;) {
    auto result = operation();
    if (!result && result.error() == Status::kCommitmentLimit && relief.relieve_commit(cpu)) continue;
    if (result || result.error() != Status::kNoMemory) return result;
    switch (relief.relieve(cpu, wanted)) {
      case ShortageRelief::Outcome::kAvailable:
        wanted += wanted;
        reliefs = 0;
        continue;
      case ShortageRelief::Outcome::kTryAgain:
        if (++reliefs < kMostReliefs) continue;
        return result;
      case ShortageRelief::Outcome::kYield:
        return fail(Status::kPending);
      case ShortageRelief::Outcome::kHopeless:
        return result;
    }
  }
}

}  // namespace pagoda::mm
