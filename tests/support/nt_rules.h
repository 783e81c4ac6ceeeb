// What the model of the native API knows of its parameters: reference/nt.md 7.1 and 6.1, written down a second time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "pagoda/base/units.h"
#include "pagoda/mm/pte/protection.h"
#include "pagoda/nt.h"

namespace pagoda::nt::testing {

inline constexpr std::uint64_t kMostBytes = 4 * kPageBytes;  // That a call moves.
inline constexpr std::uint64_t kMostRegionPages = 512;  // Of a region that the manager places or that is at its base.
inline constexpr std::uint64_t kMostSectionPages = 256;
inline constexpr std::ptrdiff_t kMostProcesses = 4;
inline constexpr std::size_t kMostRuns = 4;
inline constexpr std::uint64_t kUnlockable = 8;  // Pages of the minimum that may not be locked.
inline constexpr std::uint64_t kGranule = kAllocationGranularity / kPageBytes;
inline constexpr ULONG kOther = MEM_RESET | MEM_RESET_UNDO | MEM_WRITE_WATCH | MEM_PHYSICAL | MEM_LARGE_PAGES;
inline constexpr ULONG kPlaceholders = MEM_RESERVE_PLACEHOLDER | MEM_REPLACE_PLACEHOLDER;
inline constexpr auto kNames = std::to_array<const char16_t*>({u"\\One", u"\\Two", u"\\ONE"});

inline bool has(ULONG type, ULONG bits) { return (type & bits) != 0; }
// The byte `i` of what a call with the value writes.
inline std::uint8_t byte_at(std::uint64_t value, std::uint64_t i) {
  return static_cast<std::uint8_t>(value + i * 13 + i / 256);
}

// Of PAGE_ constants; nothing if they make no sense. reference/nt.md 7.1, the third row.
std::optional<mm::Protection> protection_of(std::uint32_t page);
// Whether MEM_ constants go together. The second row.
bool is_allocation_type(ULONG type, bool extended);
// Whether they have one that the plain call does not know.
bool has_unknown_type(ULONG type);
// What an Ex call says for a status: none of the numbered ones.
NTSTATUS without_number(NTSTATUS status);
// Whether SEC_ constants do.
bool is_section_type(ULONG flags);
// The last byte that ZeroBits leaves; nothing if there are too many.
std::optional<std::uint64_t> ceiling_of(bool is_64_bit, std::uint64_t zero_bits);

}  // namespace pagoda::nt::testing
