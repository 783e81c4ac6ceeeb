// Any bytes are a small machine and operations on it; the manager agrees with the model after each (see
// tests/support/mm_operations.h).
//
// The first 16 bytes choose the machine, each following group of 12 an operation. A finding prints as a regression
// test.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "tests/support/mm_operations.h"

namespace {

using pagoda::kPageBytes;
using pagoda::Random;
using pagoda::mm::Protection;
using pagoda::mm::testing::Interpreter;
using pagoda::mm::testing::Operation;
using pagoda::mm::testing::World;

constexpr std::size_t kWorldBytes = 16;
constexpr std::size_t kOperationBytes = 12;
constexpr std::size_t kMostOperations = 2000;
// Around a border between page tables of every mode, as the random tests do.
constexpr std::uint64_t kWindow = 1024 - 256;

class Bytes {
 public:
  explicit Bytes(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  [[nodiscard]] std::size_t left() const { return bytes_.size(); }
  // Little-endian; zeros after the end.
  std::uint64_t take(std::size_t count) {
    std::uint64_t value = 0;
    const std::size_t there = std::min(count, bytes_.size());
    if (there > 0) std::memcpy(&value, bytes_.data(), there);  // No bytes have no address.
    bytes_ = bytes_.subspan(there);
    return value;
  }

 private:
  std::span<const std::uint8_t> bytes_;
};

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

Operation operation_from(Bytes& bytes) {
  Operation o;
  o.kind = static_cast<Operation::Kind>(bytes.take(1) % Operation::kKinds);
  const std::uint64_t who = bytes.take(1);
  o.cpu = static_cast<unsigned>(who & 1);
  o.space = static_cast<unsigned>((who >> 1 & 3) % 3);
  const std::uint64_t place = bytes.take(2);  // 9 bits of page, 7 of where in it.
  o.address = (kWindow + (place & 0x1FF)) * kPageBytes + (place >> 9) * 32;
  o.size = bytes.take(2) * 64;
  if ((who & 8) != 0) o.size = (o.size % 16 + 1) * kPageBytes;
  // Beyond all reason now and then.
  if ((who & 0xF0) == 0xF0) (o.size % 128 == 0 ? o.address : o.size) = ~std::uint64_t{0} - o.size;
  o.protection = static_cast<Protection>(bytes.take(1) & 0x1F);
  o.value = bytes.take(3);
  o.section = static_cast<unsigned>(bytes.take(1) % Operation::kSections);
  o.offset = bytes.take(1) * 1111;  // Within files, mostly.
  if (o.kind == Operation::Kind::kMapView) {
    // Where views may be, but for one in 16.
    if ((o.value & 0xF00) != 0) {
      o.address &= ~(pagoda::kAllocationGranularity - 1);
      o.offset &= 3 * pagoda::kAllocationGranularity;
    }
    if ((o.value & 0x1000) != 0) o.size = 0;
    o.protection = base_of(o.protection);
  }
  if (o.kind == Operation::Kind::kCreateSection) o.protection = base_of(o.protection);
  if (o.kind == Operation::Kind::kSetLimits) {
    o.address %= 13;
    o.size = o.size / 64 % 80;
  }
  if (o.kind == Operation::Kind::kAdvance && (o.value & 0xF000) != 0) o.value %= 256;
  return o;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes(std::span(data, size));
  const World world = world_from(bytes);
  Interpreter interpreter(world);
  std::vector<Operation> operations;
  std::string difference;
  while (difference.empty() && bytes.left() >= kOperationBytes && operations.size() < kMostOperations) {
    operations.push_back(operation_from(bytes));
    difference = interpreter.perform(operations.back());
    if (difference.empty()) difference = interpreter.check();
  }
  if (difference.empty()) difference = interpreter.finish();
  if (difference.empty()) return 0;
  std::fprintf(stderr, "%s\n%s", difference.c_str(), as_test(world, operations).c_str());
  std::abort();
}
