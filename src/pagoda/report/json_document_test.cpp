// docs/report-json.md lists every key and no other, and describes figures with the words that declare them.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <string_view>

#include "pagoda/report/json.h"
#include "pagoda/report/testing/sample_run.h"
#include "pagoda/report/testing/variant_runs.h"

namespace pagoda::report {
namespace {

using ::testing::HasSubstr;

std::filesystem::path document_path() { return std::filesystem::path(PAGODA_SOURCE_DIR) / "docs" / "report-json.md"; }

// Drops what precedes an object that docs/report-json.md describes once for all its places; the arrays of such an
// object's columns are described by their element.
std::string documented_path(const std::string& path) {
  for (const std::string shared : {"faults.", "counters.", "memory.", "guest_frames.", "exits."}) {
    const std::size_t at = path.rfind(shared);
    if (at == std::string::npos || (at > 0 && path[at - 1] != '.')) continue;
    std::string rest = path.substr(at);
    if (rest.ends_with("[]")) rest.resize(rest.size() - 2);
    return rest;
  }
  // Disks and page files are the same in a virtual machine.
  for (const std::string shared : {"vms[].disks", "vms[].page_files"})
    if (path.starts_with(shared + "[]")) return path.substr(std::string_view("vms[].").size());
  return path;
}

void collect(const Json& json, const std::string& path, std::set<std::string>& keys) {
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) {
      const std::string inner = path.empty() ? key : path + "." + key;
      keys.insert(documented_path(inner));
      collect(value, inner, keys);
    }
  } else if (json.is_array()) {
    for (const Json& item : json) {
      if (!item.is_object()) keys.insert(documented_path(path + "[]"));
      collect(item, path + "[]", keys);
    }
  }
}

std::set<std::string> emitted_keys(const sim::RunResult& run) {
  std::set<std::string> keys;
  collect(to_json(run), "", keys);
  return keys;
}

// The keys in the first column of the tables of a document.
std::set<std::string> documented_keys(std::istream& document) {
  std::set<std::string> keys;
  for (std::string line; std::getline(document, line);) {
    if (!line.starts_with("| `")) continue;
    const std::size_t end = line.find('`', 3);
    const std::string key = line.substr(3, end - 3);
    EXPECT_TRUE(keys.insert(key).second) << key << " is documented twice";
  }
  return keys;
}

TEST(ReportJsonDocument, EveryEmittedKeyIsDocumentedAndEveryDocumentedKeyIsEmitted) {
  std::ifstream document(document_path());
  ASSERT_TRUE(document) << "docs/report-json.md is missing";
  EXPECT_EQ(documented_keys(document), emitted_keys(testing::virtual_run()));
}

TEST(ReportJsonDocument, TheComparisonOfKeysNoticesADifference) {
  std::istringstream document("| key |\n| `schema` | string | |\n| `no_such_key` | string | |\n");
  const std::set<std::string> documented = documented_keys(document);
  const std::set<std::string> emitted = emitted_keys(testing::overcommitted_run());
  EXPECT_TRUE(documented.contains("no_such_key"));
  EXPECT_FALSE(emitted.contains("no_such_key"));
  EXPECT_TRUE(emitted.contains("faults.page_file"));
  EXPECT_TRUE(emitted.contains("samples.frames.standby_pages[][]"));
  EXPECT_FALSE(emitted.contains("samples.counters.page_file_reads"));
}

// The rows of a table of the document, as the declarations of its fields want them.
template <class Fields>
std::string rows(std::string_view object, std::string_view suffix, const Fields& fields) {
  std::string out;
  for (const auto& field : fields)
    out += fmt::format("| `{}.{}{}` | integer | *{}*: {} |\n", object, field.key, suffix, field.label, field.meaning);
  return out;
}

TEST(ReportJsonDocument, FiguresAreDescribedAsTheyAreDeclared) {
  std::ifstream in(document_path());
  const std::string document{std::istreambuf_iterator<char>(in), {}};
  EXPECT_THAT(document, HasSubstr(rows("counters", "", mm::kCounterFields)));
  EXPECT_THAT(document, HasSubstr(rows("faults", "", mm::kFaultFields)));
  EXPECT_THAT(document, HasSubstr(rows("exits", "", hv::kPartitionCountFields)));
  EXPECT_THAT(document, HasSubstr(rows("memory", "_pages", sim::kGuestMemoryFields)));
  EXPECT_THAT(document, HasSubstr(rows("guest_frames", "_pages", sim::kGuestFramesFields)));
  std::string columns;
  for (const auto& field : sim::kFrameFields) {
    const std::string key = fmt::format("samples.frames.{}_pages", field.key);
    columns +=
        fmt::format("| `{0}` | array | *{1}*: {2} |\n| `{0}[]` | integer | |\n", key, field.label, field.meaning);
  }
  EXPECT_THAT(document, HasSubstr(columns));
}

}  // namespace
}  // namespace pagoda::report
