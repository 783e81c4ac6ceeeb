// Strict reading: what a wrong key is told.
#include "pagoda/sim/scenario/toml_table.h"

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pagoda::sim {
namespace {

class TomlTableTest : public testing::Test {
 protected:
  TomlTable table(const std::string& text) {
    auto file = TomlFile::parse(text, "f.toml");
    EXPECT_TRUE(file) << file.error().message;
    file_.emplace(std::move(*file));
    return file_->root();
  }
  std::string error() const { return file_->error() ? file_->error()->message : ""; }

 private:
  std::optional<TomlFile> file_;
};

TEST_F(TomlTableTest, ReadsEveryTypeAndKeepsDefaults) {
  constexpr std::array<std::string_view, 2> kNames{"one", "two"};
  TomlTable t = table("a = \"x\"\nb = 7\nc = 0.5\nd = true\ne = \"8KiB\"\nf = \"3us\"\ng = \"two\"\nh = 1\n");
  EXPECT_EQ(t.text("a", ""), "x");
  EXPECT_EQ(t.number("b", 0), 7U);
  EXPECT_EQ(t.real("c", 0, 0, 1), 0.5);
  EXPECT_TRUE(t.flag("d", false));
  EXPECT_EQ(t.pages("e", 0_pages), 2_pages);
  EXPECT_EQ(t.duration("f", 0_ns), 3_us);
  EXPECT_EQ(t.choose("g", kNames, 0), 1U);
  EXPECT_EQ(t.real("h", 0, 0, 1), 1.0);  // A whole number is a number.
  EXPECT_EQ(t.text("z", "none"), "none");
  EXPECT_EQ(t.number("z", 3), 3U);
  EXPECT_EQ(t.size("z", 5_B), 5_B);
  EXPECT_FALSE(t.has("z"));
  t.finish();
  EXPECT_EQ(error(), "");
}

TEST_F(TomlTableTest, KeepsTheFirstThingThatIsWrong) {
  TomlTable t = table("a = 1\nb = \"x\"\n");
  EXPECT_EQ(t.text("a", "default"), "default");
  EXPECT_EQ(t.number("b", 9), 9U);
  t.finish();
  EXPECT_EQ(error(), "f.toml:1: a: must be text in quotes");
}

TEST_F(TomlTableTest, BoundsAreInclusive) {
  TomlTable t = table("a = 1\nb = 10\nc = \"1us\"\nd = 11\n");
  EXPECT_EQ(t.number("a", 0, 1, 10), 1U);
  EXPECT_EQ(t.number("b", 0, 1, 10), 10U);
  EXPECT_EQ(t.duration("c", 0_ns, 1_us, 1_us), 1_us);
  EXPECT_EQ(error(), "");
  t.number("d", 0, 1, 10);
  EXPECT_EQ(error(), "f.toml:4: d: must be a whole number from 1 to 10");
}

TEST_F(TomlTableTest, AKeyThatWasAskedAboutIsKnown) {
  TomlTable t = table("zzz = 1\n");
  EXPECT_FALSE(t.has("until"));
  t.finish();
  EXPECT_EQ(error(), "f.toml:1: zzz: is not a known key; known here: until");
}

TEST_F(TomlTableTest, NotANumberIsNoShare) {
  TomlTable t = table("a = nan\n");
  EXPECT_EQ(t.real("a", 0.25, 0, 1), 0.25);
  EXPECT_EQ(error(), "f.toml:1: a: must be a number from 0 to 1");
}

}  // namespace
}  // namespace pagoda::sim
