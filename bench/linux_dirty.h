// Linux's write watch: asynchronous userfaultfd write protection, collected and renewed by PAGEMAP_SCAN (Linux 6.7).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "pagoda/base/units.h"

namespace pagoda::bench {

class LinuxDirtyPages {
 public:
  // Private anonymous memory whose pages are all mapped, clean and watched. Null where the kernel cannot.
  static std::unique_ptr<LinuxDirtyPages> create(PageCount pages);
  LinuxDirtyPages(const LinuxDirtyPages&) = delete;
  LinuxDirtyPages& operator=(const LinuxDirtyPages&) = delete;
  ~LinuxDirtyPages();

  void write(std::span<const std::uint64_t> pages) const;
  // Pages written since the last time; each is watched anew. The calls are repeated while they fill the buffer.
  [[nodiscard]] std::size_t collect();

 private:
  struct Region {  // The kernel's page_region.
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    std::uint64_t categories = 0;
  };
  LinuxDirtyPages(std::byte* base, PageCount pages);
  bool watch();

  std::byte* base_;
  PageCount pages_;
  int userfault_ = -1;
  int pagemap_ = -1;
  std::vector<Region> regions_;
};

}  // namespace pagoda::bench
