#include "pagoda/sim/scenario.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <set>

#include "pagoda/sim/toml.h"

namespace pagoda::sim {

namespace {

constexpr unsigned kMostProcessors = 64;  // Of the host and all virtual machines together.
constexpr std::uint64_t kCopiesMost = 1000;
constexpr std::uint64_t kOperationsMost = std::uint64_t{1} << 40;
// A generator keeps a few bytes for each page; this much memory is more than any run here can page through.
constexpr ByteCount kGeneratorMost = 1_TiB;
// Slower disks would make virtual time overflow in a long run.
constexpr Duration kLatencyMost = 10_s;
constexpr ByteCount kBandwidthLeast = 1_KiB;
// Faster than that the balance set manager does nothing but look.
constexpr Duration kBalancePeriodLeast = 100_us;
// References that one operation stands for, at most: a third of a millisecond.
constexpr std::uint64_t kReferencesMost = 1'000'000;
// A guest's memory comes in large pages, so that a host may map it with some.
constexpr PageCount kGuestGranule = pages_of(2_MiB);
// Less, and shadow tables of a few spaces push each other out all the time.
constexpr PageCount kShadowLeast{64};

class ScenarioReader {
 public:
  ScenarioReader(const toml::table& root, const std::string& path) : root_(root, path, "", error_) {
    scenario_.file = path;
    folder_ = std::filesystem::path(path).parent_path();
  }

  Input<Scenario> read() {
    scenario_.title = root_.text("title", std::filesystem::path(scenario_.file).stem().string());
    scenario_.description = root_.text("description", "");
    scenario_.seed = root_.number("seed", 1);
    root_.require("host");
    root_.table("host", [this](TomlTable& t) { read_host(t); });
    root_.tables("disk", [this](TomlTable& t) { read_disk(t); });
    root_.tables("page_file", [this](TomlTable& t) { read_page_file(t); });
    on_->manager.tunables = mm::Tunables::for_memory(on_->machine.frames);
    root_.table("memory_manager", [this](TomlTable& t) { read_tunables(t); });
    if (!root_.has("vm")) root_.require("process");
    root_.tables("process", [this](TomlTable& t) { read_process(t); });
    root_.tables("vm", [this](TomlTable& t) { read_vm(t); });
    if (root_.has("compare_with")) {
      scenario_.compare_with = (folder_ / root_.text("compare_with", "")).lexically_normal().string();
      if (!std::filesystem::is_regular_file(scenario_.compare_with))
        root_.wrong("compare_with",
                    fmt::format("\"{}\" is no file; name a scenario, relative to this one", scenario_.compare_with));
    }
    root_.table("run", [this](TomlTable& t) {
      if (t.has("until")) scenario_.until = Time{} + t.duration("until", 0_ns);
    });
    root_.finish();
    if (!error_ && scenario_.processes.empty() &&
        std::ranges::all_of(scenario_.vms, [](const VmConfig& vm) { return vm.processes.empty(); })) {
      root_.wrong(root_.has("process") || scenario_.vms.empty() ? "process" : "vm",
                  scenario_.vms.empty() ? "is empty; add a [[process]]"
                                        : "is empty; add a [[process]], or a [[vm.process]] to a [[vm]]");
    }
    check_whole();
    if (error_) return std::unexpected(*error_);
    return std::move(scenario_);
  }

 private:
  // What the host and a virtual machine have alike.
  void read_machine(TomlTable& t) {
    machine::SimMachineConfig& machine = on_->machine;
    t.require("memory");
    machine.frames = t.pages("memory", machine.frames);
    machine.paging = static_cast<machine::PteFormat>(t.choice("paging", {"x86", "pae", "amd64"}, 2));
    machine.tlb = static_cast<machine::TlbGeometry>(t.choice("tlb", {"large", "realistic"}, 0));
    machine.refill = static_cast<machine::TlbRefill>(t.choice("refill", {"hardware", "software"}, 0));
    machine.processors = static_cast<unsigned>(t.number("processors", 1, 1, kMostProcessors));
    const PageCount most = std::min(machine::paging_mode(machine.paging).max_frames(), PageCount(kNoPfn.value() - 1));
    if (machine.frames > most) {
      t.wrong("memory", fmt::format("{} is more than {} paging can address ({}); use less, or paging = \"amd64\"",
                                    to_string(bytes_of(machine.frames)), machine::paging_mode(machine.paging).name,
                                    to_string(bytes_of(most))));
    }
  }

