#include "pagoda/sim/trace/working_set_curve.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "pagoda/sim/trace/trace_writer.h"

namespace pagoda::sim {
namespace {

TEST(WorkingSetCurve, CountsDistinctPagesPerWindow) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("pagoda-ws-" + std::to_string(getpid()))).string();
  auto writer = TraceWriter::create(path, {}).value();
  // Four windows of 2^20: pages 0 1, then 0 1 2, then nothing new but a long pause of two windows.
  for (const std::uint64_t page : {0, 1}) writer->append({Vpn(page), 1 << 19, kTraceRead});
  for (const std::uint64_t page : {0, 1, 2, 2}) writer->append({Vpn(page), 1 << 18, kTraceRead});
  writer->append({Vpn(0), 2 << 20, kTraceRead});
  ASSERT_TRUE(writer->publish());
  auto reader = TraceReader::open(path).value();
  std::remove(path.c_str());
  const std::uint64_t windows[] = {1 << 20, 2 << 20, 64 << 20};
  const auto curve = working_set_curve(reader, windows).value();
  ASSERT_EQ(curve.size(), 3U);
  EXPECT_EQ(curve[0].windows,
            3U);  // The pause has no window of its own: the trace does not say what was touched in it.
  EXPECT_DOUBLE_EQ(curve[0].mean_pages, (2 + 3 + 1) / 3.0);
  EXPECT_EQ(curve[0].largest, PageCount(3));
  EXPECT_EQ(curve[1].windows, 2U);
  EXPECT_EQ(curve[1].largest, PageCount(3));
  EXPECT_EQ(curve[2].windows, 1U);  // Shorter than the window: the whole run.
  EXPECT_DOUBLE_EQ(curve[2].mean_pages, 3);
}

}  // namespace
}  // namespace pagoda::sim
