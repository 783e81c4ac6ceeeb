// Printing operations, choosing among them, and performing sequences of them.
#include "tests/support/nt_operations.h"

#include <fmt/format.h>

#include <array>

#include "tests/support/nt_choose.h"
#include "tests/support/nt_interpreter.h"

namespace pagoda::nt::testing {

std::string_view name_of_kind(std::size_t kind) { return pagoda::testing::kKinds<Operation, Chooser>.at(kind).name; }

std::string to_string(const Operation& operation) { return pagoda::testing::to_string(operation); }

std::string as_test(const World& world, std::span<const Operation> operations) {
  constexpr std::array<std::string_view, 3> kFormats{"kX86", "kPae", "kAmd64"};
  const std::string text = fmt::format("{{.paging = machine::PteFormat::{}, .frames = {}}}",
                                       kFormats.at(static_cast<std::size_t>(world.paging)), world.frames);
  return pagoda::testing::as_test("NtRandom", text, operations);
}

Operation Interpreter::next(Random& random) const {
  Chooser chooser(random, *this);
  if (const auto instead = chooser.make_room()) return *instead;
  if (const auto instead = chooser.go_on()) return *instead;
  return pagoda::testing::choose<Operation>(random, chooser);
}

Operation Interpreter::next_of_kind(std::size_t kind, Random& random) const {
  Chooser chooser(random, *this);
  return pagoda::testing::kKinds<Operation, Chooser>.at(kind).choose(chooser);
}

std::string replay(const World& world, std::span<const Operation> operations, std::size_t check_every) {
  return pagoda::testing::replay<Interpreter>(world, operations, check_every);
}

}  // namespace pagoda::nt::testing
