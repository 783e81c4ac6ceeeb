// Something that went wrong in a run, or was refused: when, on which machine, and to whom.
#pragma once

#include <string>

#include "pagoda/base/units.h"

namespace pagoda::sim {

struct Incident {
  Time time;
  std::string vm;       // The virtual machine in whose guest it happened; empty: on the host.
  std::string process;  // Whose it is; empty: the machine's.
  std::string text;     // "its memory was refused (STATUS_COMMITMENT_LIMIT) for 64 MiB".
};

// One line: "t=10.3 s, guest "web": sort: its memory was refused (STATUS_COMMITMENT_LIMIT) for 64 MiB".
std::string to_string(const Incident& incident);

}  // namespace pagoda::sim
