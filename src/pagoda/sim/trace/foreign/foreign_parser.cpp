#include "pagoda/sim/trace/foreign/foreign_parser.h"

namespace pagoda::sim {

bool is_remark(std::string_view line) {
  const std::size_t first = line.find_first_not_of(" \t\r\v\f");
  if (first == std::string_view::npos) return true;
  return line[first] == '#' || line.starts_with("==") || line.starts_with("--");
}

std::string_view without_byte_order_mark(std::string_view front) {
  constexpr std::string_view kMark = "\xef\xbb\xbf";
  if (front.starts_with(kMark)) front.remove_prefix(kMark.size());
  return front;
}

std::size_t count_understood(ForeignParser& parser, const ForeignSample& sample) {
  std::size_t understood = 0;
  bool accesses = false;
  for (const std::string_view record : sample) {
    const ForeignRecord::Kind kind = parser.parse(record).kind;
    if (kind != ForeignRecord::Kind::kBad) ++understood;
    accesses = accesses || kind == ForeignRecord::Kind::kAccess;
  }
  return accesses ? understood : 0;
}

}  // namespace pagoda::sim
