#include "pagoda/base/check.h"

#include <gtest/gtest.h>

#include "pagoda/base/units.h"

namespace pagoda {
namespace {

TEST(CheckDeathTest, PrintsPlaceExpressionAndOperands) {
  EXPECT_DEATH(PAGODA_CHECK(1 + 1 == 3), "check_test.cpp:[0-9]+: 1 \\+ 1 == 3");
  EXPECT_DEATH(PAGODA_CHECK_EQ(16_pages, 17_pages), "16_pages == 17_pages: 16 pages against 17 pages");
  EXPECT_DEATH(PAGODA_CHECK_LT(-1, -2), "-1 against -2");
  EXPECT_DEATH(PAGODA_CHECK_NE(255U, 255U), "255 \\(0xff\\) against 255 \\(0xff\\)");
}

TEST(Check, EvaluatesOperandsOnce) {
  int calls = 0;
  PAGODA_CHECK_GE(++calls, 1);
  PAGODA_CHECK_GT(2, calls);
  PAGODA_CHECK_LE(calls, 1);
  PAGODA_CHECK(calls == 1);
  EXPECT_EQ(calls, 1);
}

TEST(Check, DcheckEvaluatesNothingInRelease) {
  int calls = 0;
  PAGODA_DCHECK_EQ(++calls, 1);
#if !PAGODA_DCHECKS
  EXPECT_EQ(calls, 0);
#else
  EXPECT_EQ(calls, 1);
#endif
}

}  // namespace
}  // namespace pagoda
