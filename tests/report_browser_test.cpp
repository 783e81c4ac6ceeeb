// The HTML report in a real browser: headless Chromium runs the page, and neither its console nor the page's own
// self-check may find a fault. The cases named Detects... break a report on purpose: a test that was never seen failing
// is not trusted.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <regex>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/report/html.h"
#include "pagoda/report/testing/sample_run.h"
#include "pagoda/report/testing/variant_runs.h"

namespace pagoda {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::optional<fs::path> find_chromium() {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "/usr/bin" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    for (const char* name : {"chromium", "chromium-browser", "google-chrome"}) {
      fs::path candidate = fs::path(folder) / name;
      if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    }
  }
  return std::nullopt;
}

// Runs a program to its end, with its output in two files; its exit status, or 128 and more if a signal ended it.
int run_program(const std::vector<std::string>& words, const fs::path& out, const fs::path& err) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_addopen(&files, STDERR_FILENO, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t child = 0;
  const int error = posix_spawnp(&child, arguments[0], &files, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) return 127;
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// What the browser made of a page.
struct Visit {
  int status = 0;
  std::string dom;                   // After all scripts.
  std::vector<std::string> console;  // Messages, "Uncaught ..." among them. A healthy page has none.
  std::string log;                   // All of the browser's own output.

  // A data attribute of the root element, which the self-check wrote; "" if it is not there.
  [[nodiscard]] std::string data(std::string_view name) const {
    const std::string root = dom.substr(0, dom.find("<head"));
    std::smatch match;
    const std::regex attribute("data-" + std::string(name) + "=\"([^\"]*)\"");
    return std::regex_search(root, match, attribute) ? match[1] : std::string();
  }
  [[nodiscard]] std::size_t count(std::string_view part) const {
    std::size_t found = 0;
    for (std::size_t at = dom.find(part); at != std::string::npos; at = dom.find(part, at + part.size())) ++found;
    return found;
  }
  [[nodiscard]] std::size_t canvases() const { return count("<canvas"); }
};

class ReportBrowser : public testing::Test {
 protected:
  void SetUp() override {
    chromium_ = find_chromium();
    if (!chromium_) {
      GTEST_SKIP()
          << "NO BROWSER: chromium is not installed (apt-get install chromium); the HTML report was NOT tested";
    }
    std::string name = (fs::path(testing::TempDir()) / "pagoda_report_browser.XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override {
    std::error_code ignored;  // The browser's helpers may still be putting files away.
    if (!folder_.empty()) fs::remove_all(folder_, ignored);
  }

  // On a busy machine Chromium's virtual time can run out before its first animation frame, in which the page checks
  // itself: a page that said nothing is opened again.
  Visit visit(const std::string& page, const std::string& window = "1200,2400") const {
    Visit result = visit_once(page, window);
    for (int again = 0; again < 2 && result.data("self-check").empty(); ++again) result = visit_once(page, window);
    return result;
  }

  Visit visit_once(const std::string& page, const std::string& window) const {
    const fs::path file = folder_ / "report.html";
    std::ofstream(file, std::ios::binary) << page;
    const fs::path profile = folder_ / "profile";
    fs::remove_all(profile);
    Visit result;
    result.status =
        run_program({"timeout", "--kill-after=5", "120", chromium_->string(), "--headless", "--no-sandbox",
                     "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                     "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
                     "--user-data-dir=" + profile.string(), "--window-size=" + window, "--enable-logging=stderr",
                     "--virtual-time-budget=10000", "--dump-dom", "file://" + file.string() + "#self-check"},
                    folder_ / "dom", folder_ / "log");
    result.dom = read_file(folder_ / "dom");
    result.log = read_file(folder_ / "log");
    // "[pid:tid:date:INFO:CONSOLE:12] "the message", source: file:///... (12)", or CONSOLE(12) in older versions.
    static const std::regex kConsole(R"re(:CONSOLE[:(][^\]]*\] (.*))re");
    std::istringstream lines(result.log);
    for (std::string line; std::getline(lines, line);) {
      std::smatch match;
      if (std::regex_search(line, match, kConsole)) result.console.push_back(match[1]);
    }
    return result;
  }

  static void expect_healthy(const Visit& visit) {
    EXPECT_EQ(visit.status, 0) << visit.log;
    EXPECT_THAT(visit.console, IsEmpty());
    EXPECT_EQ(visit.data("self-check"), "done") << visit.log;
    EXPECT_EQ(visit.data("errors"), "0") << visit.data("first-error");
    EXPECT_EQ(visit.data("blank"), "0");
    EXPECT_EQ(visit.data("charts"), std::to_string(visit.canvases()));
  }

 private:
  std::optional<fs::path> chromium_;
  fs::path folder_;
};

// Puts `what` into a page in front of the first `where`.
std::string planted(std::string page, std::string_view where, std::string_view what) {
  const std::size_t at = page.find(where);
  EXPECT_NE(at, std::string::npos) << "the page has no " << where;
  return page.insert(at, what);
}

TEST_F(ReportBrowser, DrawsEveryChartOfAnOvercommittedRun) {
  const Visit page = visit(report::html_page(report::testing::overcommitted_run()));
  expect_healthy(page);
  // Page lists, hard and soft faults, four programs, page-file traffic and use, commit.
  EXPECT_EQ(page.canvases(), 10U);
}

TEST_F(ReportBrowser, DrawsOnAPhone) {
  expect_healthy(visit(report::html_page(report::testing::overcommitted_run()), "400,800"));
}

TEST_F(ReportBrowser, DrawsWhatThereIsOfARunWithoutPaging) {
  const Visit page = visit(report::html_page(report::testing::roomy_run()));
  expect_healthy(page);
  EXPECT_EQ(page.canvases(), 8U);
}

TEST_F(ReportBrowser, DrawsWhatIsShared) {
  const Visit page = visit(report::html_page(report::testing::sharing_run()));
  expect_healthy(page);
  // As without paging, and hard faults and the traffic of mapped files.
  EXPECT_EQ(page.canvases(), 10U);
}

TEST_F(ReportBrowser, AnswersThePointerTheLegendAndThePrinter) {
  const Visit page = visit(planted(report::html_page(report::testing::overcommitted_run()), "</body>", R"(<script>
    for (const canvas of document.querySelectorAll("canvas")) {
      const box = canvas.getBoundingClientRect();
      const middle = {clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, bubbles: true};
      canvas.dispatchEvent(new MouseEvent("mousemove", middle));
      canvas.dispatchEvent(new MouseEvent("mouseout", middle));
    }
    for (const button of document.querySelectorAll(".legend button")) {
      button.click();
      document.body.dataset.hidden = document.querySelectorAll(".legend button[aria-pressed=false]").length;
      button.click();
    }
    window.dispatchEvent(new Event("beforeprint"));
    window.dispatchEvent(new Event("afterprint"));
    for (const details of document.querySelectorAll("details.values")) details.open = true;
  </script>)"));
  expect_healthy(page);
  EXPECT_THAT(page.dom, HasSubstr("data-hidden=\"1\""));
  EXPECT_EQ(page.count("<summary>"), page.canvases());
  EXPECT_EQ(page.count("<th>Virtual time</th>"), page.canvases()) << "a table of values for each chart";
}

TEST_F(ReportBrowser, ShowsARunWithoutSamples) {
  const Visit page = visit(report::html_page({}));
  expect_healthy(page);
  EXPECT_EQ(page.canvases(), 0U);
}

TEST_F(ReportBrowser, HostileNamesStayText) {
  const Visit page = visit(report::html_page(report::testing::hostile_run()));
  expect_healthy(page);
  EXPECT_THAT(page.dom, HasSubstr("&lt;img src=x onerror="));
  EXPECT_THAT(page.dom, Not(HasSubstr("<img")));
}

TEST_F(ReportBrowser, DetectsAnException) {
  const Visit page = visit(planted(report::html_page(report::testing::overcommitted_run()), "</body>",
                                   "<script>throw new Error('planted')</script>"));
  EXPECT_THAT(page.console, Contains(HasSubstr("planted")));
  EXPECT_EQ(page.data("errors"), "1");
  EXPECT_THAT(page.data("first-error"), HasSubstr("planted"));
}

TEST_F(ReportBrowser, DetectsAConsoleError) {
  const Visit page = visit(planted(report::html_page(report::testing::overcommitted_run()), "</body>",
                                   "<script>console.error('planted')</script>"));
  EXPECT_THAT(page.console, Contains(HasSubstr("planted")));
  EXPECT_EQ(page.data("errors"), "1");
}

TEST_F(ReportBrowser, DetectsAnEmptySeries) {
  std::string page = report::html_page(report::testing::overcommitted_run());
  const std::string values = "\"values\":[";
  const std::size_t from = page.find(values) + values.size();
  page.erase(from, page.find(']', from) - from);
  const Visit broken = visit(page);
  EXPECT_THAT(broken.console, Contains(HasSubstr("has 0 values for 300 samples")));
  EXPECT_NE(broken.data("errors"), "0");
  EXPECT_NE(broken.data("blank"), "0") << "no chart after the broken one was drawn";
}

TEST_F(ReportBrowser, DetectsAChartThatDrawsNothing) {
  // Labels are there, nothing throws, but no shape gets onto a canvas.
  const Visit page = visit(planted(report::html_page(report::testing::overcommitted_run()), "</head>",
                                   "<script>CanvasRenderingContext2D.prototype.fill = () => {};\n"
                                   "CanvasRenderingContext2D.prototype.stroke = () => {};</script>\n"));
  EXPECT_THAT(page.console, IsEmpty());
  EXPECT_EQ(page.data("errors"), "0");
  EXPECT_EQ(page.data("blank"), "10");
}

TEST_F(ReportBrowser, DetectsACanvasThatNobodyDraws) {
  const Visit page =
      visit(planted(report::html_page(report::testing::overcommitted_run()), "<footer>", "<canvas></canvas>"));
  EXPECT_EQ(page.data("blank"), "1");
}

}  // namespace
}  // namespace pagoda
