// Operations on bytes, as the kernel and the model perform them.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "tests/support/nt_interpreter.h"
#include "tests/support/nt_rules.h"

namespace pagoda::nt::testing::op {

using machine::Access;

namespace {

constexpr std::uint8_t kUntouchedByte = 0xAA;
constexpr SIZE_T kUntouchedSize = ~SIZE_T{0};

// Bytes that a call writes.
std::vector<std::uint8_t> bytes_from(std::uint64_t value, std::uint64_t size) {
  std::vector<std::uint8_t> bytes(size);
  for (std::uint64_t i = 0; i < size; ++i) bytes[i] = byte_at(value, i);
  return bytes;
}

// How many bytes from `at` on lie in one page.
std::uint64_t left_in_page(std::uint64_t at, std::uint64_t size) {
  return std::min(size, kPageBytes - at % kPageBytes);
}

void read_model(ModelProcess& whose, std::uint64_t address, std::span<std::uint8_t> out) {
  const ModelBytes* const model = whose.bytes_of_page(address >> kPageShift, false);
  if (model != nullptr)
    std::memcpy(out.data(), model->data() + address % kPageBytes, out.size());
  else
    std::ranges::fill(out, std::uint8_t{0});
}

void write_model(ModelProcess& whose, std::uint64_t address, std::span<const std::uint8_t> bytes) {
  ModelBytes& model = *whose.bytes_of_page(address >> kPageShift, true);
  std::memcpy(model.data() + address % kPageBytes, bytes.data(), bytes.size());
}

// --- Between processes: reference/nt.md 7.6 ---

bool wraps(const Interpreter& in, std::uint64_t address, std::uint64_t size) {
  return size != 0 && (address > in.highest_user() || size - 1 > in.highest_user() - address);
}

// So many bytes a call moves; as many as it is asked to only if it refuses that.
std::uint64_t size_to_copy(const Interpreter& in, std::uint64_t address, std::uint64_t size) {
  return wraps(in, address, size) || size <= kMostBytes ? size : size % kMostBytes;
}

// `move(process, address, done, count)`: what the call does to the model, page by page; `done` grows.
template <class Op, class Move>
NTSTATUS expect_copy(const Interpreter& in, const Op& o, AccessMask needed, Access access, std::uint64_t size,
                     std::uint64_t& done, const Move& move) {
  if (wraps(in, o.address, o.size)) return STATUS_ACCESS_VIOLATION;
  if (size == 0) return STATUS_SUCCESS;
  if (o.no_buffer) return STATUS_ACCESS_VIOLATION;
  ProcessPointer whose;
  const NTSTATUS status = in.find_space(in.handle(o.process), needed, whose);
  if (status != STATUS_SUCCESS) return status;
  const bool from_outside = whose != in.current_process();
  while (done < size) {
    const std::uint64_t at = o.address + done;
    if (whose->touch(at >> kPageShift, access, from_outside, in.has_no_execute()) != STATUS_SUCCESS)
      return STATUS_PARTIAL_COPY;
    const std::uint64_t count = left_in_page(at, size - done);
    move(*whose, at, done, count);
    done += count;
  }
  return STATUS_SUCCESS;
}

std::string compare_moved(const Operation& operation, NTSTATUS got, SIZE_T moved, std::uint64_t done) {
  const bool tells = got == STATUS_SUCCESS || got == STATUS_PARTIAL_COPY;
  if (moved == (tells ? done : kUntouchedSize)) return "";
  return fmt::format("{} moved {}, expected {}", to_string(operation), moved, done);
}

}  // namespace

std::string ReadVirtualMemory::perform(Interpreter& in) const {
  const std::uint64_t count = size_to_copy(in, address, size);
  std::vector<std::uint8_t> bytes(std::min(count, kMostBytes) + 1, kUntouchedByte);
  std::vector<std::uint8_t> want = bytes;
  std::uint64_t done = 0;
  const auto move = [&](ModelProcess& whose, std::uint64_t at, std::uint64_t from, std::uint64_t part) {
    read_model(whose, at, std::span(want).subspan(from, part));
  };
  const NTSTATUS expected = expect_copy(in, *this, PROCESS_VM_READ, Access::kRead, count, done, move);
  SIZE_T moved = kUntouchedSize;
  const NTSTATUS got = NtReadVirtualMemory(in.handle(process), NtMachine::pointer(address),
                                           no_buffer ? nullptr : bytes.data(), count, &moved);
  if (auto difference = in.compare(*this, expected, got); !difference.empty()) return difference;
  if (auto difference = compare_moved(*this, got, moved, done); !difference.empty()) return difference;
  return bytes == want ? "" : to_string(*this) + " gives other bytes";
}

std::string WriteVirtualMemory::perform(Interpreter& in) const {
  const std::uint64_t count = size_to_copy(in, address, size);
  std::vector<std::uint8_t> bytes = bytes_from(value, std::min(count, kMostBytes) + 1);
  const std::vector<std::uint8_t> want = bytes;
  std::uint64_t done = 0;
  const auto move = [&](ModelProcess& whose, std::uint64_t at, std::uint64_t from, std::uint64_t part) {
    write_model(whose, at, std::span(bytes).subspan(from, part));
  };
  const NTSTATUS expected = expect_copy(in, *this, PROCESS_VM_WRITE, Access::kWrite, count, done, move);
  SIZE_T moved = kUntouchedSize;
  const NTSTATUS got = NtWriteVirtualMemory(in.handle(process), NtMachine::pointer(address),
                                            no_buffer ? nullptr : bytes.data(), count, &moved);
  if (auto difference = in.compare(*this, expected, got); !difference.empty()) return difference;
  if (auto difference = compare_moved(*this, got, moved, done); !difference.empty()) return difference;
  return bytes == want ? "" : to_string(*this) + " changes its bytes";
}

// --- The program of the current process ---

namespace {

// `move(address, done, count)`: what the access does to the model, page by page, until one fails.
template <class Move>
NTSTATUS expect_access(Interpreter& in, std::uint64_t address, std::uint64_t size, Access access, const Move& move) {
  for (std::uint64_t done = 0; done < size;) {
    const std::uint64_t at = address + done;
    if (at > in.highest_user() || at < address) return STATUS_ACCESS_VIOLATION;
    const NTSTATUS status = in.current().touch(at >> kPageShift, access, false, in.has_no_execute());
    if (status != STATUS_SUCCESS) return status;
    const std::uint64_t count = left_in_page(at, size - done);
    move(at, done, count);
    done += count;
  }
  return STATUS_SUCCESS;
}

}  // namespace

std::string Load::perform(Interpreter& in) const {
  std::vector<std::uint8_t> bytes(size % (kMostBytes + 1), kUntouchedByte);
  std::vector<std::uint8_t> want = bytes;
  const auto move = [&](std::uint64_t at, std::uint64_t done, std::uint64_t count) {
    read_model(in.current(), at, std::span(want).subspan(done, count));
  };
  const NTSTATUS expected = expect_access(in, address, bytes.size(), Access::kRead, move);
  const NTSTATUS got = PagodaLoad(NtMachine::pointer(address), bytes.data(), bytes.size());
  if (auto difference = in.compare(*this, expected, got); !difference.empty()) return difference;
  return bytes == want ? "" : to_string(*this) + " gives other bytes";
}

std::string Store::perform(Interpreter& in) const {
  std::vector<std::uint8_t> bytes = bytes_from(value, size % (kMostBytes + 1));
  const std::vector<std::uint8_t> want = bytes;
  const auto move = [&](std::uint64_t at, std::uint64_t done, std::uint64_t count) {
    write_model(in.current(), at, std::span(bytes).subspan(done, count));
  };
  const NTSTATUS expected = expect_access(in, address, bytes.size(), Access::kWrite, move);
  const NTSTATUS got = PagodaStore(NtMachine::pointer(address), bytes.data(), bytes.size());
  if (auto difference = in.compare(*this, expected, got); !difference.empty()) return difference;
  return bytes == want ? "" : to_string(*this) + " changes its bytes";
}

std::string Fetch::perform(Interpreter& in) const {
  const auto move = [](std::uint64_t, std::uint64_t, std::uint64_t) {};
  const NTSTATUS expected = expect_access(in, address, 1, Access::kExecute, move);
  return in.compare(*this, expected, PagodaFetch(NtMachine::pointer(address)));
}

}  // namespace pagoda::nt::testing::op
