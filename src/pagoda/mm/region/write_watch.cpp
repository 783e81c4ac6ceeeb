#include "pagoda/mm/region/write_watch.h"

#include <new>

namespace pagoda::mm {

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

}  // namespace pagoda::mm
