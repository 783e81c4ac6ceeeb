// The same work done by the Linux kernel that we run on: the peers of our faults and reservations.
#pragma once

#include <cstddef>
#include <vector>

#include "pagoda/base/units.h"

namespace pagoda::bench {

// Nanoseconds a page for the first write to each page of fresh private anonymous memory of 4 KB pages.
double linux_first_touch(PageCount pages);

// A memfd whose pages exist.
class PopulatedFile {
 public:
  explicit PopulatedFile(PageCount pages);
  PopulatedFile(const PopulatedFile&) = delete;
  PopulatedFile& operator=(const PopulatedFile&) = delete;
  ~PopulatedFile();

  // Nanoseconds a page for the first write to each page of a fresh shared mapping of it. A write fault maps one page,
  // where a read fault may map 16 around it.
  [[nodiscard]] double touch_fresh_mapping() const;
  // Nanoseconds for one mmap and one munmap of all of it, none of it touched.
  [[nodiscard]] double map_and_unmap(std::size_t times) const;

  // A mapping of all of it that stays, every page touched: another process that shares the file.
  class KeptMapping {
   public:
    explicit KeptMapping(const PopulatedFile& file);
    KeptMapping(const KeptMapping&) = delete;
    KeptMapping& operator=(const KeptMapping&) = delete;
    ~KeptMapping();

   private:
    std::size_t bytes_;
    void* base_;
  };

 private:
  PageCount pages_;
  int fd_;
};

// Private anonymous memory of 4 KB pages, all of them resident, of a process that forks.
class ForkableMemory {
 public:
  explicit ForkableMemory(PageCount pages);
  ForkableMemory(const ForkableMemory&) = delete;
  ForkableMemory& operator=(const ForkableMemory&) = delete;
  ~ForkableMemory();

  // Nanoseconds a page for a child's first write to each page. The child measures itself.
  [[nodiscard]] double child_writes_each() const;
  // Every page becomes this process's alone again.
  void write_each() const;
  // Nanoseconds for a fork, the child's exit and the wait for it: the processor time of both.
  [[nodiscard]] double fork_and_exit() const;

 private:
  std::size_t bytes_;
  void* base_;
};

// Private anonymous memory of 4 KB pages, all of them resident, whose pages are given back one by one.
class DiscardableMemory {
 public:
  explicit DiscardableMemory(PageCount pages);
  DiscardableMemory(const DiscardableMemory&) = delete;
  DiscardableMemory& operator=(const DiscardableMemory&) = delete;
  ~DiscardableMemory();

  // Nanoseconds a page for a madvise(MADV_DONTNEED) of it alone, and its next write.
  [[nodiscard]] double discard_and_write_each() const;

 private:
  std::size_t bytes_;
  void* base_;
};

// Many private anonymous mappings of 64 KB with a page of nothing between them, so that no two become one.
class ManyMappings {
 public:
  explicit ManyMappings(std::size_t count);
  ManyMappings(const ManyMappings&) = delete;
  ManyMappings& operator=(const ManyMappings&) = delete;
  ~ManyMappings();

  // Nanoseconds for one munmap and one mmap: batch by batch the mappings numbered are unmapped in the order given, then
  // as many are mapped in the holes from the lowest up.
  double churn(std::vector<std::size_t> numbers, std::size_t batch);

 private:
  static constexpr std::size_t kBytes = 64 * 1024;
  static constexpr std::size_t kStride = kBytes + kPageBytes;
  [[nodiscard]] std::byte* place(std::size_t number) const { return arena_ + number * kStride; }
  static void map(std::byte* at);

  std::size_t count_;
  std::byte* arena_;
};

}  // namespace pagoda::bench
