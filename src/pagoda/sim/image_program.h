// Programs whose memory holds what a guest's held.
//
//   ImageProgram   touches every page of an image once, in order, and then does what another program says
//   FilledProgram  any program; its pages begin with an image's contents
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pagoda/sim/image/image_contents.h"
#include "pagoda/sim/program.h"

namespace pagoda::sim {

class FilledProgram : public Program {
 public:
  // Page p begins with page `from` + p of the image; pages behind its end with what all programs' do.
  FilledProgram(std::unique_ptr<Program> program, std::shared_ptr<const ImageContents> contents, PageCount from)
      : program_(std::move(program)), contents_(std::move(contents)), from_(from) {}

  [[nodiscard]] std::string describe() const override;
  [[nodiscard]] const std::vector<VpnRange>& pages() const override { return program_->pages(); }
  [[nodiscard]] std::uint64_t length() const override { return program_->length(); }
  Input<std::size_t> next(std::span<Operation> operations) override { return program_->next(operations); }
  bool first_contents(std::uint32_t page, std::span<std::byte, kPageBytes> bytes) const override;

 private:
  std::unique_ptr<Program> program_;
  std::shared_ptr<const ImageContents> contents_;
  PageCount from_;
};

class ImageProgram : public Program {
 public:
  // `then` may be null, and goes over the same pages.
  ImageProgram(std::shared_ptr<const ImageContents> contents, std::uint64_t references, std::unique_ptr<Program> then);

  [[nodiscard]] std::string describe() const override;
  [[nodiscard]] const std::vector<VpnRange>& pages() const override { return pages_; }
  [[nodiscard]] std::uint64_t length() const override;
  Input<std::size_t> next(std::span<Operation> operations) override;
  bool first_contents(std::uint32_t page, std::span<std::byte, kPageBytes> bytes) const override;

 private:
  std::shared_ptr<const ImageContents> contents_;
  std::vector<VpnRange> pages_;
  std::uint64_t references_;
  std::unique_ptr<Program> then_;
  std::uint64_t touched_ = 0;
};

}  // namespace pagoda::sim
