// Strict reading: what is a size, what is a duration, and what a wrong key is told.
#include "pagoda/sim/toml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>

namespace pagoda::sim {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(ParseSize, TakesWholeNumbersOfBytesInEveryUnit) {
  const struct {
    std::string_view text;
    ByteCount bytes;
  } cases[] = {
      {"0B", 0_B},
      {"4096B", 4096_B},
      {"64KiB", 64_KiB},
      {"64 KiB", 64_KiB},
      {"  64MiB ", 64_MiB},
      {"3GiB", 3_GiB},
      {"1TiB", 1_TiB},
      {"1.5MiB", 1536_KiB},
      {"0.5KiB", 512_B},
      {"0.0009765625MiB", 1_KiB},
      {"1.0B", 1_B},
      {"1.KiB", 1_KiB},
      {"9223372036854775807B", ByteCount(~std::uint64_t{0} >> 1)},
  };
  for (const auto& [text, bytes] : cases) {
    const auto parsed = parse_size(text);
    ASSERT_TRUE(parsed) << text << ": " << parsed.error().message;
    EXPECT_EQ(*parsed, bytes) << text;
  }
}

TEST(ParseSize, RefusesEverythingElseAndSaysWhatToWrite) {
  const struct {
    std::string_view text;
    std::string_view why;
  } cases[] = {
      {"", "has no number"},
      {"MiB", "has no number"},
      {"-1MiB", "has no number"},
      {"64", "has no unit"},
      {"64MB", "unknown unit \"MB\""},
      {"64kib", "unknown unit \"kib\""},
      {"64us", "unknown unit \"us\""},
      {"64MiBs", "unknown unit \"MiBs\""},
      {"1e3MiB", "unknown unit \"e3MiB\""},
      {"1 000MiB", "unknown unit"},
      {".MiB", "not a number"},
      {".5MiB", "not a number"},
      {"0.5B", "not a whole number"},
      {"0.3KiB", "not a whole number"},
      {"1.2.3MiB", "not a whole number"},
      {"9223372036854775808B", "too large"},
      {"8388608TiB", "too large"},
      {"18446744073709551615TiB", "too large"},
      {"18446744073709551616B", "out of range"},
      {"99999999999999999999999999TiB", "out of range"},
  };
  for (const auto& [text, why] : cases) {
    const auto parsed = parse_size(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_THAT(parsed.error().message,
                AllOf(HasSubstr("\"" + std::string(text) + "\""), HasSubstr(std::string(why)), HasSubstr("\"64MiB\"")));
  }
}

TEST(ParseDuration, TakesWholeNanosecondsInEveryUnit) {
  const struct {
    std::string_view text;
    Duration duration;
  } cases[] = {
      {"0s", 0_ns}, {"7ns", 7_ns},          {"65us", 65_us},    {"1.5ms", 1500_us},
      {"2s", 2_s},  {"0.000000001s", 1_ns}, {"0.25us", 250_ns},
  };
  for (const auto& [text, duration] : cases) {
    const auto parsed = parse_duration(text);
    ASSERT_TRUE(parsed) << text << ": " << parsed.error().message;
    EXPECT_EQ(*parsed, duration) << text;
  }
}

TEST(ParseDuration, RefusesEverythingElseAndSaysWhatToWrite) {
  const struct {
    std::string_view text;
    std::string_view why;
  } cases[] = {
      {"65", "has no unit"},           {"65MiB", "unknown unit \"MiB\""},         {"2min", "unknown unit \"min\""},
      {"0.5ns", "not a whole number"}, {"0.0000000001s", "not a whole number"},   {"s", "has no number"},
      {"9223372037s", "too large"},    {"99999999999999999999s", "out of range"},
  };
  for (const auto& [text, why] : cases) {
    const auto parsed = parse_duration(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_THAT(parsed.error().message, AllOf(HasSubstr(std::string(why)), HasSubstr("\"65us\"")));
  }
}

class TomlTableTest : public testing::Test {
 protected:
  TomlTable table(std::string_view text) {
    root_ = toml::parse(text);
    return TomlTable(root_, "f.toml", "", error_);
  }
  std::string error() const { return error_ ? error_->message : ""; }

 private:
  toml::table root_;
  std::optional<InputError> error_;
};

TEST_F(TomlTableTest, ReadsEveryTypeAndKeepsDefaults) {
  TomlTable t = table("a = \"x\"\nb = 7\nc = 0.5\nd = true\ne = \"8KiB\"\nf = \"3us\"\ng = \"two\"\nh = 1\n");
  EXPECT_EQ(t.text("a", ""), "x");
  EXPECT_EQ(t.number("b", 0), 7U);
  EXPECT_EQ(t.real("c", 0, 0, 1), 0.5);
  EXPECT_TRUE(t.flag("d", false));
  EXPECT_EQ(t.pages("e", 0_pages), 2_pages);
  EXPECT_EQ(t.duration("f", 0_ns), 3_us);
  EXPECT_EQ(t.choice("g", {"one", "two"}, 0), 1U);
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
