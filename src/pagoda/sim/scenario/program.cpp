// `program` of a [[process]].
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <string_view>

#include "pagoda/machine/paging_mode.h"
#include "pagoda/sim/scenario/names.h"
#include "pagoda/sim/scenario/sections.h"

namespace pagoda::sim {

namespace {

constexpr std::uint64_t kOperationsMost = std::uint64_t{1} << 40;
// A generator keeps a few bytes for each page; this much memory is more than any run here can page through.
constexpr ByteCount kGeneratorMost = 1_TiB;
// A generator's pages lie side by side: no more than a process of the machine can name.
ByteCount most_memory(const SystemDraft& draft) {
  const machine::PagingMode& mode = machine::paging_mode(draft.paging);
  return std::min(kGeneratorMost,
                  ByteCount(mode.highest_user.value() / kAllocationGranularity * kAllocationGranularity));
}
// References that one operation stands for, at most: a third of a millisecond.
constexpr std::uint64_t kReferencesMost = 1'000'000;
constexpr std::uint64_t kRepeatMost = 1'000'000;

// `kind`: the generators, in the order of GeneratorConfig::Kind, and the others.
constexpr std::array<std::string_view, 7> kProgramNames{"sequential", "uniform", "zipf",  "phases",
                                                        "trace",      "image",   "demand"};
enum ProgramName : std::uint8_t { kTrace = 4, kImage = 5, kDemand = 6 };

// What all generators are told, but for their memory, which may not be known yet.
void read_generator(TomlTable& p, GeneratorConfig& generator) {
  p.require("operations");
  generator.operations = p.number("operations", 1, 1, kOperationsMost);
  generator.writes = p.real("writes", generator.writes, 0, 1);
  generator.references = p.number("references", generator.references, 1, kReferencesMost);
  if (generator.kind == GeneratorConfig::Kind::kZipf) generator.theta = p.real("theta", generator.theta, 0, 10);
  if (generator.kind != GeneratorConfig::Kind::kPhases) return;
  p.require("window");
  generator.window = p.pages("window", 1_pages);
  const bool too_large = !generator.memory.is_zero() && generator.window > generator.memory;
  if (generator.window.is_zero() || too_large)
    p.wrong("window", "must be from 4KiB to the memory, that of a mapped file included");
  p.require("phase_operations");
  generator.phase_operations = p.number("phase_operations", 1, 1);
}

// The image of a program that begins with a template, and which one that is.
ImageProgramConfig read_template_name(TomlTable& p, const SystemDraft& draft) {
  const std::string name = p.text("template", "");
  for (const std::string_view key : {"image", "name", "raw"})
    if (p.has(key)) p.wrong(key, "of a program that begins with a template is the template's; leave it out");
  if (draft.templates == nullptr) {
    p.wrong("template", "is for programs of virtual machines; a program of the host says image");
    return {};
  }
  const auto found = std::ranges::find(*draft.templates, name, &TemplateConfig::name);
  if (found == draft.templates->end()) {
    p.wrong("template", fmt::format("there is no template \"{}\"; add a [[template]] with that name", name));
    return {};
  }
  return {.image = found->image, .from_template = static_cast<std::size_t>(found - draft.templates->begin())};
}

ImageProgramConfig read_image_program(TomlTable& p, const SystemDraft& draft) {
  ImageProgramConfig program =
      p.has("template") ? read_template_name(p, draft) : ImageProgramConfig{.image = read_image(p, draft)};
  program.references = p.number("references", program.references, 1, kReferencesMost);
  p.table("then", [&](TomlTable& t) {
    t.require("kind");
    GeneratorConfig& generator = program.then.emplace();
    generator.kind = t.choice("kind", kGeneratorNames, GeneratorConfig::Kind::kSequential);
    read_generator(t, generator);
  });
  return program;
}

// The keys of a program that maps a file.
FileViewConfig read_view(TomlTable& p, const SystemDraft& draft) {
  FileViewConfig view;
  view.file = draft.found(p.text("file", ""));
  view.kind = p.choice("view", kViewNames, view.kind);
  const std::optional<unsigned> disk = read_disk_name(p, draft);
  view.disk = disk.value_or(view.disk);
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(view.file, error);
  if (error) {
    p.wrong("file", fmt::format("cannot read \"{}\" (paths are relative to this file)", view.file));
  } else if (size < kPageBytes || ByteCount(size) > most_memory(draft)) {
    p.wrong("file", fmt::format("\"{}\" must have from 4KiB to {}", view.file, to_string(most_memory(draft))));
  } else if (disk && ByteCount(size) > draft.disks[*disk].capacity) {
    p.wrong("file",
            fmt::format("\"{}\" ({}) is more than its disk \"{}\" holds ({}); give the disk more capacity", view.file,
                        to_string(ByteCount(size)), draft.disks[*disk].name, to_string(draft.disks[*disk].capacity)));
  } else {
    view.pages = PageCount(size / kPageBytes);
  }
  for (const ProcessConfig& other : draft.system.processes) {
    if (other.view && other.view->file == view.file && other.view->disk != view.disk)
      p.wrong("disk", fmt::format("\"{}\" is on another disk already", view.file));
  }
  return view;
}

void read_mapping_generator(TomlTable& p, const SystemDraft& draft, GeneratorConfig& generator,
                            ProcessConfig& process) {
  if (p.has("file")) {
    process.view = read_view(p, draft);
  } else {
    for (const std::string_view key : {"view", "disk"})
      if (p.has(key)) p.wrong(key, "is for a program that maps a file; say which one with file");
    p.require("memory");
  }
  generator.memory = p.pages("memory", process.view ? 0_pages : 1_pages);
  const ByteCount most = most_memory(draft);
  if ((generator.memory.is_zero() && !process.view) || bytes_of(generator.memory) > most) {
    const std::string_view mode = machine::paging_mode(draft.paging).name;
    p.wrong("memory",
            fmt::format("must be from 4KiB to {}{}", to_string(most),
                        most < kGeneratorMost ? fmt::format(", what a process has with {} paging", mode) : ""));
  }
  if (process.view) generator.memory += process.view->pages;
  read_generator(p, generator);
}

// One of [[process.program.steps]].
DemandStep read_step(TomlTable& t) {
  for (const char* key : {"at", "used", "active"}) t.require(key);
  return {.at = t.duration("at", 0_ns), .used = t.pages("used", 0_pages), .active = t.pages("active", 0_pages)};
}

DemandCurve read_curve(TomlTable& p, const SystemDraft& draft, std::string& file) {
  DemandCurve curve;
  if (p.has("file") == p.has("steps")) {
    p.wrong("kind", "is demand, which needs either file or steps");
    return curve;
  }
  if (p.has("file")) {
    file = draft.found(p.text("file", ""));
    auto read = read_demand_csv(file);
    if (!read) {
      p.wrong("file", read.error().message);
      return curve;
    }
    curve = std::move(*read);
    if (p.has("length")) curve.length = p.duration("length", curve.length, 1_ns);
  } else {
    p.tables("steps", [&](TomlTable& step) { curve.steps.push_back(read_step(step)); });
    p.require("length");
    curve.length = p.duration("length", 1_s, 1_ns);
  }
  if (const auto checked = check_demand(curve); !checked)
    p.wrong(file.empty() ? "steps" : "length", checked.error().message);
  return curve;
}

DemandConfig read_demand(TomlTable& p, const SystemDraft& draft) {
  DemandConfig demand;
  demand.curve = read_curve(p, draft, demand.file);
  if (bytes_of(demand.curve.most_used()) > most_memory(draft))
    p.wrong(demand.file.empty() ? "steps" : "file",
            fmt::format("uses {}, and a process has {}", to_string(bytes_of(demand.curve.most_used())),
                        to_string(most_memory(draft))));
  demand.period = p.duration("period", demand.period, 1_ms);
  demand.intensity = p.real("intensity", demand.intensity, 1, 1e6);
  demand.writes = p.real("writes", demand.writes, 0, 1);
  demand.theta = p.real("theta", demand.theta, 0, 0.99);
  demand.references = p.number("references", demand.references, 1, kReferencesMost);
  return demand;
}

}  // namespace

ImageConfig read_image(TomlTable& t, const SystemDraft& draft) {
  t.require("image");
  return {.file = draft.found(t.text("image", "")),
          .name = t.text("name", ""),
          .from = {},
          .as = t.flag("raw", false) ? TakeAs::kRaw : TakeAs::kWhatItIs};
}

void read_program(TomlTable& p, const SystemDraft& draft, ProcessConfig& process) {
  p.require("kind");
  const std::size_t kind = p.choose("kind", kProgramNames, 0);
  if (kind == kTrace) {
    p.require("file");
    process.program =
        TraceConfig{.file = draft.found(p.text("file", "")), .repeat = p.number("repeat", 1, 1, kRepeatMost)};
  } else if (kind == kImage) {
    process.program = read_image_program(p, draft);
  } else if (kind == kDemand) {
    process.program = read_demand(p, draft);
  } else {
    GeneratorConfig generator{.kind = static_cast<GeneratorConfig::Kind>(kind)};
    read_mapping_generator(p, draft, generator, process);
    process.program = generator;
  }
}

}  // namespace pagoda::sim
