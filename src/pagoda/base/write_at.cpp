#include "pagoda/base/write_at.h"

#include <unistd.h>

#include <cerrno>

namespace pagoda {

int write_at(int descriptor, std::span<const std::byte> bytes, off_t at) {
  while (!bytes.empty()) {
    const ssize_t count = pwrite(descriptor, bytes.data(), bytes.size(), at);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return count < 0 ? errno : EIO;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    at += count;
  }
  return 0;
}

}  // namespace pagoda
