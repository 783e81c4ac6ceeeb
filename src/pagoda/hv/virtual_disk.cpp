#include "pagoda/hv/virtual_disk.h"

#include <utility>

#include "pagoda/hv/guest_memory.h"
#include "pagoda/hv/hot_io_pages.h"
#include "pagoda/hv/virtual_processor.h"

namespace pagoda::hv {

class VirtualDisk::File final : public machine::DiskFile {
 public:
  File(VirtualDisk& disk, std::unique_ptr<machine::DiskFile> file) : disk_(disk), file_(std::move(file)) {}

  machine::Disk& disk() override { return disk_; }
  [[nodiscard]] ByteCount size() const override { return file_->size(); }
  [[nodiscard]] bool writable() const override { return file_->writable(); }
  Result<> resize(ByteCount size) override { return file_->resize(size); }
  machine::DiskTransfer read(machine::Processor& cpu, FileOffset at, std::span<const Pfn> frames) override {
    const machine::DiskTransfer transfer = file_->read(cpu, at, frames);
    note_transfer(cpu, frames);
    return transfer;
  }
  machine::DiskTransfer write(machine::Processor& cpu, FileOffset at, std::span<const Pfn> frames) override {
    const GuestMemory::GuestWrite writing(disk_.memory_);
    const machine::DiskTransfer transfer = file_->write(cpu, at, frames);
    note_transfer(cpu, frames);
    return transfer;
  }
  [[nodiscard]] bool peek(FileOffset at, std::span<std::byte> into) const override { return file_->peek(at, into); }

 private:
  void note_transfer(const machine::Processor& cpu, std::span<const Pfn> frames) {
    if (disk_.hot_ != nullptr) disk_.hot_->note_transfer(disk_.processors_[cpu.number()]->world(), frames);
  }

  VirtualDisk& disk_;
  std::unique_ptr<machine::DiskFile> file_;
};

Result<std::unique_ptr<machine::DiskFile>> VirtualDisk::create(const std::string& file_name) {
  return std::make_unique<File>(*this, PAGODA_TRY(disk_.create(file_name)));
}

Result<std::unique_ptr<machine::DiskFile>> VirtualDisk::open(const std::filesystem::path& path,
                                                             machine::FileAccess access,
                                                             machine::FileCreation creation) {
  return std::make_unique<File>(*this, PAGODA_TRY(disk_.open(path, access, creation)));
}

}  // namespace pagoda::hv
