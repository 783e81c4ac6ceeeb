// Any bytes at all: the parser of PE images refuses them with a status of reference/nt.md 6.1, or gives a layout that
// keeps its invariants.
//
// The first byte chooses: the rest as it is; or a sound PE32 or PE32+ image, at which the rest pokes (where, how wide,
// what), so that the fuzzer reaches what lies behind the signatures.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "pagoda/base/check.h"
#include "pagoda/mm/section/pe_image.h"
#include "pagoda/mm/testing/pe_builder.h"

namespace {

using pagoda::ByteCount;
using pagoda::Status;
using pagoda::mm::PeFormat;
using pagoda::mm::testing::pe_bytes;
using pagoda::mm::testing::PeBuilder;

// Of files that are not empty.
constexpr std::array kRefusals{Status::kInvalidImageFormat,   Status::kInvalidImageNotMz,
                               Status::kInvalidImageNeFormat, Status::kInvalidImageWin16,
                               Status::kInvalidImageLeFormat, Status::kInvalidImageProtect};

constexpr pagoda::PageCount kPagesToFill{64};  // Images of gigabytes are legal, and take long.

std::vector<std::byte> sound_image(PeFormat format, std::uint32_t section_alignment) {
  PeBuilder pe(format);
  pe.section_alignment = section_alignment;
  if (section_alignment < pagoda::kPageBytes) pe.file_alignment = section_alignment;
  pe.add({.name = ".text", .flags = pagoda::mm::testing::kPeText, .bytes = pe_bytes(700, 1)});
  pe.add({.name = ".data", .flags = pagoda::mm::testing::kPeData, .bytes = pe_bytes(80, 2), .virtual_size = 9'000});
  pe.add({.name = ".bss", .flags = pagoda::mm::testing::kPeBss, .virtual_size = 5'000});
  return pe.build();
}

// Four bytes a poke: a place in the headers (two), a width, and a value that is small, or large.
void poke(std::span<std::byte> file, std::span<const std::uint8_t> pokes) {
  for (; pokes.size() >= 4; pokes = pokes.subspan(4)) {
    const std::size_t at = (pokes[0] | std::size_t{pokes[1]} << 8) % (file.size() - 8);
    const std::size_t width = std::size_t{1} << (pokes[2] % 4);
    const std::uint64_t value = (pokes[2] & 0x80) != 0 ? ~std::uint64_t{pokes[3]} : std::uint64_t{pokes[3]};
    PeBuilder::poke(file, at, value << ((pokes[2] >> 2) % 32), width);
  }
}

std::vector<std::byte> make_file(std::span<const std::uint8_t> data) {
  if (data.empty()) return {};
  const std::uint8_t kind = data[0] % 5;
  const auto rest = data.subspan(1);
  if (kind == 0) {
    const auto bytes = std::as_bytes(rest);
    return {bytes.begin(), bytes.end()};
  }
  const PeFormat format = (kind & 1) != 0 ? PeFormat::kPe32 : PeFormat::kPe32Plus;
  std::vector<std::byte> file = sound_image(format, kind < 3 ? 0x1000 : 0x20);
  poke(file, rest);
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::byte> file = make_file(std::span(data, size));
  const auto layout = pagoda::mm::parse_pe_image(file);
  if (!layout) {
    const Status status = layout.error();
    PAGODA_CHECK(file.empty() ? status == Status::kInvalidFileForSection
                              : std::ranges::find(kRefusals, status) != kRefusals.end());
    return 0;
  }
  PAGODA_CHECK(pagoda::mm::testing::broken_invariant(*layout, ByteCount(file.size())).empty());
  if (layout->pages <= kPagesToFill)
    PAGODA_CHECK_EQ(pagoda::mm::testing::image_bytes(*layout, file).size(), pagoda::bytes_of(layout->pages).value());
  return 0;
}
