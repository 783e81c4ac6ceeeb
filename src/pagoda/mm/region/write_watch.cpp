#include "pagoda/mm/region/write_watch.h"

#include <array>
#include <new>

#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

namespace {

// Pages that are forgotten one by one; more, and the whole space is flushed, once. As AddressSpace::invalidate.
constexpr std::size_t kFewPages = 33;

}  // namespace

WriteWatch::Words WriteWatch::zeros(std::uint64_t bits) {
  auto* const words = static_cast<std::uint64_t*>(std::calloc(bits / kBits + 1, sizeof(std::uint64_t)));
  if (words == nullptr) throw std::bad_alloc();
  return Words(words);
}

WriteWatch::WriteWatch(VpnRange pages)
    : pages_(pages), words_(zeros(pages.count.value())), summary_(zeros(pages.count.value() / kBits + 1)) {}

WriteWatch::WriteWatch(const WriteWatch& whole, VpnRange part) : WriteWatch(part) {
  whole.for_each(part, [this](Vpn page) {
    set(page);
    return true;
  });
}

void WriteWatch::clear(VpnRange pages) {
  if (pages.empty()) return;
  const std::uint64_t first = bit_of(pages.first);
  const std::uint64_t last = bit_of(pages.last());
  // The upper level says a bit too much about the words at both ends, and is right again with the next clearing.
  for (std::uint64_t group = first / kBits / kBits; group <= last / kBits / kBits; ++group) {
    for (std::uint64_t some = summary_.get()[group]; some != 0; some &= some - 1) {
      const auto in_group = static_cast<unsigned>(std::countr_zero(some));
      const std::uint64_t word = group * kBits + in_group;
      if (word < first / kBits || word > last / kBits) continue;
      std::uint64_t gone = ~std::uint64_t{0};
      if (word == first / kBits) gone &= ~std::uint64_t{0} << first % kBits;
      if (word == last / kBits) gone &= ~std::uint64_t{0} >> (kBits - 1 - last % kBits);
      words_.get()[word] &= ~gone;
      if (words_.get()[word] == 0) summary_.get()[group] &= ~(std::uint64_t{1} << in_group);
    }
  }
}

void AddressSpace::record_write_slowly(Vpn page) {
  Vad* const vad = vads_.find(page);
  if (vad != nullptr && vad->extra != nullptr && vad->extra->watch != nullptr) vad->extra->watch->set(page);
}

// In the order of reference/nt.md 7.7; what is wrong with the output comes between the two.
Result<VpnRange> AddressSpace::watched_pages(VirtualAddress base, ByteCount size) const {
  if (base.vpn() > user_range().last()) return fail(Status::kInvalidParameter2);
  const auto pages = pages_covering(base, size);
  if (!pages) return fail(Status::kInvalidParameter3);
  return *pages;
}

Result<WriteWatch*> AddressSpace::watch_of(const Processor& cpu, VpnRange pages) {
  const auto region = region_of(pages);
  if (!region || (*region)->type != VadType::kWriteWatch) return fail(Status::kInvalidParameter1);
  WriteWatch& watch = *(*region)->extra->watch;
  // A kernel that ignores write protection dirties pages without a fault.
  if (std::ranges::any_of(core_.machine.processors(),
                          [](const Processor* p) { return !p->walk_rules().write_protect; }))
    tables_.for_each(cpu, pages, [&](Vpn page, PhysicalAddress, RawPte raw) {
      if (PteCodec::is_valid(raw) && PteCodec::is_dirty(raw)) watch.set(page);
    });
  return &watch;
}

Result<std::size_t> AddressSpace::get_write_watch(Processor& cpu, VirtualAddress base, ByteCount size,
                                                  std::span<VirtualAddress> out, WatchReset reset) {
  const auto pages = watched_pages(base, size);
  if (!pages) return std::unexpected(pages.error());
  if (out.empty()) return fail(Status::kInvalidParameter5);
  const LockGuard guard(lock);
  const auto watch = watch_of(cpu, *pages);
  if (!watch) return std::unexpected(watch.error());
  std::size_t count = 0;
  (*watch)->for_each(*pages, [&](Vpn page) {
    out[count++] = VirtualAddress(page);
    return count < out.size();
  });
  if (reset == WatchReset::kYes && count > 0)
    reset_watch(cpu, **watch, {pages->first, out[count - 1].vpn() - pages->first + 1_pages});
  return count;
}

Result<> AddressSpace::reset_write_watch(Processor& cpu, VirtualAddress base, ByteCount size) {
  const auto pages = watched_pages(base, size);
  if (!pages) return std::unexpected(pages.error());
  const LockGuard guard(lock);
  const auto watch = watch_of(cpu, *pages);
  if (!watch) return std::unexpected(watch.error());
  reset_watch(cpu, **watch, *pages);
  return {};
}

void AddressSpace::reset_watch(Processor& cpu, WriteWatch& watch, VpnRange pages) {
  constexpr RawPte kSaysWritten = machine::pte_bits::kWrite | machine::pte_bits::kDirty;
  std::array<Vpn, kFewPages> few;
  std::size_t changed = 0;
  // The page table of the last page, so that its neighbours need no walk.
  PhysicalAddress found = PageTables::kNone;
  VpnRange of_table;
  watch.for_each(pages, [&](Vpn page) {
    lock.assert_held();
    if (!of_table.contains(page)) {
      const std::uint64_t entries = core_.mode.entries(1);
      found = tables_.find(cpu, page);
      of_table = {page, PageCount(entries - page.value() % entries)};
    }
    if (found == PageTables::kNone) return true;
    const PhysicalAddress pte = found + ByteCount((page - of_table.first).value() * core_.mode.entry_bytes);
    RawPte raw = core_.load(cpu, pte);
    if (!PteCodec::is_valid(raw) || (raw & kSaysWritten) == 0) return true;
    raw = machine::clear_entry_bits(cpu.physical(), core_.mode, pte, kSaysWritten);
    if ((raw & machine::pte_bits::kWrite) == 0) {
      // With Write the PFN entry says modified already [PF6]; Dirty alone is news to it.
      const LockGuard guard(core_.pfns.lock);
      core_.pfns.make_dirty(core_.codec.frame(raw));
    }
    if (changed < few.size()) few[changed] = page;
    ++changed;
    return true;
  });
  watch.clear(pages);
  if (changed <= few.size()) {
    invalidate(cpu, std::span(few).first(changed));
    return;
  }
  invalidate_range(cpu, pages);
}

}  // namespace pagoda::mm
