// Traces of disks: which bytes of which disk were read and written, as text.
//
//   csv-blocks   version,time,op,size,lbn        libCacheSim's: a header names the columns; lbn in units of 512 bytes,
//                1,5633898,2a,512,42932745       size in bytes, op a SCSI command in hex (2a is WRITE(10)) or a word
//   msr          128166372003061629,usr,0,Read,7014609920,24576,41286      time, host, disk, Read or Write, byte
//                offset, bytes, response time; no header (MSR Cambridge)
//   blkparse     8,0 3 11 0.009507758 697 Q R 223490 + 8 [kjournald]      sectors of 512 bytes. A request is printed
//                once for each of its actions: the queued ones are counted (Q), or where the front of the trace has
//                none, those issued (D), or completed (C). Discards and flushes touch no page.
//
// The pages of the n-th disk that a trace names begin at n * kDiskPages.
// Source: reference formats.md 5; libCacheSim's csv reader; MSR Cambridge readme; blktrace blkparse_fmt.c.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/sim/trace/foreign/foreign_parser.h"

namespace pagoda::sim {

inline constexpr std::uint64_t kDiskPages = std::uint64_t{1} << 40;  // 4 PiB: 4096 disks fit into a trace.

// Numbers disks by their names, in order of appearance.
class DiskNumbers {
 public:
  // Puts an access to `disk` where that disk's pages are. Bad if it does not fit.
  ForeignRecord place(std::string_view disk, ForeignAccess access);

 private:
  std::vector<std::string> names_;
};

class BlockCsvParser final : public ForeignParser {
 public:
  ForeignRecord parse(std::string_view line) override;

 private:
  enum class Column { kOther, kLbn, kSize, kOperation };
  ForeignRecord parse_header(std::string_view line);

  std::vector<Column> columns_;  // Empty: the header has not come yet.
};

class MsrParser final : public ForeignParser {
 public:
  ForeignRecord parse(std::string_view line) override;

 private:
  DiskNumbers disks_;
};

class BlkparseParser final : public ForeignParser {
 public:
  explicit BlkparseParser(const ForeignSample& sample);
  ForeignRecord parse(std::string_view line) override;

 private:
  std::string_view action_;  // The one that counts.
  DiskNumbers disks_;
  bool in_summary_ = false;  // Per processor and in total; the last that blkparse prints.
};
std::unique_ptr<ForeignParser> make_blkparse_parser(const ForeignSample& sample);
std::size_t fits_blkparse(const ForeignSample& sample);

}  // namespace pagoda::sim
