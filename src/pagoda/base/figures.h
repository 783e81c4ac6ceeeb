// Structs of figures (counters, frames by use) that are declared once. One list says of each field what it is called, by
// programs (its name) and by people (label and meaning); the struct, the table of its fields, and with that everything
// that prints, writes or sums figures, follow from the list.
//
//   #define PAGODA_DOOR_COUNTERS(X) X(openings, "Openings", "by hand") X(knocks, "Knocks", "answered or not")
//   struct DoorCounters {
//     PAGODA_DOOR_COUNTERS(PAGODA_COUNTER)
//   };
//   inline constexpr auto kDoorCounterFields = PAGODA_FIGURE_FIELDS(DoorCounters, PAGODA_DOOR_COUNTERS);
//
// A field is an ordinary member: counting is `++counters.knocks`.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "pagoda/base/units.h"

namespace pagoda {

// One field of a struct of figures.
template <class Figures, class Value>
struct FigureField {
  std::string_view key;      // The member's name.
  std::string_view label;    // What people read.
  std::string_view meaning;  // Continues the label: units, and what exactly is counted.
  Value Figures::* member;
};

}  // namespace pagoda

// Members, for the struct: events, or pages.
#define PAGODA_COUNTER(field, label, meaning) std::uint64_t field = 0;
#define PAGODA_PAGES(field, label, meaning) PageCount field;
// The std::array of all fields in the list's order.
#define PAGODA_FIGURE_FIELDS(type, list)           \
  [] {                                             \
    using PagodaFigures = type;                    \
    return std::array{list(PAGODA_FIGURE_FIELD_)}; \
  }()
#define PAGODA_FIGURE_FIELD_(field, label, meaning) FigureField{#field, label, meaning, &PagodaFigures::field},
