#include "bench/linux_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "bench/harness.h"

namespace pagoda::bench {

namespace {

// An own mapping of memory, until the end of the scope.
class Mapping {
 public:
  Mapping(std::size_t bytes, int flags, int fd)
      : bytes_(bytes), base_(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, fd, 0)) {
    if (base_ == MAP_FAILED) give_up("mmap", Status::kInsufficientResources);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() { munmap(base_, bytes_); }

  [[nodiscard]] void* base() const { return base_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_;
  void* base_;
};

double write_each_page(void* base, std::size_t bytes) {
  auto* const words = static_cast<volatile std::uint64_t*>(base);
  Stopwatch watch;
  watch.start();
  for (std::size_t at = 0; at < bytes; at += kPageBytes) words[at / sizeof *words] = at;
  watch.stop();
  return watch.nanoseconds_per(bytes / kPageBytes);
}
double write_each_page(const Mapping& mapping) { return write_each_page(mapping.base(), mapping.bytes()); }

// Waits for a child and says its processor time in nanoseconds.
double reap(pid_t child) {
  int status = 0;
  rusage usage{};
  if (child < 0 || wait4(child, &status, 0, &usage) != child || status != 0)
    give_up("child process", Status::kInsufficientResources);
  const auto nanoseconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_usec) * 1e3;
  };
  return nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime);
}

}  // namespace

double linux_first_touch(PageCount pages) {
  const Mapping mapping(bytes_of(pages).value(), MAP_PRIVATE | MAP_ANONYMOUS, -1);
  madvise(mapping.base(), mapping.bytes(), MADV_NOHUGEPAGE);
  return write_each_page(mapping);
}

PopulatedFile::PopulatedFile(PageCount pages) : pages_(pages), fd_(memfd_create("pagoda-bench", MFD_CLOEXEC)) {
  const auto bytes = static_cast<off_t>(bytes_of(pages).value());
  if (fd_ < 0 || ftruncate(fd_, bytes) != 0 || fallocate(fd_, 0, 0, bytes) != 0)
    give_up("memfd", Status::kInsufficientResources);
}

PopulatedFile::~PopulatedFile() { close(fd_); }

double PopulatedFile::touch_fresh_mapping() const {
  const Mapping mapping(bytes_of(pages_).value(), MAP_SHARED, fd_);
  return write_each_page(mapping);
}

double PopulatedFile::map_and_unmap(std::size_t times) const {
  const std::size_t bytes = bytes_of(pages_).value();
  Stopwatch watch;
  watch.start();
  for (std::size_t i = 0; i < times; ++i) {
    void* const base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (base == MAP_FAILED) give_up("mmap", Status::kInsufficientResources);
    munmap(base, bytes);
  }
  watch.stop();
  return watch.nanoseconds_per(times);
}

PopulatedFile::KeptMapping::KeptMapping(const PopulatedFile& file)
    : bytes_(bytes_of(file.pages_).value()),
      base_(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file.fd_, 0)) {
  if (base_ == MAP_FAILED) give_up("mmap", Status::kInsufficientResources);
  write_each_page(base_, bytes_);
}

PopulatedFile::KeptMapping::~KeptMapping() { munmap(base_, bytes_); }

ForkableMemory::ForkableMemory(PageCount pages)
    : bytes_(bytes_of(pages).value()),
      base_(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
  if (base_ == MAP_FAILED) give_up("mmap", Status::kInsufficientResources);
  madvise(base_, bytes_, MADV_NOHUGEPAGE);
  write_each_page(base_, bytes_);
}

ForkableMemory::~ForkableMemory() { munmap(base_, bytes_); }

double ForkableMemory::child_writes_each() const {
  const Mapping answer(kPageBytes, MAP_SHARED | MAP_ANONYMOUS, -1);
  auto* const nanoseconds = static_cast<double*>(answer.base());
  const pid_t child = fork();
  if (child == 0) {
    *nanoseconds = write_each_page(base_, bytes_);
    _exit(0);
  }
  reap(child);
  return *nanoseconds;
}

void ForkableMemory::write_each() const { write_each_page(base_, bytes_); }

double ForkableMemory::fork_and_exit() const {
  Stopwatch watch;
  watch.start();
  const pid_t child = fork();
  if (child == 0) _exit(0);
  const double of_child = reap(child);
  watch.stop();
  return watch.nanoseconds_per(1) + of_child;
}

DiscardableMemory::DiscardableMemory(PageCount pages)
    : bytes_(bytes_of(pages).value()),
      base_(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
  if (base_ == MAP_FAILED) give_up("mmap", Status::kInsufficientResources);
  madvise(base_, bytes_, MADV_NOHUGEPAGE);
  write_each_page(base_, bytes_);
}

DiscardableMemory::~DiscardableMemory() { munmap(base_, bytes_); }

double DiscardableMemory::discard_and_write_each() const {
  Stopwatch watch;
  watch.start();
  for (std::size_t at = 0; at < bytes_; at += kPageBytes) {
    auto* const page = static_cast<std::byte*>(base_) + at;
    madvise(page, kPageBytes, MADV_DONTNEED);
    *reinterpret_cast<volatile std::uint64_t*>(page) = at;
  }
  watch.stop();
  return watch.nanoseconds_per(bytes_ / kPageBytes);
}

ManyMappings::ManyMappings(std::size_t count) : count_(count) {
  void* const arena = mmap(nullptr, count * kStride, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (arena == MAP_FAILED) give_up("mmap", Status::kInsufficientResources);
  munmap(arena, count * kStride);
  arena_ = static_cast<std::byte*>(arena);
  for (std::size_t number = 0; number < count; ++number) map(place(number));
}

ManyMappings::~ManyMappings() { munmap(arena_, count_ * kStride); }

// The kernel is told where, so it has less to do than we have: it checks one place and need not search for one.
void ManyMappings::map(std::byte* at) {
  void* const got = mmap(at, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (got != at) give_up("mmap among many mappings (vm.max_map_count?)", Status::kInsufficientResources);
}

double ManyMappings::churn(std::vector<std::size_t> numbers, std::size_t batch) {
  std::vector<std::size_t> holes = numbers;
  for (std::size_t first = 0; first < holes.size(); first += batch)
    std::ranges::sort(std::span(holes).subspan(first, std::min(batch, holes.size() - first)));
  Stopwatch watch;
  watch.start();
  for (std::size_t first = 0; first < numbers.size(); first += batch) {
    const std::size_t end = std::min(first + batch, numbers.size());
    for (std::size_t i = first; i < end; ++i) munmap(place(numbers[i]), kBytes);
    for (std::size_t i = first; i < end; ++i) map(place(holes[i]));
  }
  watch.stop();
  return watch.nanoseconds_per(numbers.size());
}

}  // namespace pagoda::bench
