// Printing operations, choosing among them, and performing sequences of them.
#include "tests/support/mm_operations.h"

#include <fmt/format.h>

#include <array>
#include <type_traits>

#include "tests/support/mm_choose.h"
#include "tests/support/mm_interpreter.h"

namespace pagoda::mm::testing {

namespace {

std::string literal(bool value) { return value ? "true" : "false"; }
std::string literal(unsigned value) { return fmt::format("{}", value); }
std::string literal(std::uint64_t value) { return fmt::format("{:#x}", value); }
std::string literal(Protection value) { return fmt::format("Protection{{{:#x}}}", bits(value)); }
std::string literal(const op::By& by) {
  return fmt::format("{{.cpu = {}, .space = {}, .gives_up = {}}}", by.cpu, by.space, by.gives_up);
}
std::string literal(const op::Range& range) {
  return fmt::format("{{.address = {:#x}, .size = {:#x}}}", range.address, range.size);
}
std::string literal(op::Where where) {
  constexpr std::array<std::string_view, 3> kNames{"kAtBase", "kAnywhere", "kTopDown"};
  return fmt::format("op::Where::{}", kNames[static_cast<std::size_t>(where)]);
}

}  // namespace

std::string to_string(const Operation& operation) {
  return std::visit(
      []<class Op>(const Op& o) {
        std::string fields;
        Op::fields(o, [&](std::string_view name, const auto& value) {
          fields += fmt::format("{}.{} = {}", fields.empty() ? "" : ", ", name, literal(value));
        });
        return fmt::format("op::{}{{{}}}", Op::kName, fields);
      },
      operation);
}

std::string as_test(const World& world, std::span<const Operation> operations) {
  std::string text = "TEST(MmRandom, Regression) {\n  const World world" + to_string(world) +
                     ";\n  const std::vector<Operation> operations{\n";
  for (const Operation& operation : operations) text += "      " + to_string(operation) + ",\n";
  return text + "  };\n  EXPECT_EQ(replay(world, operations), \"\");\n}\n";
}

namespace {

struct Choice {
  unsigned weight;
  Operation (*choose)(Chooser& chooser);
};

// One for each alternative, in their order.
template <class... Ops>
constexpr auto choices_of(std::type_identity<std::variant<Ops...>> /*operations*/) {
  return std::array{Choice{Ops::kWeight, [](Chooser& chooser) -> Operation { return Ops::choose(chooser); }}...};
}
constexpr auto kChoices = choices_of(std::type_identity<Operation>{});

}  // namespace

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
  static constexpr unsigned kTotal = [] {
    unsigned total = 0;
    for (const Choice& choice : kChoices) total += choice.weight;
    return total;
  }();
  Chooser chooser(random, world_, spaces_);
  std::uint64_t chosen = random.below(kTotal);
  for (const Choice& choice : kChoices) {
    if (chosen < choice.weight) return choice.choose(chooser);
    chosen -= choice.weight;
  }
  return op::DropUnused{};  // Not reached.
}

std::string replay(const World& world, std::span<const Operation> operations, std::size_t check_every) {
  Interpreter interpreter(world);
  for (std::size_t i = 0; i < operations.size(); ++i) {
    if (auto difference = interpreter.perform(operations[i]); !difference.empty()) return difference;
    if (i % check_every != 0) continue;
    if (auto findings = interpreter.check(); !findings.empty())
      return "after " + to_string(operations[i]) + ":\n" + findings;
  }
  return interpreter.finish();
}

}  // namespace pagoda::mm::testing