  void read_host(TomlTable& t) {
    read_machine(t);
    const PageCount frames = on_->machine.frames;
    if (frames < mm::kSmallestMachine) {
      t.wrong("memory", fmt::format("a host of {} is too small to start; give it {} or more",
                                    to_string(bytes_of(frames)), to_string(bytes_of(mm::kSmallestMachine))));
    }
  }

  void read_vm(TomlTable& t) {
    VmConfig vm;
    t.require("name");
    vm.name = t.text("name", "");
    vm.where = t.where();
    for (const VmConfig& other : scenario_.vms)
      if (other.name == vm.name) t.wrong("name", fmt::format("there is a virtual machine \"{}\" already", vm.name));
    on_ = &vm;
    std::set<std::string> names;
    names.swap(names_);
    read_machine(t);
    if (vm.machine.frames.is_zero() || vm.machine.frames.value() % kGuestGranule.value() != 0)
      t.wrong("memory", "must be a multiple of 2MiB, and at least that");
    vm.mmu = static_cast<hv::MmuKind>(t.choice("mmu", {"nested", "shadow"}, 0));
    vm.backing = static_cast<hv::Backing>(t.choice("backing", {"va", "deferred", "pinned"}, 0));
    vm.guest = static_cast<VmConfig::GuestKind>(t.choice("guest", {"plain", "windows"}, 1));
    vm.fault_cluster = t.pages("fault_cluster", vm.fault_cluster);
    if (!std::has_single_bit(vm.fault_cluster.value()) || vm.fault_cluster > kGuestGranule)
      t.wrong("fault_cluster", "must be a power of two from 4KiB to 2MiB");
    vm.shadow_limit = t.pages("shadow_memory", vm.shadow_limit);
    if (vm.shadow_limit < kShadowLeast)
      t.wrong("shadow_memory", fmt::format("must be at least {}", to_string(bytes_of(kShadowLeast))));
    t.table("hints", [&vm](TomlTable& hints) {
      vm.cold_hints = hints.flag("cold", vm.cold_hints);
      vm.hot_hints = hints.flag("hot", vm.hot_hints);
      vm.cold_discard_hints = hints.flag("cold_discard", vm.cold_discard_hints);
      vm.hint_period = hints.duration("period", vm.hint_period, kBalancePeriodLeast);
    });
    if (t.has("working_set")) vm.limits = read_limits(t, *scenario_.manager.tunables, vm.machine.frames);
    t.tables("disk", [this](TomlTable& disk) { read_disk(disk); });
    t.tables("page_file", [this](TomlTable& file) { read_page_file(file); });
    vm.manager.tunables = mm::Tunables::for_memory(vm.machine.frames);
    vm.manager.tunables->find_zero_pages = false;  // It would bring in what the host has paged out.
    t.table("memory_manager", [this](TomlTable& tunables) { read_tunables(tunables); });
    t.tables("process", [this](TomlTable& process) { read_process(process); });
    names.swap(names_);
    on_ = &scenario_;
    scenario_.vms.push_back(std::move(vm));
  }

