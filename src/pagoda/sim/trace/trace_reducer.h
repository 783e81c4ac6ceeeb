// Makes a trace out of raw references: drops what no replacement policy of interest can notice.
//
//   raw references -> merge of neighbours -> "safely allowed drop" in a window of K pages -> sink
//
// Consecutive references to one page become one. Then, of three references to a page inside a stretch of the trace with
// at most K distinct pages, the middle one is dropped: with K frames or more the page is resident from the first to the
// third under LRU and under OPT, so neither counts a miss for the middle one nor orders anything differently
// afterwards. What a dropped reference did (read, write, execute) is added to the reference that follows it on the same
// page.
//
// Invariants:
//   1. LRU and OPT miss counts of the output equal those of the input for every memory of at least K frames.
//   2. The first and the last reference to every page survive, and the order of surviving references.
//   3. At most 2K + 2 records are held back.
// Locking: none.
// Source: Kaplan, Smaragdakis, Wilson, "Trace reduction for virtual memory simulations", SIGMETRICS 1999 (SAD).
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/sim/trace/trace_record.h"

namespace pagoda::sim {

class TraceReducer {
 public:
  // Needs 1 <= window <= kWindowMax; 1 only merges neighbours. The sink must outlive the reducer.
  TraceReducer(std::uint64_t window, TraceSink& sink);

  static constexpr std::uint64_t kWindowMax = 1 << 20;

  // `raw_references` to `page` in a row that together did `access`. Needs a page below kTracePageLimit.
  void reference(Vpn page, TraceAccess access, std::uint64_t raw_references = 1) {
    raw_references_ += raw_references;
    if (page == newest_page_ && !pending_.empty()) [[likely]] {
      pending_.back().access |= access;
    } else {
      start_record(page, access);
    }
  }

  // Hands on all that is held back, and says how many raw references came after the last record's own. Then it begins
  // afresh: what follows is reduced on its own.
  std::uint64_t flush();

 private:
  struct Pending {
    Vpn page;
    std::uint64_t at = 0;        // Raw references up to here.
    std::uint64_t previous = 0;  // When the surviving reference to this page before this one was; 0: none.
    TraceAccess access;
    bool dropped = false;
    bool last = true;  // No later reference to this page yet, so that it may still be dropped.
  };
  // One of the K + 1 pages referenced last.
  struct Recent {
    Vpn page;
    std::uint64_t newest = 0;  // Time of its last reference.
    std::uint32_t newer = 0;   // Links of the recency list, by index; kNone at the ends.
    std::uint32_t older = 0;
    std::uint32_t bucket_next = 0;
  };
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  void start_record(Vpn page, TraceAccess access);
  void emit_settled();
  void emit(const Pending& record);
  void touch(Vpn page, std::uint32_t index);
  std::uint32_t find(Vpn page) const;
  std::uint32_t& bucket(Vpn page);
  void unhash(std::uint32_t index);

  TraceSink& sink_;
  const std::uint64_t capacity_;  // window + 1
  std::vector<Recent> recent_;
  std::vector<std::uint32_t> buckets_;
  std::uint32_t front_ = kNone;
  std::uint32_t back_ = kNone;

  // Times count the records started since the last flush, from 1; pending_[t - first_pending_] is the one of time t.
  std::deque<Pending> pending_;
  std::uint64_t first_pending_ = 1;
  Vpn newest_page_;
  // A stretch that starts later than this has at most K distinct pages.
  std::uint64_t bound_ = 0;
  std::uint64_t raw_references_ = 0;
  std::uint64_t told_references_ = 0;  // Handed to the sink.
};

}  // namespace pagoda::sim
