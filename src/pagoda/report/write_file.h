// Writing results: whole or not at all.
//
// The name "-" is standard output, and so is every other name of the file that standard output is.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "pagoda/base/input_error.h"

namespace pagoda::report {

// Puts `content` in the place of `path` by a temporary file beside it and a rename, so that a reader sees the old file
// or the whole new one. What is no regular file (a pipe, standard output) is written directly. Fails with one line that
// names the path and leaves it alone.
Input<> write_file(const std::filesystem::path& path, std::string_view content);
// The same for what is too large to be held: `next_part` is called until it gives an empty part.
Input<> write_file_in_parts(const std::filesystem::path& path, const std::function<std::string_view()>& next_part);

struct NamedContent {
  std::filesystem::path path;
  std::string content;
};
// The same for several files: none is in its place before all could be written. What is written directly comes first.
Input<> write_files(std::span<const NamedContent> files);

// Whether write_file would find its folder and may write there: asked before a long run, so that it does not fail at
// its end.
Input<> check_writable(const std::filesystem::path& path);

// Whether this is a name of standard output.
bool is_standard_output(const std::filesystem::path& path);
// Whether both names lead to the same file, be it there already or not.
bool is_same_file(const std::filesystem::path& one, const std::filesystem::path& other);

}  // namespace pagoda::report
