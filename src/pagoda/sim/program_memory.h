// The pages of one running program: where they lie in its address space, when each was last touched, and, with
// --verify, what was stored in them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "pagoda/base/status.h"
#include "pagoda/base/units.h"
#include "pagoda/mm/space/address_space.h"

namespace pagoda::sim {

class ProgramMemory {
 public:
  static constexpr std::size_t kWords = kPageBytes / sizeof(std::uint64_t);
  using PageModel = std::array<std::uint64_t, kWords>;

  // `pages` as in Program::pages.
  explicit ProgramMemory(const std::vector<VpnRange>& pages);

  // Reserves and commits all of it, whole 64 KB units: at the program's own addresses where they fit into the space,
  // else packed from the bottom. Fails as AddressSpace::reserve does; the space then keeps what was reserved before.
  Result<> reserve(mm::AddressSpace& space, const machine::PagingMode& mode);
  // Pages that `reserve` commits.
  [[nodiscard]] PageCount committed() const { return committed_; }

  [[nodiscard]] std::size_t size() const { return page_.size(); }
  [[nodiscard]] VirtualAddress address(std::uint32_t page) const { return VirtualAddress(page_[page]); }

  // Notes a touch in the interval; true if it is the first ever.
  bool touch(std::uint32_t page, std::uint32_t interval) {
    std::uint32_t& last = last_interval_[page];
    if (last == interval) return false;
    const bool first = last == kNever;
    last = interval;
    ++touched_;
    return first;
  }
  // Distinct pages touched since the last call.
  PageCount take_touched() {
    const PageCount touched(touched_);
    touched_ = 0;
    return touched;
  }

  // The plain map that every load is compared with; made for a page at its first use.
  PageModel& model(std::uint32_t page) {
    if (model_.empty()) model_.resize(page_.size());
    if (!model_[page]) model_[page] = std::make_unique<PageModel>();
    return *model_[page];
  }

 private:
  static constexpr std::uint32_t kNever = 0;

  std::vector<VpnRange> program_pages_;
  PageCount committed_;
  std::vector<Vpn> page_;                     // By dense number.
  std::vector<std::uint32_t> last_interval_;  // By dense number; intervals count from 1.
  std::uint64_t touched_ = 0;
  std::vector<std::unique_ptr<PageModel>> model_;
};

}  // namespace pagoda::sim
