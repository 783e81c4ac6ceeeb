// What a load costs that hits the TLB.
#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "bench/figures.h"
#include "bench/harness.h"
#include "bench/host.h"
#include "pagoda/base/random.h"

namespace pagoda::bench {

namespace {

constexpr PageCount kPages{1024};
constexpr std::size_t kLoads = 1 << 20;  // In a round.

// A software TLB and nothing else: direct-mapped, as many entries as our large geometry, a tag and what to add to the
// address. No address spaces, no rights, no outcome but the value.
class BareTlb {
 public:
  // Keeps `pages` pages from `base` on, at consecutive host addresses.
  BareTlb(VirtualAddress base, PageCount pages)
      : bytes_(bytes_of(pages).value()),
        memory_(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (memory_ == MAP_FAILED) give_up("mmap", Status::kInsufficientResources);
    madvise(memory_, bytes_, MADV_HUGEPAGE);  // As our frames are.
    std::memset(memory_, 1, bytes_);
    for (std::uint64_t offset = 0; offset < bytes_; offset += kPageBytes) {
      const std::uint64_t page = base.value() + offset;
      entry(page) = {page, reinterpret_cast<std::uintptr_t>(memory_) - base.value()};
    }
  }
  BareTlb(const BareTlb&) = delete;
  BareTlb& operator=(const BareTlb&) = delete;
  ~BareTlb() { munmap(memory_, bytes_); }

  [[nodiscard]] std::uint64_t load(std::uint64_t address) {
    const Entry& found = entry(address);
    if (found.tag != (address & ~kPageOffsetMask)) [[unlikely]]
      miss();
    return *reinterpret_cast<const std::uint64_t*>(found.addend + address);
  }

 private:
  static constexpr std::size_t kEntries = 8192;
  struct Entry {
    std::uint64_t tag = ~std::uint64_t{0};
    std::uint64_t addend = 0;
  };
  Entry& entry(std::uint64_t address) { return entries_[address / kPageBytes % kEntries]; }
  [[noreturn, gnu::noinline, gnu::cold]] static void miss() { std::abort(); }

  std::vector<Entry> entries_{kEntries};
  std::size_t bytes_;
  void* memory_;
};

template <class Load>
double time_loads(const std::vector<std::uint64_t>& addresses, Load&& load) {
  Stopwatch watch;
  std::uint64_t sum = 0;
  watch.start();
  for (std::size_t done = 0; done < kLoads; done += addresses.size())
    for (const std::uint64_t address : addresses) sum += load(address);
  watch.stop();
  benchmark::DoNotOptimize(sum);
  return watch.nanoseconds_per(kLoads);
}

void compare(std::string name, Host& host, BareTlb& bare, const std::vector<std::uint64_t>& addresses,
             BenchOutput& out) {
  machine::SimProcessor& cpu = host.cpu();
  const std::uint64_t misses = cpu.counts().tlb_misses;
  const Figures figures = take_turns(
      {[&] {
         return time_loads(addresses, [&cpu](std::uint64_t address) {
           const auto value = cpu.load<std::uint64_t>(VirtualAddress(address));
           if (!value) [[unlikely]]
             give_up("load", value.error());
           return *value;
         });
       },
       [&] { return time_loads(addresses, [&bare](std::uint64_t address) { return bare.load(address); }); }});
  if (cpu.counts().tlb_misses != misses) out.failure(name + ": some loads missed the TLB");
  BenchRow row = cost_row(std::move(name), figures.of[0].median, figures.of[1].median,
                          "bare software TLB, nothing behind it", figures);
  row.floor = 0.6;
  out.row(row);
}

}  // namespace

Input<> tlb_hit_load(const BenchOptions&, BenchOutput& out) {
  Host host(HostConfig::quiet(kPages * 2));
  const VirtualAddress base = host.commit(kPages);
  host.write_each(base, kPages);
  BareTlb bare(base, kPages);

  // One word of each page, so that the data stay in the second-level cache and what is compared is the translation;
  // not the same word, which would put all of them into a few sets of that cache.
  Random random(1);
  std::vector<std::uint64_t> scattered;
  for (std::size_t i = 0; i < 16384; ++i) {
    const std::uint64_t page = random.below(kPages.value());
    scattered.push_back(base.value() + page * kPageBytes + page * 72 % kPageBytes);
  }
  compare("tlb_hit_load", host, bare, scattered, out);

  // All words of a part of memory, in order.
  std::vector<std::uint64_t> in_order;
  for (std::uint64_t offset = 0; offset < 256 * kPageBytes; offset += sizeof(std::uint64_t))
    in_order.push_back(base.value() + offset);
  compare("tlb_hit_load_sequential", host, bare, in_order, out);
  return {};
}

}  // namespace pagoda::bench
