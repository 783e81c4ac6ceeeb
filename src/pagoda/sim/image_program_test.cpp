// Processes whose memory holds what a guest's held: what a scenario says about them, and that a run keeps every byte.
#include "pagoda/sim/image_program.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "pagoda/mm/check/check.h"
#include "pagoda/sim/generator.h"
#include "pagoda/sim/scenario/scenario.h"
#include "pagoda/sim/simulation.h"
#include "pagoda/sim/testing/hex_sample.h"
#include "pagoda/sim/testing/image_directory.h"
#include "pagoda/sim/testing/vpm_file.h"

namespace pagoda::sim {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Page = std::array<std::byte, kPageBytes>;

class ImagePrograms : public testing::Test {
 protected:
  ImagePrograms() {
    directory_.write("m.vpm.zst", VpmParts().file());
    // As large as twice the host's memory, and different everywhere.
    VpmParts parts;
    parts.header = "VPM1\nimage large 512\ndistinct 512\n\n";
    parts.kinds.assign(512, 2);
    parts.kinds[0] = 0;
    parts.patterns.assign(512, 0);
    parts.lz4_sizes.assign(512, 2000);
    parts.zstd_sizes.assign(512, 1500);
    parts.numbers.clear();
    for (std::uint32_t page = 0; page < 512; ++page) parts.numbers.push_back(page % 4 == 0 ? 0 : page);
    directory_.write("large.vpm.zst", parts.file());
  }

  Input<Scenario> parse(std::string_view process) const {
    return parse_scenario(
        fmt::format("[host]\nmemory = '1MiB'\n[[disk]]\nname = 'd'\ncapacity = '16MiB'\nstore = 'memory'\n"
                    "[[page_file]]\ndisk = 'd'\nminimum = '8MiB'\n[[process]]\nname = 'p'\n{}\n",
                    process),
        directory_.file("s.toml"));
  }
  // The message with which the scenario is refused, when it is read or when it is opened.
  std::string refusal(std::string_view process) const {
    const auto scenario = parse(process);
    if (!scenario) return scenario.error().message;
    const auto simulation = Simulation::create(*scenario, {});
    EXPECT_FALSE(simulation);
    return simulation ? "" : simulation.error().message;
  }
  // Runs it with every load compared and the memory manager checked at the end.
  RunResult run(std::string_view process) const {
    const auto scenario = parse(process);
    EXPECT_TRUE(scenario) << scenario.error().message;
    auto simulation = Simulation::create(*scenario, {.verify = true});
    EXPECT_TRUE(simulation) << simulation.error().message;
    auto result = (*simulation)->run();
    EXPECT_TRUE(result) << result.error().message;
    EXPECT_EQ(to_string(mm::check((*simulation)->manager(), (*simulation)->machine().processor())), "");
    return std::move(*result);
  }
  std::shared_ptr<const ImageContents> large() const {
    auto contents = ImageOpener().open(directory_.file("large.vpm.zst"), "");
    EXPECT_TRUE(contents) << contents.error().message;
    return *contents;
  }

