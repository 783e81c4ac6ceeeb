// A file as sections and the cache see it: its bytes on a disk, and at most one control area for its data and one for
// its image, so that all views of the data are coherent. NT: the stream's FCB with its SECTION_OBJECT_POINTERS.
//
// Owned by shared_ptr: file handles hold it, and so does each control area (NT: FilePointer), so that pages of a file
// that nobody has open stay on standby and are found when it is opened again, by whoever keeps weak pointers by name.
// Locking: the control areas belong to Sections::lock; the size changes under it too.
#pragma once

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

 private:
  friend class Sections;

  const std::string name_;
  std::unique_ptr<machine::DiskFile> file_;
  ControlArea* data_ = nullptr;   // NT: DataSectionObject.
  ControlArea* image_ = nullptr;  // NT: ImageSectionObject.
};

}  // namespace pagoda::mm
