#include "pagoda/sim/open_program.h"

#include <fmt/format.h>

#include <utility>
#include <variant>

#include "pagoda/base/status.h"
#include "pagoda/sim/demand_program.h"
#include "pagoda/sim/generator.h"
#include "pagoda/sim/image_program.h"
#include "pagoda/sim/trace_program.h"

namespace pagoda::sim {

namespace {

struct Opener {
  std::uint64_t seed;
  ImageOpener& images;

  Input<std::unique_ptr<Program>> operator()(const TraceConfig& config) const {
    return PAGODA_TRY(TraceProgram::open(config.file, config.repeat));
  }
  Input<std::unique_ptr<Program>> operator()(const GeneratorConfig& config) const {
    return make_generator(config, seed);
  }
  Input<std::unique_ptr<Program>> operator()(const DemandConfig& config) const {
    return make_demand_program(config, seed);
  }
  Input<std::unique_ptr<Program>> operator()(const ImageProgramConfig& config) const {
    auto contents = PAGODA_TRY(images.open(config.image.file, config.image.name, config.image.as));
    std::unique_ptr<Program> then;
    if (config.then) {
      GeneratorConfig generator = *config.then;
      generator.memory = contents->pages();
      if (generator.window > generator.memory)
        return bad_input(fmt::format("then.window ({}) is more than {} holds ({}); make it smaller",
                                     to_string(bytes_of(generator.window)), contents->describe(),
                                     to_string(bytes_of(generator.memory))));
      then = make_generator(generator, seed);
    }
    return std::make_unique<ImageProgram>(std::move(contents), config.references, std::move(then));
  }
  Input<std::unique_ptr<Program>> filled(std::unique_ptr<Program> program, const ImageConfig& config) const {
    auto contents = PAGODA_TRY(images.open(config.file, config.name, config.as));
    if (config.from >= contents->pages())
      return bad_input(fmt::format("fill.from ({}) is behind the end of {} ({}); make it smaller",
                                   to_string(bytes_of(config.from)), contents->describe(),
                                   to_string(bytes_of(contents->pages()))));
    return std::make_unique<FilledProgram>(std::move(program), std::move(contents), config.from);
  }
};

}  // namespace

Input<std::unique_ptr<Program>> open_program(const ProcessConfig& process, std::uint64_t seed, ImageOpener& images) {
  const Opener opener{.seed = seed, .images = images};
  auto program = std::visit(opener, process.program);
  if (program && process.fill) program = opener.filled(std::move(*program), *process.fill);
  if (!program)
    return bad_input(fmt::format("{}: process \"{}\": {}", process.where, process.name, program.error().message));
  return program;
}

}  // namespace pagoda::sim
