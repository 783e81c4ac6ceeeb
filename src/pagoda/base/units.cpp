#include "pagoda/base/units.h"

#include <fmt/format.h>

#include <array>

namespace pagoda {

std::string to_string(VirtualAddress address) { return fmt::format("va:{:#x}", address.value()); }
std::string to_string(PhysicalAddress address) { return fmt::format("pa:{:#x}", address.value()); }
std::string to_string(GuestPhysicalAddress address) { return fmt::format("gpa:{:#x}", address.value()); }
std::string to_string(Vpn page) { return fmt::format("vpn:{:#x}", page.value()); }
std::string to_string(Pfn frame) { return fmt::format("pfn:{:#x}", frame.value()); }
std::string to_string(Gfn frame) { return fmt::format("gfn:{:#x}", frame.value()); }
std::string to_string(PageFileSlot slot) { return fmt::format("slot:{:#x}", slot.value()); }
std::string to_string(FileOffset offset) { return fmt::format("offset:{:#x}", offset.value()); }

std::string to_string(ByteCount bytes) {
  static constexpr std::array kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  std::uint64_t whole = bytes.value();
  std::size_t unit = 0;
  while (whole >= 1024 && whole % 1024 == 0 && unit + 1 < kUnits.size()) {
    whole /= 1024;
    ++unit;
  }
  if (whole < 10'000) return fmt::format("{} {}", whole, kUnits[unit]);
  auto scaled = static_cast<double>(whole);
  while (scaled >= 1024 && unit + 1 < kUnits.size()) {
    scaled /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", scaled, kUnits[unit]);
}

std::string to_string(PageCount pages) {
  return fmt::format("{} {}", pages.value(), pages.value() == 1 ? "page" : "pages");
}

std::string to_string(Cycles cycles) { return fmt::format("{} cycles", cycles.value()); }

std::string to_string(Duration duration) {
  const std::uint64_t ns = duration.value();
  if (ns < 1'000) return fmt::format("{} ns", ns);
  const auto value = static_cast<double>(ns);
  if (ns < 1'000'000) return fmt::format("{:.3f} us", value / 1e3);
  if (ns < 1'000'000'000) return fmt::format("{:.3f} ms", value / 1e6);
  return fmt::format("{:.3f} s", value / 1e9);
}

std::string to_string(Time time) {
  if (time == kNever) return "never";
  return "t=" + to_string(Duration(time.value()));
}

}  // namespace pagoda
