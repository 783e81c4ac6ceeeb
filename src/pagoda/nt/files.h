// Files as the native API knows them: names below one directory of the host, and what a file handle refers to.
//
// A file that is open, mapped or still in memory has exactly one mm::FileStream, found by its canonical path, so that
// all its views and all reads and writes see the same pages. Locking: `lock_` guards the table of streams; ranks before
// all of mm's locks.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "pagoda/mm/section/file_stream.h"
#include "pagoda/nt/objects.h"

namespace pagoda::nt {

class FileObject : public Object {
 public:
  static constexpr ObjectType kType = ObjectType::kFile;

  explicit FileObject(std::shared_ptr<mm::FileStream> stream) : Object(kType), stream_(std::move(stream)) {}

  [[nodiscard]] const std::shared_ptr<mm::FileStream>& stream() const { return stream_; }
  // Where the next read or write without an offset begins. NT: CurrentByteOffset.
  void set_position(FileOffset position) { position_ = position.value(); }
  // A transfer without an offset: `bytes(position)` says how many it is about to move. Its place is its own from then
  // on, whoever else reads or writes through the object. Returns the place.
  template <class Bytes>
  FileOffset take_position(const Bytes& bytes) {
    std::uint64_t position = position_;
    while (!position_.compare_exchange_weak(position, position + bytes(FileOffset(position)).value())) {
    }
    return FileOffset(position);
  }
  // It moved less than that: the next begins where it ended, unless another has gone on already.
  void end_early(FileOffset expected, FileOffset reached) {
    std::uint64_t position = expected.value();
    position_.compare_exchange_strong(position, reached.value());
  }

 private:
  const std::shared_ptr<mm::FileStream> stream_;
  std::atomic<std::uint64_t> position_ = 0;
};

class Files {
 public:
  // Below `directory`, through the disk; an empty path: there are no files.
  Files(machine::Disk* disk, const std::filesystem::path& directory);

  struct Opened {
    std::shared_ptr<mm::FileStream> stream;
    enum class How : std::uint8_t { kOpened, kCreated } how = How::kOpened;
  };
  // By an NT name: "\??\C:\dir\file" (any drive letter), "\DosDevices\...", "\Device\HarddiskVolume1\dir\file", or
  // "\dir\file". For writing where the host allows it.
  // Fails with: kObjectNameInvalid (the name has no meaning, or leads out of the directory), kObjectNameNotFound,
  // kObjectNameCollision, kAccessDenied, kInvalidFileForSection (a directory or a device), kInsufficientResources.
  Result<Opened> open(const std::u16string& name, machine::FileCreation creation);
  // Streams in use.
  [[nodiscard]] std::size_t open_streams() const;

 private:
  // The host's path of a name, canonical.
  [[nodiscard]] Result<std::filesystem::path> host_path(const std::u16string& name) const;

  machine::Disk* const disk_;
  std::filesystem::path directory_;  // Canonical. Immutable after construction.
  mutable Lock lock_;
  std::map<std::string, std::weak_ptr<mm::FileStream>> streams_ PAGODA_GUARDED_BY(lock_);
};

}  // namespace pagoda::nt
