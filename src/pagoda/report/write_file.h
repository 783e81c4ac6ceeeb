// Writing a result: whole or not at all.
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

#include "pagoda/base/input_error.h"

namespace pagoda::report {

// Puts `content` in the place of `path` by a temporary file beside it and a rename, so that a reader sees the old file
// or the whole new one. What is no regular file (a pipe, /dev/stdout) is written directly. Fails with one line that
// names the path and leaves it alone.
Input<> write_file(const std::filesystem::path& path, std::string_view content);
// The same for what is too large to be held: `next_part` is called until it gives an empty part.
Input<> write_file_in_parts(const std::filesystem::path& path, const std::function<std::string_view()>& next_part);

// Whether write_file would find its folder and may write there: asked before a long run, so that it does not fail at
// its end.
Input<> check_writable(const std::filesystem::path& path);

}  // namespace pagoda::report
