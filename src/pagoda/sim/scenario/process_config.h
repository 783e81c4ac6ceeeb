// A process of a scenario: plain data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "pagoda/base/units.h"
#include "pagoda/mm/space/working_set.h"
#include "pagoda/sim/scenario/program_config.h"

namespace pagoda::sim {

struct ProcessConfig {
  std::string name;
  ProgramConfig program;
  std::optional<ImageConfig> fill;     // What its pages hold when they are first touched.
  std::optional<FileViewConfig> view;  // Generators only: in front of their memory, which contains it.
  std::optional<std::size_t> fork_of;  // The index of a process further up, whose program it runs.
  std::uint64_t operations_most = ~std::uint64_t{0};
  std::optional<mm::WorkingSet::Limits> limits;
  Time start;
  std::string where;  // "scenarios/host.toml:31", for messages about it.
};

// The position of the template that its program begins with; none: its own pages.
inline std::optional<std::size_t> template_of(const ProcessConfig& process) {
  const auto* image = std::get_if<ImageProgramConfig>(&process.program);
  return image != nullptr ? image->from_template : std::nullopt;
}

}  // namespace pagoda::sim
