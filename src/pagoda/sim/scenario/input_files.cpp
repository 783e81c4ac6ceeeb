// Which files a scenario names.
#include <variant>

#include "pagoda/sim/scenario/scenario.h"

namespace pagoda::sim {

namespace {

void add_files(const SystemConfig& system, std::vector<std::string>& files) {
  for (const ProcessConfig& process : system.processes) {
    if (const auto* trace = std::get_if<TraceConfig>(&process.program)) files.push_back(trace->file);
    if (const auto* image = std::get_if<ImageProgramConfig>(&process.program)) files.push_back(image->image.file);
    if (const auto* demand = std::get_if<DemandConfig>(&process.program); demand != nullptr && !demand->file.empty())
      files.push_back(demand->file);
    if (process.fill) files.push_back(process.fill->file);
    if (process.view) files.push_back(process.view->file);
  }
}

}  // namespace

std::vector<std::string> input_files(const Scenario& scenario) {
  std::vector<std::string> files{scenario.file};
  if (!scenario.compare_with.empty()) files.push_back(scenario.compare_with);
  for (const TemplateConfig& made : scenario.templates) files.push_back(made.image.file);
  add_files(scenario, files);
  for (const VmConfig& vm : scenario.vms) add_files(vm, files);
  return files;
}

}  // namespace pagoda::sim
