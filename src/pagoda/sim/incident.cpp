#include "pagoda/sim/incident.h"

#include <fmt/format.h>

#include "pagoda/base/status.h"

namespace pagoda::sim {

std::string to_string(const Incident& incident) {
  const std::string machine = incident.vm.empty() ? "host" : fmt::format("guest \"{}\"", incident.vm);
  return fmt::format("{}, {}: {}{}{}", to_string(incident.time), machine, incident.process,
                     incident.process.empty() ? "" : ": ", incident.text);
}

}  // namespace pagoda::sim
