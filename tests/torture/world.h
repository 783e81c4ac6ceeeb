// A machine under torture: processes, what their pages should hold, and who may change what.
//
//   workers      each a processor with a program (worker.h): regions of its own, views of all sections, forks
//   keepers      each a processor with one of the manager's threads (keeper.h)
//   processes    each runs on one worker's processor, or on two
//   sections     of paging files and of files; each page is written by one worker, read by all
//
// How workers and keepers run side by side is their driver's business: threads (tests/threads/), fibers (tests/interleave/).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/base/lock.h"
#include "pagoda/base/random.h"
#include "pagoda/machine/sim/sim_machine.h"
#include "pagoda/mm/memory_manager.h"
#include "tests/torture/history.h"

namespace pagoda::mm::torture {

enum class Operation : std::uint8_t {
  kReadOwn,  // A page of a region of the worker's own.
  kWriteOwn,
  kReadOther,   // A page of a region of another worker in the same process.
  kReadShared,  // A page of a section, through this worker's view.
  kWriteShared,
  kWriteCopy,  // A page of a write-copy view.
  kReadCopy,
  kCommit,
  kDecommit,
  kRelease,
  kProtect,
  kLock,
  kUnlock,
  kDiscard,
  kTrimRange,
  kMakeResident,
  kEmptyWorkingSet,
  kQuery,
  kRemap,  // A view goes and comes back.
  kFlushView,
  kFork,
  kFlushModified,
  kWriteCluster,  // One transfer of either writer, which nobody waits for.
  kReuseStandby,  // Whatever is in memory only because nobody else needed it is there no more.
};
inline constexpr std::size_t kOperations = static_cast<std::size_t>(Operation::kReuseStandby) + 1;
std::string_view name(Operation operation);
using Weights = std::array<unsigned, kOperations>;
// Mostly accesses, everything else now and then.
Weights all_operations();

struct WorldConfig {
  std::uint64_t seed = 1;
  machine::PteFormat paging = machine::PteFormat::kAmd64;
  machine::TlbRefill refill = machine::TlbRefill::kHardware;
  machine::TlbGeometry tlb = machine::TlbGeometry::kLarge;
  PageCount frames{2048};
  unsigned workers = 4;
  unsigned processes = 3;
  unsigned regions = 4;  // A worker's.
  PageCount region_pages{128};
  unsigned paging_sections = 2;
  unsigned file_sections = 2;
  PageCount section_pages{128};
  ByteCount region_stride;  // From one region to the next; zero: side by side.
  ByteCount paging_file = 64_MiB;
  PageCount paging_slots;  // A paging file of so many, however few, in place of that; zero: none.
  std::optional<Tunables> tunables;
  std::optional<WorkingSet::Limits> limits;
  // Others hold frames that the manager has promised: an access may fail with kNoMemory.
  bool may_lack_memory = false;
  PageCount frames_left;  // After `warm_up` only so many are available, others have the rest; zero: all are.
  Duration disk_latency = 65_us;
  double read_error_rate = 0;
  double write_error_rate = 0;
  // Private pages of all processes hold few different contents, and are shared by contents.
  bool twins = false;
  Weights weights = all_operations();
  // Which of the manager's threads run, by their place in MemoryManager::system_threads.
  std::vector<unsigned> keepers{0, 1, 2, 3, 4, 5};
};

struct Page {
  std::uint32_t number = 0;  // Of all pages of the world.
  History history;
};

// Where a worker may have a region; the addresses are its own whether there is one or not.
struct RegionPlace {
  VirtualAddress base;
  std::vector<Page> pages;
};

struct SharedSection {
  Section* section = nullptr;
  std::shared_ptr<FileStream> file;
  std::vector<Page> pages;
  [[nodiscard]] unsigned writer_of(std::size_t page, unsigned workers) const {
    return static_cast<unsigned>((page / 4 + pages.front().number) % workers);
  }
};

class Worker;
class Keeper;

class World {
 public:
  explicit World(const WorldConfig& config);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  [[nodiscard]] const WorldConfig& config() const { return config_; }
  [[nodiscard]] MemoryManager& manager() { return *manager_; }
  [[nodiscard]] machine::SimMachine& machine() { return *machine_; }
  [[nodiscard]] machine::SimProcessor& cpu(unsigned number) { return machine_->processor(number); }
  [[nodiscard]] std::vector<std::unique_ptr<Worker>>& workers() { return workers_; }
  [[nodiscard]] std::vector<std::unique_ptr<Keeper>>& keepers() { return keepers_; }

  // Every worker commits all that it may have and writes a part of it; then everything is pushed out. While everybody rests.
  void warm_up();
  // Everything that can leaves memory, as far as the disks take it.
  void push_out();
  // The others give the frames back. Before anything is checked.
  void end_shortage();

  // --- For workers ---
  // Gives the frames of all pages on standby to others, who give them back.
  void reuse_standby(machine::Processor& cpu);
  [[nodiscard]] unsigned process_of(unsigned worker) const { return worker % config_.processes; }
  [[nodiscard]] ProcessSpace& space(unsigned process) { return *spaces_[process]; }
  [[nodiscard]] std::vector<RegionPlace>& regions(unsigned worker) { return regions_[worker]; }
  [[nodiscard]] std::vector<SharedSection>& sections() { return sections_; }
  // What of its pages of which nobody else reads gets a number.
  std::uint32_t number_pages(std::size_t count) { return next_page_.fetch_add(static_cast<std::uint32_t>(count)); }
  [[nodiscard]] bool errors_are_injected() const { return config_.read_error_rate > 0 || config_.write_error_rate > 0; }
  // Whether an access may fail with the status: to memory that is there, or for want of the page table that would say that
  // it is not.
  [[nodiscard]] bool may_fail_with(Status status) const {
    return (status == Status::kInPageError && errors_are_injected()) ||
           (status == Status::kNoMemory && config_.may_lack_memory);
  }
  // The simulated time that keepers keep up with: the latest of any worker.
  void reached(Time time);
  [[nodiscard]] Time latest() const { return Time(latest_.load(std::memory_order_relaxed)); }

  // --- Findings ---
  // The first is kept. Everybody stops.
  void found(std::string text);
  [[nodiscard]] bool has_failed() const { return failed_.load(std::memory_order_relaxed); }
  // While everybody rests: what was found, or what the checker and a look at every page find; empty if all is well.
  std::string check();
  // The same after everything was given back. Nothing else may follow.
  std::string finish();
  // Nothing is given back any more: somebody still holds locks, or what was found may be fatal.
  void abandon();

 private:
  void add_paging_file();
  [[nodiscard]] ProcessSpace* add_space();
  void make_sections();

  WorldConfig config_;
  std::unique_ptr<machine::SimMachine> machine_;
  std::unique_ptr<MemoryManager> manager_;
  std::vector<ProcessSpace*> spaces_;
  std::vector<Pfn> held_;                          // By others, who keep memory short.
  std::vector<std::vector<RegionPlace>> regions_;  // By worker.
  std::vector<SharedSection> sections_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::unique_ptr<Keeper>> keepers_;
  std::atomic<std::uint32_t> next_page_ = 1;
  std::atomic<std::uint64_t> latest_ = 0;
  std::atomic<bool> failed_ = false;
  Lock found_lock_{LockRank(LockClass::kLeaf, 0)};
  std::string found_ PAGODA_GUARDED_BY(found_lock_);
};

}  // namespace pagoda::mm::torture
