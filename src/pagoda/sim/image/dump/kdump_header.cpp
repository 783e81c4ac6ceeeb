#include "pagoda/sim/image/dump/kdump_header.h"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "pagoda/base/status.h"
#include "pagoda/sim/image/byte_fields.h"

namespace pagoda::sim {

namespace {

constexpr std::uint32_t kBlockLeast = 4096, kBlockMost = 262144;
constexpr std::size_t kMainHeaderBytes = 0x1d0;
constexpr std::size_t kSubHeaderBytes = 0x70;
constexpr std::size_t kVersionAt = 8;

// Where the fields of the main header and of the one behind it stand.
struct KdumpLayout {
  bool is_64;
  std::size_t status, block_bytes, sub_header_blocks, bitmap_blocks, page_end;
  std::size_t dump_level, split, first, end, first_64, end_64, page_end_64;
};
constexpr KdumpLayout kKdump64{.is_64 = true,
                               .status = 0x1a8,
                               .block_bytes = 0x1ac,
                               .sub_header_blocks = 0x1b0,
                               .bitmap_blocks = 0x1b4,
                               .page_end = 0x1b8,
                               .dump_level = 0x8,
                               .split = 0xc,
                               .first = 0x10,
                               .end = 0x18,
                               .first_64 = 0x50,
                               .end_64 = 0x58,
                               .page_end_64 = 0x60};
constexpr KdumpLayout kKdump32{.is_64 = false,
                               .status = 0x19c,
                               .block_bytes = 0x1a0,
                               .sub_header_blocks = 0x1a4,
                               .bitmap_blocks = 0x1a8,
                               .page_end = 0x1ac,
                               .dump_level = 0x4,
                               .split = 0x8,
                               .first = 0xc,
                               .end = 0x10,
                               .first_64 = 0x38,
                               .end_64 = 0x40,
                               .page_end_64 = 0x48};

// The versions that brought fields.
constexpr std::uint32_t kHasDumpLevel = 1, kHasSplit = 2, kHas64 = 6, kVersionMost = 255;

bool is_likely(const ByteFields& main, const KdumpLayout& layout) {
  const std::uint32_t block = main.u32(layout.block_bytes);
  const std::uint32_t bitmap = main.u32(layout.bitmap_blocks);
  const std::uint32_t end = main.u32(layout.page_end);
  return std::has_single_bit(block) && block >= kBlockLeast && block <= kBlockMost && bitmap != 0 && end != 0 &&
         main.u32(layout.sub_header_blocks) != 0 && main.u32(kVersionAt) <= kVersionMost &&
         (main.u32(kVersionAt) >= kHas64 || std::uint64_t{bitmap} * block * 8 >= end);
}

// What follows the main header says more, in files of its version.
Input<> read_sub_header(const StoredBytes& file, std::uint32_t version, const KdumpLayout& layout,
                        KdumpHeader& header) {
  const auto bytes = PAGODA_TRY(file.read_all(header.block_bytes, kSubHeaderBytes, "the second header"));
  const ByteFields sub(bytes, header.order);
  if (version >= kHasDumpLevel) header.dump_level = sub.u32(layout.dump_level);
  if (version >= kHas64 && sub.u64(layout.page_end_64) != 0) header.page_end = sub.u64(layout.page_end_64);
  header.end = header.page_end;
  if (version < kHasSplit || sub.u32(layout.split) == 0) return {};
  header.is_part = true;
  header.first = version >= kHas64 ? sub.u64(layout.first_64) : sub.word(layout.first, layout.is_64);
  header.end = version >= kHas64 ? sub.u64(layout.end_64) : sub.word(layout.end, layout.is_64);
  if (header.first >= header.end || header.end > header.page_end)
    return file.damaged("damaged: it is a part of a dump, and does not say of which pages");
  return {};
}

}  // namespace

Input<KdumpHeader> read_kdump_header(const StoredBytes& file) {
  const auto bytes = PAGODA_TRY(file.read_all(0, kMainHeaderBytes, "the header"));
  for (const std::endian order : {std::endian::little, std::endian::big}) {
    const ByteFields main(bytes, order);
    for (const KdumpLayout* layout : {&kKdump64, &kKdump32}) {
      if (!is_likely(main, *layout)) continue;
      const std::uint32_t version = main.u32(kVersionAt);
      const std::uint64_t bitmap_blocks = main.u32(layout->bitmap_blocks);
      KdumpHeader header{.order = order,
                         .block_bytes = main.u32(layout->block_bytes),
                         .page_end = main.u32(layout->page_end),
                         .status = main.u32(layout->status)};
      PAGODA_TRY(read_sub_header(file, version, *layout, header));
      const std::uint64_t bitmap = (1 + std::uint64_t{main.u32(layout->sub_header_blocks)}) * header.block_bytes;
      const std::uint64_t bits = bitmap_blocks * header.block_bytes * 8;
      if (header.page_end > bits) return file.damaged("damaged: the bitmap of its pages has no room for all of them");
      const bool two = header.page_end <= bits / 2;
      header.stored_bitmap = two ? bitmap + bitmap_blocks / 2 * header.block_bytes : bitmap;
      header.memory_bitmap = two ? bitmap : 0;
      header.descriptors = bitmap + bitmap_blocks * header.block_bytes;
      return header;
    }
  }
  return file.damaged("damaged: its header says no possible sizes");
}

}  // namespace pagoda::sim
