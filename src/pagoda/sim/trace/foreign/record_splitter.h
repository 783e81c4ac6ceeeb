// Cuts the bytes of a trace into records: lines, or so many bytes each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/sim/trace/foreign/decompressed_file.h"

namespace pagoda::sim {

struct SplitRecord {
  enum class State {
    kEnd,      // There is none: the file ends.
    kWhole,    // A line without its line feed; all bytes of a record.
    kCut,      // What is behind the last line feed or the last whole record.
    kTooLong,  // The first kBytesMax bytes of a line that is longer; the rest is dropped.
  };
  State state = State::kEnd;
  std::string_view bytes;  // Good until the next one is asked for.
};

class RecordSplitter {
 public:
  // `record_bytes`: 0 for lines. `file` must outlive it.
  RecordSplitter(DecompressedFile& file, std::size_t record_bytes);

  // The next record. Fails as reading fails.
  Input<SplitRecord> next();
  // Bytes read from the file so far.
  [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_; }

  static constexpr std::size_t kBytesMax = 64 << 10;  // A stack's longest line, and a symbol's, is shorter.

 private:
  Input<> fill();
  SplitRecord take(std::size_t length, std::size_t used, SplitRecord::State state);

  DecompressedFile& file_;
  const std::size_t record_bytes_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;  // What is in the buffer and was not given yet.
  std::size_t end_ = 0;
  std::uint64_t bytes_read_ = 0;
  bool at_end_ = false;
  bool dropping_ = false;  // The rest of a line that was too long.
};

}  // namespace pagoda::sim
