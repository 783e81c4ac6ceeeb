// Traces with an address and a letter or a digit a line: what students' tools, pin's example and dinero use.
//
//   hexaddr             0041f7a0 R                      hex, R or W
//   load-store          l 0x190a7c20    s 0xdeadbeef 4  hex; the size may be there
//   pinatrace           0x7f85d3b852d3: W 0x7fffc7177908    R 0x7fffc7177908 8    hex with 0x; the size, and the
//                       value behind it, may be there; "(nil)" is 0. Windows prints
//                       "00007ff6a1b2c3d4: W 000000c1df2ff8b8"
//   pinatrace-hex       W bf801234      as above without 0x and without the instruction
//   pinatrace-decimal   W 3212859348    the same in decimal: lines with nothing but digits may be either, so that the
//                       user is asked
//   dinero              2 408ed4        label, hex: 0 read, 1 write, 2 fetch; 3 (other) and 4 (flush) touch nothing
//
// Source: reference formats.md 5; pin's source/tools/ManualExamples/pinatrace.cpp; dinero's din format.
#pragma once

#include <cstddef>
#include <memory>

#include "pagoda/sim/trace/foreign/foreign_parser.h"

namespace pagoda::sim {

class HexAddressParser final : public ForeignParser {
 public:
  ForeignRecord parse(std::string_view line) override;
};

class LoadStoreParser final : public ForeignParser {
 public:
  ForeignRecord parse(std::string_view line) override;
};

class PinatraceParser final : public ForeignParser {
 public:
  ForeignRecord parse(std::string_view line) override;
};

class PinatraceHexParser final : public ForeignParser {
 public:
  ForeignRecord parse(std::string_view line) override;
};

class PinatraceDecimalParser final : public ForeignParser {
 public:
  ForeignRecord parse(std::string_view line) override;
};

class DineroParser final : public ForeignParser {
 public:
  ForeignRecord parse(std::string_view line) override;
};
// 0 if all addresses are on the first page: columns of small numbers are no trace.
std::size_t fits_dinero(const ForeignSample& sample);

}  // namespace pagoda::sim
