// A section: memory that several processes can map. What a handle refers to; the control area below has the pages.
// NT: SECTION.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>

#include "pagoda/base/units.h"
#include "pagoda/mm/pte/protection.h"
#include "pagoda/mm/section/file_stream.h"

namespace pagoda::mm {

class ControlArea;
struct ImageLayout;

enum class SectionKind : std::uint8_t {
  kPagingFile,  // Contents go to the paging files.
  kData,        // A file's bytes.
  kImage,       // A PE image.
};

// Attributes of a section beyond its kind. NT: SEC_.
struct SectionFlags {
  bool reserve = false;  // SEC_RESERVE: pages are committed one by one, for all views; only of paging-file sections.
  bool based = false;    // SEC_BASED: the same address in every process.
  bool no_change = false;
  bool no_cache = false;  // Of a file: its first section since nothing of it was in memory decides.
  bool write_combine = false;
  bool large_pages = false;
  bool no_execute = false;  // SEC_IMAGE_NO_EXECUTE: an image of which no view can be executed.

  // How the pages are cached: those of large pages as all memory, a choice.
  [[nodiscard]] CacheAttribute cache() const {
    if (large_pages || (!no_cache && !write_combine)) return CacheAttribute::kCached;
    return no_cache ? CacheAttribute::kNotCached : CacheAttribute::kWriteCombined;
  }
};

struct SectionRequest {
  std::shared_ptr<FileStream> file;  // None: paging-file backed.
  SectionKind kind = SectionKind::kPagingFile;
  ByteCount size;  // Zero for a file: its size, or its image's. An image may be asked to be smaller, and is told so.
  Protection protection = Protection::kReadWrite;
  SectionFlags flags;
};

class Section {
 public:
  [[nodiscard]] ControlArea& control_area() const { return *control_area_; }
  [[nodiscard]] SectionKind kind() const { return kind_; }
  // What views may reach. A file section's is exact to the byte, others' are whole pages.
  [[nodiscard]] ByteCount size() const { return size_; }  // Grows; read without a lock.
  // What queries tell: an image section's is the one that it was asked to have, though views reach all of the image.
  [[nodiscard]] ByteCount maximum_size() const { return asked_size_.value_or(size_); }
  [[nodiscard]] Protection protection() const { return protection_; }  // NT: InitialPageProtection.
  [[nodiscard]] const SectionFlags& flags() const { return flags_; }
  // SEC_BASED; an image wants its own base instead.
  [[nodiscard]] std::optional<VirtualAddress> based_at() const { return based_at_; }
  // What an image's file says about it: entry point, base, subsystem, characteristics. Null: not an image.
  [[nodiscard]] const ImageLayout* image() const;
  // Whether an image's view from the offset on is where the image wants to be. No: STATUS_IMAGE_NOT_AT_BASE, and
  // the caller that mapped it relocates it.
  [[nodiscard]] bool is_at_base(VirtualAddress view, ByteCount offset = {}) const;

 private:
  friend class Sections;

  ControlArea* control_area_ = nullptr;
  SectionKind kind_ = SectionKind::kPagingFile;
  std::atomic<ByteCount> size_;
  std::optional<ByteCount> asked_size_;
  Protection protection_ = Protection::kNoAccess;
  SectionFlags flags_;
  std::optional<VirtualAddress> based_at_;
  std::uint32_t references_ = 1;
  std::list<std::unique_ptr<Section>>::iterator place_;  // Among all sections.
};

// Whether a view of the protection may be made of a section of the other, or a page of a view that was mapped with the
// other be changed to it. Source: reference/nt.md 6.1, the last table; issue 10 (XWC of XR). NT:
// MmCompatibleProtectionMask.
[[nodiscard]] bool is_compatible(Protection section, Protection view);

}  // namespace pagoda::mm
