// What QEMU itself writes, page by page against its own raw image.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "pagoda/sim/testing/image_directory.h"
#include "pagoda/sim/testing/read_image.h"

namespace pagoda::sim {
namespace {

constexpr std::size_t kMemoryPages = 16 << (20 - kPageShift);  // 16 MiB.

// A machine that never runs: its memory holds its firmware, and a file of ours. False: there is no QEMU.
bool dump_a_machine(const ImageDirectory& directory) {
  if (std::system("command -v qemu-system-x86_64 >/dev/null") != 0)
    return false;  // NOLINT: nothing of others is in it.
  std::vector<std::byte> contents(200 * kPageBytes);
  std::mt19937 random(1);
  for (std::size_t i = 0; i < contents.size(); ++i)
    contents[i] = i / kPageBytes % 3 == 0 ? std::byte{0x41} : static_cast<std::byte>(random());
  directory.write("contents", contents);
  std::ofstream(directory.file("commands"))
      << "pmemsave 0 " << kMemoryPages * kPageBytes << " \"" << directory.file("raw") << "\"\ndump-guest-memory "
      << directory.file("elf") << "\ndump-guest-memory -p " << directory.file("paging") << "\ndump-guest-memory -z "
      << directory.file("kdump") << "\nquit\n";
  const std::string command =
      "qemu-system-x86_64 -m 16 -S -display none -nodefaults -accel tcg -monitor stdio -device "
      "loader,file=" +
      directory.file("contents") + ",addr=0x200000,force-raw=on <" + directory.file("commands") + " >" +
      directory.file("log") + " 2>&1";
  EXPECT_EQ(std::system(command.c_str()), 0) << command;  // NOLINT: as above.
  return true;
}

TEST(QemuDumps, HoldThePagesOfItsRawImage) {
  const ImageDirectory directory;
  if (!dump_a_machine(directory)) GTEST_SKIP() << "qemu-system-x86_64 is not there: no dump of QEMU's own is read";
  const ImageRead raw = read_image(ImageFile::open(directory.file("raw")));
  ASSERT_EQ(raw.error, "");
  ASSERT_EQ(raw.pages.size(), kMemoryPages);
  EXPECT_EQ(raw.pages[0x200][0], std::byte{0x41});
  for (const auto& [file, format] :
       {std::pair("elf", "ELF core of a machine"), std::pair("paging", "ELF core of a machine"),
        std::pair("kdump", "flattened kdump or ELF core (makedumpfile, QEMU)")}) {
    SCOPED_TRACE(file);
    const ImageRead dump = read_image(ImageFile::open(directory.file(file)));
    ASSERT_EQ(dump.error, "");
    EXPECT_EQ(dump.facts.at(0).format, format);
    EXPECT_EQ(dump.warnings(), "");
    // The firmware below 4 GiB follows the memory.
    ASSERT_GT(dump.pages.size(), kMemoryPages);
    EXPECT_TRUE(std::equal(raw.pages.begin(), raw.pages.end(), dump.pages.begin()));
  }
}

}  // namespace
}  // namespace pagoda::sim
