#include "pagoda/report/text.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <limits>
#include <string>

namespace pagoda::report {
namespace {

TEST(ReportText, Grouped) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(1234567), "1,234,567");
  EXPECT_EQ(grouped(std::numeric_limits<std::uint64_t>::max()), "18,446,744,073,709,551,615");
}

TEST(ReportText, Counted) {
  EXPECT_EQ(counted(1, "page"), "1 page");
  EXPECT_EQ(counted(0, "page"), "0 pages");
  EXPECT_EQ(counted(2000, "access", "accesses"), "2,000 accesses");
}

TEST(ReportText, Sizes) {
  EXPECT_EQ(bytes_text(ByteCount(0)), "0 B");
  EXPECT_EQ(bytes_text(ByteCount(1023)), "1,023 B");
  EXPECT_EQ(bytes_text(512_MiB), "512 MiB");
  EXPECT_EQ(bytes_text(1_GiB + 420_MiB), "1.41 GiB");
  EXPECT_EQ(bytes_text(1_pages), "4 KiB");
  EXPECT_EQ(bytes_text(12345_pages), "48.2 MiB");
}

TEST(ReportText, Durations) {
  EXPECT_EQ(duration_text(Duration(0)), "0 s");
  EXPECT_EQ(duration_text(Duration(999)), "999 ns");
  EXPECT_EQ(duration_text(1'250_us), "1.25 ms");
  EXPECT_EQ(duration_text(12'345_ms), "12.3 s");
  EXPECT_EQ(duration_text(4'000_s), "4,000 s");
  EXPECT_EQ(time_text(kNever), "never");
  EXPECT_EQ(seconds_text(7.318), "7.32 s");
  EXPECT_EQ(seconds_text(0), "0 s");
}

TEST(ReportText, PercentsNeverRoundToNoneOrAll) {
  EXPECT_EQ(percent_text(0, 0), "0%");
  EXPECT_EQ(percent_text(0, 5), "0%");
  EXPECT_EQ(percent_text(5, 5), "100%");
  EXPECT_EQ(percent_text(1, 100'000), "under 0.1%");
  EXPECT_EQ(percent_text(99'999, 100'000), "over 99.9%");
  EXPECT_EQ(percent_text(69, 1000), "6.9%");
  EXPECT_EQ(percent_text(1, 2), "50%");
  EXPECT_EQ(percent_text(3, 2), "150%");
}

TEST(ReportText, EscapesHtml) {
  EXPECT_EQ(escape_html("a<b>&\"'"), "a&lt;b&gt;&amp;&quot;&#39;");
  EXPECT_EQ(escape_html("Zürich\nβ\t€ 𝄞"), "Zürich β € 𝄞");
}

TEST(ReportText, ReplacesControlCharactersAndWhatIsNotUtf8) {
  EXPECT_EQ(escape_terminal("\x1b[31m"), "\uFFFD[31m");
  EXPECT_EQ(escape_terminal("\xc2\x9b"
                            "31m"),
            "\uFFFD31m");  // CSI as one character.
  EXPECT_EQ(escape_terminal("a\xff"
                            "b\xc0\xaf"),
            "a\uFFFD"
            "b\uFFFD\uFFFD");                                        // An overlong slash.
  EXPECT_EQ(escape_terminal("\xed\xa0\x80"), "\uFFFD\uFFFD\uFFFD");  // A surrogate.
  EXPECT_EQ(escape_terminal("\xe2\x82"), "\uFFFD\uFFFD");            // Cut short.
  EXPECT_EQ(escape_terminal("\u202Eabc\u2028"),
            "\uFFFD"
            "abc\uFFFD");
}

RC_GTEST_PROP(ReportText, EscapedHtmlHoldsNoMarkupWhateverTheText, (const std::string& text)) {
  RC_ASSERT(escape_html(text).find_first_of("<>\"'") == std::string::npos);
  RC_ASSERT(escape_html(text).find('\x1b') == std::string::npos);
}

TEST(ReportText, QuotesForAShell) {
  EXPECT_EQ(shell_quoted("scenarios/a-1.toml"), "scenarios/a-1.toml");
  EXPECT_EQ(shell_quoted(""), "''");
  EXPECT_EQ(shell_quoted("my file"), "'my file'");
  EXPECT_EQ(shell_quoted("it's $(x)"), "'it'\\''s $(x)'");
}

TEST(ReportText, ShortensByCharacters) {
  EXPECT_EQ(shortened("abc", 3), "abc");
  EXPECT_EQ(shortened("abcd", 3), "ab…");
  EXPECT_EQ(shortened("ääää", 3), "ää…");
  EXPECT_EQ(width_of("ää…"), 3U);
}

}  // namespace
}  // namespace pagoda::report
