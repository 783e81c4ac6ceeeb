// A run as one HTML page that needs nothing else: no network, no second file. What was asked, what happened in three
// sentences, charts over time, and the figures in tables.
//
// The words and tables stand in the page itself; only the charts need a script. Every text of the scenario is escaped,
// in HTML and in the data block. Opened as FILE#self-check the page writes into its root element how the charts came
// out (tests/report_browser_test.cpp).
#pragma once

#include <string>
#include <string_view>

#include "pagoda/report/json.h"
#include "pagoda/sim/run_result.h"

namespace pagoda::report {

std::string html_page(const sim::RunResult& run);

// JSON that may stand inside a <script> element: no text in it can end the element or begin a comment.
std::string script_safe(const Json& json);

}  // namespace pagoda::report
