#include "pagoda/cli/image_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/base/status.h"
#include "pagoda/base/units.h"
#include "pagoda/cli/exit_codes.h"
#include "pagoda/cli/outputs.h"
#include "pagoda/report/json.h"
#include "pagoda/report/text.h"
#include "pagoda/report/write_file.h"
#include "pagoda/sim/image/image_contents.h"
#include "pagoda/sim/image/image_files.h"
#include "pagoda/sim/image/image_statistics.h"
#include "pagoda/sim/image/page_map.h"

namespace pagoda::cli {

namespace {

constexpr const char* kSchema = "pagoda-image";
constexpr int kSchemaVersion = 1;
constexpr std::size_t kPartBytes = 1 << 20;

constexpr const char* kImageHelp =
    "Show and make memory images: all pages of a guest's memory, in order.\n"
    "A page map (.vpm.zst) says which pages were equal and how well they compressed, without their bytes. A whole "
    "image\n"
    "has the bytes: a raw file, or a dump (ELF, kdump, LiME, AVML, Windows). Several may come in a tar or zip "
    "archive,\n"
    "and compression may be around any of them. docs/images.md says how to make them.\n";

constexpr const char* kRawHelp = "Take the files as raw memory, whatever they begin with";

constexpr const char* kImageInfoHelp =
    "Show what is in images: zero pages, distinct contents, their size under LZ4, and what sharing equal pages would "
    "save.\n"
    "Whole images of all files are counted together; a page map stands by itself.\n\n"
    "Example: pagoda image info data/images/all14.vpm.zst --only nk_idle,nk_file,nk_compute,nk_py\n";

constexpr const char* kMakeHelp =
    "Write one image as a raw file. From a page map it is made: its pages are equal where the real ones were, and "
    "compress\nas they did.\n\n"
    "Example: pagoda image make data/images/all14.vpm.zst nk_idle -o idle.mem\n";

// --- info ---

// Images that can be compared with each other: those of a page map, or all whole ones.
struct Group {
  std::string title;
  std::string kind;
  sim::PageMap map;
  std::vector<sim::ImageFacts> facts;    // Of whole images, by their place in the map.
  std::vector<std::string> passed_over;  // Of archives.

