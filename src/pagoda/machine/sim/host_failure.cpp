#include "pagoda/machine/sim/host_failure.h"

#include <array>
#include <string_view>
#include <system_error>

namespace pagoda::machine {

std::string to_string(const HostFailure& failure) {
  static constexpr std::array<std::string_view, 4> kVerbs{"make a file for", "resize", "read", "write"};
  std::string text = "disk \"" + failure.disk + "\": the host cannot ";
  text += kVerbs[static_cast<std::size_t>(failure.operation)];
  text += " its bytes in " + (failure.folder.empty() ? "memory" : "\"" + failure.folder.string() + "\"");
  return text + ": " + std::generic_category().message(failure.error);
}

}  // namespace pagoda::machine
