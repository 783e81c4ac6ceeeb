// A file as sections and the cache see it: its bytes on a disk, and at most one control area for its data and one for
// its image, so that all views of the data are coherent. NT: the stream's FCB with its SECTION_OBJECT_POINTERS.
//
// Owned by shared_ptr: file handles hold it, and so does each control area (NT: FilePointer), so that pages of a
// closed file stay on standby, and an owner that keeps weak pointers by name finds them when the file is opened again.
// An image is a snapshot: what is written to the file later does not show in it (reference/nt.md section 6). `writes`
// tells whether an image that is not used any more is out of date.
//
// Locking: the control areas belong to Sections::lock; the size changes under it too, in one change of the file at a time
// (Sections::FileChange). `writes`: the PFN lock.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "pagoda/machine/disk.h"

namespace pagoda::mm {

class ControlArea;

class FileStream {
 public:
  FileStream(std::string name, std::unique_ptr<machine::DiskFile> file)
      : name_(std::move(name)), file_(std::move(file)) {}
  FileStream(const FileStream&) = delete;
  FileStream& operator=(const FileStream&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] machine::DiskFile& file() { return *file_; }
  [[nodiscard]] const machine::DiskFile& file() const { return *file_; }
  [[nodiscard]] ByteCount size() const { return file_->size(); }

  std::uint64_t writes = 0;  // Transfers that changed its bytes.

 private:
  friend class Sections;

  const std::string name_;
  std::unique_ptr<machine::DiskFile> file_;
  ControlArea* data_ = nullptr;   // NT: DataSectionObject.
  ControlArea* image_ = nullptr;  // NT: ImageSectionObject.
  bool changing_ = false;         // A change of the file is under way, which may have let all locks go.
};

}  // namespace pagoda::mm
