#include "pagoda/sim/image/page_maker.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "pagoda/base/random.h"

namespace pagoda::sim {

namespace {

// LZ4 leaves the last five bytes of a block as they are, whatever they hold.
constexpr std::uint32_t kTail = 5;
constexpr std::uint32_t kBody = kPageBytes - kTail;
// A sequence is a token, literals and the offset of a match; the tail has a token and no match.
constexpr std::uint32_t kTokenBytes = 1;
constexpr std::uint32_t kOffsetBytes = 2;
constexpr std::uint32_t kMatchLeast = 4;
// A length of 15 and more goes on in bytes of up to 255 each.
constexpr std::uint32_t kLengthInToken = 15;
// Bytes of a page that nothing repeats in.
constexpr std::uint32_t kIncompressible = 1 + 1 + (kPageBytes - kLengthInToken) / 255 + kPageBytes;
// Segments at most: one in 32 bytes. Real pages of code and data have about as many sequences.
constexpr std::uint32_t kSegmentsMost = 128;
// Bytes under LZ4 that a segment takes at least, and that it saves at least: runs that are not shorter than a match,
// and matches that LZ4 finds even where it looks at one byte of eleven.
constexpr std::uint32_t kSegmentCost = 16;
constexpr std::uint32_t kSegmentSaving = 20;

constexpr std::uint32_t kSymbolsMost = 256;
// With fewer values equal runs of four come about by chance, and LZ4 finds them.
constexpr std::uint32_t kSymbolsLeast = 24;
// Bytes that zstd -1 takes for a sequence, and for the frame with the code of the literals. Measured.
constexpr double kZstdSequence = 2;
constexpr double kZstdFrame = 30;

constexpr std::uint32_t length_bytes(std::uint32_t length) {
  return length < kLengthInToken ? 0 : 1 + (length - kLengthInToken) / 255;
}

// The `part`-th of `parts` nearly equal parts; larger ones first.
constexpr std::uint32_t part_of(std::uint32_t whole, std::uint32_t parts, std::uint32_t part) {
  return whole / parts + (part < whole % parts ? 1 : 0);
}

// Bytes under LZ4 of a page with so many segments and literals.
std::uint32_t lz4_size(std::uint32_t segments, std::uint32_t literals) {
  std::uint32_t size = kTokenBytes + kTail;
  for (std::uint32_t i = 0; i < segments; ++i) {
    const std::uint32_t run = part_of(literals, segments, i);
    const std::uint32_t match = part_of(kBody - literals, segments, i);
    size += kTokenBytes + length_bytes(run) + run + kOffsetBytes + length_bytes(match - kMatchLeast);
  }
  return size;
}

// Different byte values with which the runs have the wanted size under zstd. Those take the logarithm of their number
// in bits each, a sequence some bytes, and their code table some more.
std::uint32_t symbols_for(std::uint32_t zstd_size, std::uint32_t segments, std::uint32_t literals) {
  if (zstd_size == 0 || literals < kSymbolsMost) return kSymbolsMost;
  const double coded = zstd_size - kZstdSequence * segments - kZstdFrame;
  const double bits = 8 * coded / literals;
  if (bits >= 8) return kSymbolsMost;
  return std::max(kSymbolsLeast, static_cast<std::uint32_t>(std::lround(std::exp2(bits))));
}

// Bytes of `symbols` different values, evenly.
void fill_with_symbols(PageBytes page, std::uint64_t seed, std::uint32_t symbols) {
  Random random(seed);
  const auto flip = static_cast<std::uint8_t>(random.next());
  std::array<std::uint64_t, kPageBytes / sizeof(std::uint64_t)> words{};
  for (std::uint64_t& word : words) word = random.next();
  std::array<std::uint8_t, kPageBytes> bytes{};
  std::memcpy(bytes.data(), words.data(), bytes.size());
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(((byte * symbols) >> 8) ^ flip);
  std::memcpy(page.data(), bytes.data(), bytes.size());
}

// Byte after byte where they overlap: a match may run into itself.
void copy_match(PageBytes page, std::uint32_t at, std::uint32_t from, std::uint32_t length) {
  if (at - from >= length) {
    std::memcpy(&page[at], &page[from], length);
    return;
  }
  for (std::uint32_t i = 0; i < length; ++i) page[at + i] = page[from + i];
}

}  // namespace

PageMaker::PageMaker() {
  for (std::uint32_t size = 0; size <= kPageBytes; ++size) plans_[size] = solve(size);
}

PageMaker::Plan PageMaker::solve(std::uint32_t size) {
  if (size >= kPageBytes) return {.segments = 0, .literals = kPageBytes};
  const std::uint32_t segments =
      std::clamp(std::min(size / kSegmentCost, (kIncompressible - size) / kSegmentSaving), 1U, kSegmentsMost);
  // More literals, more bytes: the least number that reaches the size, or the one before it if that is nearer.
  std::uint32_t least = segments;
  std::uint32_t most = kBody - segments * (kMatchLeast + kTail);
  while (least < most) {
    const std::uint32_t middle = (least + most) / 2;
    if (lz4_size(segments, middle) < size) {
      least = middle + 1;
    } else {
      most = middle;
    }
  }
  if (least > segments && lz4_size(segments, least) - size > size - lz4_size(segments, least - 1)) --least;
  return {.segments = static_cast<std::uint16_t>(segments), .literals = static_cast<std::uint16_t>(least)};
}

void PageMaker::make_other(std::uint32_t number, const PageContent& content, PageBytes page) const {
  const Plan plan = plans_[content.lz4_size];
  fill_with_symbols(page, number, symbols_for(content.zstd_size, plan.segments, plan.literals));
  std::uint32_t at = 0;
  std::uint32_t source = 0;  // Where the run of the segment before begins.
  for (std::uint32_t i = 0; i < plan.segments; ++i) {
    const std::uint32_t run = at;
    at += part_of(plan.literals, plan.segments, i);
    const std::uint32_t match = part_of(kBody - plan.literals, plan.segments, i);
    copy_match(page, at, source, match);
    at += match;
    source = run;
  }
  const std::uint32_t mark = number * 0x9E3779B1U;  // Odd: no two numbers have the same.
  std::memcpy(&page[kPageBytes - sizeof mark], &mark, sizeof mark);
  constexpr std::size_t kLastOfTail = kPageBytes - sizeof mark - 1;
  page[kLastOfTail] = ~page[kLastOfTail % sizeof(std::uint64_t)];  // [PM3].
}

void PageMaker::make(std::uint32_t number, const PageContent& content, PageBytes page) const {
  switch (content.kind) {
    case ContentKind::kZero:
      return make_page_of_words(0, page);
    case ContentKind::kPattern:
      return make_page_of_words(content.pattern, page);
    case ContentKind::kOther:
      return make_other(number, content, page);
  }
}

void make_page_of_words(std::uint64_t word, PageBytes page) {
  for (std::size_t at = 0; at < page.size(); at += sizeof word) std::memcpy(&page[at], &word, sizeof word);
}

bool is_zero_page(ConstPageBytes page) {
  return page[0] == std::byte{0} && std::memcmp(page.data(), &page[1], page.size() - 1) == 0;
}

}  // namespace pagoda::sim