  void read_disk(TomlTable& t) {
    machine::DiskModel disk;
    t.require("name");
    disk.name = t.text("name", disk.name);
    for (const machine::DiskModel& other : on_->machine.disks)
      if (other.name == disk.name) t.wrong("name", fmt::format("there is a disk \"{}\" already", disk.name));
    t.require("capacity");
    disk.capacity = t.size("capacity", disk.capacity);
    if (disk.capacity < kPageSize) t.wrong("capacity", "must be at least 4KiB");
    disk.latency = t.duration("latency", disk.latency, 0_ns, kLatencyMost);
    disk.bandwidth_per_second = t.size("bandwidth", disk.bandwidth_per_second);
    if (disk.bandwidth_per_second < kBandwidthLeast) t.wrong("bandwidth", "must be at least 1KiB (a second)");
    disk.depth = static_cast<unsigned>(t.number("depth", disk.depth, 1, 1024));
    const std::string store = t.text("store", "file");
    if (store == "file") {
      std::error_code none;
      disk.directory = std::filesystem::temp_directory_path(none);
    } else if (store != "memory") {
      disk.directory = folder_ / store;
      if (!std::filesystem::is_directory(disk.directory))
        t.wrong("store", fmt::format("\"{}\" is not a folder; name one, or \"file\" or \"memory\"", store));
    }
    DiskInjection injection;
    injection.read_errors = t.real("read_errors", 0, 0, 1);
    injection.write_errors = t.real("write_errors", 0, 0, 1);
    if (t.has("fail_operation")) injection.fail_operation = t.number("fail_operation", 1, 1);
    on_->machine.disks.push_back(std::move(disk));
    on_->injections.push_back(injection);
  }

  void read_page_file(TomlTable& t) {
    mm::PagingFileConfig file;
    file.name = t.text("name", file.name);
    t.require("disk");
    const std::string disk = t.text("disk", "");
    const auto& disks = on_->machine.disks;
    const auto found = std::ranges::find(disks, disk, &machine::DiskModel::name);
    t.require("minimum");
    file.minimum = t.size("minimum", 1_MiB);
    file.maximum = t.size("maximum", file.minimum);
    if (file.minimum < 1_MiB) t.wrong("minimum", "a paging file has at least 1MiB");
    if (file.maximum < file.minimum) t.wrong("maximum", "is below the minimum");
    const auto largest = mm::largest_paging_file(machine::paging_mode(on_->machine.paging));
    if (pages_of(file.maximum) > largest)
      t.wrong("maximum", fmt::format("is more than a PTE can name; at most {}", to_string(bytes_of(largest))));
    if (found == disks.end()) {
      t.wrong("disk", fmt::format("there is no disk \"{}\"; add a [[disk]] with that name", disk));
    } else {
      file.disk = static_cast<unsigned>(found - disks.begin());
      if (file.maximum > found->capacity)
        t.wrong(t.has("maximum") ? "maximum" : "minimum",
                fmt::format("{} is more than its disk \"{}\" holds ({}); make one smaller or the other larger",
                            to_string(file.maximum), disk, to_string(found->capacity)));
    }
    if (on_->manager.paging_files.size() == mm::PagingFiles::kMaxFiles)
      t.wrong("name",
              fmt::format("there are {} paging files already, the most there can be", mm::PagingFiles::kMaxFiles));
    on_->manager.paging_files.push_back(std::move(file));
  }

