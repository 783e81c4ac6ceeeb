// A RunResult as JSON, for programs. docs/report-json.md lists every key; a test holds the two together.
//
// The same run gives the same text byte for byte, apart from `wall_seconds`.
#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "pagoda/sim/run_result.h"

namespace pagoda::report {

using Json = nlohmann::ordered_json;  // Keys stay in the order of the documentation.

inline constexpr const char* kJsonSchema = "pagoda-run";
// Grows when a key changes its meaning or is removed; not when one is added.
inline constexpr int kJsonVersion = 4;

Json to_json(const sim::RunResult& run);
Json or_null(const std::optional<PageCount>& pages);
// Indented; an array of scalars stands on one line, so that two runs can be compared with `diff`. Text that is not
// UTF-8 gets U+FFFD.
std::string json_text(const Json& json);

}  // namespace pagoda::report
