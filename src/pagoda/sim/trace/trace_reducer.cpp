#include "pagoda/sim/trace/trace_reducer.h"

#include <bit>

#include "pagoda/base/check.h"

namespace pagoda::sim {

namespace {
constexpr std::uint64_t kHashMultiplier = 0x9E3779B97F4A7C15;  // 2^64 / golden ratio (Knuth, TAOCP 3, 6.4).
}  // namespace

TraceReducer::TraceReducer(std::uint64_t window, TraceSink& sink) : sink_(sink), capacity_(window + 1) {
  PAGODA_CHECK_GE(window, std::uint64_t{1});
  PAGODA_CHECK_LE(window, kWindowMax);
  recent_.reserve(capacity_);
  buckets_.assign(std::bit_ceil(2 * capacity_), kNone);
}

std::uint32_t& TraceReducer::bucket(Vpn page) {
  return buckets_[(page.value() * kHashMultiplier) >> (64 - std::countr_zero(buckets_.size()))];
}

std::uint32_t TraceReducer::find(Vpn page) const {
  std::uint32_t at = const_cast<TraceReducer*>(this)->bucket(page);
  while (at != kNone && recent_[at].page != page) at = recent_[at].bucket_next;
  return at;
}

void TraceReducer::unhash(std::uint32_t index) {
  std::uint32_t* link = &bucket(recent_[index].page);
  while (*link != index) link = &recent_[*link].bucket_next;
  *link = recent_[index].bucket_next;
}

// Makes `page` the most recent one. `index` is where it is, or kNone: then it takes a new place, or that of the oldest.
void TraceReducer::touch(Vpn page, std::uint32_t index) {
  const bool known = index != kNone;
  if (!known && recent_.size() < capacity_) {
    index = static_cast<std::uint32_t>(recent_.size());
    recent_.push_back({});
  } else {
    if (!known) {
      index = back_;
      unhash(index);
    }
    const Recent& entry = recent_[index];
    (entry.newer == kNone ? front_ : recent_[entry.newer].older) = entry.older;
    (entry.older == kNone ? back_ : recent_[entry.older].newer) = entry.newer;
  }
  Recent& entry = recent_[index];
  if (!known) {
    entry.page = page;
    entry.bucket_next = bucket(page);
    bucket(page) = index;
  }
  entry.newer = kNone;
  entry.older = front_;
  (front_ == kNone ? back_ : recent_[front_].newer) = index;
  front_ = index;
}

void TraceReducer::start_record(Vpn page, TraceAccess access) {
  PAGODA_DCHECK_LT(page.value(), kTracePageLimit);
  emit_settled();
  Pending record{.page = page, .at = raw_references_, .access = access};
  const std::uint64_t now = first_pending_ + pending_.size();
  const std::uint32_t known = find(page);
  touch(page, known);
  if (recent_.size() == capacity_)
    bound_ = recent_[back_].newest;  // The page just touched is the newest one, never that.
  if (known != kNone) {
    const std::uint64_t middle = recent_[known].newest;
    record.previous = middle;
    // A middle one that was removed already was settled: it stays.
    if (middle >= first_pending_) {
      Pending& candidate = pending_[middle - first_pending_];
      candidate.last = false;
      if (candidate.previous > bound_) {
        candidate.dropped = true;
        record.previous = candidate.previous;
        record.access |= candidate.access;
      }
    }
  }
  recent_[front_].newest = now;
  newest_page_ = page;
  pending_.push_back(record);
}

// Hands on the oldest records as far as nothing that follows can drop them: a record may be dropped while it is the
// last of its page and the stretch since the one before it has at most K distinct pages.
void TraceReducer::emit_settled() {
  while (!pending_.empty()) {
    const Pending& record = pending_.front();
    if (!record.dropped) {
      if (record.last && record.previous > bound_) return;
      emit(record);
    }
    pending_.pop_front();
    ++first_pending_;
  }
}

void TraceReducer::emit(const Pending& record) {
  sink_.append({record.page, record.at - told_references_, record.access});
  told_references_ = record.at;
}

std::uint64_t TraceReducer::flush() {
  for (const Pending& record : pending_) {
    if (!record.dropped) emit(record);
  }
  pending_.clear();
  recent_.clear();
  buckets_.assign(buckets_.size(), kNone);
  front_ = back_ = kNone;
  first_pending_ = 1;
  bound_ = 0;
  const std::uint64_t rest = raw_references_ - told_references_;
  told_references_ = raw_references_;
  return rest;
}

}  // namespace pagoda::sim
