#include "pagoda/sim/image/tar_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstring>
#include <string_view>

#include "pagoda/base/check.h"
#include "pagoda/base/status.h"

namespace pagoda::sim {

namespace {

// Places of the fields of a header.
constexpr std::size_t kNameAt = 0, kNameBytes = 100;
constexpr std::size_t kSizeAt = 124, kSizeBytes = 12;
constexpr std::size_t kChecksumAt = 148, kChecksumBytes = 8;
constexpr std::size_t kTypeAt = 156;
constexpr std::size_t kMagicAt = 257;
constexpr std::size_t kPrefixAt = 345, kPrefixBytes = 155;
constexpr std::uint64_t kTextMost = 64 << 10;  // Bytes of a name or a pax record.
constexpr std::uint64_t kMemberMost = std::uint64_t{1} << 46;

std::string_view field(const TarReader::Block& block, std::size_t at, std::size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(&block[at]), size);
  return all.substr(0, all.find('\0'));
}

// An octal number between blanks, or with the highest bit set a binary one.
std::optional<std::uint64_t> number(const TarReader::Block& block, std::size_t at, std::size_t size) {
  std::uint64_t value = 0;
  if ((block[at] & std::byte{0x80}) != std::byte{0}) {
    for (std::size_t i = at; i < at + size; ++i) {
      if (value > kMemberMost) return {};
      value = value << 8 | std::to_integer<std::uint64_t>(i == at ? block[i] & std::byte{0x7f} : block[i]);
    }
    return value;
  }
  std::string_view digits = field(block, at, size);
  digits.remove_prefix(std::min(digits.find_first_not_of(' '), digits.size()));
  digits = digits.substr(0, digits.find(' '));
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 8);
  if (error != std::errc() || end != digits.data() + digits.size()) return {};
  return value;
}

bool checksum_is_right(const TarReader::Block& block) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < block.size(); ++i) {
    const bool own = i >= kChecksumAt && i < kChecksumAt + kChecksumBytes;  // Counts as blanks.
    sum += own ? std::uint64_t{' '} : std::to_integer<std::uint64_t>(block[i]);
  }
  return number(block, kChecksumAt, kChecksumBytes) == sum;
}

// The value of "path" in pax records ("LENGTH KEY=VALUE\n"); empty if there is none.
std::string pax_path(std::string_view records) {
  constexpr std::string_view kKey = " path=";
  while (!records.empty()) {
    std::size_t length = 0;
    const auto [end, error] = std::from_chars(records.data(), records.data() + records.size(), length);
    const auto digits = static_cast<std::size_t>(end - records.data());
    if (error != std::errc() || length <= digits || length > records.size()) return {};
    const std::string_view record = records.substr(digits, length - digits);
    if (record.starts_with(kKey) && record.ends_with('\n'))
      return std::string(record.substr(kKey.size(), record.size() - kKey.size() - 1));
    records.remove_prefix(length);
  }
  return {};
}

}  // namespace

bool TarReader::begins_with(const Block& block) {
  return std::memcmp(&block[kMagicAt], "ustar", 5) == 0 && checksum_is_right(block);
}

Input<> TarReader::read(std::span<std::byte> bytes) {
  PAGODA_CHECK_LE(bytes.size(), left_);
  const auto count = PAGODA_TRY(source_->read(bytes));
  if (count < bytes.size()) return source_->damaged("truncated");
  left_ -= bytes.size();
  return {};
}

Input<> TarReader::skip_rest() {
  left_ += padding_;
  padding_ = 0;
  std::array<std::byte, 64 << 10> rest{};
  while (left_ != 0) PAGODA_TRY(read(std::span(rest).first(std::min<std::uint64_t>(left_, rest.size()))));
  return {};
}

// None at the end: a block of zeros, or nothing more.
Input<std::optional<TarReader::Block>> TarReader::next_block() {
  Block block;
  const auto count = PAGODA_TRY(source_->read(block));
  if (count == 0) return std::nullopt;
  if (count < block.size()) return source_->damaged("truncated");
  if (std::ranges::all_of(block, [](std::byte b) { return b == std::byte{0}; })) return std::nullopt;
  if (!checksum_is_right(block)) return source_->damaged("damaged: the checksum of a tar header does not match");
  return block;
}

Input<std::string> TarReader::read_text(std::uint64_t size) {
  if (size > kTextMost) return source_->damaged("damaged: a name of its tar archive has no end");
  std::string text(size, '\0');
  PAGODA_TRY(read(std::as_writable_bytes(std::span(text))));
  return text;
}

Input<std::optional<TarReader::Member>> TarReader::next() {
  std::string long_name;
  for (;;) {
    PAGODA_TRY(skip_rest());
    const auto block = PAGODA_TRY(next_block());
    if (!block) return std::nullopt;
    const std::optional<std::uint64_t> size = number(*block, kSizeAt, kSizeBytes);
    if (!size || *size > kMemberMost) return source_->damaged("damaged: a member of its tar archive has no size");
    left_ = *size;
    padding_ = (kBlockBytes - *size % kBlockBytes) % kBlockBytes;
    switch (std::to_integer<char>((*block)[kTypeAt])) {
      case 'L':
      case 'x': {
        const auto text = PAGODA_TRY(read_text(*size));
        const bool gnu = (*block)[kTypeAt] == std::byte{'L'};
        if (std::string name = gnu ? text.substr(0, text.find('\0')) : pax_path(text); !name.empty())
          long_name = std::move(name);
        break;
      }
      case '\0':
      case '0': {
        std::string name(field(*block, kNameAt, kNameBytes));
        const std::string_view prefix = field(*block, kPrefixAt, kPrefixBytes);
        const bool posix = (*block)[kMagicAt + 5] == std::byte{0};  // GNU keeps other things there.
        if (posix && !prefix.empty()) name = fmt::format("{}/{}", prefix, name);
        if (!long_name.empty()) name = std::move(long_name);
        for (char& c : name)
          if (std::iscntrl(static_cast<unsigned char>(c)) != 0) c = '?';  // Messages are one line.
        return Member{.name = std::move(name), .size = *size};
      }
      default:
        long_name.clear();
    }
  }
}

}  // namespace pagoda::sim