  ImageDirectory directory_;
};

TEST_F(ImagePrograms, AScenarioNamesThem) {
  const auto scenario = parse(
      "program = { kind = 'image', image = 'm.vpm.zst', name = 'a', references = 5,"
      " then = { kind = 'phases', operations = 9, window = '8KiB', phase_operations = 3 } }\n"
      "fill = { image = 'large.vpm.zst', from = '12KiB' }");
  ASSERT_TRUE(scenario) << scenario.error().message;
  const ProcessConfig& process = scenario->processes[0];
  const auto& program = std::get<ImageProgramConfig>(process.program);
  EXPECT_EQ(program.image.file, directory_.file("m.vpm.zst"));
  EXPECT_EQ(program.image.name, "a");
  EXPECT_EQ(program.references, 5U);
  ASSERT_TRUE(program.then);
  EXPECT_EQ(program.then->kind, GeneratorConfig::Kind::kPhases);
  EXPECT_EQ(program.then->operations, 9U);
  EXPECT_EQ(program.then->window, 2_pages);
  ASSERT_TRUE(process.fill);
  EXPECT_EQ(process.fill->file, directory_.file("large.vpm.zst"));
  EXPECT_EQ(process.fill->name, "");
  EXPECT_EQ(process.fill->from, 3_pages);
}

// A dump's pages, and the file itself taken as memory.
TEST_F(ImagePrograms, DumpsAndRawFilesAreTouchedPageByPage) {
  directory_.write("guest.kdump", hex_sample(samples::kKdump));
  directory_.write("guest.dmp", hex_sample(samples::kWindowsFull));
  const RunResult dump = run("program = { kind = 'image', image = 'guest.kdump' }");
  EXPECT_EQ(dump.processes.at(0).footprint, 2_pages);
  EXPECT_THAT(dump.processes.at(0).program, HasSubstr("which lacks 1 pages"));
  EXPECT_EQ(run("program = { kind = 'image', image = 'guest.dmp' }").processes.at(0).footprint, 3_pages);
  EXPECT_EQ(run("program = { kind = 'image', image = 'guest.dmp', raw = true }").processes.at(0).footprint, 5_pages);
}

TEST_F(ImagePrograms, WrongOnesAreRefusedInOneLine) {
  const std::string generator = "program = { kind = 'uniform', memory = '4KiB', operations = 1 }\n";
  directory_.write("disk.qcow2", hex_sample("@0:514649fb len 4096"));
  const std::vector<std::pair<std::string, std::string>> cases{
      {"program = { kind = 'image', image = 'disk.qcow2' }", "disk.qcow2: virtual disk; it is what a disk holds"},
      {"program = { kind = 'image', image = 'disk.qcow2', raw = 1 }", "process.program.raw: "},
      {"program = { kind = 'image' }", "process.program.image: is missing"},
      {"program = { kind = 'image', image = 'm.vpm.zst', memory = '4KiB' }", "memory: is not a known key"},
      {"program = { kind = 'image', image = 'm.vpm.zst', then = { operations = 1 } }", "then.kind: is missing"},
      {"program = { kind = 'image', image = 'm.vpm.zst', then = { kind = 'trace' } }", "then.kind: \"trace\" is not"},
      {"program = { kind = 'image', image = 'm.vpm.zst', then = { kind = 'zipf', operations = 1, memory = '4KiB' } }",
       "then.memory: is not a known key"},
      {"program = { kind = 'image', image = 'm.vpm.zst' }",
       "process \"p\": " + directory_.file("m.vpm.zst") + ": holds 2 images; name one of a.mem, b"},
      {"program = { kind = 'image', image = 'm.vpm.zst', name = 'c' }", "no image \"c\""},
      {"program = { kind = 'image', image = 'none', name = 'c' }", "cannot be read"},
      {"program = { kind = 'image', image = 'm.vpm.zst', name = 'b', then = { kind = 'phases', operations = 1, window ="
       " '12KiB', phase_operations = 1 } }",
       "then.window (12 KiB) is more than b of"},
      {generator + "fill = { name = 'a' }", "process.fill.image: is missing"},
      {generator + "fill = { image = 'none' }", "cannot be read"},
      {generator + "fill = { image = 'm.vpm.zst', name = 'b', from = '8KiB' }", "fill.from (8 KiB) is behind the end"},
      {generator + "fill = { image = 'm.vpm.zst', name = 'b', from = '1KiB' }", "fill.from: "},
      {generator + "[[process]]\nname = 'f'\nfork_of = 'p'\nfill = { image = 'm.vpm.zst', name = 'a' }",
       "process.fill: of a fork is its parent's"},
  };
  for (const auto& [process, what] : cases) {
    const std::string message = refusal(process);
    EXPECT_THAT(message, AllOf(testing::StartsWith(directory_.file("s.toml") + ":"), HasSubstr(what)));
    EXPECT_EQ(message.find('\n'), std::string::npos);
  }
}

TEST_F(ImagePrograms, TouchEveryPageOnceAndThenDoWhatTheyAreTold) {
  ImageProgram program(
      large(), 7,
      make_generator({.kind = GeneratorConfig::Kind::kUniform, .memory = 512_pages, .operations = 100, .writes = 1},
                     1));
  EXPECT_EQ(program.length(), 612U);
  std::vector<Operation> operations(1000);
  std::vector<Operation> all;
  for (;;) {
    const auto count = program.next(std::span(operations).first(100));
    ASSERT_TRUE(count);
    if (*count == 0) break;
    all.insert(all.end(), operations.begin(), operations.begin() + static_cast<std::ptrdiff_t>(*count));
  }
  ASSERT_EQ(all.size(), 612U);
  for (std::uint32_t page = 0; page < 512; ++page) {
    EXPECT_EQ(all[page].page, page);
    EXPECT_EQ(all[page].access, kTraceRead);
    EXPECT_EQ(all[page].references, 7U);
  }
  EXPECT_EQ(all[512].access, kTraceWrite);
}

TEST_F(ImagePrograms, FilledPagesHoldTheImageAndThoseBehindItDoNot) {
  const auto contents = large();
  const FilledProgram program(
      make_generator({.kind = GeneratorConfig::Kind::kSequential, .memory = 1000_pages, .operations = 1}, 1), contents,
      10_pages);
  Page expected;
  Page page;
  for (std::uint32_t number = 0; number < 502; ++number) {
    contents->fill(number + 10, expected);
    ASSERT_TRUE(program.first_contents(number, page));
    EXPECT_EQ(page, expected);
  }
  EXPECT_FALSE(program.first_contents(502, page));
  EXPECT_FALSE(program.first_contents(999, page));
}

// The host has half of the memory that the image needs, so every page goes to the paging file and back.
TEST_F(ImagePrograms, EveryByteComesBack) {
  const RunResult image = run(
      "program = { kind = 'image', image = 'large.vpm.zst', then = { kind = 'uniform', operations = 3000, writes = 0.3 "
      "} }");
  EXPECT_EQ(image.processes[0].operations, 3512U);
  EXPECT_EQ(image.processes[0].footprint, 512_pages);
  EXPECT_GT(image.processes[0].loads_verified, 2000U);
  EXPECT_THAT(image.processes[0].program, AllOf(HasSubstr("image large of "), HasSubstr("then uniform over 2 MiB")));
  EXPECT_GT(image.page_files[0].peak_used, 100_pages);

  const RunResult filled =
      run("program = { kind = 'zipf', memory = '3MiB', operations = 3000 }\n"
          "fill = { image = 'large.vpm.zst', from = '4KiB' }\n[[process]]\nname = 'f'\nfork_of = 'p'\nstart = '3ms'");
  EXPECT_EQ(filled.processes[1].operations, 3000U);
  EXPECT_THAT(filled.processes[0].program, HasSubstr(", filled from large of "));
}

TEST_F(ImagePrograms, TheExampleOfTheDocumentRuns) {
  const std::string document = std::string(PAGODA_SOURCE_DIR) + "/docs/images.md";
  std::ifstream file(document);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  constexpr std::string_view kFence = "```toml\n";
  const std::size_t begin = text.find(kFence);
  ASSERT_NE(begin, std::string::npos);
  const std::size_t end = text.find("```", begin + kFence.size());
  auto scenario = parse_scenario(text.substr(begin + kFence.size(), end - begin - kFence.size()), document);
  ASSERT_TRUE(scenario) << scenario.error().message;
  const auto result = run_scenario(*scenario, {.verify = true});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->processes[0].operations, 42'768U);
  EXPECT_EQ(result->processes[1].operations, 100'000U);
}

// What the loads returned is what the image says: the checksum of a run is that of another run if and only if the
// images are equal.
TEST_F(ImagePrograms, LoadsReturnTheBytesOfTheImage) {
  const auto contents = large();
  std::vector<std::byte> raw(512 * kPageBytes);
  for (std::size_t page = 0; page < 512; ++page) contents->fill(page, PageBytes(&raw[page * kPageBytes], kPageBytes));
  directory_.write("same.mem", raw);
  for (std::size_t at = 300 * kPageBytes; at < 301 * kPageBytes; ++at) raw[at] ^= std::byte{1};
  directory_.write("other.mem", raw);
  const auto checksum = [&](std::string_view file) {
    return run(fmt::format("program = {{ kind = 'image', image = '{}' }}", file)).processes[0].checksum;
  };
  const std::uint64_t map = checksum("large.vpm.zst");
  EXPECT_EQ(checksum("same.mem"), map);
  EXPECT_NE(checksum("other.mem"), map);
}

}  // namespace
}  // namespace pagoda::sim
