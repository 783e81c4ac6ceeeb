// Is told when a clone's entry that it has put its tag on comes out of use: nothing can be shared through it any more.
#pragma once

#include <cstdint>

namespace pagoda::mm {

class CloneWatch {
 public:
  virtual ~CloneWatch() = default;
  // The last PTE that named the entry does so no more, or owns its page itself. Under the PFN lock; must not call back.
  virtual void clone_ended(std::uint32_t tag) = 0;
};

}  // namespace pagoda::mm
