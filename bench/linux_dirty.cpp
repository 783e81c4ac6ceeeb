#include "bench/linux_dirty.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/harness.h"

namespace pagoda::bench {

namespace {

// From linux/fs.h and linux/userfaultfd.h of Linux 6.7; older headers have neither.
struct ScanArguments {
  std::uint64_t size = 0;
  std::uint64_t flags = 0;
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint64_t walk_end = 0;
  std::uint64_t regions = 0;
  std::uint64_t region_count = 0;
  std::uint64_t max_pages = 0;
  std::uint64_t category_inverted = 0;
  std::uint64_t category_mask = 0;
  std::uint64_t category_anyof_mask = 0;
  std::uint64_t return_mask = 0;
};
constexpr unsigned long kPagemapScan = _IOWR('f', 16, ScanArguments);
constexpr std::uint64_t kScanProtectsMatching = 1U << 0;
constexpr std::uint64_t kScanChecksAsync = 1U << 1;
constexpr std::uint64_t kPageIsWritten = 1U << 1;
constexpr std::uint64_t kFeatureAsync = 1U << 15;

constexpr std::size_t kRegions = 131072;  // As many as there may be runs of dirty pages in one call.

}  // namespace

LinuxDirtyPages::LinuxDirtyPages(std::byte* base, PageCount pages) : base_(base), pages_(pages), regions_(kRegions) {}

std::unique_ptr<LinuxDirtyPages> LinuxDirtyPages::create(PageCount pages) {
  void* const base = mmap(nullptr, bytes_of(pages).value(), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) give_up("mmap", Status::kInsufficientResources);
  std::unique_ptr<LinuxDirtyPages> memory(new LinuxDirtyPages(static_cast<std::byte*>(base), pages));
  if (!memory->watch()) return nullptr;
  return memory;
}

LinuxDirtyPages::~LinuxDirtyPages() {
  if (pagemap_ >= 0) close(pagemap_);
  if (userfault_ >= 0) close(userfault_);
  munmap(base_, bytes_of(pages_).value());
}

bool LinuxDirtyPages::watch() {
  const std::uint64_t bytes = bytes_of(pages_).value();
  const auto start = reinterpret_cast<std::uintptr_t>(base_);
  // Clean pages are the kernel's page of zeros: mapped like any other, and the scan reads page tables alone.
  if (madvise(base_, bytes, MADV_NOHUGEPAGE) != 0 || madvise(base_, bytes, MADV_POPULATE_READ) != 0) return false;
  userfault_ = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY));
  uffdio_api api{.api = UFFD_API, .features = kFeatureAsync, .ioctls = 0};
  if (userfault_ < 0 || ioctl(userfault_, UFFDIO_API, &api) != 0) return false;
  uffdio_register registration{.range = {.start = start, .len = bytes}, .mode = UFFDIO_REGISTER_MODE_WP, .ioctls = 0};
  uffdio_writeprotect protection{.range = {.start = start, .len = bytes}, .mode = UFFDIO_WRITEPROTECT_MODE_WP};
  if (ioctl(userfault_, UFFDIO_REGISTER, &registration) != 0 ||
      ioctl(userfault_, UFFDIO_WRITEPROTECT, &protection) != 0)
    return false;
  pagemap_ = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (pagemap_ < 0) return false;
  ScanArguments probe{.size = sizeof(ScanArguments), .start = start, .end = start};
  return ioctl(pagemap_, kPagemapScan, &probe) >= 0;
}

void LinuxDirtyPages::write(std::span<const std::uint64_t> pages) const {
  for (const std::uint64_t page : pages) *reinterpret_cast<volatile std::uint64_t*>(base_ + page * kPageBytes) = page;
}

std::size_t LinuxDirtyPages::collect() {
  const auto start = reinterpret_cast<std::uintptr_t>(base_);
  ScanArguments scan{.size = sizeof(ScanArguments),
                     .flags = kScanProtectsMatching | kScanChecksAsync,
                     .start = start,
                     .end = start + bytes_of(pages_).value(),
                     .regions = reinterpret_cast<std::uintptr_t>(regions_.data()),
                     .region_count = regions_.size(),
                     .category_mask = kPageIsWritten,
                     .return_mask = kPageIsWritten};
  std::size_t written = 0;
  while (scan.start < scan.end) {
    const int found = ioctl(pagemap_, kPagemapScan, &scan);
    if (found < 0) give_up("PAGEMAP_SCAN", Status::kInvalidParameter);
    for (const Region& region : std::span(regions_).first(static_cast<std::size_t>(found)))
      written += (region.end - region.start) / kPageBytes;
    scan.start = scan.walk_end;
  }
  return written;
}

}  // namespace pagoda::bench
