// What a memory manager is made with, as plain data.
#pragma once

#include <optional>
#include <vector>

#include "pagoda/mm/backing/paging_file.h"
#include "pagoda/mm/base/tunables.h"

namespace pagoda::mm {

struct MemoryManagerConfig {
  std::optional<Tunables> tunables;  // None: Tunables::for_memory of the machine.
  std::vector<PagingFileConfig> paging_files;
  unsigned depth = 0;  // 0 on bare hardware, 1 in a guest, and so on.
};

}  // namespace pagoda::mm
