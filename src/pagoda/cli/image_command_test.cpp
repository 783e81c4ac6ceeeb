// `pagoda image` as a person types it.
#include "pagoda/cli/image_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/cli/testing/typed_command.h"
#include "pagoda/sim/testing/hex_sample.h"
#include "pagoda/sim/testing/image_directory.h"
#include "pagoda/sim/testing/vpm_file.h"

namespace pagoda::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const std::string kShipped = std::string(PAGODA_SOURCE_DIR) + "/data/images/all14.vpm.zst";

Ran run(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "image");
  return run_typed(add_image_command, std::move(arguments));
}

nlohmann::json parsed(const std::string& path) {
  std::ifstream file(path);
  return nlohmann::json::parse(file);
}

class ImageCommand : public testing::Test {
 protected:
  sim::ImageDirectory directory_;
};

TEST_F(ImageCommand, InfoShowsTheGuestsOfTheShippedMapTogether) {
  const std::string out = directory_.file("out.json");
  const Ran ran = run({"info", kShipped, "--only", "nk_idle,nk_file", "--only", "nk_compute.mem,nk_py", "--json", out});
  EXPECT_EQ(ran.status, 0) << ran.error;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("nk_idle.mem"), HasSubstr("14,720"), HasSubstr("55.1 %"), HasSubstr("63.4 %"),
                             HasSubstr("67.7 %"), HasSubstr("51,854"), HasSubstr("66.7 %")));
  EXPECT_THAT(ran.out, testing::Not(HasSubstr("gcc")));
  const auto json = parsed(out);
  EXPECT_EQ(json["schema"], "pagoda-image");
  ASSERT_EQ(json["groups"].size(), 1U);
  const auto& images = json["groups"][0]["images"];
  ASSERT_EQ(images.size(), 4U);
  EXPECT_EQ(images[0]["name"], "nk_idle.mem");
  EXPECT_EQ(images[3]["with_those_above"]["pages"], 155'648);
  EXPECT_EQ(images[3]["with_those_above"]["zero"], 56'964);
  EXPECT_EQ(images[3]["with_those_above"]["distinct"], 51'854);
  EXPECT_NEAR(images[3]["with_those_above"]["saved_by_sharing"].get<double>(), 0.667, 0.0005);
}

TEST_F(ImageCommand, TheDocumentShowsWhatItPrints) {
  std::ifstream file(std::string(PAGODA_SOURCE_DIR) + "/docs/images.md");
  const std::string document(std::istreambuf_iterator<char>(file), {});
  const std::string prefix = std::string(PAGODA_SOURCE_DIR) + "/";
  std::string out = run({"info", kShipped}).out;
  ASSERT_TRUE(out.starts_with(prefix));
  EXPECT_THAT(document, HasSubstr(out.substr(prefix.size())));
  out = run({"info", kShipped, "--only", "nk_idle,nk_file,nk_compute,nk_py"}).out;
  EXPECT_THAT(document, HasSubstr(out.substr(prefix.size(), out.find("\n\ndistinct:") - prefix.size())));
}

// What is made from the map has the figures of the map, counted from its bytes.
TEST_F(ImageCommand, AnImageThatWasMadeIsAsTheMapSays) {
  const std::string image = directory_.file("made.mem");
  const Ran made = run({"make", kShipped, "nk_idle", "-o", image});
  EXPECT_EQ(made.status, 0) << made.error;
  EXPECT_EQ(made.out, "");
  EXPECT_THAT(made.error, HasSubstr("32,768 pages"));
  EXPECT_EQ(std::filesystem::file_size(image), 128 << 20);
  const std::string out = directory_.file("out.json");
  EXPECT_EQ(run({"info", image, "--json", out}).status, 0);
  const auto figures = parsed(out)["groups"][0]["images"][0]["alone"];
  EXPECT_EQ(figures["pages"], 32'768);
  EXPECT_EQ(figures["zero"], 13'938);
  EXPECT_EQ(figures["distinct"], 14'720);
  EXPECT_NEAR(figures["lz4_ratio"].get<double>(), 2.099, 0.005);
}

TEST_F(ImageCommand, WholeImagesOfSeveralFilesAreCountedTogether) {
  std::vector<std::byte> a(3 * kPageBytes);  // Zero, and twice the same.
  std::fill(a.begin() + kPageBytes, a.end(), std::byte{1});
  const std::vector<std::byte> b(kPageBytes, std::byte{1});
  const std::vector<std::byte> c(2 * kPageBytes, std::byte{2});
  directory_.write("a.mem", a);
  directory_.write("rest.tar.zst", sim::in_zstd_frame(sim::tar_of({{"b.mem", b}, {"c.mem", c}})));
  directory_.write("map.vpm", sim::VpmParts().file());
  const std::string out = directory_.file("out.json");
  const Ran ran = run(
      {"info", directory_.file("a.mem"), directory_.file("map.vpm"), directory_.file("rest.tar.zst"), "--json", out});
  EXPECT_EQ(ran.status, 0) << ran.error;
  const auto json = parsed(out);
  ASSERT_EQ(json["groups"].size(), 2U);
  EXPECT_EQ(json["groups"][0]["kind"], "page map");
  const auto& whole = json["groups"][1];
  EXPECT_EQ(whole["kind"], "whole images");
  EXPECT_EQ(whole["images"][2]["name"], "c.mem");
  EXPECT_EQ(whole["images"][0]["alone"]["distinct"], 1);
  EXPECT_EQ(whole["images"][1]["with_those_above"]["distinct"], 1);
  EXPECT_EQ(whole["images"][2]["with_those_above"]["distinct"], 2);
  EXPECT_EQ(whole["images"][2]["with_those_above"]["pages"], 6);
  EXPECT_EQ(whole["images"][2]["with_those_above"]["zero"], 1);
}

TEST_F(ImageCommand, MakeTakesAnImageOutOfAnArchive) {
  const std::vector<std::byte> b(kPageBytes, std::byte{1});
  directory_.write("two.tar", sim::tar_of({{"a.mem", std::vector<std::byte>(kPageBytes)}, {"b.mem", b}}));
  EXPECT_EQ(run({"make", directory_.file("two.tar"), "b", "-o", directory_.file("out")}).status, 0);
  std::ifstream file(directory_.file("out"), std::ios::binary);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), std::string(kPageBytes, '\1'));
}

// What the dump leaves out is said beside the figures, and in the JSON.
TEST_F(ImageCommand, InfoWarnsOfWhatADumpDoesNotHold) {
  directory_.write("guest.kdump", sim::hex_sample(sim::samples::kKdump));
  directory_.write("guest.lime", sim::hex_sample(sim::samples::kLime));
  const std::string out = directory_.file("out.json");
  const Ran ran = run({"info", directory_.file("guest.kdump"), directory_.file("guest.lime"), "--json", out});
  EXPECT_EQ(ran.status, 0) << ran.error;
  EXPECT_THAT(ran.error, AllOf(HasSubstr("pagoda: warning: guest.kdump: 1 pages were left out of the dump"),
                               HasSubstr("pagoda: warning: guest.lime: of 2 pages the file holds a part only")));
  const auto images = parsed(out)["groups"][0]["images"];
  ASSERT_EQ(images.size(), 2U);
  EXPECT_EQ(images[0]["format"], "kdump-compressed dump");
  EXPECT_EQ(images[0]["absent_pages"], 1);
  EXPECT_EQ(images[0]["alone"]["pages"], 2);
  EXPECT_EQ(images[0]["alone"]["zero"], 1);
  EXPECT_EQ(images[1]["format"], "LiME");
  EXPECT_EQ(images[1]["absent_pages"], 0);
  EXPECT_EQ(images[1]["warnings"].size(), 1U);
}

TEST_F(ImageCommand, MakeWritesThePagesThatADumpHas) {
  directory_.write("guest.dmp", sim::hex_sample(sim::samples::kWindowsBitmap));
  const Ran ran = run({"make", directory_.file("guest.dmp"), "-o", directory_.file("out")});
  EXPECT_EQ(ran.status, 0);
  EXPECT_THAT(ran.error, AllOf(HasSubstr("warning: "), HasSubstr("the kernel's pages"), HasSubstr("2 pages")));
  std::ifstream file(directory_.file("out"), std::ios::binary);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}),
            std::string(kPageBytes, 'A') + std::string(kPageBytes, 'B'));
}

