// Sharing by contents over the pages of real guests (the shipped page map): how soon most of what there is to save is saved,
// and how much of it.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "bench/figures.h"
#include "bench/harness.h"
#include "bench/host.h"
#include "bench/linux_ksm.h"
#include "bench/traces.h"
#include "pagoda/base/random.h"
#include "pagoda/mm/combine/combiner.h"
#include "pagoda/sim/image/image_statistics.h"
#include "pagoda/sim/image/page_maker.h"
#include "pagoda/sim/image/page_map.h"

namespace pagoda::bench {

namespace {

constexpr std::size_t kImages = 3;  // Of the map: 416 MB.
constexpr PageCount kPagesOfTurn{4096};
constexpr double kMost = 0.98;

// What the guests had in memory, and what an omniscient merger would save of it.
class Contents {
 public:
  static Input<Contents> load(const BenchOptions& options) {
    const TraceFolder traces = PAGODA_TRY(TraceFolder::find(options));
    const std::string file = (std::filesystem::path(traces.path).parent_path() / "images" / "all14.vpm.zst").string();
    return Contents(PAGODA_TRY(sim::PageMap::open(file)));
  }

  [[nodiscard]] PageCount pages() const { return PageCount(numbers_.size()); }
  void make(std::size_t page, std::span<std::byte, kPageBytes> bytes) const {
    maker_.make(numbers_[page], map_.contents()[numbers_[page]], bytes);
  }
  // All pages of zeros, and all but one of every other content.
  [[nodiscard]] PageCount savable() const {
    const sim::ImageFigures figures = sim::image_figures(map_, images()).back().together;
    return figures.pages - figures.distinct;
  }

 private:
  explicit Contents(sim::PageMap map) : map_(std::move(map)) {
    for (const sim::PageMap::Image& image : images()) {
      const auto numbers = map_.numbers(image);
      numbers_.insert(numbers_.end(), numbers.begin(), numbers.end());
    }
  }

  [[nodiscard]] std::span<const sim::PageMap::Image> images() const { return std::span(map_.images()).first(kImages); }

  sim::PageMap map_;
  sim::PageMaker maker_;
  std::vector<std::uint32_t> numbers_;  // By page, of its contents.
};

// A host whose one process has all of them.
class Sharer {
 public:
  Sharer(const Contents& contents, mm::SharingTunables::Hints hints) : host_(config(contents, hints)) {
    const VirtualAddress base = host_.commit(contents.pages());
    alignas(64) std::array<std::byte, kPageBytes> page{};
    for (std::size_t i = 0; i < contents.pages().value(); ++i) {
      contents.make(i, page);
      must(host_.cpu().store(base + bytes_of(PageCount(i)), page), "store");
    }
    must(host_.manager().combiner().allow(host_.space()), "sharing");
  }

  struct Scan {
    double nanoseconds = 0;
    PageCount looked;
  };
  // Looks at pages until so many are saved, or at all of them four times.
  Scan scan_until(PageCount saved, PageCount pages) {
    Scan scan;
    Stopwatch watch;
    while (this->saved() < saved && scan.looked < pages * 4) {
      watch.start();
      const PageCount looked = host_.manager().combiner().scan(host_.cpu(), {kPagesOfTurn, kPagesOfTurn});
      watch.stop();
      if (looked.is_zero()) break;
      scan.looked += looked;
    }
    scan.nanoseconds = watch.nanoseconds_per(1);
    return scan;
  }
  [[nodiscard]] PageCount saved() {
    return host_.manager().combiner().statistics().saved + PageCount(host_.manager().counters().sharing_zeros);
  }

 private:
  static HostConfig config(const Contents& contents, mm::SharingTunables::Hints hints) {
    HostConfig config = HostConfig::quiet(contents.pages() + PageCount(8192));
    config.tunables.sharing.hints = hints;
    return config;
  }

