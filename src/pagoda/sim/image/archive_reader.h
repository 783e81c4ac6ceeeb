// What is in an archive (tar, zip), file by file, and what a compressed file holds; by libarchive.
//
// Sparse files in tar archives come out whole, with zeros in their holes. Members whose type this does not know are
// refused, never passed over: libarchive takes them for files.
// Source: reference formats.md 4; libarchive 3.6.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "pagoda/base/input_error.h"
#include "pagoda/sim/image/byte_source.h"

struct archive;
struct archive_entry;

namespace pagoda::sim {

class ArchiveReader {
 public:
  enum class Kind : std::uint8_t {
    kArchive,     // tar or zip.
    kCompressed,  // One stream: gzip, bzip2, xz, LZ4.
  };
  enum class MemberKind : std::uint8_t {
    kFile,
    kHardLink,  // A second name of a file that came before.
    kFolder,
    kOther,  // Symbolic links, devices: nothing that holds bytes.
  };
  struct Member {
    std::string name;
    MemberKind kind = MemberKind::kFile;
    std::string link;                   // kHardLink: the other name.
    std::optional<std::uint64_t> size;  // Bytes; not known where only the end says it.
  };

  // `source` outlives the reader.
  ArchiveReader(ByteSource& source, Kind kind);
  ~ArchiveReader();
  ArchiveReader(const ArchiveReader&) = delete;
  ArchiveReader& operator=(const ArchiveReader&) = delete;

  // Moves to the next member; none at the end. Fails with one line: the archive is damaged or cut, or has a member of a
  // type that is not known.
  Input<std::optional<Member>> next();
  // Fills `bytes` with what comes next in the member and says how many; fewer only at its end. Fails with one line: the
  // archive is damaged, cut or encrypted.
  Input<std::size_t> read(std::span<std::byte> bytes);

 private:
  struct Feed;
  // What went wrong, in the words of whoever saw it first.
  [[nodiscard]] std::unexpected<InputError> failed() const;
  Input<> check_type(std::string_view name) const;

  std::unique_ptr<Feed> feed_;
  std::unique_ptr<archive, int (*)(archive*)> archive_;
  Kind kind_;
};

}  // namespace pagoda::sim
