// What it costs to give a page to the host by the balloon and to have it back.
#include <fmt/format.h>

#include <span>
#include <vector>

#include "bench/figures.h"
#include "bench/guest.h"
#include "bench/harness.h"
#include "bench/linux_memory.h"
#include "pagoda/hv/balloon_device.h"

namespace pagoda::bench {

namespace {

constexpr PageCount kPages{16384};
constexpr PageCount kRequest{machine::Balloon::kMostFrames};
// virtio-balloon in a QEMU guest, 512 to 192 MB: reference/virtualization.md 4.2, "Speed". No peer, since QEMU emulated
// the guest's processor for it.
constexpr int kVirtioMegabytesPerSecond = 630;

void write_each(Guest& guest, std::span<const Pfn> frames) {
  const machine::PhysicalView& memory = guest.cpu().physical();
  for (const Pfn frame : frames) memory.store<std::uint64_t>(PhysicalAddress(frame), frame.value());
}

}  // namespace

Input<> balloon(const BenchOptions&, BenchOutput& out) {
  GuestConfig config = GuestConfig::quiet(kPages + PageCount(4096));
  config.fault_cluster = 1_pages;
  config.balloon = machine::BalloonFeatures::all();
  Guest guest(config);
  hv::BalloonDevice& device = *guest.partition().machine().balloon();
  must(device.start(guest.cpu(), machine::BalloonFeatures::all(), 0), "driver");
  mm::DriverFrames& driver = guest.manager().driver_frames();
  // What a driver does, request by request, and then whoever gets the frames.
  const auto ours = [&] {
    {
      const std::vector<Pfn> all = must(driver.allocate(guest.cpu(), kPages), "frames");
      write_each(guest, all);
      driver.free(all);
    }
    const PageCount before = guest.host().manager().available();
    std::vector<Pfn> frames;
    frames.reserve(kPages.value());
    Stopwatch watch;
    watch.start();
    while (PageCount(frames.size()) < kPages) {
      const std::vector<Pfn> taken = must(driver.allocate(guest.cpu(), kRequest), "frames");
      must(device.inflate(guest.cpu(), taken), "inflate");
      frames.insert(frames.end(), taken.begin(), taken.end());
    }
    watch.stop();
    if (guest.host().manager().available() < before + kPages)
      out.failure("balloon: the host has not got the memory of every page");
    watch.start();
    for (std::span<const Pfn> left(frames); !left.empty(); left = left.subspan(kRequest.value())) {
      const auto request = left.first(kRequest.value());
      must(device.deflate(guest.cpu(), request), "deflate");
      driver.free(request);
    }
    write_each(guest, frames);
    watch.stop();
    return watch.nanoseconds_per(kPages.value());
  };
  const DiscardableMemory memory(kPages);
  const auto linux_round = [&] { return memory.discard_and_write_each(); };
  const Figures figures = take_turns({ours, linux_round});
  BenchRow row = cost_row("balloon", figures.of[0].median, figures.of[1].median,
                          "Linux madvise(MADV_DONTNEED) of a page and its refault", figures);
  row.floor = 0.5;
  row.more["virtio_megabytes_per_second"] = kVirtioMegabytesPerSecond;
  out.row(row);
  out.text(fmt::format("  inflated at {:.0f} MB/s and back; virtio-balloon of an emulated guest: about {} MB/s",
                       static_cast<double>(kPageBytes) / row.ours * 1e3, kVirtioMegabytesPerSecond));
  return {};
}

}  // namespace pagoda::bench