  Host host_;
};

PageCount most_of(PageCount pages) {
  return PageCount(static_cast<std::uint64_t>(static_cast<double>(pages.value()) * kMost));
}

// KSM over the same pages; says why there is no figure, where there is none.
std::optional<double> linux_scan(const Contents& contents, BenchOutput& out) {
  std::string why_not = "it did not get there in two minutes";
  const auto ksm = LinuxKsm::create(contents.pages(), why_not);
  if (ksm != nullptr) {
    for (std::size_t page = 0; page < contents.pages().value(); ++page)
      contents.make(page, ksm->memory().subspan(page * kPageBytes).first<kPageBytes>());
    if (const auto time = ksm->merge(most_of(contents.savable()))) return time;
  }
  out.text(fmt::format("share_scan: NO PEER: {}", why_not));
  return std::nullopt;
}

// --- share_yield: pages of which most are written again before the scan comes by ---
constexpr PageCount kChanging{16384};
constexpr std::uint64_t kLasting = 8;    // One region in so many keeps what it holds for a while.
constexpr std::uint64_t kContents = 64;  // Different ones.
constexpr std::uint64_t kStepsOfContent = 24;
constexpr int kSteps = 512;
constexpr int kWarmUp = 256;            // In which the order finds out what lasts.
constexpr PageCount kPagesOfStep{192};  // That the scan may look at.

// Pages that are saved at the time when programs have run, for each second that the scan took.
double yield_of(mm::SharingTunables::Order order) {
  HostConfig config = HostConfig::quiet(kChanging + PageCount(4096));
  config.tunables.sharing.order = order;
  Host host(config);
  const VirtualAddress base = host.commit(kChanging);
  must(host.manager().combiner().allow(host.space()), "sharing");
  Random random(7);
  const auto write = [&](std::uint64_t page) {
    must(host.cpu().store<std::uint64_t>(base + bytes_of(PageCount(page)), 1 + random.below(kContents)), "store");
  };
  for (std::uint64_t page = 0; page < kChanging.value(); ++page) write(page);
  Stopwatch watch;
  double saved = 0;
  for (int step = 0; step < kSteps; ++step) {
    for (std::uint64_t page = 0; page < kChanging.value(); ++page) {
      const bool lasts = page / 512 % kLasting == 0;
      if (!lasts || random.below(kStepsOfContent) == 0) write(page);
    }
    // Both orders begin with a whole pass.
    if (step >= kWarmUp) saved += static_cast<double>(host.manager().combiner().statistics().saved.value());
    if (step >= kWarmUp) watch.start();
    host.manager().combiner().scan(host.cpu(), {kPagesOfStep, kPagesOfStep});
    if (step >= kWarmUp) watch.stop();
  }
  return saved / (kSteps - kWarmUp) / (watch.nanoseconds_per(1) / 1e9);
}

}  // namespace

Input<> share_yield(const BenchOptions&, BenchOutput& out) {
  const double ours = yield_of(mm::SharingTunables::Order::kByYield);
  const double peer = yield_of(mm::SharingTunables::Order::kRandom);
  out.row({.name = "share_yield",
           .unit = "pages/s",
           .ours = ours,
           .peer = peer,
           .peer_name = "the same pages in random order",
           .ratio = ours / peer,
           .floor = 2,
           .more = {}});
  return {};
}

Input<> share_scan(const BenchOptions& options, BenchOutput& out) {
  const Contents contents = PAGODA_TRY(Contents::load(options));
  Sharer sharer(contents, mm::SharingTunables::Hints::kYes);
  const Sharer::Scan ours = sharer.scan_until(most_of(contents.savable()), contents.pages());
  if (sharer.saved() < most_of(contents.savable()))
    out.failure(
        fmt::format("share_scan: {} pages are saved of {}", sharer.saved().value(), contents.savable().value()));
  const std::optional<double> peer = linux_scan(contents, out);
  BenchRow row{.name = "share_scan",
               .unit = "ms",
               .ours = ours.nanoseconds / 1e6,
               .peer_name = "KSM over the same pages, ksmd's own time"};
  if (peer) {
    row.peer = *peer / 1e6;
    row.ratio = *peer / ours.nanoseconds;
    row.floor = 5;
  }
  row.more["pages"] = contents.pages().value();
  row.more["looked_at"] = ours.looked.value();
  out.row(row);
  return {};
}

Input<> share_found(const BenchOptions& options, BenchOutput& out) {
  const Contents contents = PAGODA_TRY(Contents::load(options));
  Sharer sharer(contents, mm::SharingTunables::Hints::kYes);
  static_cast<void>(sharer.scan_until(contents.savable(), contents.pages()));
  out.row({.name = "share_found",
           .unit = "pages",
           .ours = static_cast<double>(sharer.saved().value()),
           .peer = static_cast<double>(contents.savable().value()),
           .peer_name = "an omniscient merger",
           .ratio = static_cast<double>(sharer.saved().value()) / static_cast<double>(contents.savable().value()),
           .floor = kMost,
           .more = {}});
  return {};
}

Input<> share_hints(const BenchOptions& options, BenchOutput& out) {
  const Contents contents = PAGODA_TRY(Contents::load(options));
  const auto in_a_pass = [&](mm::SharingTunables::Hints hints) {
    Sharer sharer(contents, hints);
    const Sharer::Scan scan = sharer.scan_until(contents.savable(), contents.pages() / 4);
    return std::pair{static_cast<double>(sharer.saved().value()),
                     scan.nanoseconds / static_cast<double>(scan.looked.value())};
  };
  const auto [with, cost_with] = in_a_pass(mm::SharingTunables::Hints::kYes);
  const auto [without, cost_without] = in_a_pass(mm::SharingTunables::Hints::kNo);
  BenchRow row{.name = "share_hints",
               .unit = "pages a pass",
               .ours = with,
               .peer = without,
               .peer_name = "each page read-only from its first look on",
               .ratio = with / without};
  row.more["nanoseconds_a_page"] = cost_with;
  row.more["nanoseconds_a_page_without"] = cost_without;
  out.row(row);
  return {};
}

}  // namespace pagoda::bench
