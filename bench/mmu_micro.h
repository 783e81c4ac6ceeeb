// The microbenchmarks with which the literature compares ways to virtualize a memory management unit: small programs
// on a guest's memory manager, each of which does one thing over and over (reference/virtualization.md 2.3). What is
// measured are modelled cycles, exits to the hypervisor and walk references, so a figure is the same on every machine.
//
// All of the memory is resident on both levels before: what is compared is translation, not paging.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "pagoda/base/units.h"

namespace pagoda::bench {

enum class MmuMode : std::uint8_t {
  kNative,
  kShadow,             // Leaf tables may go out of sync.
  kShadowSynchronous,  // They may not: every write to a table is an exit.
  kParavirtual,        // The guest tells its changes of tables.
  kNested,
  kNestedLarge,  // Pages of 2 MB on both levels, where the program has any choice.
};
inline constexpr std::size_t kMmuModes = 6;
std::string_view name_of(MmuMode mode);

enum class MicroProgram : std::uint8_t {
  kSystemCall,  // The control: no work for the memory management unit. getppid.
  kSegfault,    // An access that the guest's manager refuses.
  kFirstTouch,  // pgfault: the first write to a committed page.
  kPtemod,      // An entry rewritten, INVLPG, the page used again.
  kSwitch,      // Processes round robin, each of which uses some pages.
  kForkWait,    // fork, the child writes some pages and exits.
  kTlbThrash,   // One load from each page of memory that is far larger than the TLB.
};
inline constexpr std::size_t kMicroPrograms = 7;

// What hardware with nested tables gained over shadow paging, at most, and the entries that one of its walks reads at
// most. VMware's EPT 2009; reference/virtualization.md 2.2 and 2.3.
inline constexpr double kEptGainMicro = 6.00;         // On microbenchmarks,
inline constexpr double kEptGainApplications = 0.48;  // and on applications.
inline constexpr double kNestedWalkMost = 24;

// What was published for the program, cycles of one operation; Adams & Agesen 2006.
struct Published {
  double native = 0;
  double shadow = 0;  // With hardware that knows guests and not their tables.
};
struct MicroInfo {
  std::string_view name;
  std::string_view operation;
  std::optional<Published> published;
};
const MicroInfo& info_of(MicroProgram program);

// What one operation took.
struct MicroResult {
  std::uint64_t operations = 0;
  double cycles = 0;
  double exits = 0;
  double references = 0;  // Entries that the hardware read: of the guest's tables, shadow tables, the second level.
};
MicroResult run_micro(MicroProgram program, MmuMode mode);

}  // namespace pagoda::bench
