// For tests: real files of other people's, which are not shipped with the source.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

namespace pagoda::sim {

// Below the folder that PAGODA_PUBLIC_DATA names, or beside this tree. Nothing if it is not there: then the test skips,
// loudly.
inline std::optional<std::string> find_public_sample(const std::string& name) {
  const char* const folder = std::getenv("PAGODA_PUBLIC_DATA");
  const std::filesystem::path path =
      folder != nullptr ? std::filesystem::path(folder)
                        : std::filesystem::path(PAGODA_SOURCE_DIR) / ".." / "shared" / "data" / "public";
  if (!std::filesystem::exists(path / name)) return std::nullopt;
  return (path / name).string();
}

}  // namespace pagoda::sim
