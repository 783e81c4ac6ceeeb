#include "pagoda/mm/backing/pending_io.h"

#include <algorithm>

namespace pagoda::mm {

namespace {

constexpr std::size_t kUsualTransfers = 1024;

bool later(const PendingIo::Transfer& a, const PendingIo::Transfer& b) {
  return a.completes != b.completes ? a.completes > b.completes : a.sequence > b.sequence;
}

}  // namespace

PendingIo::PendingIo() { heap_.reserve(kUsualTransfers); }

void PendingIo::add(Time completes, Transfer::Kind kind, std::span<const Pfn> frames) {
  PAGODA_DCHECK_LE(frames.size(), kMaxTransferPages);
  Transfer transfer{
      .completes = completes, .sequence = sequence_++, .kind = kind, .count = static_cast<std::uint8_t>(frames.size())};
  std::ranges::copy(frames, transfer.frames.begin());
  heap_.push_back(transfer);
  std::ranges::push_heap(heap_, later);
}

void PendingIo::complete(Time now, PfnDatabase& pfns) {
  while (!heap_.empty() && heap_.front().completes <= now) {
    std::ranges::pop_heap(heap_, later);
    const Transfer transfer = heap_.back();
    heap_.pop_back();
    for (const Pfn frame : std::span(transfer.frames).first(transfer.count)) {
      switch (transfer.kind) {
        case Transfer::Kind::kRead:
          pfns.end_read(frame);
          break;
        case Transfer::Kind::kWrite:
          pfns.end_write(frame, PfnDatabase::WriteOutcome::kWritten);
          break;
        case Transfer::Kind::kFailedWrite:
          pfns.end_write(frame, PfnDatabase::WriteOutcome::kFailed);
          break;
      }
    }
  }
}

}  // namespace pagoda::mm
