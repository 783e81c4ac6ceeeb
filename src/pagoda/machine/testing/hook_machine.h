// For tests: a machine that calls the test back while its disks work and after its shoot-downs. What the test does
// there, on a thread of its own, is what a second processor would do at that point: an interleaving by plan.
//
//   t.hooks().during_write = [&] { in_another_thread([&] { ... }); };
//
// A hook is taken out before it runs, so that what it does is not hooked in turn.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "pagoda/machine/disk.h"
#include "pagoda/machine/testing/wider_machine.h"

namespace pagoda::machine::testing {

struct Hooks {
  // Before the disk moves the bytes of the next transfer.
  std::function<void()> during_write;
  std::function<void()> during_read;
  // After every shoot-down; this one stays.
  std::function<void(const CachedSpace&, std::span<const StaleRun>)> after_shoot_down;
};

// Runs `body` on a thread of its own and waits for its end.
inline void in_another_thread(std::function<void()> body) { std::jthread{std::move(body)}.join(); }

class HookFile final : public DiskFile {
 public:
  HookFile(std::unique_ptr<DiskFile> file, Disk& disk, Hooks& hooks)
      : file_(std::move(file)), disk_(disk), hooks_(hooks) {}

  [[nodiscard]] Disk& disk() override { return disk_; }
  [[nodiscard]] ByteCount size() const override { return file_->size(); }
  [[nodiscard]] bool writable() const override { return file_->writable(); }
  Result<> resize(ByteCount size) override { return file_->resize(size); }
  DiskTransfer read(Processor& cpu, FileOffset at, std::span<const Pfn> frames) override {
    call(hooks_.during_read);
    return file_->read(cpu, at, frames);
  }
  DiskTransfer write(Processor& cpu, FileOffset at, std::span<const Pfn> frames) override {
    call(hooks_.during_write);
    return file_->write(cpu, at, frames);
  }
  [[nodiscard]] bool peek(FileOffset at, std::span<std::byte> into) const override { return file_->peek(at, into); }

 private:
  static void call(std::function<void()>& hook) {
    if (const auto taken = std::exchange(hook, nullptr)) taken();
  }

  std::unique_ptr<DiskFile> file_;
  Disk& disk_;
  Hooks& hooks_;
};

class HookDisk final : public Disk {
 public:
  HookDisk(Disk& disk, Hooks& hooks) : disk_(disk), hooks_(hooks) {}

  [[nodiscard]] const std::string& name() const override { return disk_.name(); }
  [[nodiscard]] ByteCount capacity() const override { return disk_.capacity(); }
  [[nodiscard]] ByteCount used() const override { return disk_.used(); }
  [[nodiscard]] const Counts& counts() const override { return disk_.counts(); }
  Result<std::unique_ptr<DiskFile>> create(const std::string& file_name) override {
    return std::make_unique<HookFile>(PAGODA_TRY(disk_.create(file_name)), *this, hooks_);
  }
  Result<std::unique_ptr<DiskFile>> open(const std::filesystem::path& path, FileAccess access,
                                         FileCreation creation) override {
    return std::make_unique<HookFile>(PAGODA_TRY(disk_.open(path, access, creation)), *this, hooks_);
  }

 private:
  Disk& disk_;
  Hooks& hooks_;
};

class HookMachine : public WiderMachine {
 public:
  HookMachine(SimMachine& machine, PageCount frames, Hypercalls* hypercalls)
      : WiderMachine(machine, frames, hypercalls) {
    for (Disk* disk : WiderMachine::disks()) hook_disks_.push_back(std::make_unique<HookDisk>(*disk, hooks_));
    for (const auto& disk : hook_disks_) disks_.push_back(disk.get());
  }

  [[nodiscard]] Hooks& hooks() { return hooks_; }
  [[nodiscard]] std::span<Disk* const> disks() override { return disks_; }
  void shoot_down(Processor& initiator, const CachedSpace& space, std::span<const StaleRun> runs) override {
    WiderMachine::shoot_down(initiator, space, runs);
    if (hooks_.after_shoot_down) hooks_.after_shoot_down(space, runs);
  }

 private:
  Hooks hooks_;
  std::vector<std::unique_ptr<HookDisk>> hook_disks_;
  std::vector<Disk*> disks_;
};

}  // namespace pagoda::machine::testing