  void read_tunables(TomlTable& t) {
    mm::Tunables& tunables = *on_->manager.tunables;
    tunables.read_cluster =
        static_cast<unsigned>(t.number("read_cluster", tunables.read_cluster, 1, mm::kMaxTransferPages));
    tunables.write_cluster =
        static_cast<unsigned>(t.number("write_cluster", tunables.write_cluster, 1, mm::kMaxTransferPages));
    tunables.minimum_free = t.pages("minimum_free", tunables.minimum_free);
    tunables.plenty_free = t.pages("plenty_free", tunables.plenty_free);
    tunables.modified_maximum = t.pages("modified_maximum", tunables.modified_maximum);
    tunables.commit_reserve = t.pages("commit_reserve", tunables.commit_reserve);
    tunables.balance_period = t.duration("balance_period", tunables.balance_period, kBalancePeriodLeast);
    tunables.find_zero_pages = t.flag("find_zero_pages", tunables.find_zero_pages);
    tunables.compression_budget = t.pages("compression_store", tunables.compression_budget);
    tunables.victim = static_cast<mm::Tunables::Victim>(t.choice("victims", {"clock", "random"}, 0));
    if (tunables.compression_budget >= on_->machine.frames / 2)
      t.wrong("compression_store", "must be below half of the memory");
    if (tunables.plenty_free < tunables.minimum_free) t.wrong("plenty_free", "is below minimum_free");
    if (tunables.minimum_free < mm::kFaultReserve)
      t.wrong("minimum_free", fmt::format("must be at least {}", to_string(bytes_of(mm::kFaultReserve))));
    if (tunables.plenty_free >= on_->machine.frames / 2) t.wrong("plenty_free", "must be below half of the memory");
    if (tunables.commit_reserve >= on_->machine.frames) t.wrong("commit_reserve", "must be below the memory");
  }

  void read_process(TomlTable& t) {
    ProcessConfig process;
    t.require("name");
    process.name = t.text("name", "");
    process.where = t.where();
    process.start = Time{} + t.duration("start", 0_ns);
    if (t.has("fork_of")) {
      read_fork(t, process);
    } else if (t.has("operations")) {
      t.wrong("operations", "is for a fork; say it in the program");
    }
    for (const std::string_view key : {"working_set", "fill"})
      if (process.fork_of && t.has(key)) t.wrong(key, "of a fork is its parent's; leave it out");
    if (t.has("working_set")) {
      const mm::Tunables& tunables = *on_->manager.tunables;
      process.limits = read_limits(t, tunables, tunables.working_set_maximum);
    }
    if (!t.has("fork_of")) {
      t.require("program");
      t.table("program", [&](TomlTable& p) { read_program(p, process); });
    } else if (t.has("program")) {
      t.wrong("program", "of a fork is its parent's; leave it out");
    }
    t.table("fill", [&](TomlTable& f) {
      process.fill = read_image(f);
      process.fill->from = f.pages("from", 0_pages);
    });
    const std::uint64_t copies = t.number("copies", 1, 1, kCopiesMost);
    const Duration every = t.duration("every", 0_ns);
    for (std::uint64_t copy = 1; copy <= copies; ++copy) {
      ProcessConfig one = process;
      if (copies > 1) one.name = fmt::format("{}-{}", process.name, copy);
      one.start = process.start + every * (copy - 1);
      if (!names_.insert(one.name).second) t.wrong("name", fmt::format("there is a process \"{}\" already", one.name));
      on_->processes.push_back(std::move(one));
    }
  }

  // A limit that is not given makes room for the one that is.
  static mm::WorkingSet::Limits read_limits(TomlTable& t, const mm::Tunables& defaults, PageCount maximum) {
    mm::WorkingSet::Limits limits;
    t.table("working_set", [&](TomlTable& ws) {
      limits.minimum = ws.pages("minimum", defaults.working_set_minimum);
      limits.maximum = ws.pages("maximum", std::max(maximum, limits.minimum));
      if (!ws.has("minimum")) limits.minimum = std::min(limits.minimum, limits.maximum);
      if (ws.flag("hard", false)) limits.kind = mm::WorkingSet::Limits::Maximum::kHard;
      if (limits.minimum > limits.maximum) ws.wrong("minimum", "is above the maximum; lower it or raise the maximum");
      if (limits.maximum.is_zero()) ws.wrong("maximum", "must be at least one page");
    });
    return limits;
  }

