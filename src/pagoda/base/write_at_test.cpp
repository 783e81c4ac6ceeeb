#include "pagoda/base/write_at.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

#include "pagoda/base/descriptor.h"

namespace pagoda {
namespace {

TEST(WriteAt, PutsAllBytesWhereTheyBelong) {
  const Descriptor file(memfd_create("write_at", MFD_CLOEXEC));
  ASSERT_TRUE(file.is_open());
  const std::vector<std::byte> bytes(100'000, std::byte{7});
  EXPECT_EQ(write_at(file.get(), bytes, 50), 0);
  EXPECT_EQ(write_at(file.get(), {}, 1'000'000), 0);
  EXPECT_EQ(lseek(file.get(), 0, SEEK_END), 100'050);
  std::array<std::byte, 2> read{};
  EXPECT_EQ(pread(file.get(), read.data(), read.size(), 49), 2);
  EXPECT_EQ(read, (std::array{std::byte{0}, std::byte{7}}));
}

TEST(WriteAt, SaysWhyItCouldNot) {
  const std::array<std::byte, 1> byte{};
  const Descriptor full(open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(full.is_open());
  EXPECT_EQ(write_at(full.get(), byte, 0), ENOSPC);
  EXPECT_EQ(write_at(-1, byte, 0), EBADF);
}

}  // namespace
}  // namespace pagoda
