#include "bench/instant_disk.h"

#include <system_error>

namespace pagoda::bench {

namespace {

class InstantFile : public machine::DiskFile {
 public:
  InstantFile(machine::Disk& disk, machine::FileAccess access, ByteCount size)
      : disk_(disk), access_(access), size_(size) {}

  machine::Disk& disk() override { return disk_; }
  [[nodiscard]] ByteCount size() const override { return size_; }
  [[nodiscard]] bool writable() const override { return access_ == machine::FileAccess::kReadWrite; }
  Result<> resize(ByteCount size) override {
    if (!writable()) return fail(Status::kAccessDenied);
    size_ = size;
    return {};
  }
  machine::DiskTransfer read(machine::Processor& cpu, FileOffset, std::span<const Pfn>) override {
    return {.completes = cpu.now()};
  }
  machine::DiskTransfer write(machine::Processor& cpu, FileOffset, std::span<const Pfn>) override {
    return {.status = writable() ? Status::kSuccess : Status::kAccessDenied, .completes = cpu.now()};
  }
  [[nodiscard]] bool peek(FileOffset, std::span<std::byte>) const override { return false; }

 private:
  machine::Disk& disk_;
  const machine::FileAccess access_;
  ByteCount size_;
};

}  // namespace

Result<std::unique_ptr<machine::DiskFile>> InstantDisk::create(const std::string&) {
  return std::make_unique<InstantFile>(*this, machine::FileAccess::kReadWrite, ByteCount());
}

Result<std::unique_ptr<machine::DiskFile>> InstantDisk::open(const std::filesystem::path& path,
                                                             machine::FileAccess access,
                                                             machine::FileCreation creation) {
  std::error_code error;
  const bool exists = std::filesystem::exists(path, error);
  if (exists && creation == machine::FileCreation::kCreateNew) return fail(Status::kObjectNameCollision);
  if (!exists && creation == machine::FileCreation::kOpenExisting) return fail(Status::kObjectNameNotFound);
  const std::uint64_t size = exists ? std::filesystem::file_size(path, error) : 0;
  if (error && exists) return fail(Status::kInvalidFileForSection);
  return std::make_unique<InstantFile>(*this, access, ByteCount(size));
}

}  // namespace pagoda::bench
