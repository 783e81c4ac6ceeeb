// IO1: transfers under way against the frames that they hold.
#include <fmt/format.h>

#include <algorithm>

#include "pagoda/mm/check/check_context.h"

namespace pagoda::mm::checking {

namespace {

void check_transfer(Context& c, const PendingIo::Transfer& transfer) {
  const bool reads = transfer.kind == PendingIo::Transfer::Kind::kRead;
  if (transfer.count > kMaxTransferPages) {
    c.find("IO1"_rule, fmt::format("a transfer holds {} frames, more than any can", transfer.count));
    return;
  }
  for (const Pfn frame : std::span(transfer.frames).first(transfer.count)) {
    if (!c.is_used(frame)) {
      c.find("IO1"_rule, fmt::format("a transfer holds {}, a frame never used", to_string(frame)));
      continue;
    }
    ++(reads ? c.facts(frame).reads : c.facts(frame).writes);
    const PfnEntry& e = c.entry(frame);
    if (reads && e.read_in_progress != 0 && Time(e.io_completes) != transfer.completes) {
      c.find("IO1"_rule, fmt::format("{} expects its bytes at {}, its transfer ends at {}", c.text_of(frame),
                                     to_string(Time(e.io_completes)), to_string(transfer.completes)));
    }
  }
}

}  // namespace

void check_transfers(Context& c) {
  const auto transfers = c.core.io.transfers();
  for (const PendingIo::Transfer& transfer : transfers) check_transfer(c, transfer);
  const Time next = c.core.io.next();
  for (const PendingIo::Transfer& transfer : transfers) {
    if (transfer.completes < next) {
      c.find("IO1"_rule, fmt::format("a transfer ends at {}, the next one is said to end at {}",
                                     to_string(transfer.completes), to_string(next)));
    }
  }
  for (std::uint32_t number = 0; number < c.frames.size(); ++number) {
    const FrameFacts& facts = c.frames[number];
    const PfnEntry& e = c.entry(Pfn(number));
    if (facts.reads != e.read_in_progress || facts.writes != e.write_in_progress) {
      c.find("IO1"_rule,
             fmt::format("{} is in {} read and {} write transfers", c.text_of(Pfn(number)), facts.reads, facts.writes));
    }
  }
}

}  // namespace pagoda::mm::checking
