#include "pagoda/sim/templates.h"

#include <fmt/format.h>

#include <algorithm>

#include "pagoda/base/status.h"

namespace pagoda::sim {

Input<std::unique_ptr<Templates>> Templates::open(std::span<const TemplateConfig> configs, mm::MemoryManager& host,
                                                  machine::Processor& cpu, std::span<const machine::DiskModel> disks,
                                                  ImageOpener& images) {
  std::unique_ptr<Templates> templates(new Templates(host, cpu));
  for (const TemplateConfig& config : configs) {
    const auto failed = [&](const std::string& why) {
      return bad_input(fmt::format("{}: template \"{}\": {}", config.where, config.name, why));
    };
    const auto image = images.open(config.image.file, config.image.name, config.image.as);
    if (!image) return failed(image.error().message);
    const machine::DiskModel& disk = disks[config.disk];
    const ByteCount size = bytes_of((*image)->pages());
    if (size > disk.capacity)
      return failed(fmt::format("{} ({}) is more than its disk \"{}\" holds ({}); give the disk more capacity",
                                (*image)->describe(), to_string(size), disk.name, to_string(disk.capacity)));
    auto file = SharedFile::from_image(**image, config.name, *host.machine().disks()[config.disk], disk.directory);
    if (!file) return failed(file.error().message);
    const auto section = host.sections().create(cpu, {.file = (*file)->stream(),
                                                      .kind = mm::SectionKind::kData,
                                                      .size = size,
                                                      .protection = mm::Protection::kReadOnly});
    if (!section)
      return failed(fmt::format("the host cannot map its {} ({}); give it more memory", to_string(size),
                                to_string(section.error())));
    templates->templates_.push_back({.file = std::move(*file), .section = *section});
  }
  return templates;
}

Templates::~Templates() {
  for (const Template& made : templates_) host_.sections().dereference(cpu_, *made.section);
}

VmConfig Templates::with_direct_maps(VmConfig vm) const {
  for (const ProcessConfig& process : vm.processes) {
    const auto number = template_of(process);
    if (!number) continue;
    const std::string& name = templates_[*number].file->stream()->name();
    if (std::ranges::find(vm.partition.direct_maps, name, &hv::DirectMapConfig::name) == vm.partition.direct_maps.end())
      vm.partition.direct_maps.push_back({.name = name, .section = templates_[*number].section});
  }
  return vm;
}

std::size_t Templates::number_of(const std::string& name) const {
  const auto found = std::ranges::find(templates_, name,
                                       [](const Template& made) -> const auto& { return made.file->stream()->name(); });
  return static_cast<std::size_t>(found - templates_.begin());
}

Templates::Census::Census(const Templates& templates) : templates_(templates) {
  for (const Template& made : templates.templates_) seen_.emplace_back(made.file->pages().value());
}

PageCount Templates::Census::add(hv::Partition& partition) {
  PageCount pages;
  hv::GuestMemory& memory = partition.memory();
  const LockGuard guard(partition.vmmem().lock);
  memory.assert_held();
  for (const hv::GuestMemory::DirectMap& map : memory.direct_maps()) {
    std::vector<bool>& seen = seen_[templates_.number_of(map.name)];
    memory.for_each_resident(templates_.cpu_, *memory.map().find(map.frames.first), map.frames,
                             [&](Gfn frame, const mm::ResidentPage&) {
                               ++pages;
                               const std::size_t page = (frame - map.frames.first).value();
                               if (!seen[page]) ++distinct_;
                               seen[page] = true;
                             });
  }
  return pages;
}

}  // namespace pagoda::sim