  // The keys of a process that is forked from one before it.
  void read_fork(TomlTable& t, ProcessConfig& process) {
    const std::string name = t.text("fork_of", "");
    const auto parent = std::ranges::find(on_->processes, name, &ProcessConfig::name);
    if (parent == on_->processes.end())
      return t.wrong("fork_of", fmt::format("there is no process \"{}\" before this one", name));
    if (process.start < parent->start) t.wrong("start", fmt::format("is before \"{}\" starts", name));
    process.fork_of = static_cast<std::size_t>(parent - on_->processes.begin());
    process.program = parent->program;
    process.view = parent->view;
    process.fill = parent->fill;
    process.limits = parent->limits;
    process.operations_most = t.number("operations", process.operations_most >> 1, 1);
  }

  void read_program(TomlTable& p, ProcessConfig& process) {
    p.require("kind");
    static const std::vector<std::string_view> kinds{"sequential", "uniform", "zipf", "phases", "trace", "image"};
    const std::size_t kind = p.choice("kind", kinds, 0);
    if (kinds[kind] == "trace") {
      p.require("file");
      process.program = TraceConfig{.file = (folder_ / p.text("file", "")).lexically_normal().string(),
                                    .repeat = p.number("repeat", 1, 1, 1'000'000)};
      return;
    }
    if (kinds[kind] == "image") {
      process.program = read_image_program(p);
      return;
    }
    GeneratorConfig generator{.kind = static_cast<GeneratorConfig::Kind>(kind)};
    if (p.has("file")) {
      read_view(p, process);
    } else {
      for (const std::string_view key : {"view", "disk"})
        if (p.has(key)) p.wrong(key, "is for a program that maps a file; say which one with file");
      p.require("memory");
    }
    generator.memory = p.pages("memory", process.view ? 0_pages : 1_pages);
    if ((generator.memory.is_zero() && !process.view) || bytes_of(generator.memory) > kGeneratorMost)
      p.wrong("memory", fmt::format("must be from 4KiB to {}", to_string(kGeneratorMost)));
    if (process.view) generator.memory += process.view->pages;
    read_generator(p, generator);
    process.program = generator;
  }

