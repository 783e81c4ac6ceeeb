// For tests: a small image, and parsing one that must be sound.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <vector>

#include "pagoda/mm/testing/pe_builder.h"

namespace pagoda::mm::testing {

using File = std::vector<std::byte>;

inline constexpr std::array<PeFormat, 2> kFormats = {PeFormat::kPe32, PeFormat::kPe32Plus};

// Text, data with zero fill behind it, and a section without bytes: pages 1, 2 to 4, 5 to 6.
inline PeBuilder small_image(PeFormat format) {
  PeBuilder pe(format);
  pe.add({.name = ".text", .flags = kPeText, .bytes = pe_bytes(0x3F0, 1)});
  pe.add({.name = ".data", .flags = kPeData, .bytes = pe_bytes(0x1234, 2), .virtual_size = 0x2FF0});
  pe.add({.name = ".bss", .flags = kPeBss, .virtual_size = 0x1001});
  return pe;
}

inline ImageLayout parse_sound(const File& file) {
  const auto layout = parse_pe_image(file);
  EXPECT_TRUE(layout) << (layout ? "" : to_string(layout.error()));
  if (!layout) return {};
  EXPECT_EQ(broken_invariant(*layout, ByteCount(file.size())), "");
  return *layout;
}

}  // namespace pagoda::mm::testing
