// A file's bytes as they were before they were compressed: gz, xz, zst, bz2 and lz4, one in the other if need be;
// anything else as it is.
//
//   open -> front: what the format is told by -> read ... read -> 0
//
// Locking: none; one thread at a time. Source: libarchive's raw format with those filters.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/base/input_error.h"

struct archive;

namespace pagoda::sim {

class DecompressedFile {
 public:
  // `path`: a file; "-" is standard input. Fails with one line that names the file.
  static Input<DecompressedFile> open(const std::string& path);
  // The same for bytes in memory; `name` is for messages.
  static Input<DecompressedFile> from_bytes(std::string name, std::vector<char> bytes);
  DecompressedFile(DecompressedFile&&) noexcept;
  DecompressedFile& operator=(DecompressedFile&&) noexcept;
  ~DecompressedFile();

  // How the file is called in messages.
  [[nodiscard]] const std::string& name() const { return name_; }

  // The first 64 KiB, or all there is. Reading is not affected.
  [[nodiscard]] std::string_view front() const { return {front_.data(), front_.size()}; }
  // Whether the front is all there is.
  [[nodiscard]] bool front_is_all() const { return front_is_all_; }

  // Fills `bytes` from its front and says how many; 0 only at the end (or if `bytes` is empty). Fails when the
  // compressed data is cut or damaged, or the disk fails.
  Input<std::size_t> read(std::span<char> bytes);

 private:
  class Descriptor;

  static constexpr std::size_t kFrontBytes = 64 << 10;

  explicit DecompressedFile(std::string name);
  Input<> begin(int opened);
  Input<std::size_t> decompress(std::span<char> bytes);
  std::unexpected<InputError> unreadable() const;

  std::string name_;
  std::vector<char> bytes_;                 // from_bytes: what is read; else empty.
  std::unique_ptr<Descriptor> descriptor_;  // open: the same.
  std::unique_ptr<archive, int (*)(archive*)> archive_;
  std::vector<char> front_;
  bool front_is_all_ = false;
  std::size_t front_read_ = 0;  // Bytes of the front that read() has given.
};

}  // namespace pagoda::sim
