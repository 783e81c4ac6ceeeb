#include "bench/host.h"

#include <fstream>
#include <string>
#include <utility>

#include "bench/harness.h"

namespace pagoda::bench {

namespace {

machine::SimMachineConfig machine_config(const HostConfig& host) {
  machine::SimMachineConfig config;
  config.frames = host.frames;
  config.processors = host.processors;
  config.paging = machine::PteFormat::kAmd64;
  config.tlb = machine::TlbGeometry::kLarge;
  config.frame_memory = host.frame_memory;
  config.disks.push_back({});  // Bytes in memory.
  return config;
}

}  // namespace

HostConfig HostConfig::quiet(PageCount frames) {
  HostConfig config{.frames = frames,
                    .paging_file = {},
                    .tunables = mm::Tunables::for_memory(frames),
                    .limits = {.minimum = PageCount(50), .maximum = frames}};
  config.tunables.commit_reserve = PageCount(0);
  config.tunables.read_cluster = 1;
  return config;
}

Host::Host(const HostConfig& config) : config_(config) {
  machine_ = must(machine::SimMachine::create(machine_config(config)), "machine");
  mm::MemoryManagerConfig manager_config{.tunables = config.tunables};
  if (!config.paging_file.is_zero()) {
    manager_config.paging_files.push_back(
        {.name = "bench", .disk = 0, .minimum = config.paging_file, .maximum = config.paging_file});
  }
  machine::Machine* hardware = machine_.get();
  if (config.disk == HostConfig::DiskKind::kInstant) {
    instant_ = std::make_unique<InstantDiskMachine>(*machine_);
    hardware = instant_.get();
  }
  manager_ = must(mm::MemoryManager::create(*hardware, manager_config), "memory manager");
  fresh_space();
}

Host::~Host() {
  manager_->detach(cpu());
  manager_->destroy_space(cpu(), *space_);
}

void Host::fresh_space() {
  if (space_ != nullptr) {
    manager_->detach(cpu());
    manager_->destroy_space(cpu(), *space_);
  }
  space_ = must(manager_->create_space(cpu(), {.limits = config_.limits}), "address space");
  manager_->attach(cpu(), *space_);
}

VirtualAddress Host::commit(PageCount pages) {
  return VirtualAddress(
      must(space_->reserve({.size = bytes_of(pages), .commit = mm::MemCommit::kYes}), "region").first);
}

void Host::release(VirtualAddress base) { must(space_->release(cpu(), base, 0_B), "release"); }

void Host::write_each(VirtualAddress base, PageCount pages) {
  machine::SimProcessor& processor = cpu();
  const VirtualAddress end = base + bytes_of(pages);
  for (VirtualAddress at = base; at < end; at += kPageSize)
    must(processor.store<std::uint64_t>(at, at.value()), "store");
}

void Host::read_each(VirtualAddress base, PageCount pages) {
  machine::SimProcessor& processor = cpu();
  const VirtualAddress end = base + bytes_of(pages);
  for (VirtualAddress at = base; at < end; at += kPageSize) must(processor.load<std::uint64_t>(at), "load");
}

double Host::first_writes(PageCount pages) {
  const VirtualAddress base = commit(pages);
  Stopwatch watch;
  watch.start();
  write_each(base, pages);
  watch.stop();
  release(base);
  return watch.nanoseconds_per(pages.value());
}

void Host::use_every_frame() {
  // Page tables, and the reserve that a fault does not go below, are left over; the first rounds use them up.
  const PageCount fit = manager_->frame_counts().zeroed;
  const PageCount pages = fit - mm::kFaultReserve - PageCount(fit.value() / 512 + 4);
  const VirtualAddress base = commit(pages);
  write_each(base, pages);
  release(base);
}

void Host::zero_free_frames() {
  while (!manager_->frame_counts().free.is_zero()) manager_->zero_page_thread().run(cpu());
}

void Host::put_on_standby() {
  static_cast<void>(space_->empty_working_set(cpu()));
  if (!manager_->flush_modified(cpu())) give_up("writing modified pages", Status::kDiskFull);
}

ByteCount own_resident_memory() {
  // statm would be cheaper, but the kernel keeps it exact to some hundred pages only.
  std::ifstream rollup("/proc/self/smaps_rollup");
  for (std::string word; rollup >> word;) {
    std::uint64_t kib = 0;
    if (word == "Rss:" && rollup >> kib) return ByteCount(kib * 1024);
  }
  return {};
}

}  // namespace pagoda::bench