TEST_F(ImageCommand, RawTakesWhatIsRefusedOtherwise) {
  auto disk = std::vector<std::byte>(2 * kPageBytes);
  disk[510] = std::byte{0x55};
  disk[511] = std::byte{0xaa};
  directory_.write("disk", disk);
  EXPECT_EQ(run({"info", directory_.file("disk")}).status, 2);
  EXPECT_EQ(run({"make", directory_.file("disk"), "-o", directory_.file("out")}).status, 2);
  EXPECT_EQ(run({"info", "--raw", directory_.file("disk")}).status, 0);
  EXPECT_EQ(run({"make", "--raw", directory_.file("disk"), "-o", directory_.file("out")}).status, 0);
  EXPECT_EQ(std::filesystem::file_size(directory_.file("out")), 2 * kPageBytes);
}

TEST_F(ImageCommand, ImagesOfOneNameInTwoFoldersAreBothShown) {
  for (const char* const folder : {"vm1", "vm2"}) {
    std::filesystem::create_directory(directory_.file(folder));
    directory_.write(std::string(folder) + "/guest.mem", std::vector<std::byte>(kPageBytes));
  }
  const std::string first = directory_.file("vm1/guest.mem"), second = directory_.file("vm2/guest.mem");
  const Ran ran = run({"info", first, second, "--only", "vm2/guest,vm1/guest"});
  EXPECT_EQ(ran.status, 0) << ran.error;
  EXPECT_LT(ran.out.find("\nvm2/guest.mem "), ran.out.find("\nvm1/guest.mem "));
  EXPECT_EQ(run({"info", first, first}).status, 2);
}

