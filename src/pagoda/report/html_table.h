// What tables of the page are made of.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pagoda/base/check.h"
#include "pagoda/base/units.h"
#include "pagoda/report/text.h"

namespace pagoda::report {

// A table whose first column names its rows; all cells are HTML.
class Table {
 public:
  Table(std::string_view caption, std::vector<std::string_view> columns) : columns_(columns.size()) {
    out_ = fmt::format("<div class=\"scroll\" tabindex=\"0\"><table><caption>{}</caption>\n<thead><tr>", caption);
    for (std::size_t i = 0; i < columns.size(); ++i) {
      out_ += fmt::format("<th scope=\"col\"{}>{}</th>", i == 0 ? "" : " class=\"n\"", columns[i]);
    }
    out_ += "</tr></thead>\n<tbody>\n";
  }

  void row(std::string_view name, const std::vector<std::string>& cells) {
    PAGODA_CHECK_EQ(cells.size() + 1, columns_);
    out_ += fmt::format("<tr><th scope=\"row\">{}</th>", name);
    for (const std::string& cell : cells) out_ += fmt::format("<td class=\"n\">{}</td>", cell);
    out_ += "</tr>\n";
  }

  std::string html() && { return std::move(out_) + "</tbody></table></div>\n"; }

 private:
  std::size_t columns_;
  std::string out_;
};

inline std::string heading(std::string_view title) { return fmt::format("<h2>{}</h2>\n", title); }
inline std::string nothing(std::string_view text) { return fmt::format("<p class=\"nothing\">{}</p>\n", text); }

inline std::string size_cell(PageCount pages) {
  return fmt::format("{}<small>{}</small>", bytes_text(pages), counted(pages.value(), "page"));
}

inline std::string with_note(std::string_view name, std::string_view note) {
  const std::string small = note.empty() ? "" : fmt::format("<small>{}</small>", escape_html(note));
  return escape_html(name) + small;
}

}  // namespace pagoda::report
