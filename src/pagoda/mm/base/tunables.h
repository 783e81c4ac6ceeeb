// What the memory manager may be told about itself. Every value has a default and a source.
#pragma once

#include <algorithm>
#include <cstdint>

#include "pagoda/base/units.h"
#include "pagoda/mm/base/sharing.h"

namespace pagoda::mm {

// Frames that a fault may need before it is done: three page tables, the page, and a margin so that two processors may
// fault at once.
inline constexpr PageCount kFaultReserve{8};
// Page tables that are out come in one by one before a fault asks for that reserve: three for each of two faults at once.
inline constexpr PageCount kTablesOfFaults{6};

struct Tunables {
  // Pages that one paging-file read brings in at most (reference/nt.md section 4: 8, other than code and image data).
  unsigned read_cluster = 8;
  // Pages that one paging-file write takes at most: 64 KB (reference/nt.md section 3).
  unsigned write_cluster = 16;

  // Available pages below which the balance set manager trims. NT: MmMinimumFreePages, 26 (reference/nt.md section 3).
  PageCount minimum_free{26};
  // Available pages above which working sets may exceed their maximum; also what a trim aims at. NT: MmPlentyFreePages,
  // 400.
  PageCount plenty_free{400};
  // Modified pages above which the writer runs. NT: MmModifiedPageMaximum, 800 on large machines (reference/nt.md
  // section 15: a choice).
  PageCount modified_maximum{800};
  // Frames that are not promised to anybody (reference/nt.md section 8). More than kFaultReserve and kTablesOfFaults:
  // with everything promised in use and every slot taken, that many are left besides frame 0, and a fault still finds its
  // reserve once its page tables are in.
  PageCount commit_reserve{1024};
  // Free pages that wake the zero-page thread, and how many it zeroes before it looks up (reference/nt.md section 3;
  // the batch is a choice).
  PageCount zero_wake{8};
  PageCount zero_batch{64};
  // How often the balance set manager looks (reference/nt.md section 9).
  Duration balance_period = 1_s;
  // The working set's defaults (reference/nt.md section 9).
  PageCount working_set_minimum{50};
  PageCount working_set_maximum{345};
  // Modified pages that hold nothing but zeros go back to being demand zero in place of being written
  // (backing/zero_pages.h). Better off in a guest: to look at a page that the host has paged out brings it in.
  bool find_zero_pages = true;
  // Frames that the compression store may take at most, and how many bytes a page may compress to that goes there.
  // Windows keeps the store in memory as far as it pays; both are choices here, and 3/4 of a page is where four frames
  // hold five pages and more. Zero frames: no store.
  PageCount compression_budget;
  ByteCount most_compressed{kPageBytes / 4 * 3};
  // Who leaves a working set: the page that the clock finds unused, or anyone. The latter is how a host keeps out of
  // step with its guests (reference/virtualization.md section 3, "random host victim").
  enum class Victim : std::uint8_t { kClock, kRandom } victim = Victim::kClock;
  std::uint64_t victim_seed = 1;
  // Sharing by contents, of spaces that allow it.
  SharingTunables sharing{};

  // The same proportions on a host of any size. NT's figures are for tens of megabytes: below that they shrink with
  // memory, and from some hundreds of megabytes on they grow with it, if slower (the shares are choices). A working
  // set's maximum, 345 pages, is 1/32 of some forty megabytes, and stays that share of more.
  static Tunables for_memory(PageCount frames) {
    Tunables t;
    t.minimum_free = std::max(std::clamp(frames / 128, PageCount(16), t.minimum_free), frames / 4096);
    t.plenty_free = std::max(std::clamp(frames / 32, PageCount(32), t.plenty_free), frames / 256);
    t.modified_maximum = std::max(std::clamp(frames / 32, PageCount(32), t.modified_maximum), frames / 128);
    t.working_set_maximum = std::max(t.working_set_maximum, frames / 32);
    t.commit_reserve = std::clamp(frames / 16, kFaultReserve + kTablesOfFaults + 1_pages, t.commit_reserve);
    t.working_set_minimum = std::min(frames / 2, t.working_set_minimum);
    return t;
  }
};

// The smallest machine that a memory manager starts on. A choice: reserves, a page table tree or two, and room to
// replace pages.
inline constexpr PageCount kSmallestMachine{64};

}  // namespace pagoda::mm
