#include "bench/instant_disk.h"

namespace pagoda::bench {

namespace {

class InstantFile : public machine::DiskFile {
 public:
  explicit InstantFile(machine::Disk& disk) : disk_(disk) {}

  machine::Disk& disk() override { return disk_; }
  [[nodiscard]] ByteCount size() const override { return size_; }
  Result<> resize(ByteCount size) override {
    size_ = size;
    return {};
  }
  machine::DiskTransfer read(machine::Processor& cpu, FileOffset, std::span<const Pfn>) override {
    return {.completes = cpu.now()};
  }
  machine::DiskTransfer write(machine::Processor& cpu, FileOffset, std::span<const Pfn>) override {
    return {.completes = cpu.now()};
  }
  [[nodiscard]] bool peek(FileOffset, std::span<std::byte>) const override { return false; }

 private:
  machine::Disk& disk_;
  ByteCount size_;
};

}  // namespace

Result<std::unique_ptr<machine::DiskFile>> InstantDisk::create(const std::string&) {
  return std::make_unique<InstantFile>(*this);
}

}  // namespace pagoda::bench
