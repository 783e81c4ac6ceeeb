// What the Interpreter's sources share.
#pragma once

#include "pagoda/mm/section/sections.h"
#include "tests/support/mm_operations.h"

namespace pagoda::mm::testing {

constexpr int kReadRetries = 64;
constexpr int kWaits = 100'000;
constexpr std::uint64_t kWordStride = 520;

// The lowest `bytes` bytes of a word.
inline std::uint64_t low_bytes(unsigned bytes) {
  return bytes == 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << 8 * bytes) - 1;
}

template <class T>
Status status_of(const Result<T>& result) {
  return result ? Status::kSuccess : result.error();
}

template <class Call>
auto Interpreter::settle(const Operation& operation, Call&& call) -> std::optional<decltype(call())> {
  machine::SimProcessor& cpu = machine_->processor(operation.cpu);
  for (int waits = 0; waits < kWaits; ++waits) {
    auto result = call();
    const bool blocked = cpu.is_blocked();
    if (result || result.error() != Status::kPending) {
      if (blocked) cpu.advance_to(cpu.take_blocked_until());
      return result;
    }
    PAGODA_CHECK(blocked);
    if ((operation.value & Operation::kGivesUp) != 0) {
      given_up_ = operation;
      return std::nullopt;
    }
    cpu.advance_to(cpu.take_blocked_until());
  }
  return fail(Status::kPending);
}

template <class Call>
auto Interpreter::insist(const Operation& operation, Call&& call) -> decltype(call()) {
  Operation patient = operation;
  patient.value &= ~std::uint64_t{Operation::kGivesUp};
  auto result = settle(patient, call);
  for (int tries = 0; tries < kReadRetries; ++tries) {
    const Status status = status_of(*result);
    const bool failed = (status == Status::kInPageError && world_.read_errors > 0) ||
                        (status == Status::kIoDeviceError && world_.write_errors > 0);
    if (!failed) break;
    result = settle(patient, call);
  }
  return *result;
}

}  // namespace pagoda::mm::testing
