// A file of a scenario that programs map: a copy of the real one, or of an image's pages, on a disk of their machine, so
// that a run leaves the real one as it is and every run begins with the same bytes. Also, with --verify, what every shared
// view has to show.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "pagoda/base/descriptor.h"
#include "pagoda/base/input_error.h"
#include "pagoda/base/units.h"
#include "pagoda/machine/disk.h"
#include "pagoda/mm/section/file_stream.h"
#include "pagoda/sim/image/image_contents.h"
#include "pagoda/sim/scenario/program_config.h"

namespace pagoda::sim {

// The words of a page, as a plain copy that memory is compared with.
inline constexpr std::size_t kPageWords = kPageBytes / sizeof(std::uint64_t);
using PageModel = std::array<std::uint64_t, kPageWords>;

class SharedFile {
 public:
  // Copies the file into the folder, where the disk keeps its bytes; empty: where temporary files go. Where it has holes
  // the copy has them too. Fails with one line: it cannot be read any more, is shorter than it was, or the copy cannot
  // be made.
  static Input<std::unique_ptr<SharedFile>> open(const FileViewConfig& config, machine::Disk& disk,
                                                 const std::filesystem::path& folder);

  // The same of an image's pages; `name` is its file's. Fails with one line: the copy cannot be made.
  static Input<std::unique_ptr<SharedFile>> from_image(const ImageContents& image, const std::string& name,
                                                       machine::Disk& disk, const std::filesystem::path& folder);

  [[nodiscard]] const std::shared_ptr<mm::FileStream>& stream() const { return stream_; }
  [[nodiscard]] PageCount pages() const { return pages_; }
  // What a shared view of the page shows. Requires: the first call for a page comes before a store to it is written to
  // the file.
  [[nodiscard]] PageModel& model(std::uint32_t page);

 private:
  SharedFile(std::shared_ptr<mm::FileStream> stream, PageCount pages, Descriptor copy)
      : stream_(std::move(stream)), pages_(pages), copy_(std::move(copy)) {}

  std::shared_ptr<mm::FileStream> stream_;
  PageCount pages_;
  Descriptor copy_;  // The file on the disk, for contents that no model has yet.
  std::unordered_map<std::uint32_t, PageModel> models_;
};

}  // namespace pagoda::sim
