// IO1: transfers under way against the frames that they hold.
#include <fmt/format.h>

#include "pagoda/mm/check/check_context.h"

namespace pagoda::mm::checking {

namespace {

void check_transfer(Context& c, const Transfers::Transfer& transfer) PAGODA_REQUIRES(c.core.pfns.lock) {
  const bool reads = transfer.kind == Transfers::Kind::kRead;
  if (transfer.count > kMaxTransferPages) {
    c.find("IO1"_rule, fmt::format("a transfer holds {} frames, more than any can", transfer.count));
    return;
  }
  for (std::size_t page = 0; page < transfer.count; ++page) {
    const Pfn frame = transfer.frame[page];
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
    // Given up by its page, the slot is the transfer's alone.
    if (const SlotName slot = transfer.slot(page); !slot.is_none() && !c.core.pfns.has_slot(e))
      c.slots.push_back({.file = slot.file, .slot = slot.slot, .pte = e.pte(), .frame = frame});
  }
}

}  // namespace

void check_transfers(Context& c) {
  const Time next = c.core.transfers.next();
  c.core.transfers.for_each([&](const Transfers::Transfer& transfer) {
    c.core.pfns.lock.assert_held();
    check_transfer(c, transfer);
    if (transfer.completes < next) {
      c.find("IO1"_rule, fmt::format("a transfer ends at {}, the next one is said to end at {}",
                                     to_string(transfer.completes), to_string(next)));
    }
  });
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
