// Any bytes are a small machine and Nt* calls on it; the kernel agrees with the model after each (see
// tests/support/nt_interpreter.h).
//
// The first 8 bytes choose the machine; each following group of 8 is the seed of a call that makes sense, changed in one
// bit. A finding prints as a regression test.
#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tests/support/nt_interpreter.h"

namespace {

using pagoda::Random;
using pagoda::machine::PteFormat;
using pagoda::nt::testing::Interpreter;
using pagoda::nt::testing::kKindCount;
using pagoda::nt::testing::Operation;
using pagoda::nt::testing::World;
using pagoda::testing::HasFields;

constexpr std::size_t kWord = 8;
constexpr std::size_t kMostOperations = 2000;
constexpr std::size_t kCheckEvery = 64;

std::uint64_t take(std::span<const std::uint8_t>& bytes) {
  std::uint64_t value = 0;
  const std::size_t there = std::min(kWord, bytes.size());
  if (there > 0) std::memcpy(&value, bytes.data(), there);  // No bytes have no address.
  bytes = bytes.subspan(there);
  return value;
}

// Turns one bit of one field of an operation round.
class Change {
 public:
  Change(std::uint64_t field, std::uint64_t bit) : field_(field), bit_(bit) {}

  template <class Field>
  void operator()(std::string_view /*name*/, Field& field) {
    if constexpr (HasFields<Field>) {
      Field::fields(field, *this);
    } else if (seen_++ == field_) {
      if constexpr (std::same_as<Field, bool>)
        field = !field;
      else
        field ^= static_cast<Field>(std::uint64_t{1} << bit_ % (8 * sizeof(Field)));
    }
  }

 private:
  std::uint64_t field_;
  std::uint64_t bit_;
  std::uint64_t seen_ = 0;
};

// The bytes say which call, or leave it to chance; which field of it is changed, if it has so many; and the seed.
Operation operation_from(std::uint64_t word, const Interpreter& interpreter) {
  const std::uint64_t kind = word & 0xFF;
  Change change(word >> 8 & 0x1F, word >> 13 & 0x3F);
  Random random(word >> 19);
  Operation operation = kind < kKindCount ? interpreter.next_of_kind(kind, random) : interpreter.next(random);
  std::visit([&]<class Op>(Op& o) { Op::fields(o, change); }, operation);
  return operation;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::span bytes(data, size);
  const std::uint64_t first = take(bytes);
  const World world{.paging = static_cast<PteFormat>(first % 3), .frames = 160 + (first >> 8 & 0x1FF)};
  Interpreter interpreter(world);
  std::vector<Operation> operations;
  std::string difference;
  while (difference.empty() && bytes.size() >= kWord && operations.size() < kMostOperations) {
    operations.push_back(operation_from(take(bytes), interpreter));
    difference = interpreter.perform(operations.back());
    if (difference.empty() && operations.size() % kCheckEvery == 0) difference = interpreter.check();
  }
  if (difference.empty()) difference = interpreter.finish();
  if (difference.empty()) return 0;
  std::fprintf(stderr, "%s\n%s", difference.c_str(), as_test(world, operations).c_str());
  std::abort();
}
