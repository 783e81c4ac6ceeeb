// Any bytes are a small machine and Nt* calls on it; the kernel agrees with the model after each (see
// tests/support/nt_model.h).
//
// The first 8 bytes choose the machine; each following group of 8 is the seed of a call that makes sense, changed by
// its own bytes. A finding prints as a regression test.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "tests/support/nt_model.h"

namespace {

using pagoda::Random;
using pagoda::machine::PteFormat;
using pagoda::nt::testing::NtInterpreter;
using pagoda::nt::testing::NtOperation;
using pagoda::nt::testing::NtWorld;

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

// What the bytes say beside the seed: the call, and one bit of an argument turned round.
NtOperation operation_from(std::uint64_t word, const NtInterpreter& interpreter) {
  Random random(word >> 16);
  NtOperation o = interpreter.next(random);
  const std::uint64_t call = word & 0xFF;
  const std::uint64_t change = word >> 8 & 0xFF;
  if (call < NtOperation::kCalls) o.call = static_cast<NtOperation::Call>(call);
  const std::uint64_t bit = change & 0x1F;
  switch (change >> 5) {
    case 1:
      o.base ^= std::uint64_t{1} << bit;
      break;
    case 2:
      o.size ^= std::uint64_t{1} << bit;
      break;
    case 3:
      o.type ^= std::uint32_t{1} << bit;
      break;
    case 4:
      o.protect ^= std::uint32_t{1} << bit;
      break;
    case 5:
      o.handle = static_cast<std::uint8_t>(bit);
      break;
    default:
      break;
  }
  return o;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::span bytes(data, size);
  const std::uint64_t first = take(bytes);
  const NtWorld world{.paging = static_cast<PteFormat>(first % 3), .frames = 160 + (first >> 8 & 0x1FF)};
  NtInterpreter interpreter(world);
  std::vector<NtOperation> operations;
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
