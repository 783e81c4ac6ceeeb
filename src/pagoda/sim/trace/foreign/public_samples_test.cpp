// Real traces of other people's, where they are there: each is recognised, and holds what was counted in it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/sim/testing/foreign_text.h"
#include "pagoda/sim/testing/public_samples.h"

namespace pagoda::sim {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct PublicSample {
  const char* file;
  const char* format;
  // Counted with grep, awk and wc over the file itself.
  std::uint64_t references;
  std::uint64_t pages;
  bool recognised = true;
};

class PublicTraces : public testing::TestWithParam<PublicSample> {};

TEST_P(PublicTraces, AreRecognisedAndRead) {
  const PublicSample& sample = GetParam();
  const auto path = find_public_sample(std::string("traces/") + sample.file);
  if (!path) GTEST_SKIP() << "NOTHING WAS TESTED: no " << sample.file << "; set PAGODA_PUBLIC_DATA to its folder";
  auto file = DecompressedFile::open(*path);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  const auto format = recognise(*file);
  if (sample.recognised) {
    ASSERT_TRUE(format.has_value()) << format.error().message;
    EXPECT_EQ((*format)->name, sample.format);
  } else {
    ASSERT_FALSE(format.has_value());
    EXPECT_THAT(format.error().message, AllOf(HasSubstr(sample.format), HasSubstr("--format")));
  }
  RecordCollector collector;
  TraceReducer reducer(1, collector);
  const auto totals = import_foreign(*file, *find_foreign_format(sample.format), reducer, BadRecords::kRefuse);
  ASSERT_TRUE(totals.has_value()) << totals.error().message;
  reducer.flush();
  EXPECT_EQ(totals->references, sample.references);
  std::set<Vpn> pages;
  for (const TraceRecord& record : collector.records) pages.insert(record.page);
  EXPECT_EQ(pages.size(), sample.pages);
}
INSTANTIATE_TEST_SUITE_P(
    ForeignFormats, PublicTraces,
    testing::Values(
        PublicSample{"bzip.trace.gz", "hexaddr", 1000000, 317},
        PublicSample{"bzip.trace.head20000", "hexaddr", 20000, 285},
        PublicSample{"gcc.trace.head20000", "hexaddr", 20000, 752},
        PublicSample{"swim.trace.head20000", "hexaddr", 20000, 202},
        PublicSample{"sixpack.trace.head20000", "hexaddr", 20000, 1019},
        PublicSample{"pinatrace.out.head20000", "pinatrace", 20000, 66},
        PublicSample{"pinatrace-decimal.out.head20000", "pinatrace-decimal", 20000, 24, false},
        PublicSample{"cc1.din", "dinero", 9141, 60}, PublicSample{"lackey-ls.trace.head20000", "lackey", 20027, 28},
        PublicSample{"csapp-long.trace.head20000", "lackey", 21413, 19},
        PublicSample{"csapp-trans.trace", "lackey", 616, 3}, PublicSample{"csapp-dave.trace", "cachelab", 5, 1},
        PublicSample{"csapp-yi.trace", "cachelab", 9, 1}, PublicSample{"csapp-yi2.trace", "cachelab", 17, 1},
        PublicSample{"csapp-variant-dave-extra-field.trace", "cachelab", 5, 1},
        PublicSample{"csapp-variant-trans-extra-field.trace", "cachelab", 218, 2},
        PublicSample{"csapp-variant-yi-extra-field.trace", "cachelab", 7, 1},
        PublicSample{"cs1550-lru.trace", "load-store", 9, 4}, PublicSample{"csf-read02.trace", "load-store", 10, 1},
        PublicSample{"csf-write02.trace", "load-store", 10, 1},
        PublicSample{"drcachesim-view-1.txt", "drcachesim-view", 13, 3},
        PublicSample{"drcachesim-view-2.txt", "drcachesim-view", 7, 4},
        PublicSample{"drcachesim-view-3.txt", "drcachesim-view", 26, 5},
        PublicSample{"drcachesim-view-4.txt", "drcachesim-view", 8, 3},
        PublicSample{"drcachesim-view-5.txt", "drcachesim-view", 7, 3},
        PublicSample{"perf-mem-script.txt", "perf-script", 10, 7},
        PublicSample{"cloudPhysicsIO-head10000.csv", "csv-blocks", 69277, 53530},
        PublicSample{"cloudPhysicsIO.csv.zst", "csv-blocks", 1141869, 269210},
        PublicSample{"cloudPhysicsIO-head10000.oracleGeneral.bin", "oracleGeneral", 10000, 5581},
        PublicSample{"cloudPhysicsIO.oracleGeneral.bin.zst", "oracleGeneral", 113872, 48974}),
    [](const auto& param_info) {
      std::string name = param_info.param.file;
      std::ranges::replace_if(name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
      return name;
    });

class PublicTracesOfOthers : public testing::TestWithParam<std::array<const char*, 2>> {};

TEST_P(PublicTracesOfOthers, AreRefusedByName) {
  const auto& [name, what] = GetParam();
  const auto path = find_public_sample(name);
  if (!path) GTEST_SKIP() << "NOTHING WAS TESTED: no " << name << "; set PAGODA_PUBLIC_DATA to its folder";
  auto file = DecompressedFile::open(*path);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  const auto format = recognise(*file);
  ASSERT_FALSE(format.has_value()) << (*format)->name;
  EXPECT_THAT(format.error().message, HasSubstr(what));
}

INSTANTIATE_TEST_SUITE_P(ForeignFormats, PublicTracesOfOthers,
                         testing::Values(std::array{"traces/drmemtrace.small.x64.trace", "-tool view"},
                                         std::array{"traces/strace-yy.log", "strace"},
                                         std::array{"traces/strace-f.log", "strace"},
                                         std::array{"damon/damon.data", "damo"},
                                         std::array{"damon/damon.data.snapshot.active.json", "damo"},
                                         std::array{"damon/perf.data.script.head3000", "DAMON"}));

TEST(PublicTracesOfPerf, WithoutAddressesSaysHowToRecordThem) {
  const auto path = find_public_sample("traces/perf-script-page-faults.txt");
  if (!path) GTEST_SKIP() << "NOTHING WAS TESTED: no perf-script-page-faults.txt; set PAGODA_PUBLIC_DATA to its folder";
  auto file = DecompressedFile::open(*path);
  ASSERT_TRUE(file.has_value());
  const auto format = recognise(*file);
  ASSERT_TRUE(format.has_value()) << format.error().message;
  RecordCollector collector;
  TraceReducer reducer(1, collector);
  const auto totals = import_foreign(*file, **format, reducer, BadRecords::kRefuse);
  ASSERT_FALSE(totals.has_value());
  EXPECT_THAT(totals.error().message, HasSubstr("perf record -d"));
}

}  // namespace
}  // namespace pagoda::sim
