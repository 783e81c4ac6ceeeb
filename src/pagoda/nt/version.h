// The version of Windows that a kernel instance answers as, and where the answers differ. Every call, class and flag is
// there in each version, newer ones too: what differs is what they say. 5.0 answers as 5.2.
//
// Sources: reference/nt.md sections 3, 7.1, 7.2 and 15; Microsoft's "Process Security and Access Rights".
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "pagoda/machine/paging_mode.h"

namespace pagoda::nt {

// As _WIN32_WINNT, and as PAGODA_VERSION_... in pagoda/nt.h.
enum class Version : std::uint16_t {
  kWindows2000 = 0x0500,
  kServer2003 = 0x0502,
  kWindows7 = 0x0601,
  kWindows10 = 0x0A00
};

// What newer versions do. To add one: a row here and in kDifferences, and a test in version_test.cpp.
enum class Difference : std::uint8_t {
  kLimitedQueries,          // PROCESS_QUERY_LIMITED_INFORMATION is enough to ask for limits and counters.
  kPagePriorities,          // Pages have priorities, and queries tell them.
  kImageFlags,              // SECTION_IMAGE_INFORMATION has ImageFlags.
  kPlainUnknownType,        // A type that NtAllocateVirtualMemory does not know is INVALID_PARAMETER, not _5.
  kDecommitOfAllTellsNone,  // Decommitting a whole region by size 0 gives back size 0, not the region's.
};

struct DifferenceRow {
  Difference difference;
  Version since;
};

inline constexpr auto kDifferences = std::to_array<DifferenceRow>({
    {Difference::kLimitedQueries, Version::kWindows7},           // Vista.
    {Difference::kPagePriorities, Version::kWindows7},           // Vista.
    {Difference::kImageFlags, Version::kWindows7},               // Vista.
    {Difference::kPlainUnknownType, Version::kWindows10},        // 10 1803.
    {Difference::kDecommitOfAllTellsNone, Version::kWindows10},  // 10 1809.
});

constexpr bool has(Version version, Difference difference) {
  for (const DifferenceRow& row : kDifferences)
    if (row.difference == difference) return version >= row.since;
  return false;
}

constexpr Version default_version(machine::PteFormat format) {
  return format == machine::PteFormat::kAmd64 ? Version::kWindows10 : Version::kServer2003;
}

// Nothing for a number that is none of the versions.
constexpr std::optional<Version> version_of(std::uint32_t number) {
  for (const Version version : {Version::kWindows2000, Version::kServer2003, Version::kWindows7, Version::kWindows10})
    if (number == static_cast<std::uint32_t>(version)) return version;
  return std::nullopt;
}

}  // namespace pagoda::nt
