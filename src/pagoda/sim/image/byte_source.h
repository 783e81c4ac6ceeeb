// The bytes of a file from front to back, decompressed where it holds zstd frames, skippable ones among them. Other
// compression is a layer that ArchiveReader takes off: libarchive refuses windows above 128 MiB in zstd, and archives of
// images are packed with larger ones.
//
// Memory: a read buffer, and for compressed files the window that the file asks for, up to the limit that the user
// of this gives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/base/input_error.h"

struct ZSTD_DCtx_s;

namespace pagoda::sim {

class ByteSource {
 public:
  // Fills the bytes from the front and says how many; none at the end.
  using ReadBytes = std::function<Input<std::size_t>(std::span<std::byte>)>;

  // `window_log_most`: the largest window of a zstd frame that is accepted, as a power of two of bytes. Fails if the
  // file cannot be read.
  static Input<ByteSource> open(const std::string& path, int window_log_most);
  // `name` is for messages.
  static Input<ByteSource> from_bytes(std::string name, std::vector<std::byte> file, int window_log_most);
  // What `read_bytes` gives: what a layer around it unpacked.
  static Input<ByteSource> from_reader(std::string name, ReadBytes read_bytes, int window_log_most);

  // Fills `bytes` from the front and says how many; fewer than asked for only at the end. Fails with one line if the
  // file cannot be read, is truncated or damaged.
  Input<std::size_t> read(std::span<std::byte> bytes);
  // These are what the next reads give, before all else.
  void push_back(std::span<const std::byte> bytes);

  // Up to `most` bytes that the next reads give; fewer only at the end.
  Input<std::vector<std::byte>> peek(std::size_t most);

  [[nodiscard]] const std::string& name() const { return name_; }
  // A regular file that is not compressed: its bytes may be read at any place by this descriptor, which the source
  // keeps. None otherwise.
  [[nodiscard]] std::optional<int> plain_file() const;
  [[nodiscard]] bool is_compressed() const { return compressed_; }
  // "NAME: WHAT; copy or make it again".
  [[nodiscard]] std::unexpected<InputError> damaged(std::string_view what) const;

 private:
  ByteSource(std::string name, int window_log_most);
  Input<> detect();
  // The next bytes of the file, as they are: into in_. Nothing comes when the end was reached.
  Input<> refill();
  Input<std::size_t> read_file(std::span<std::byte> bytes);
  Input<std::size_t> read_frames(std::span<std::byte> bytes);
  [[nodiscard]] std::size_t at_hand() const { return in_size_ - in_at_; }

  std::string name_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  ReadBytes read_bytes_;  // This and file_ are null when all bytes are in in_ from the start.
  std::vector<std::byte> in_;
  std::size_t in_at_ = 0;
  std::size_t in_size_ = 0;
  std::unique_ptr<ZSTD_DCtx_s, std::size_t (*)(ZSTD_DCtx_s*)> zstd_;
  bool compressed_ = false;
  bool inside_frame_ = false;
  std::vector<std::byte> pushed_;  // Backwards, so that the next byte is the last.
};

}  // namespace pagoda::sim
