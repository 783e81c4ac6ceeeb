// The physical memory of a machine as a dump has it: ranges of addresses with their bytes. What lies in no range is
// absent: it was no memory, or the dump left it out. It is not zero.
//
// A format is a file in dump/ that implements this, and a row of image_format.cpp. Numbers in here come from the file:
// readers see to it that a range's bytes are in the file, ImagePages to everything else (order, overlaps, parts of
// pages, too much).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/base/units.h"
#include "pagoda/sim/image/stored_bytes.h"

namespace pagoda::sim {

struct StoredRange {
  std::uint64_t first = 0;  // Physical address.
  std::uint64_t bytes = 0;
  std::uint64_t place = 0;  // Where they are, as the format's reader understands it.
};

class MemoryImage {
 public:
  virtual ~MemoryImage() = default;

  // In the order of the file: where two overlap, the first one counts.
  [[nodiscard]] const std::vector<StoredRange>& ranges() const { return ranges_; }
  // Pages that the file says were memory and are not in it: excluded, lost, or cut off.
  [[nodiscard]] PageCount absent() const { return absent_; }
  // What the user should know before she believes figures about this image: "cut: ...".
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }

  // Fills `bytes` with what lies `at` bytes behind the beginning of the range. Requires: one of ranges(), and no more
  // than is in it. Reading onwards is cheap, backwards it may not be. Fails with one line: the file is damaged.
  virtual Input<> read(const StoredRange& range, std::uint64_t at, std::span<std::byte> bytes) = 0;

 protected:
  void add_range(const StoredRange& range) {
    if (range.bytes != 0) ranges_.push_back(range);
  }
  void add_absent(PageCount pages) { absent_ += pages; }
  void warn(std::string warning) { warnings_.push_back(std::move(warning)); }

 private:
  std::vector<StoredRange> ranges_;
  PageCount absent_;
  std::vector<std::string> warnings_;
};

// An image whose ranges lie in the file as they are; `place` is where they begin.
class PlainRanges : public MemoryImage {
 public:
  explicit PlainRanges(std::shared_ptr<const StoredBytes> file) : file_(std::move(file)) {}

  // Adds what of the range is in the file; what was cut off is absent, and warned of by warn_of_cut.
  void add(const StoredRange& range);
  // To be called behind the last range.
  void warn_of_cut();
  Input<> read(const StoredRange& range, std::uint64_t at, std::span<std::byte> bytes) override;

  using MemoryImage::add_absent;
  using MemoryImage::warn;

 private:
  std::shared_ptr<const StoredBytes> file_;
  std::uint64_t cut_bytes_ = 0;
};

}  // namespace pagoda::sim
