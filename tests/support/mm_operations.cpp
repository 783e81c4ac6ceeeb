// Printing operations, choosing among them, and performing sequences of them.
#include "tests/support/mm_operations.h"

#include <fmt/format.h>

#include <array>

#include "tests/support/mm_choose.h"
#include "tests/support/mm_interpreter.h"

namespace pagoda::testing {

template <>
struct Literal<mm::Protection> {
  static std::string of(mm::Protection value) { return fmt::format("Protection{{{:#x}}}", mm::bits(value)); }
};
template <>
struct Literal<mm::testing::op::Where> {
  static std::string of(mm::testing::op::Where where) {
    constexpr std::array<std::string_view, 3> kNames{"kAtBase", "kAnywhere", "kTopDown"};
    return fmt::format("op::Where::{}", kNames[static_cast<std::size_t>(where)]);
  }
};

}  // namespace pagoda::testing

namespace pagoda::mm::testing {

std::string to_string(const Operation& operation) { return pagoda::testing::to_string(operation); }

std::string as_test(const World& world, std::span<const Operation> operations) {
  return pagoda::testing::as_test("MmRandom", to_string(world), operations);
}

Operation Interpreter::next(Random& random) const {
  if (given_up_ && random.chance(0.5)) {
    // Another processor wants the same while the first still waits.
    Operation again = *given_up_;
    std::visit(
        [&](auto& o) {
          o.by.cpu = (o.by.cpu + 1) % world_.processors;
          o.by.gives_up = false;
        },
        again);
    return again;
  }
  Chooser chooser(random, world_, spaces_);
  return pagoda::testing::choose<Operation>(random, chooser);
}

std::string replay(const World& world, std::span<const Operation> operations, std::size_t check_every) {
  return pagoda::testing::replay<Interpreter>(world, operations, check_every);
}

}  // namespace pagoda::mm::testing
