#include "bench/folders.h"

#include <system_error>

namespace pagoda::bench {

namespace {

namespace fs = std::filesystem;

fs::path search_upwards(fs::path start, std::string_view folder) {
  std::error_code error;
  for (;; start = start.parent_path()) {
    if (fs::is_directory(start / folder, error)) return start / folder;
    if (start == start.parent_path()) return {};
  }
}

}  // namespace

fs::path find_shipped(std::string_view folder) {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    if (fs::path found = search_upwards(program.parent_path(), folder); !found.empty()) return found;
  }
  return search_upwards(fs::current_path(error), folder);
}

fs::path find_shipped_images() {
  const fs::path folder = find_shipped("data/images");
  return folder.empty() ? folder : folder / "all14.vpm.zst";
}

}  // namespace pagoda::bench
