// Any bytes are a small machine and operations on it; the manager agrees with the model after each (see
// tests/support/mm_interpreter.h).
//
// The first 16 bytes choose the machine; each operation takes as many of the following as it has fields for. A finding
// prints as a regression test.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "fuzz/bytes.h"
#include "tests/support/mm_interpreter.h"

namespace {

using pagoda::kPageBytes;
using pagoda::Random;
using pagoda::fuzz::Bytes;
using pagoda::mm::Protection;
using pagoda::mm::testing::Interpreter;
using pagoda::mm::testing::kSections;
using pagoda::mm::testing::Operation;
namespace op = pagoda::mm::testing::op;
using pagoda::mm::testing::World;

constexpr std::size_t kWorldBytes = 16;
constexpr std::size_t kMostOperations = 2000;
// Around a border between page tables of every mode, as the random tests do.
constexpr std::uint64_t kWindow = 1024 - 256;

World world_from(Bytes& bytes) {
  Random random(bytes.take(8));
  World world = World::random(random);
  const std::uint64_t flags = bytes.take(kWorldBytes - 8);
  world.yields = (flags & 1) != 0;
  world.read_errors = (flags & 2) != 0 ? 0.1 : 0;
  world.write_errors = (flags & 4) != 0 ? 0.1 : 0;
  world.hard_maximum = (flags & 8) != 0;
  return world;
}

// Fills the fields of an operation.
class Filler {
 public:
  explicit Filler(Bytes& bytes) : bytes_(bytes), who_(bytes.take(1)) {}

  void operator()(std::string_view /*name*/, op::By& by) const {
    by.cpu = static_cast<unsigned>(who_ & 1);
    by.space = static_cast<unsigned>((who_ >> 1 & 3) % 3);
    by.gives_up = (who_ & 0x10) != 0;
  }
  void operator()(std::string_view /*name*/, op::Range& range) {
    range.address = address();
    range.size = bytes_.take(2) * 64;
    if ((who_ & 8) != 0) range.size = (range.size % 16 + 1) * kPageBytes;
    // Beyond all reason now and then.
    if ((who_ & 0xF0) == 0xF0) (range.size % 128 == 0 ? range.address : range.size) = ~std::uint64_t{0} - range.size;
  }
  void operator()(std::string_view /*name*/, Protection& protection) {
    protection = static_cast<Protection>(bytes_.take(1) & 0x1F);
  }
  void operator()(std::string_view /*name*/, op::Where& where) { where = static_cast<op::Where>(bytes_.take(1) % 3); }
  void operator()(std::string_view /*name*/, bool& flag) { flag = (bytes_.take(1) & 1) != 0; }
  void operator()(std::string_view /*name*/, unsigned& section) {
    section = static_cast<unsigned>(bytes_.take(1) % kSections);
  }
  void operator()(std::string_view name, std::uint64_t& value) {
    if (name == "address") {
      value = address();
    } else if (name == "minimum") {
      value = bytes_.take(1) % 13;
    } else if (name == "maximum") {
      value = bytes_.take(1) % 80;
    } else if (name == "offset") {
      value = bytes_.take(1) * 1111;  // Within files, mostly.
    } else if (name == "size") {
      value = bytes_.take(2) * 64;
    } else {
      value = bytes_.take(3);
    }
  }

 private:
  // 9 bits of page, 7 of where in it.
  std::uint64_t address() {
    const std::uint64_t place = bytes_.take(2);
    return (kWindow + (place & 0x1FF)) * kPageBytes + (place >> 9) * 32;
  }

  Bytes& bytes_;
  std::uint64_t who_;
};

// An operation of the kind, whatever its fields are.
template <std::size_t kKind = 0>
Operation of_kind(std::size_t kind) {
  if constexpr (kKind + 1 < std::variant_size_v<Operation>)
    if (kind != kKind) return of_kind<kKind + 1>(kind);
  return Operation(std::in_place_index<kKind>);
}

// Views where they may be, mostly, and sections with a protection that they may have.
void make_likely(op::MapView& o, std::uint64_t luck) {
  if ((luck & 0xF) != 0) {
    o.range.address &= ~(pagoda::kAllocationGranularity - 1);
    o.offset = o.offset % 4 * pagoda::kAllocationGranularity;
  }
  if ((luck & 0x10) != 0) o.range.size = 0;
  o.protection = base_of(o.protection);
}
void make_likely(op::CreateSection& o, std::uint64_t /*luck*/) { o.protection = base_of(o.protection); }
void make_likely(op::Advance& o, std::uint64_t luck) {
  if ((luck & 0xF) != 0) o.microseconds %= 256;
}
template <class Op>
void make_likely(Op& /*o*/, std::uint64_t /*luck*/) {}

// Any bytes are an operation.
Operation operation_from(Bytes& bytes) {
  Operation operation = of_kind(bytes.take(1) % std::variant_size_v<Operation>);
  std::visit(
      [&]<class Op>(Op& o) {
        Filler fill(bytes);
        Op::fields(o, fill);
        make_likely(o, bytes.take(1));
      },
      operation);
  return operation;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes(std::span(data, size));
  const World world = world_from(bytes);
  Interpreter interpreter(world);
  std::vector<Operation> operations;
  std::string difference;
  while (difference.empty() && bytes.left() > 0 && operations.size() < kMostOperations) {
    operations.push_back(operation_from(bytes));
    difference = interpreter.perform(operations.back());
    if (difference.empty()) difference = interpreter.check();
  }
  if (difference.empty()) difference = interpreter.finish();
  if (difference.empty()) return 0;
  std::fprintf(stderr, "%s\n%s", difference.c_str(), as_test(world, operations).c_str());
  std::abort();
}
