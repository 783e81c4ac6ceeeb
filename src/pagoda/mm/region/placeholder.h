// Placeholders: addresses held for a later region, so that nobody else gets them in between. Source: reference/nt.md
// 7.9 (Windows 10).
//
//            reserve as placeholder            replace (exact)
//   free  <--------------------------> placeholder <--------------> region or view
//              release                  | split ^    release and
//                                       v       | coalesce   preserve
//                                      placeholders
//
// A placeholder is like reserved memory, except that nothing can be committed in it. Inside the range of one, replacing
// and splitting go by pages, not by 64 KB. The page tables that a placeholder's range may need stay charged while it
// changes places with a region, so that going back never fails.
#pragma once

#include <cstdint>

#include "pagoda/mm/region/vad.h"

namespace pagoda::mm {

// What a reservation has to do with placeholders.
enum class Placeholder : std::uint8_t {
  kNo,
  kReserve,  // The new region is one: no rights, nothing committed.
  kReplace,  // The new region takes the place of one with the same bounds.
};

enum class ReleaseMode : std::uint8_t {
  kFree,
  kPreservePlaceholder,   // The pages become a placeholder: one split off another, or again after a replacement.
  kCoalescePlaceholders,  // The pages, exactly those of two or more placeholders side by side, become one.
};

inline Vad placeholder_vad(VpnRange pages) {
  Vad vad;
  vad.range = pages;
  vad.placeholder = true;
  return vad;
}

}  // namespace pagoda::mm
