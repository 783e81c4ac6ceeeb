// The bytes of an image file at any place: dumps have tables that point back and forth.
//
// A plain file is read where it lies. What comes out of a compressed file or an archive is first put into a file
// without a name in the folder for temporary files (TMPDIR), whose zeros take no room. Memory: none to speak of.
// Immutable; any number of threads may read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/sim/image/byte_source.h"

namespace pagoda::sim {

class StoredBytes {
 public:
  // `name` is for messages.
  explicit StoredBytes(std::string name) : name_(std::move(name)) {}
  virtual ~StoredBytes() = default;
  StoredBytes(const StoredBytes&) = delete;
  StoredBytes& operator=(const StoredBytes&) = delete;

  [[nodiscard]] virtual std::uint64_t size() const = 0;
  // Fills `bytes` with what lies at `at` and says how many; fewer than asked for only at the end. Fails with one line
  // if the file cannot be read.
  virtual Input<std::size_t> read(std::uint64_t at, std::span<std::byte> bytes) const = 0;

  // All of `size` bytes at `at`. Fails with one line: `what` is cut.
  Input<std::vector<std::byte>> read_all(std::uint64_t at, std::size_t size, std::string_view what) const;
  [[nodiscard]] const std::string& name() const { return name_; }
  // "NAME: WHAT; copy or make it again".
  [[nodiscard]] std::unexpected<InputError> damaged(std::string_view what) const;

 private:
  std::string name_;
};

// All that `source` gives. Requires: nothing was read from it that was not pushed back; it outlives the bytes. Fails
// with one line: it is damaged, or the folder for temporary files has no room.
Input<std::unique_ptr<StoredBytes>> store_bytes(ByteSource& source);

}  // namespace pagoda::sim
