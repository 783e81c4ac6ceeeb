// What it costs to keep pages out of paging files: looking for zeros, and the way into the compression store and back.
#include <fmt/format.h>
#include <lz4.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <vector>

#include "bench/figures.h"
#include "bench/harness.h"
#include "bench/host.h"
#include "pagoda/base/zero_scan.h"

namespace pagoda::bench {

namespace {

using Page = std::array<std::byte, kPageBytes>;

constexpr std::size_t kScanned = 32768;  // Pages of zeros: 128 MB, since what is about to be written is in no cache.
constexpr std::size_t kStored = 2048;
constexpr int kMostCompressed = 3072;  // Tunables::most_compressed.

std::span<const std::byte, kPageBytes> page_of(const std::vector<Page>& pages, std::size_t number) {
  return pages[number];
}

// Pages of this program's own file that the store takes: code, tables, names, as a guest's memory has them. Fewer than
// asked for are repeated.
std::vector<Page> real_pages(std::size_t count) {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  std::vector<Page> pages;
  std::array<char, kMostCompressed> buffer{};
  Page page{};
  while (pages.size() < count && file.read(reinterpret_cast<char*>(page.data()), kPageBytes)) {
    if (is_zero(page)) continue;
    if (LZ4_compress_default(reinterpret_cast<const char*>(page.data()), buffer.data(), kPageBytes, kMostCompressed) >
        0)
      pages.push_back(page);
  }
  if (pages.empty()) give_up("reading /proc/self/exe", Status::kObjectNameNotFound);
  for (std::size_t i = 0; pages.size() < count; ++i) pages.push_back(pages[i]);
  return pages;
}

// All that is on standby gets another owner for a moment, and is free then: pages in the store are there alone.
void repurpose_standby(Host& host) {
  mm::PfnDatabase& pfns = host.manager().core().pfns;
  const LockGuard guard(pfns.lock);
  std::vector<Pfn> held;
  while (pfns.lists().oldest_standby() != kNoPfn)
    held.push_back(must(pfns.take_kept(host.cpu(), mm::Contents::kAny), "frame").frame);
  for (const Pfn frame : held) pfns.give_back(frame, mm::Contents::kAny);
}

// All words of the page, and one question at the end.
bool reads_zeros(std::span<const std::byte, kPageBytes> page) {
  std::uint64_t found = 0;
  for (std::size_t at = 0; at < kPageBytes; at += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, page.data() + at, sizeof(word));
    found |= word;
  }
  return found == 0;
}

}  // namespace

Input<> zero_detect(const BenchOptions&, BenchOutput& out) {
  const std::vector<Page> pages(kScanned);
  static constexpr Page kZeros{};
  std::size_t found = 0;
  const auto scan = [&](auto is_zero_page) {
    return [&found, &pages, is_zero_page] {
      Stopwatch watch;
      watch.start();
      for (std::size_t i = 0; i < pages.size(); ++i) found += is_zero_page(page_of(pages, i)) ? 1 : 0;
      watch.stop();
      return watch.nanoseconds_per(pages.size());
    };
  };
  const Figures figures = take_turns({scan([](std::span<const std::byte, kPageBytes> page) { return is_zero(page); }),
                                      scan([](std::span<const std::byte, kPageBytes> page) {
                                        return std::memcmp(page.data(), kZeros.data(), kPageBytes) == 0;
                                      }),
                                      scan(reads_zeros)});
  if (found == 0) out.failure("zero_detect: no page was found to be zero");
  BenchRow row = cost_row("zero_detect", figures.of[0].median, figures.of[1].median,
                          "memcmp of the same pages with a zero page", figures);
  row.more["bytes_per_second"] = static_cast<double>(kPageBytes) * 1e9 / figures.of[0].median;
  out.row(row);
  row = cost_row("zero_detect_own", figures.of[0].median, figures.of[2].median, "reading every word of the same pages",
                 figures);
  row.floor = 0.65;
  out.row(row);
  return {};
}

Input<> compress(const BenchOptions&, BenchOutput& out) {
  const std::vector<Page> pages = real_pages(kStored);
  HostConfig config = HostConfig::quiet(PageCount(kStored * 3));
  config.tunables.compression_budget = PageCount(kStored);
  config.paging_file = bytes_of(PageCount(kStored * 2));
  Host host(config);
  const VirtualAddress base = host.commit(PageCount(kStored));
  for (std::size_t i = 0; i < kStored; ++i) {
    for (std::size_t at = 0; at < kPageBytes; at += sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      std::memcpy(&word, pages[i].data() + at, sizeof(word));
      must(host.cpu().store<std::uint64_t>(base + bytes_of(PageCount(i)) + ByteCount(at), word), "store");
    }
  }
  const auto through_the_store = [&] {
    // Dirty, with the contents that they have.
    for (std::size_t i = 0; i < kStored; ++i) {
      const VirtualAddress at = base + bytes_of(PageCount(i));
      must(host.cpu().store<std::uint64_t>(at, must(host.cpu().load<std::uint64_t>(at), "load")), "store");
    }
    static_cast<void>(host.space().empty_working_set(host.cpu()));
    Stopwatch watch;
    watch.start();
    while (host.manager().modified_writer().write_cluster(host.cpu())) {
    }
    watch.stop();
    repurpose_standby(host);
    watch.start();
    host.read_each(base, PageCount(kStored));
    watch.stop();
    return watch.nanoseconds_per(kStored);
  };
  std::vector<std::array<char, kMostCompressed>> compressed(kStored);
  std::vector<int> sizes(kStored);
  std::vector<Page> copies(kStored);
  std::size_t bytes = 0;
  const auto bare = [&] {
    Stopwatch watch;
    watch.start();
    for (std::size_t i = 0; i < kStored; ++i)
      sizes[i] = LZ4_compress_default(reinterpret_cast<const char*>(pages[i].data()), compressed[i].data(), kPageBytes,
                                      kMostCompressed);
    for (std::size_t i = 0; i < kStored; ++i)
      bytes += static_cast<std::size_t>(
          LZ4_decompress_safe(compressed[i].data(), reinterpret_cast<char*>(copies[i].data()), sizes[i], kPageBytes));
    watch.stop();
    return watch.nanoseconds_per(kStored);
  };
  const Figures figures = take_turns({through_the_store, bare});
  const mm::Counters counters = host.manager().counters();
  if (counters.pages_compressed == 0 || counters.pages_compressed != counters.pages_decompressed ||
      counters.page_file_writes != 0 || copies != pages || bytes % kPageBytes != 0)
    out.failure(fmt::format("compress: {} pages went into the store, {} came back", counters.pages_compressed,
                            counters.pages_decompressed));
  BenchRow row =
      cost_row("compress", figures.of[0].median, figures.of[1].median, "LZ4 called bare on the same pages", figures);
  row.floor = 0.85;
  row.more["pages_per_second"] = 1e9 / figures.of[0].median;
  row.more["compressed_to"] =
      static_cast<double>(counters.bytes_compressed) / static_cast<double>(counters.pages_compressed * kPageBytes);
  out.row(row);
  return {};
}

}  // namespace pagoda::bench
