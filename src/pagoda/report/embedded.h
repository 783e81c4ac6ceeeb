// Files that are part of the program: the page's templates and Chart.js. embed.cmake makes the definitions from the
// files.
#pragma once

#include <string_view>

namespace pagoda::report::embedded {

extern const std::string_view kPageHtml;  // page/page.html.in
extern const std::string_view kPageCss;   // page/page.css
extern const std::string_view kPageJs;    // page/page.js
extern const std::string_view kChartJs;   // Chart.js 3.9 of Debian's libjs-chart.js

}  // namespace pagoda::report::embedded
