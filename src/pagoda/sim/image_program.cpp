#include "pagoda/sim/image_program.h"

#include <algorithm>

namespace pagoda::sim {

std::string FilledProgram::describe() const {
  const std::string from = from_.is_zero() ? "" : ", " + to_string(bytes_of(from_)) + " in";
  return program_->describe() + ", filled from " + contents_->describe() + from;
}

bool FilledProgram::first_contents(std::uint32_t page, std::span<std::byte, kPageBytes> bytes) const {
  const std::uint64_t source = from_.value() + page;
  if (source >= contents_->pages().value()) return false;
  contents_->fill(source, bytes);
  return true;
}

ImageProgram::ImageProgram(std::shared_ptr<const ImageContents> contents, std::uint64_t references,
                           std::unique_ptr<Program> then)
    : contents_(std::move(contents)),
      pages_{{Vpn(0), contents_->pages()}},
      references_(references),
      then_(std::move(then)) {}

std::string ImageProgram::describe() const {
  return "image " + contents_->describe() + (then_ != nullptr ? ", then " + then_->describe() : "");
}

std::uint64_t ImageProgram::length() const {
  return contents_->pages().value() + (then_ != nullptr ? then_->length() : 0);
}

// A load is enough: the page's first contents are stored before it, and it shall stay as the image has it.
Input<std::size_t> ImageProgram::next(std::span<Operation> operations) {
  const auto count = std::min<std::uint64_t>(operations.size(), contents_->pages().value() - touched_);
  if (count == 0) return then_ != nullptr ? then_->next(operations) : Input<std::size_t>(0);
  for (Operation& operation : operations.first(count))
    operation = {.page = static_cast<std::uint32_t>(touched_++), .access = kTraceRead, .references = references_};
  return count;
}

bool ImageProgram::first_contents(std::uint32_t page, std::span<std::byte, kPageBytes> bytes) const {
  contents_->fill(page, bytes);
  return true;
}

}  // namespace pagoda::sim
