#include "pagoda/mm/backing/transfers.h"

#include <algorithm>

namespace pagoda::mm {

namespace {

constexpr std::size_t kUsualTransfers = 1024;
constexpr std::size_t kUsualThreads = 64;

bool later(const Transfers::Transfer& a, const Transfers::Transfer& b) {
  return a.completes != b.completes ? a.completes > b.completes : a.sequence > b.sequence;
}

}  // namespace

Transfers::Transfers() {
  heap_.reserve(kUsualTransfers);
  working_.reserve(kUsualThreads);
}

Transfers::Id Transfers::begin(Kind kind, std::span<const Pfn> frames, SlotName first) {
  PAGODA_DCHECK_LE(frames.size(), kMaxTransferPages);
  Transfer& transfer = working_.emplace_back();
  transfer.sequence = sequence_++;
  transfer.kind = kind;
  transfer.count = static_cast<std::uint8_t>(frames.size());
  transfer.first = first;
  std::ranges::copy(frames, transfer.frame.begin());
  frames_ += PageCount(frames.size());
  return Id{transfer.sequence};
}

Transfers::Transfer Transfers::take(Id id) {
  const auto found = std::ranges::find(working_, static_cast<std::uint64_t>(id), &Transfer::sequence);
  PAGODA_CHECK(found != working_.end());
  const Transfer transfer = *found;
  *found = working_.back();
  working_.pop_back();
  return transfer;
}

void Transfers::add(const Transfer& transfer) {
  heap_.push_back(transfer);
  std::ranges::push_heap(heap_, later);
  answers_.wake_all();
}

void Transfers::answered(Id id, Time completes, PfnDatabase::WriteOutcome outcome) {
  Transfer transfer = take(id);
  transfer.completes = completes;
  transfer.outcome = outcome;
  add(transfer);
}

void Transfers::answered_one(Id id, std::size_t page, Time completes) {
  Transfer transfer = take(id);
  frames_ -= PageCount(transfer.count) - 1_pages;
  transfer.completes = completes;
  transfer.first = transfer.slot(page);
  transfer.frame[0] = transfer.frame[page];
  transfer.count = 1;
  add(transfer);
}

void Transfers::failed(Id id) {
  frames_ -= PageCount(take(id).count);
  answers_.wake_all();
}

void Transfers::give_up_slots(Id id) {
  const auto found = std::ranges::find(working_, static_cast<std::uint64_t>(id), &Transfer::sequence);
  PAGODA_CHECK(found != working_.end());
  found->first = SlotName{};
}

void Transfers::complete_some(Time now, PfnDatabase& pfns) {
  while (next() <= now) {
    std::ranges::pop_heap(heap_, later);
    const Transfer transfer = heap_.back();
    heap_.pop_back();
    frames_ -= PageCount(transfer.count);
    for (std::size_t page = 0; page < transfer.count; ++page) {
      if (transfer.kind == Kind::kRead) {
        pfns.end_read(transfer.frame[page], transfer.slot(page));
      } else {
        pfns.end_write(transfer.frame[page], transfer.outcome, transfer.slot(page));
      }
    }
  }
  answers_.wake_all();
}

void Transfers::wait_for_read(machine::Processor& cpu, PfnDatabase& pfns, Pfn frame) {
  const PfnEntry& entry = pfns.entry(frame);
  while (entry.read_in_progress != 0 && Time(entry.io_completes) == kNever) answers_.wait(pfns.lock);
  if (entry.read_in_progress != 0) cpu.wait_until(Time(entry.io_completes));
}

bool Transfers::wait_for_any(machine::Processor& cpu, PfnDatabase& pfns) {
  if (!any()) return false;
  if (heap_.empty()) answers_.wait(pfns.lock);
  if (!heap_.empty()) cpu.wait_until(next());
  return true;
}

}  // namespace pagoda::mm
