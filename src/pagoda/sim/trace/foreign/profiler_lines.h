// What DynamoRIO's view tool and Linux' perf print about the accesses of a program.
//
//   drcachesim-view   "8  1: W0.T3256418 ifetch  3 byte(s) @ 0x00007fc205a61940 48 89 e7  mov %rsp, %rdi"
//                     "10 2: W0.T3256418 write   8 byte(s) @ 0x00007fff9a9e3528 by PC 0x..."     read, likewise
//                     Markers and other records are asides, and so is every line without record number and thread:
//                     headings, rules, what the program printed. Threads are read as one stream.
//   perf-script       "ls 23168 26195.776779: page-faults: 55ed564cd5c0"     behind the event: the address, then
//                     perhaps its symbol, what perf mem says, the instruction; stacks below it are asides.
//                     Without `perf record -d` the only address is the instruction's, which is refused. Events that
//                     name stores, and |OP STORE|, write; the rest reads. Address 0 is unknown: an aside. Samples
//                     are not the whole: their misses are no program's.
//
// Source: reference formats.md 5; DynamoRIO clients/drcachesim/tools/view.cpp; measured: perf 6.1.
#pragma once

#include <cstddef>
#include <memory>

#include "pagoda/sim/trace/foreign/foreign_parser.h"

namespace pagoda::sim {

class DrcachesimViewParser final : public ForeignParser {
 public:
  ForeignRecord parse(std::string_view line) override;
};

// Only records and the tool's own headings fit.
std::size_t fits_drcachesim_view(const ForeignSample& sample);

class PerfScriptParser final : public ForeignParser {
 public:
  ForeignRecord parse(std::string_view line) override;
};
// Events without an address fit, too: so that the user is told of that and of nothing else.
std::size_t fits_perf_script(const ForeignSample& sample);

}  // namespace pagoda::sim
