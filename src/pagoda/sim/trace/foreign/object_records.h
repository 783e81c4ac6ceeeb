// Traces of caches: which objects were asked for. Every object is one page, whatever its size, numbered in order of
// appearance; an id is a name and no place. So LRU and OPT miss as libCacheSim's do that ignore the objects' sizes.
//
//   oracleGeneral   24 bytes, little-endian: u32 seconds, u64 id, u32 size, i64 next (the request that asks for the
//                   object again, from 1; -1 or the largest: none). No magic: told by what `next` says
//   csv-objects     a header that names one of the columns id, obj_id, object_id, object, key; op if it is there (get,
//                   read; set, add, put, write, ...)
//
// Source: reference formats.md 5; libCacheSim traceReader/customizedReader/oracle/oracleGeneralBin.h, csvReader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "pagoda/sim/trace/foreign/foreign_parser.h"

namespace pagoda::sim {

inline constexpr std::size_t kOracleGeneralBytes = 24;

class OracleGeneralParser final : public ForeignParser {
 public:
  // `record`: kOracleGeneralBytes.
  ForeignRecord parse(std::string_view record) override;

 private:
  std::unordered_map<std::uint64_t, std::uint64_t> pages_;  // By id.
};
// All of the records if each tells the next request of its object rightly and time does not go back; else 0.
std::size_t fits_oracle_general(const ForeignSample& sample);

class ObjectCsvParser final : public ForeignParser {
 public:
  ForeignRecord parse(std::string_view line) override;

 private:
  enum class Column { kOther, kId, kOperation };
  ForeignRecord parse_header(std::string_view line);

  std::vector<Column> columns_;                           // Empty: the header has not come yet.
  std::unordered_map<std::string, std::uint64_t> pages_;  // By id.
};

// 0 if the header names no time, too: tables of other things have ids.
std::size_t fits_object_csv(const ForeignSample& sample);

}  // namespace pagoda::sim
