// What whole-memory replacement policies miss on the recorded traces, first touches included.
//
// Source: data/traces/README.md, "Misses"; counted by an independent simulator whose miss ratios equal libCacheSim's.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace pagoda::bench {

struct Misses {
  std::string_view trace;
  std::uint64_t frames;
  std::uint64_t lru;
  std::uint64_t opt;
  std::uint64_t clock;
  std::uint64_t fifo;
};

inline constexpr std::array kMissTable = std::to_array<Misses>({
    {"boot_phys", 1156, 85557, 63591, 85820, 96324},
    {"boot_phys", 2312, 68174, 50311, 68487, 72492},
    {"boot_phys", 4624, 55563, 39882, 57325, 59665},
    {"boot_phys", 11560, 44429, 24860, 43266, 47657},
    {"file_phys", 1598, 102737, 76339, 103940, 122566},
    {"file_phys", 3196, 83232, 60685, 84251, 93734},
    {"file_phys", 6393, 67464, 44907, 67867, 72980},
    {"file_phys", 15984, 35363, 31969, 36239, 39046},
    {"cc1", 438, 449523, 213220, 490171, 704971},
    {"cc1", 877, 99346, 51673, 105589, 157221},
    {"cc1", 1754, 22144, 14404, 23410, 36475},
    {"cc1", 4385, 9934, 8770, 10301, 11808},
    {"sort", 185, 407819, 229961, 408650, 442684},
    {"sort", 371, 260218, 128731, 260330, 276057},
    {"sort", 743, 132421, 55995, 133179, 141136},
    {"sort", 1859, 8032, 7064, 9325, 17371},
    {"sqlite", 319, 125926, 54646, 129411, 119305},
    {"sqlite", 638, 36055, 16520, 36210, 40044},
    {"sqlite", 1596, 7011, 4520, 6999, 7243},
    {"gzip", 88, 2623, 888, 3491, 3837},
    {"gzip", 147, 751, 398, 772, 1039},
    {"gzip", 206, 308, 295, 316, 339},
});

}  // namespace pagoda::bench
