// Where what ships lies: data/traces, scenarios.
#pragma once

#include <filesystem>
#include <string_view>

namespace pagoda::bench {

// The folder of that name beside or above this program, else beside or above the working directory; empty: there is none.
std::filesystem::path find_shipped(std::string_view folder);
// The map of the pages of real guests; empty: its folder is not there.
std::filesystem::path find_shipped_images();

}  // namespace pagoda::bench
