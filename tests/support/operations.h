// What random tests against a model have in common, whatever they test.
//
// An operation is a struct. It has a `kName`, a `kWeight` (how often it is chosen, of the sum of all weights) and
//   static Op choose(Chooser&)                                      one that makes sense now, most of the time
//   std::string perform(Interpreter&) const                         on what is tested and on the model; what differs
//   static void fields(auto& self, auto&& visit)                    visits the fields in their order, by name
// so that it can be printed, or filled from bytes. All operations of a test are a std::variant, here `Operation`.
#pragma once

#include <fmt/format.h>

#include <array>
#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "pagoda/base/random.h"

namespace pagoda::testing {

// Visits fields with their names, in turn.
void each(auto& /*visit*/) {}
void each(auto& visit, std::string_view name, auto& field, auto&&... rest) {
  visit(name, field);
  each(visit, rest...);
}

// --- Printing ---

template <class T>
concept HasFields = requires(const T& value) { T::fields(value, [](std::string_view, const auto&) {}); };

// Places and other small numbers as people count them; sizes, addresses and flags in hexadecimal.
template <std::unsigned_integral T>
std::string literal_of_number(T value) {
  return sizeof(T) == 1 || value < 10 ? fmt::format("{}", value) : fmt::format("{:#x}", value);
}

// How a field prints that is neither a number nor has fields: `static std::string of(T value)`.
template <class T>
struct Literal;

// As C++: {.first = 1, .second = {.third = 0x20}}. Flags that are false do not print: they are so by default.
template <HasFields T>
std::string initializers(const T& value) {
  std::string fields;
  T::fields(value, [&]<class Field>(std::string_view name, const Field& field) {
    const auto add = [&](const std::string& text) {
      fields += fmt::format("{}.{} = {}", fields.empty() ? "" : ", ", name, text);
    };
    if constexpr (std::same_as<Field, bool>) {
      if (field) add("true");
    } else if constexpr (std::unsigned_integral<Field>) {
      add(literal_of_number(field));
    } else if constexpr (HasFields<Field>) {
      add(initializers(field));
    } else {
      add(Literal<Field>::of(field));
    }
  });
  return "{" + fields + "}";
}

template <class... Ops>
std::string to_string(const std::variant<Ops...>& operation) {
  return std::visit([]<class Op>(const Op& o) { return fmt::format("op::{}{}", Op::kName, initializers(o)); },
                    operation);
}

// A whole regression test; `world` as initializers.
template <class Operation>
std::string as_test(std::string_view suite, const std::string& world, std::span<const Operation> operations) {
  std::string text = fmt::format(
      "TEST({}, Regression) {{\n  const World world{};\n  const std::vector<Operation> operations{{\n", suite, world);
  for (const Operation& operation : operations) text += "      " + to_string(operation) + ",\n";
  return text + "  };\n  EXPECT_EQ(replay(world, operations), \"\");\n}\n";
}

// --- Choosing ---

template <class Operation, class Chooser>
struct Kind {
  std::string_view name;
  unsigned weight;
  Operation (*choose)(Chooser& chooser);
};

// One for each alternative, in their order.
template <class Chooser, class... Ops>
constexpr auto kinds_of(std::type_identity<std::variant<Ops...>> /*operation*/) {
  using Operation = std::variant<Ops...>;
  return std::array{Kind<Operation, Chooser>{Ops::kName, Ops::kWeight,
                                             [](Chooser& chooser) -> Operation { return Ops::choose(chooser); }}...};
}
template <class Operation, class Chooser>
inline constexpr auto kKinds = kinds_of<Chooser>(std::type_identity<Operation>{});

// By weight.
template <class Operation, class Chooser>
Operation choose(Random& random, Chooser& chooser) {
  constexpr const auto& kAll = kKinds<Operation, Chooser>;
  static constexpr unsigned kTotal = [] {
    unsigned total = 0;
    for (const auto& kind : kAll) total += kind.weight;
    return total;
  }();
  std::uint64_t chosen = random.below(kTotal);
  std::size_t kind = 0;
  while (chosen >= kAll[kind].weight) chosen -= kAll[kind++].weight;
  return kAll[kind].choose(chooser);
}

// --- Performing ---

// Performs all, checking after each `check_every`, and ends; what differs first.
template <class Interpreter, class World, class Operation>
std::string replay(const World& world, std::span<const Operation> operations, std::size_t check_every) {
  Interpreter interpreter(world);
  for (std::size_t i = 0; i < operations.size(); ++i) {
    if (auto difference = interpreter.perform(operations[i]); !difference.empty()) return difference;
    if ((i + 1) % check_every != 0) continue;
    if (auto findings = interpreter.check(); !findings.empty())
      return "after " + to_string(operations[i]) + ":\n" + findings;
  }
  return interpreter.finish();
}

}  // namespace pagoda::testing
