// Files with memory images for tests, in a temporary folder.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pagoda::sim {

// Four whole images that may not be shipped; they are tested if they are present here.
inline const std::string kRealImages = std::string(PAGODA_SOURCE_DIR) + "/data/images/nk4.tar.zst";

class ImageDirectory {
 public:
  ImageDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "pagoda-image-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~ImageDirectory() { std::filesystem::remove_all(path_); }
  ImageDirectory(const ImageDirectory&) = delete;
  ImageDirectory& operator=(const ImageDirectory&) = delete;

  [[nodiscard]] std::string file(std::string_view name) const { return (path_ / name).string(); }
  void write(std::string_view name, std::span<const std::byte> bytes) const {
    std::ofstream(file(name), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }

 private:
  std::filesystem::path path_;
};

struct TarMember {
  std::string name;
  std::span<const std::byte> bytes;
  char type = '0';
};

// A ustar archive.
inline std::vector<std::byte> tar_of(const std::vector<TarMember>& members) {
  std::string archive;
  for (const TarMember& member : members) {
    std::string header(512, '\0');
    header.replace(0, member.name.size(), member.name);
    header.replace(124, 11, fmt::format("{:011o}", member.bytes.size()));
    header.replace(148, 8, "        ");
    header[156] = member.type;
    header.replace(257, 5, "ustar");
    const unsigned sum = std::accumulate(header.begin(), header.end(), 0U,
                                         [](unsigned a, char c) { return a + static_cast<unsigned char>(c); });
    header.replace(148, 7, fmt::format("{:06o}", sum) + '\0');
    archive += header;
    archive.append(reinterpret_cast<const char*>(member.bytes.data()), member.bytes.size());
    archive.resize((archive.size() + 511) / 512 * 512);
  }
  archive.resize(archive.size() + 1024);
  const auto bytes = std::as_bytes(std::span(archive));
  return {bytes.begin(), bytes.end()};
}

}  // namespace pagoda::sim