  // Null for those of a page map.
  [[nodiscard]] const sim::ImageFacts* facts_of(const std::string& name) const {
    const auto& images = map.images();
    const auto image = std::ranges::find(images, name, &sim::PageMap::Image::name);
    return facts.empty() ? nullptr : &facts[static_cast<std::size_t>(image - images.begin())];
  }
};

struct InfoArguments {
  std::vector<std::string> files;
  std::vector<std::string> only;
  std::optional<std::string> json;
  bool raw = false;
};

sim::TakeAs take_as(bool raw) { return raw ? sim::TakeAs::kRaw : sim::TakeAs::kWhatItIs; }

Input<std::vector<Group>> read_groups(const std::vector<std::string>& files, sim::TakeAs as) {
  std::vector<Group> groups;
  sim::ImageReader whole(as);
  std::string whole_files;
  for (const std::string& path : files) {
    auto file = PAGODA_TRY(sim::ImageFile::open(path, as));
    if (file.format->use == sim::FormatUse::kPageMap) {
      auto map = PAGODA_TRY(sim::PageMap::read(file.source));
      groups.push_back({.title = path, .kind = "page map", .map = std::move(map)});
      continue;
    }
    PAGODA_TRY(whole.read(file, [](const std::string&) { return true; }));
    whole_files += (whole_files.empty() ? "" : ", ") + path;
  }
  if (!whole.empty())
    groups.push_back({.title = whole_files,
                      .kind = "whole images",
                      .map = whole.take_map(),
                      .facts = whole.facts(),
                      .passed_over = whole.passed_over()});
  if (groups.empty()) return bad_input(fmt::format("{}: no image in it; give memory images", whole_files));
  return groups;
}

// Those that were asked for, in the order in which they were; all if none was.
std::vector<sim::PageMap::Image> chosen(const sim::PageMap& map, const std::vector<std::string>& only) {
  if (only.empty()) return map.images();
  std::vector<sim::PageMap::Image> images;
  for (const std::string& name : only)
    if (const sim::PageMap::Image* const image = map.find(name); image != nullptr) images.push_back(*image);
  return images;
}

Input<> check_names(const std::vector<Group>& groups, const std::vector<std::string>& only) {
  for (auto name = only.begin(); name != only.end(); ++name) {
    if (std::find(only.begin(), name, *name) != name)
      return bad_input(fmt::format("--only: \"{}\" is named twice; name it once", *name));
    if (std::ranges::any_of(groups, [&](const Group& group) { return group.map.find(*name) != nullptr; })) continue;
    std::string names;
    for (const Group& group : groups) names += (names.empty() ? "" : ", ") + group.map.names();
    return bad_input(fmt::format("--only: there is no image \"{}\"; there are {}", *name, names));
  }
  return {};
}

void print_group(const Group& group, const std::vector<sim::ImageRow>& rows) {
  std::size_t width = 5;
  for (const sim::ImageRow& row : rows) width = std::max(width, row.name.size());
  fmt::print("{}: {}\n\n", group.title, group.kind);
  fmt::print("{:<{}}  {:-^52}  {:-^40}\n", "", width, " by itself ", " with those above ");
  fmt::print("{:<{}}  {:>9} {:>9} {:>9} {:>9} {:>6} {:>5}  {:>10} {:>10} {:>11} {:>6}\n", "image", width, "pages",
             "zero", "not zero", "distinct", "saved", "LZ4", "pages", "not zero", "distinct", "saved");
  for (const sim::ImageRow& row : rows) {
    fmt::print("{:<{}}  {:>9} {:>9} {:>9} {:>9} {:>4.1f} % {:>5.2f}  {:>10} {:>10} {:>11} {:>4.1f} %\n", row.name,
               width, report::grouped(row.alone.pages.value()), report::grouped(row.alone.zero.value()),
               report::grouped(row.alone.not_zero().value()), report::grouped(row.alone.distinct.value()),
               100 * row.alone.saved_by_sharing(), row.alone.lz4_ratio(), report::grouped(row.together.pages.value()),
               report::grouped(row.together.not_zero().value()), report::grouped(row.together.distinct.value()),
               100 * row.together.saved_by_sharing());
  }
}

// On standard error, so that the figures stay a table.
void print_warnings(const Group& group, const std::vector<sim::ImageRow>& rows) {
  for (const std::string& line : group.passed_over) fmt::print(stderr, "pagoda: warning: {}\n", line);
  for (const sim::ImageRow& row : rows)
    if (const sim::ImageFacts* const facts = group.facts_of(row.name); facts != nullptr)
      for (const std::string& warning : facts->warnings)
        fmt::print(stderr, "pagoda: warning: {}: {}\n", row.name, warning);
}

void print_legend() {
  fmt::print(
      "\ndistinct: contents that are not zero. saved: part of all pages that would be free if equal ones were kept "
      "once, "
      "the\nzero page among them. LZ4: size of the pages that are not zero by their size compressed one by one.\n");
}

report::Json to_json(const sim::ImageFigures& figures) {
  return {{"pages", figures.pages.value()},       {"zero", figures.zero.value()},
          {"distinct", figures.distinct.value()}, {"lz4_bytes", figures.lz4.value()},
          {"lz4_ratio", figures.lz4_ratio()},     {"saved_by_sharing", figures.saved_by_sharing()}};
}

report::Json to_json(const Group& group, const std::vector<sim::ImageRow>& rows) {
  report::Json json = {{"files", group.title}, {"kind", group.kind}, {"images", report::Json::array()}};
  for (const sim::ImageRow& row : rows) {
    json["images"].push_back(
        {{"name", row.name}, {"alone", to_json(row.alone)}, {"with_those_above", to_json(row.together)}});
    const sim::ImageFacts* const facts = group.facts_of(row.name);
    if (facts == nullptr) continue;
    json["images"].back()["format"] = facts->format;
    json["images"].back()["absent_pages"] = facts->absent.value();
    json["images"].back()["warnings"] = facts->warnings;
  }
  return json;
}

Input<> show_info(const InfoArguments& arguments) {
  std::vector<Output> outputs;
  if (arguments.json) outputs.push_back({"--json", *arguments.json});
  PAGODA_TRY(check_outputs(outputs, arguments.files));
  for (const Output& output : outputs) PAGODA_TRY(report::check_writable(output.file));
  const auto groups = PAGODA_TRY(read_groups(arguments.files, take_as(arguments.raw)));
  PAGODA_TRY(check_names(groups, arguments.only));
  report::Json json = {{"schema", kSchema}, {"version", kSchemaVersion}, {"groups", report::Json::array()}};
  std::vector<std::pair<const Group*, std::vector<sim::ImageRow>>> shown;
  for (const Group& group : groups) {
    shown.emplace_back(&group, sim::image_figures(group.map, chosen(group.map, arguments.only)));
    json["groups"].push_back(to_json(group, shown.back().second));
  }
  for (const auto& [group, rows] : shown) print_warnings(*group, rows);
  if (arguments.json) PAGODA_TRY(report::write_file(*arguments.json, report::json_text(json)));
  if (take_standard_output(outputs)) return {};
  for (const auto& [group, rows] : shown) {
    if (group != shown.front().first) fmt::print("\n");
    print_group(*group, rows);
  }
  print_legend();
  return {};
}

// --- make ---

struct MakeArguments {
  std::string file;
  std::string name;
  std::string output;
  bool raw = false;
};

Input<> make_image(const MakeArguments& arguments) {
  const Output output{"--output", arguments.output};
  PAGODA_TRY(check_outputs(std::span(&output, 1), std::span(&arguments.file, 1)));
  PAGODA_TRY(report::check_writable(output.file));
  sim::ImageOpener opener;
  const auto image = PAGODA_TRY(opener.open(arguments.file, arguments.name, take_as(arguments.raw)));
  const std::uint64_t pages = image->pages().value();
  std::uint64_t done = 0;
  std::vector<std::byte> part(kPartBytes);
  PAGODA_TRY(report::write_file_in_parts(arguments.output, [&] {
    std::size_t size = 0;
    for (; size < part.size() && done < pages; size += kPageBytes)
      image->fill(done++, sim::PageBytes(&part[size], kPageBytes));
    return std::string_view(reinterpret_cast<const char*>(part.data()), size);
  }));
  for (const std::string& warning : opener.warnings())
    fmt::print(stderr, "pagoda: warning: {}: {}\n", arguments.file, warning);
  fmt::print(stderr, "pagoda: {}: {}, {} pages\n", shown_name(arguments.output), image->describe(),
             report::grouped(pages));
  return {};
}

// --- the command line ---

void add_image_info(CLI::App& image, int& exit_code) {
  CLI::App* const command = image.add_subcommand("info", kImageInfoHelp);
  const auto arguments = std::make_shared<InfoArguments>();
  command->add_option("file", arguments->files, "Page maps (.vpm.zst), whole images, archives of them")
      ->required()
      ->type_name("FILE");
  command->add_flag("--raw", arguments->raw, kRawHelp);
  command->add_option("--only", arguments->only, "Only these images, in this order")
      ->delimiter(',')
      ->expected(1)
      ->take_all()
      ->type_name("NAME,...");
  command->add_option("--json", arguments->json, "Write the figures as JSON; - is standard output")
      ->type_name("FILE.json")
      ->check(check_file_name);
  command->callback([arguments, &exit_code] {
    if (const Input<> done = show_info(*arguments); !done) exit_code = refuse(done.error());
  });
}

void add_make(CLI::App& image, int& exit_code) {
  CLI::App* const command = image.add_subcommand("make", kMakeHelp);
  const auto arguments = std::make_shared<MakeArguments>();
  command->add_option("file", arguments->file, "A page map, or whole images")->required()->type_name("FILE");
  command->add_option("name", arguments->name, "The image in it; not needed if there is one only")->type_name("NAME");
  command->add_flag("--raw", arguments->raw, kRawHelp);
  command->add_option("-o,--output", arguments->output, "The raw image to write; - is standard output")
      ->required()
      ->type_name("FILE")
      ->check(check_file_name);
  command->callback([arguments, &exit_code] {
    if (const Input<> done = make_image(*arguments); !done) exit_code = refuse(done.error());
  });
}

}  // namespace

void add_image_command(CLI::App& app, int& exit_code) {
  CLI::App* const image = app.add_subcommand("image", kImageHelp);
  image->require_subcommand(1);
  add_image_info(*image, exit_code);
  add_make(*image, exit_code);
}

}  // namespace pagoda::cli
