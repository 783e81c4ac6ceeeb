// Text for a terminal: lines that break at spaces, and columns.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pagoda::report {

// Lines are this wide at most, unless a word is longer.
inline constexpr std::size_t kSummaryWidth = 100;

// Breaks at spaces; every line after the first is indented by `indent`. Ends with a line break.
std::string wrapped(std::string_view text, std::size_t indent);
// Columns as wide as their widest cell; the first is aligned left, the others right. Requires: rows are of one length, and
// there is one.
std::string aligned(const std::vector<std::vector<std::string>>& rows);

}  // namespace pagoda::report