  // What all generators are told, but for their memory, which may not be known yet.
  static void read_generator(TomlTable& p, GeneratorConfig& generator) {
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

  ImageConfig read_image(TomlTable& t) {
    t.require("image");
    return {
        .file = (folder_ / t.text("image", "")).lexically_normal().string(), .name = t.text("name", ""), .from = {}};
  }

  ImageProgramConfig read_image_program(TomlTable& p) {
    ImageProgramConfig program{.image = read_image(p)};
    program.references = p.number("references", program.references, 1, kReferencesMost);
    p.table("then", [&](TomlTable& t) {
      t.require("kind");
      GeneratorConfig& generator = program.then.emplace();
      generator.kind =
          static_cast<GeneratorConfig::Kind>(t.choice("kind", {"sequential", "uniform", "zipf", "phases"}, 0));
      read_generator(t, generator);
    });
    return program;
  }

  // The keys of a program that maps a file.
  void read_view(TomlTable& p, ProcessConfig& process) {
    FileViewConfig view;
    view.file = (folder_ / p.text("file", "")).lexically_normal().string();
    view.kind = static_cast<FileViewConfig::Kind>(p.choice("view", {"shared", "copy"}, 0));
    p.require("disk");
    const std::string disk = p.text("disk", "");
    const auto& disks = on_->machine.disks;
    const auto found = std::ranges::find(disks, disk, &machine::DiskModel::name);
    if (found == disks.end()) {
      p.wrong("disk", fmt::format("there is no disk \"{}\"; add a [[disk]] with that name", disk));
    } else {
      view.disk = static_cast<unsigned>(found - disks.begin());
    }
    std::error_code error;
    const std::uintmax_t size = std::filesystem::file_size(view.file, error);
    if (error) {
      p.wrong("file", fmt::format("\"{}\" cannot be read; name a file, relative to the scenario", view.file));
    } else if (size < kPageBytes || ByteCount(size) > kGeneratorMost) {
      p.wrong("file", fmt::format("\"{}\" must have from 4KiB to {}", view.file, to_string(kGeneratorMost)));
    } else {
      view.pages = PageCount(size / kPageBytes);
    }
    for (const ProcessConfig& other : on_->processes) {
      if (other.view && other.view->file == view.file && other.view->disk != view.disk)
        p.wrong("disk", fmt::format("\"{}\" is on another disk already", view.file));
    }
    process.view = view;
  }

  // What no single key can tell.
  void check_whole() {
    PageCount of_guests;
    std::size_t processors = scenario_.machine.processors;
    for (const VmConfig& vm : scenario_.vms) {
      of_guests += vm.limits ? vm.limits->minimum : scenario_.manager.tunables->working_set_minimum;
      processors += vm.machine.processors;
    }
    check_system(scenario_, scenario_.file + ": host.memory", "the host", of_guests);
    for (const VmConfig& vm : scenario_.vms)
      check_system(vm, vm.where + ": vm.memory", fmt::format("the guest \"{}\"", vm.name), 0_pages);
    if (!error_ && processors > kMostProcessors) {
      error_ = InputError{fmt::format(
          "{}: vm.processors: the host's and all virtual processors together are {}; there can be {} at most",
          scenario_.file, processors, kMostProcessors)};
    }
  }

  void check_system(const SystemConfig& system, const std::string& where, const std::string& who, PageCount minimums) {
    if (error_) return;
    for (const ProcessConfig& process : system.processes)
      minimums += process.limits ? process.limits->minimum : system.manager.tunables->working_set_minimum;
    const PageCount usable =
        system.machine.frames - std::min(system.machine.frames, system.manager.tunables->commit_reserve);
    if (minimums > usable) {
      error_ = InputError{fmt::format(
          "{}: the working-set minimums of the processes ({}) are more than {} can keep ({}); lower "
          "process.working_set.minimum or raise {}",
          where, to_string(bytes_of(minimums)), who, to_string(bytes_of(usable)), where.substr(where.rfind(' ') + 1))};
    }
    std::vector<ByteCount> promised(system.machine.disks.size());
    for (const mm::PagingFileConfig& file : system.manager.paging_files) {
      if (error_) return;
      promised[file.disk] += file.minimum;
      const machine::DiskModel& disk = system.machine.disks[file.disk];
      if (promised[file.disk] > disk.capacity)
        error_ = InputError{fmt::format(
            "{}: page_file.minimum: the minimums of the paging files on disk \"{}\" are more than it holds ({})",
            scenario_.file, disk.name, to_string(disk.capacity))};
    }
  }

  std::optional<InputError> error_;
  TomlTable root_;
  Scenario scenario_;
  SystemConfig* on_ = &scenario_;  // Whose tables are being read: the host's, or a virtual machine's.
  std::filesystem::path folder_;
  std::set<std::string> names_;
};

// Names that a message quotes may hold anything.
std::string one_line(std::string message) {
  for (char& c : message)
    if (std::iscntrl(static_cast<unsigned char>(c)) != 0) c = ' ';
  return message;
}

}  // namespace

Input<Scenario> parse_scenario(const std::string& text, const std::string& path) {
  try {
    const toml::table root = toml::parse(text, path);
    auto scenario = ScenarioReader(root, path).read();
    if (!scenario) return bad_input(one_line(scenario.error().message));
    return scenario;
  } catch (const toml::parse_error& error) {
    return bad_input(
        one_line(fmt::format("{}:{}: not TOML: {}", path, error.source().begin.line, error.description())));
  }
}

Input<Scenario> load_scenario(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return bad_input(fmt::format("{}: cannot be read; name a scenario file, such as scenarios/host.toml", path));
  std::string text;
  std::array<char, 4096> part{};
  while (file.read(part.data(), part.size()), file.gcount() > 0)
    text.append(part.data(), static_cast<std::size_t>(file.gcount()));
  if (file.bad()) return bad_input(fmt::format("{}: cannot be read; name a file, not a folder", path));
  return parse_scenario(text, path);
}

}  // namespace pagoda::sim
