#include "pagoda/base/check.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

namespace pagoda::detail {

std::string print_operand(std::uint64_t value) { return fmt::format("{} ({:#x})", value, value); }
std::string print_operand(std::int64_t value) { return fmt::format("{}", value); }

void check_failed(const char* file, int line, const char* expression, const std::string& operands) {
  fmt::print(stderr, "pagoda: check failed at {}:{}: {}{}{}\n", file, line, expression, operands.empty() ? "" : ": ",
             operands);
  std::fflush(stderr);
  std::abort();
}

}  // namespace pagoda::detail
