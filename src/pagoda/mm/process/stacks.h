// The stacks of a space's threads, which grow by themselves. NT: the stack fields of a thread's TEB.
//
//   top     +-----------+
//           | in use    |
//   limit   +-----------+
//           | guard     |  hit: becomes usable, and the page below becomes the guard
//           | reserved  |
//   base +  | guarantee |  never a guard: room for what handles the overflow
//   base    | reserved  |  never committed
//           +-----------+
//
// Locking: the lock of the address space. Source: reference/nt.md section 4 ("Guard in a thread stack").
#pragma once

#include <iterator>
#include <map>
#include <optional>

#include "pagoda/base/units.h"

namespace pagoda::mm {

struct Stack {
  VpnRange pages;       // From the lowest that is reserved to the top. NT: DeallocationStack, StackBase.
  Vpn limit;            // The lowest page that is no guard. NT: StackLimit.
  PageCount guarantee;  // NT: GuaranteedStackBytes.

  // Where the guard goes after a hit on `page`; nothing if there is no room.
  [[nodiscard]] std::optional<Vpn> next_guard(Vpn page) const {
    return page > pages.first + guarantee + 1_pages ? std::optional(page - 1_pages) : std::nullopt;
  }
};

class Stacks {
 public:
  // False: it would overlap another.
  bool add(const Stack& stack) {
    const auto after = stacks_.lower_bound(stack.pages.first);
    if (after != stacks_.end() && after->first < stack.pages.end()) return false;
    if (find(stack.pages.first) != nullptr) return false;
    stacks_.emplace(stack.pages.first, stack);
    return true;
  }
  // By the first page. False: there is none.
  bool remove(Vpn first) { return stacks_.erase(first) != 0; }
  // The stack that contains the page, or null.
  [[nodiscard]] Stack* find(Vpn page) {
    const auto after = stacks_.upper_bound(page);
    if (after == stacks_.begin()) return nullptr;
    Stack& stack = std::prev(after)->second;
    return stack.pages.contains(page) ? &stack : nullptr;
  }

 private:
  std::map<Vpn, Stack> stacks_;  // By first page.
};

}  // namespace pagoda::mm
