// What is a size, what is a duration, and what a wrong one is told.
#include "pagoda/sim/scenario/quantities.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace pagoda::sim
