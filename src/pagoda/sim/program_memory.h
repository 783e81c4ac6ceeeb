// The pages of one running program: where they lie in its address space, when each was last touched, and, with
// --verify, what was stored in them. The first of them may be a view of a file; the others are its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "pagoda/base/status.h"
#include "pagoda/base/units.h"
#include "pagoda/mm/memory_manager.h"
#include "pagoda/sim/shared_file.h"

namespace pagoda::sim {

class ProgramMemory {
 public:
  // `pages` as in Program::pages.
  explicit ProgramMemory(const std::vector<VpnRange>& pages);
  // The first pages, of one run, are a view of the file.
  ProgramMemory(const std::vector<VpnRange>& pages, SharedFile& file, FileViewConfig::Kind view);

  // Maps the view, and reserves and commits all the rest, whole 64 KB units: at the program's own addresses where they
  // fit into the space, else packed from the bottom. Fails as Sections::create, ProcessSpace::map_view and
  // ProcessSpace::reserve do; the space then keeps what was made before.
  Result<> make(mm::MemoryManager& manager, machine::Processor& cpu, mm::ProcessSpace& space);
  // What a program that is forked from this one has: the same pages at the same addresses, with the same contents.
  [[nodiscard]] ProgramMemory fork() const;
  // Private pages that `make` commits.
  [[nodiscard]] PageCount committed() const { return committed_; }

  // The functions below: requires that `make` succeeded, which is what makes it cost memory of the computer's.
  [[nodiscard]] std::size_t size() const { return page_.size(); }
  [[nodiscard]] VirtualAddress address(std::uint32_t page) const { return VirtualAddress(page_[page]); }

  enum class Touch : std::uint8_t {
    kAgain,
    kFirst,       // By this program; the page has contents.
    kFirstOfAll,  // The page has no contents yet.
    kAnew,        // It had some, which `forget` took.
  };
  // Notes a touch in the interval.
  Touch touch(std::uint32_t page, std::uint32_t interval) {
    std::uint32_t& last = last_interval_[page];
    if (last == interval) return Touch::kAgain;
    const std::uint32_t before = std::exchange(last, interval);
    ++touched_;
    if (before == kNever) return Touch::kFirstOfAll;
    if (before == kForgotten) return Touch::kAnew;
    return before == kGiven ? Touch::kFirst : Touch::kAgain;
  }
  // The page has no contents any more. Requires: a private page.
  void forget(std::uint32_t page) {
    if (last_interval_[page] != kNever) last_interval_[page] = kForgotten;
    if (!model_.empty()) model_[page].reset();
  }
  // Distinct pages touched since the last call.
  PageCount take_touched() {
    const PageCount touched(touched_);
    touched_ = 0;
    return touched;
  }

  // The plain map that every load is compared with; made for a private page at its first use.
  const PageModel& model(std::uint32_t page) {
    if (shows_file(page)) return file_->model(page);
    return own_model(page);
  }
  // The same for a store: of a copied view, the page becomes the program's own.
  PageModel& model_to_change(std::uint32_t page) {
    if (!shows_file(page)) return own_model(page);
    if (view_ == FileViewConfig::Kind::kShared) return file_->model(page);
    PageModel& own = own_model(page);
    own = file_->model(page);
    return own;
  }

 private:
  static constexpr std::uint32_t kNever = 0;
  static constexpr std::uint32_t kGiven = ~std::uint32_t{0};      // Never by this program, and it has contents.
  static constexpr std::uint32_t kForgotten = ~std::uint32_t{1};  // It has none any more.

  [[nodiscard]] bool shows_file(std::uint32_t page) const {
    return page < file_pages_ && (model_.empty() || !model_[page]);
  }
  PageModel& own_model(std::uint32_t page) {
    if (model_.empty()) model_.resize(page_.size());
    if (!model_[page]) model_[page] = std::make_unique<PageModel>();
    return *model_[page];
  }
  Result<> map(mm::MemoryManager& manager, machine::Processor& cpu, mm::ProcessSpace& space);
  Result<VpnRange> map_section(mm::MemoryManager& manager, machine::Processor& cpu, mm::ProcessSpace& space);
  Result<VpnRange> map_directly(mm::MemoryManager& manager, machine::Processor& cpu, mm::ProcessSpace& space);
  Result<> reserve(mm::ProcessSpace& space, machine::Processor& cpu);

  SharedFile* file_ = nullptr;
  FileViewConfig::Kind view_ = FileViewConfig::Kind::kShared;
  std::uint64_t file_pages_ = 0;

  std::vector<VpnRange> own_pages_;  // As the program numbers them, without the view.
  PageCount committed_;
  std::vector<Vpn> page_;                     // By dense number.
  std::vector<std::uint32_t> last_interval_;  // By dense number; intervals count from 1.
  std::uint64_t touched_ = 0;
  std::vector<std::unique_ptr<PageModel>> model_;
};

}  // namespace pagoda::sim
