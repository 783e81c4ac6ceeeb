#include "pagoda/cli/outputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "pagoda/base/status.h"
#include "pagoda/report/write_file.h"

namespace pagoda::cli {

std::string check_file_name(const std::string& name) {
  return name.empty() ? "name a file, or - for standard output" : "";
}

std::string shown_name(const std::string& file) { return report::is_standard_output(file) ? "standard output" : file; }

Input<> check_outputs(std::span<const Output> outputs, std::span<const std::string> inputs) {
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Output& output = outputs[i];
    if (report::is_same_file(output.file, "/dev/null")) continue;
    for (const Output& other : outputs.first(i)) {
      if (report::is_same_file(output.file, other.file))
        return bad_input(
            fmt::format("{}: named for {} and for {}; name two files", output.file, other.option, output.option));
    }
    for (const std::string& input : inputs) {
      // A dash is standard input here, which may be the terminal that standard output is.
      if (input == "-" && report::is_standard_output(output.file)) continue;
      if (report::is_same_file(output.file, input == "-" ? "/dev/stdin" : input))
        return bad_input(fmt::format("{}: {} would overwrite \"{}\", which is read; name another file", output.file,
                                     output.option, input));
    }
  }
  return {};
}

Input<> prepare_outputs(std::span<const Output> outputs) {
  for (const Output& output : outputs) {
    if (!report::is_standard_output(output.file)) {
      std::error_code error;
      std::filesystem::create_directories(std::filesystem::absolute(output.file, error).parent_path(), error);
      if (error) return bad_input(fmt::format("{}: its folder cannot be made: {}", output.file, error.message()));
    }
    PAGODA_TRY(report::check_writable(output.file));
  }
  return {};
}

bool take_standard_output(std::span<const Output> outputs) {
  return std::ranges::any_of(outputs, [](const Output& output) { return report::is_standard_output(output.file); });
}

}  // namespace pagoda::cli
