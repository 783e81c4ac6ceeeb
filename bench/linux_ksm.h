// Linux's sharing by contents: KSM over private memory of this process. Its settings belong to the whole computer, and are
// put back as they were.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pagoda/base/units.h"

namespace pagoda::bench {

class LinuxKsm {
 public:
  // Memory for so many pages, which may be merged. Null, and why: no KSM here, or it is in use, or not ours to set, or too
  // little memory.
  static std::unique_ptr<LinuxKsm> create(PageCount pages, std::string& why_not);
  LinuxKsm(const LinuxKsm&) = delete;
  LinuxKsm& operator=(const LinuxKsm&) = delete;
  ~LinuxKsm();

  [[nodiscard]] std::span<std::byte> memory() { return {base_, bytes_of(pages_).value()}; }
  // Merges from cold until so many pages are saved; nanoseconds of ksmd's own processor time. Nothing: it did not get there
  // in time.
  [[nodiscard]] std::optional<double> merge(PageCount saved);

 private:
  LinuxKsm(std::byte* base, PageCount pages, int ksmd);

  std::byte* base_;
  PageCount pages_;
  int ksmd_;                                                   // Its process id.
  std::vector<std::pair<std::string, std::string>> settings_;  // As they were: file, contents.
};

}  // namespace pagoda::bench
