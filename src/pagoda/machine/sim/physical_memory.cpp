#include "pagoda/machine/sim/physical_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <utility>

namespace pagoda::machine {

namespace {

constexpr ByteCount kHugePage = 2_MiB;
// Smaller arenas are within the reach of a processor's second-level TLB (2048 pages of 4 KB), and clearing 2 MB for a
// few frames costs more than it saves.
constexpr ByteCount kLeastOnHugePages = 8_MiB;

bool fits_huge_pages(ByteCount arena) {
  const long pages = sysconf(_SC_PHYS_PAGES);
  if (pages <= 0) return false;
  return arena >= kLeastOnHugePages && arena <= bytes_of(PageCount(static_cast<std::uint64_t>(pages))) / 4;
}

}  // namespace

Result<PhysicalMemory> PhysicalMemory::create(PageCount frames, FrameMemory kind) {
  PhysicalMemory memory;
  memory.frames_ = frames;
  const std::size_t bytes = bytes_of(frames).value();
  // Room to begin on a border of huge pages, and for an inaccessible piece on each side: so that neither a neighbour
  // becomes part of our mapping, nor a stray access of ours hits it.
  memory.mapped_bytes_ = bytes + 3 * kHugePage.value();
  void* const mapped =
      mmap(nullptr, memory.mapped_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return fail(Status::kInsufficientResources);
  memory.mapped_ = static_cast<std::byte*>(mapped);
  const auto place = reinterpret_cast<std::uintptr_t>(mapped);
  memory.base_ = memory.mapped_ + (2 * kHugePage.value() - place % kHugePage.value());

  if (kind == FrameMemory::kPrivate) {
    if (mprotect(memory.base_, bytes, PROT_READ | PROT_WRITE) != 0) return fail(Status::kInsufficientResources);
    // Only advice: where this computer refuses, nothing changes but speed. A large arena is advised against it, because
    // by the policy "always" every touch of it would cost 2 MB.
    const bool huge = fits_huge_pages(bytes_of(frames));
    madvise(memory.base_, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    return memory;
  }
  memory.memfd_ = memfd_create("pagoda-ram", MFD_CLOEXEC);
  if (memory.memfd_ < 0 || ftruncate(memory.memfd_, static_cast<off_t>(bytes)) != 0 ||
      mmap(memory.base_, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, memory.memfd_, 0) ==
          MAP_FAILED)
    return fail(Status::kInsufficientResources);
  return memory;
}

PhysicalMemory::PhysicalMemory(PhysicalMemory&& other) noexcept
    : memfd_(std::exchange(other.memfd_, -1)),
      base_(std::exchange(other.base_, nullptr)),
      mapped_(std::exchange(other.mapped_, nullptr)),
      mapped_bytes_(other.mapped_bytes_),
      frames_(other.frames_) {}

PhysicalMemory::~PhysicalMemory() {
  if (mapped_ != nullptr) munmap(mapped_, mapped_bytes_);
  if (memfd_ >= 0) close(memfd_);
}

int PhysicalMemory::memfd() const {
  PAGODA_CHECK_GE(memfd_, 0);
  return memfd_;
}

void PhysicalMemory::give_back(PfnRange frames) {
  if (frames.empty()) return;
  PAGODA_CHECK((PfnRange{Pfn(0), frames_}).contains(frames));
  // A memfd keeps its pages when a mapping drops them: they have to leave the file.
  const int advice = memfd_ >= 0 ? MADV_REMOVE : MADV_DONTNEED;
  PAGODA_CHECK_EQ(madvise(base_ + PhysicalAddress(frames.first).value(), bytes_of(frames.count).value(), advice), 0);
}

// The arena is one entry of /proc/self/smaps, or several where Linux split it.
ByteCount PhysicalMemory::resident() const {
  const auto first = reinterpret_cast<std::uintptr_t>(base_);
  const std::uintptr_t end = first + bytes_of(frames_).value();
  ByteCount sum;
  bool ours = false;
  std::ifstream maps("/proc/self/smaps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long long from = 0;
    unsigned long long to = 0;
    unsigned long long kilobytes = 0;
    if (std::sscanf(line.c_str(), "%llx-%llx ", &from, &to) == 2) {
      ours = from >= first && from < end;
    } else if (ours && std::sscanf(line.c_str(), "Rss: %llu kB", &kilobytes) == 1) {
      sum += ByteCount(kilobytes * 1024);
    }
  }
  return sum;
}

}  // namespace pagoda::machine