TEST_F(ImageCommand, BadInputIsOneLineAndStatusTwo) {
  directory_.write("odd.mem", std::vector<std::byte>(5000));
  directory_.write("map.vpm", sim::VpmParts().file());
  auto cut = sim::VpmParts().file();
  cut.pop_back();
  directory_.write("cut.vpm", cut);
  directory_.write("empty.tar", sim::tar_of({}));
  directory_.write("disk.qcow2", sim::hex_sample("@0:514649fb len 4096"));
  directory_.write("core",
                   sim::hex_sample("@b0:05000000 @b8:06000000 @bc:434f5245", sim::hex_sample(sim::samples::kElf64)));
  directory_.write("unknown.tar", sim::tar_of({{"x.mem", std::vector<std::byte>(kPageBytes), 'Z'}}));
  const std::string map = directory_.file("map.vpm");
  const std::string out = directory_.file("out");
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"info", directory_.file("missing")},
           {"info", directory_.file("odd.mem")},
           {"info", directory_.file("cut.vpm")},
           {"info", directory_.file("empty.tar")},
           {"info", directory_.file("disk.qcow2")},
           {"info", directory_.file("core")},
           {"info", directory_.file("unknown.tar"), "--json", out},
           {"make", directory_.file("core"), "-o", out},
           {"info", map, directory_.file("cut.vpm"), "--json", out},
           {"info", map, "--only", "c"},
           {"info", map, "--only", "a,a"},
           {"info", map, "--json", directory_.file("no/folder")},
           {"make", map, "-o", out},
           {"make", map, "c", "-o", out},
           {"make", map, "a", "-o", directory_.file("no/folder")},
           {"make", directory_.file("cut.vpm"), "a", "-o", out},
       }) {
    SCOPED_TRACE(testing::PrintToString(arguments));
    const Ran ran = run(arguments);
    EXPECT_EQ(ran.status, 2) << ran.error;
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(std::ranges::count(ran.error, '\n'), 1) << ran.error;
    EXPECT_THAT(ran.error, testing::StartsWith("pagoda: "));
    EXPECT_FALSE(std::filesystem::exists(out));
  }
}

TEST_F(ImageCommand, HelpTeaches) {
  for (const char* command : {"info", "make"}) {
    const Ran ran = run({command, "--help"});
    EXPECT_EQ(ran.status, 0);
    EXPECT_THAT(ran.out, AllOf(HasSubstr("Example: "), HasSubstr("pagoda image")));
  }
}

}  // namespace
}  // namespace pagoda::cli
