#include "pagoda/sim/image/zlib_stream.h"

#include <zlib.h>

#include <algorithm>
#include <array>

#include "pagoda/base/check.h"
#include "pagoda/base/status.h"

namespace pagoda::sim {

namespace {

constexpr std::size_t kZlibPartBytes = 64 << 10;

std::unique_ptr<z_stream_s, void (*)(z_stream_s*)> make_zlib() {
  const auto end = [](z_stream_s* stream) {
    inflateEnd(stream);
    delete stream;  // NOLINT(cppcoreguidelines-owning-memory): the deleter.
  };
  std::unique_ptr<z_stream_s, void (*)(z_stream_s*)> zlib(new z_stream_s{}, end);
  PAGODA_CHECK_EQ(inflateInit(zlib.get()), Z_OK);
  return zlib;
}

// Zlib counts in 32 bits, and does not write where it reads.
void set_in(z_stream_s& zlib, std::span<const std::byte> bytes) {
  zlib.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));  // NOLINT: it is not written to.
  zlib.avail_in = static_cast<uInt>(bytes.size());
}
void set_out(z_stream_s& zlib, std::span<std::byte> bytes) {
  zlib.next_out = reinterpret_cast<Bytef*>(bytes.data());
  zlib.avail_out = static_cast<uInt>(bytes.size());
}

}  // namespace

bool ZlibStream::begins_with(std::span<const std::byte> bytes) {
  constexpr std::array<unsigned, 4> kSecondBytes{0x01, 0x5e, 0x9c, 0xda};
  if (bytes.size() < 2 || bytes[0] != std::byte{0x78} ||
      std::ranges::find(kSecondBytes, std::to_integer<unsigned>(bytes[1])) == kSecondBytes.end())
    return false;
  const auto zlib = make_zlib();
  std::vector<std::byte> out(kZlibPartBytes);
  set_in(*zlib, bytes);
  set_out(*zlib, out);
  const int result = inflate(zlib.get(), Z_NO_FLUSH);
  return (result == Z_OK || result == Z_STREAM_END) && zlib->avail_out != out.size();
}

ZlibStream::ZlibStream(ByteSource& source) : source_(&source), zlib_(make_zlib()), in_(kZlibPartBytes) {}

Input<std::size_t> ZlibStream::read(std::span<std::byte> bytes) {
  std::size_t done = 0;
  while (!ended_ && done < bytes.size()) {
    if (zlib_->avail_in == 0) {
      const auto count = PAGODA_TRY(source_->read(in_));
      if (count == 0) return source_->damaged("compressed, and cut");
      set_in(*zlib_, std::span(in_).first(count));
    }
    const auto part = bytes.subspan(done, std::min(bytes.size() - done, kZlibPartBytes));
    set_out(*zlib_, part);
    const int result = inflate(zlib_.get(), Z_NO_FLUSH);
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
      return source_->damaged("compressed, and damaged");
    done += part.size() - zlib_->avail_out;
    ended_ = result == Z_STREAM_END;
  }
  return done;
}

}  // namespace pagoda::sim
