#include "pagoda/machine/paging_mode.h"

namespace pagoda::machine {

namespace {

constexpr RawPte bits(unsigned first, unsigned last) {
  return (last == 63 ? ~RawPte{0} : (RawPte{1} << (last + 1)) - 1) & ~((RawPte{1} << first) - 1);
}

}  // namespace

// Without PSE-36 bits 13-21 of a 4 MB entry are reserved (Intel SDM vol. 3A table 4-4, MAXPHYADDR 32).
const PagingMode kX86Paging{
    .format = PteFormat::kX86,
    .name = "x86",
    .levels = 2,
    .entry_bytes = 4,
    .virtual_bits = 32,
    .physical_bits = 32,
    .root_bits = 32,
    .has_no_execute = false,
    .frame_mask = bits(12, 31),
    .highest_user = VirtualAddress(0x7FFEFFFF),
    .level = {{{},
               {.shift = 12, .index_bits = 10},
               {.shift = 22, .index_bits = 10, .may_be_large = true, .reserved_large = bits(13, 21)}}},
};

// NT keeps 26 bits of frame number (12-37): 256 GB. Present entries with higher address bits are malformed.
const PagingMode kPaePaging{
    .format = PteFormat::kPae,
    .name = "pae",
    .levels = 3,
    .entry_bytes = 8,
    .virtual_bits = 32,
    .physical_bits = 38,
    .root_bits = 32,
    .has_no_execute = true,
    .frame_mask = bits(12, 37),
    .highest_user = VirtualAddress(0x7FFEFFFF),
    .level =
        {{{},
          {.shift = 12, .index_bits = 9, .reserved = bits(38, 62)},
          {.shift = 21,
           .index_bits = 9,
           .may_be_large = true,
           .reserved = bits(38, 62),
           .reserved_large = bits(13, 20) | bits(38, 62)},
          {.shift = 30, .index_bits = 2, .carries_rights = false, .reserved = bits(1, 2) | bits(5, 8) | bits(38, 63)}}},
};

// NT (Vista and later) keeps 36 bits of frame number (12-47), of which this processor implements as many as a Pfn has:
// MAXPHYADDR is 44, so 44-51 are reserved. Bits 52-62 are software's. The 8 TB of user space are NT 5.2's and 6.0's.
const PagingMode kAmd64Paging{
    .format = PteFormat::kAmd64,
    .name = "amd64",
    .levels = 4,
    .entry_bytes = 8,
    .virtual_bits = 48,
    .physical_bits = 44,
    .root_bits = 44,
    .has_no_execute = true,
    .frame_mask = bits(12, 47),
    .highest_user = VirtualAddress(0x7FFFFFEFFFF),
    .level = {{{},
               {.shift = 12, .index_bits = 9, .reserved = bits(44, 51)},
               {.shift = 21,
                .index_bits = 9,
                .may_be_large = true,
                .reserved = bits(44, 51),
                .reserved_large = bits(13, 20) | bits(44, 51)},
               {.shift = 30,
                .index_bits = 9,
                .may_be_large = true,
                .reserved = bits(44, 51),
                .reserved_large = bits(13, 29) | bits(44, 51)},
               {.shift = 39, .index_bits = 9, .reserved = bits(7, 7) | bits(44, 51)}}},
};

const PagingMode& paging_mode(PteFormat format) {
  switch (format) {
    case PteFormat::kX86:
      return kX86Paging;
    case PteFormat::kPae:
      return kPaePaging;
    case PteFormat::kAmd64:
      return kAmd64Paging;
  }
  return kAmd64Paging;
}

}  // namespace pagoda::machine
