// Files for tests, in the notation of reference formats.md 6: "@OFFSET:HEX" puts bytes at a place, "@OFFSET:[COUNTxBYTE]"
// a run of one byte, "len SIZE" says how long the file is; what nothing is put at is zero. Offsets are hexadecimal,
// counts and sizes decimal.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace pagoda::sim {

inline std::uint64_t sample_number(std::string_view digits, int base) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, base);
  if (error != std::errc() || end != digits.data() + digits.size())
    throw std::invalid_argument("no number: " + std::string(digits));
  return number;
}

inline std::vector<std::byte> sample_bytes(std::string_view text) {
  std::vector<std::byte> bytes;
  if (text.starts_with('[')) {
    const std::size_t times = text.find('x');
    bytes.assign(sample_number(text.substr(1, times - 1), 10),
                 static_cast<std::byte>(sample_number(text.substr(times + 1, 2), 16)));
    return bytes;
  }
  for (std::size_t i = 0; i + 2 <= text.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(sample_number(text.substr(i, 2), 16)));
  return bytes;
}

inline void put_bytes(std::vector<std::byte>& file, std::size_t at, std::span<const std::byte> bytes) {
  file.resize(std::max(file.size(), at + bytes.size()));
  std::ranges::copy(bytes, file.begin() + static_cast<std::ptrdiff_t>(at));
}

// Adds to `file`, which may hold a sample already.
inline std::vector<std::byte> hex_sample(const std::string& notation, std::vector<std::byte> file = {}) {
  std::istringstream words(notation);
  for (std::string word; words >> word;) {
    if (word == "len") {
      words >> word;
      file.resize(sample_number(word, 10));
      continue;
    }
    const std::size_t colon = word.find(':');
    put_bytes(file, sample_number(std::string_view(word).substr(1, colon - 1), 16),
              sample_bytes(std::string_view(word).substr(colon + 1)));
  }
  return file;
}

// The samples of reference formats.md 6.
namespace samples {

inline const std::string kElf64 =
    "@0:7f454c46020101 @10:04003e0001 @20:40 @34:4000380002 @40:04 @48:b0 @60:14 @68:14 @78:01 @81:10 @8a:10 @92:10 "
    "@99:10 @a1:10 @b0:05 @bc:51454d55 @1000:[4096x41] len 8192";
inline const std::string kElf32 =
    "@0:7f454c46010101 @10:0400030001 @1c:34 @28:3400200002 @34:04 @38:74 @44:14 @48:14 @54:01 @59:10 @5e:10 "
    "@62:10000010 @69:10 @74:05 @80:51454d55 @1000:[4096x41] len 8192";
// RAM pages 0 to 2: 0 is left out, 1 is 'A' under zlib, 2 is zero and raw.
inline const std::string kKdump =
    "@0:4b44554d5020202006 @110:7838365f3634 @1a8:01 @1ad:10000001 @1b4:02 @1b8:10 @1cc:01 @1008:01 @1060:10 @2000:07 "
    "@3000:06 @4000:3040 @4008:1c @400c:01 @4018:4c40 @4021:10 @4030:78daedc1010d @4039:c2a06cef5fca1e0e28 "
    "@4045:e0dd00ffad103d len 20556";
inline const std::string kLime =
    "@0:454d694c01 @9:10 @10:3f10 @20:[64x41] @60:454d694c01 @6a:10 @70:3f0010 @80:[64x42] len 192";
inline const std::string kAvml =
    "@0:41564d4c02 @9:10 @10:3f10 @20:ff060000734e61507059000a000045634f8f400041fa010018 @39:[7x00] len 64";
inline const std::string kWindowsFull =
    "@0:50414745445536340f @c:614a @11:d01a @30:6486000001 @88:02 @90:03 @98:01 @a0:01 @a9:01 @b0:02 @f98:01 @fa1:50 "
    "@2000:[4096x41] @3000:[4096x42] @4000:[4096x43] len 20480";
inline const std::string kWindowsBitmap =
    "@0:50414745445536340f @c:614a @11:d01a @30:6486000001 @f98:05 @2000:53444d5044554d50 @2021:30 @2028:02 @2030:10 "
    "@2038:0280 @3000:[4096x41] @4000:[4096x42] len 20480";
inline const std::string kWindows32 =
    "@0:5041474544554d500f @20:4c01000001 @5c:01 @64:01 @68:01 @6c:01 @70:01 @f88:01 @1000:[4096x41] len 8192";
inline const std::string kMinidump =
    "@0:4d444d5093a7000002 @c:20 @18:02 @20:07 @24:38 @28:38 @2c:09 @30:20 @34:70 @38:090006 @3e:01010a @48:614a000002 "
    "@70:01 @78:90 @84:f67f000010 @90:[16x41] len 160";

// kKdump, flattened: its second part in front of its first.
inline std::vector<std::byte> flat() {
  const auto kdump = hex_sample(kKdump);
  auto file = hex_sample("@0:6d616b6564756d7066696c65 @17:01 @1f:01 @1006:4000 @100e:104c");
  put_bytes(file, 0x1010, std::span(kdump).subspan(0x4000));
  const std::size_t next = file.size();
  file.resize(next + 8);
  put_bytes(file, next + 8, sample_bytes("0000000000004000"));
  put_bytes(file, next + 16, std::span(kdump).first(0x4000));
  put_bytes(file, file.size(), sample_bytes("[16xff]"));
  return file;
}

}  // namespace samples

}  // namespace pagoda::sim
