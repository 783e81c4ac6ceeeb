#include "bench/guest.h"

#include "bench/harness.h"

namespace pagoda::bench {

namespace {

HostConfig host_config(const GuestConfig& config) {
  HostConfig host = HostConfig::quiet(config.host_frames);
  host.processors = 2;  // One of its own, one that the virtual processor runs on.
  return host;
}

}  // namespace

GuestConfig GuestConfig::quiet(PageCount frames) {
  // Page tables of both levels, and a margin.
  return {.frames = frames, .host_frames = frames + frames / 64 + PageCount(1024)};
}

Guest::Guest(const GuestConfig& config) : config_(config), host_(std::make_unique<Host>(host_config(config))) {
  host_->use_every_frame();
  restart();
}

Guest::~Guest() { stop(); }

void Guest::stop() {
  if (partition_ == nullptr) return;
  manager_->detach(cpu());
  manager_->destroy_space(cpu(), *space_);
  space_ = nullptr;
  manager_.reset();
  partition_.reset();
}

void Guest::restart() {
  stop();
  partition_ = must(hv::Partition::create(host_->manager(), host_->cpu(),
                                          {.memory = config_.frames,
                                           .tlb = config_.tlb,
                                           .mmu = config_.mmu,
                                           .backing = config_.backing,
                                           .fault_cluster = config_.fault_cluster,
                                           .shadow_limit = config_.shadow_limit,
                                           .balloon = config_.balloon}),
                    "partition");
  partition_->processor(0).world().enter(host_->machine().processor(1));
  const HostConfig quiet = HostConfig::quiet(config_.frames);
  manager_ = must(mm::MemoryManager::create(partition_->machine(), {.tunables = quiet.tunables, .depth = 1}),
                  "the guest's memory manager");
  fresh_space();
}

void Guest::fresh_space() {
  if (space_ != nullptr) {
    manager_->detach(cpu());
    manager_->destroy_space(cpu(), *space_);
  }
  space_ = must(manager_->create_space(cpu(), {.limits = HostConfig::quiet(config_.frames).limits}),
                "the guest's address space");
  manager_->attach(cpu(), *space_);
}

VirtualAddress Guest::commit(PageCount pages) {
  return VirtualAddress(
      must(space_->reserve({.size = bytes_of(pages), .commit = mm::MemCommit::kYes}), "region").first);
}

void Guest::write_each(VirtualAddress base, PageCount pages) {
  machine::SimProcessor& processor = cpu();
  const VirtualAddress end = base + bytes_of(pages);
  for (VirtualAddress at = base; at < end; at += kPageSize)
    must(processor.store<std::uint64_t>(at, at.value()), "store");
}

void Guest::use_every_frame() {
  const PageCount fit = manager_->frame_counts().zeroed;
  const PageCount pages = fit - mm::kFaultReserve - PageCount(fit.value() / 512 + 4);
  const VirtualAddress base = commit(pages);
  write_each(base, pages);
  must(space_->release(cpu(), base, 0_B), "release");
}

void Guest::zero_free_frames() {
  while (!manager_->frame_counts().free.is_zero()) manager_->zero_page_thread().run(cpu());
}

}  // namespace pagoda::bench
