// Operations on a memory manager, and the model that says what each must do: plain maps of regions, pages and words.
//
// An Interpreter performs one operation after the other on a small machine and on the model, and says where they
// differ: statuses, words, regions, charges, locks, or a finding of mm::check. Random tests, fuzzers and regression
// tests share it; sequences print as C++ that `replay` takes.
//
// What the model does not say: when pages move, and which. It knows what may be refused and why. A shortage of frames
// may show only where disks broke the promise: more is charged than slots and frames are left.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/machine/sim/sim_machine.h"
#include "pagoda/mm/memory_manager.h"

namespace pagoda::mm::testing {

struct World {
  machine::PteFormat paging = machine::PteFormat::kAmd64;
  machine::TlbRefill refill = machine::TlbRefill::kHardware;
  machine::TlbGeometry tlb = machine::TlbGeometry::kLarge;
  std::uint64_t frames = 96;
  unsigned processors = 1;
  unsigned spaces = 1;
  unsigned paging_files = 1;         // Each on a disk of its own.
  std::uint64_t file_minimum = 256;  // Pages.
  std::uint64_t file_maximum = 256;
  unsigned read_cluster = 8;
  unsigned write_cluster = 16;
  std::uint64_t minimum_free = 10;
  std::uint64_t plenty_free = 16;
  std::uint64_t modified_maximum = 16;
  std::uint64_t commit_reserve = 16;
  std::uint64_t working_set_minimum = 10;
  std::uint64_t working_set_maximum = 40;
  bool hard_maximum = false;
  bool yields = false;  // Processors give back what has to wait (Waiting::kYields).
  double read_errors = 0;
  double write_errors = 0;
  std::uint64_t seed = 1;  // Of the disks' errors.

  static World random(Random& random);
};

struct Operation {
  enum class Kind : std::uint8_t {
    kReserve,
    kCommit,
    kDecommit,
    kRelease,
    kProtect,
    kLoad,   // A word of each page that [address, address + size) touches, at most 64 pages.
    kStore,  // The same; words are value, value + 1, ...
    kFetch,
    kQuery,
    kEmpty,
    kSetLimits,  // Minimum `address`, maximum `size`, hard if `value` is odd.
    kLock,
    kUnlock,
    kRunThreads,  // Whichever are due.
    kAdvance,     // `value` microseconds.
    kFlush,
    kRecreate,  // Destroys the space and makes a new one.
  };
  static constexpr std::size_t kKinds = 17;
  Kind kind = Kind::kLoad;
  unsigned cpu = 0;
  unsigned space = 0;
  std::uint64_t address = 0;
  std::uint64_t size = 0;
  Protection protection = Protection::kReadWrite;
  std::uint64_t value = 0;  // Also the bits below.

  static constexpr std::uint64_t kCommitted = 1;     // kReserve.
  static constexpr std::uint64_t kAnywhere = 2;      // kReserve: wherever there is room,
  static constexpr std::uint64_t kTopDown = 4;       // from the top.
  static constexpr std::uint64_t kInMemory = 1;      // kLock, kUnlock.
  static constexpr std::uint64_t kGivesUp = 1 << 8;  // All, under `yields`: what would wait is not done at all.
};

// As initializers of C++.
std::string to_string(const World& world);
std::string to_string(const Operation& operation);
// A whole regression test.
std::string as_test(const World& world, std::span<const Operation> operations);

class Interpreter {
 public:
  explicit Interpreter(const World& world);

  // What differs; empty if nothing does.
  std::string perform(const Operation& operation);
  // The manager against the model, and mm::check.
  std::string check();
  // Reads everything back, ends all spaces and looks whether everything was given back.
  std::string finish();
  // An operation that makes sense now, most of the time.
  Operation next(Random& random) const;
  [[nodiscard]] Counters counters() const { return manager_->counters(); }

 private:
  struct Page {
    Protection protection = Protection::kNone;  // kNone: reserved.
    bool locked_in_ws = false;
    bool locked_in_memory = false;
    std::array<std::uint64_t, 8> words{};

    [[nodiscard]] bool is_committed() const { return protection != Protection::kNone; }
    [[nodiscard]] bool is_locked() const { return locked_in_ws || locked_in_memory; }
  };
  struct Region {
    std::uint64_t count = 0;
    Protection protection = Protection::kNone;  // As reserved.
  };
  struct Space {
    AddressSpace* manager = nullptr;          // None: there was no commit for one.
    std::map<std::uint64_t, Region> regions;  // By first page.
    std::map<std::uint64_t, Page> pages;      // Of all regions.
    std::uint64_t committed = 0;
    std::uint64_t tables = 0;  // That the regions span.
    std::uint64_t locked = 0;
    std::uint64_t minimum = 0;
  };
  using RegionPlace = std::map<std::uint64_t, Region>::iterator;
  struct Pages {
    std::uint64_t first = 0;
    std::uint64_t count = 0;
    [[nodiscard]] std::uint64_t end() const { return first + count; }
  };

  [[nodiscard]] std::uint64_t lowest_user() const { return kAllocationGranularity >> kPageShift; }
  [[nodiscard]] std::uint64_t highest_user() const;  // The last page that a region may have.
  static std::optional<Pages> covering(std::uint64_t address, std::uint64_t size);
  static RegionPlace region_at(Space& space, std::uint64_t page);  // end(): none.
  static RegionPlace region_of(Space& space, Pages pages);         // The whole range in one.
  [[nodiscard]] std::optional<std::uint64_t> find_gap(const Space& space, std::uint64_t count, bool top_down) const;
  [[nodiscard]] std::uint64_t tables_spanned(const Space& space) const;
  [[nodiscard]] std::uint64_t charged() const;
  [[nodiscard]] std::uint64_t most_commit() const;  // With all paging files at their maximum.
  // Whether so many pages more would be refused.
  [[nodiscard]] bool is_refused(std::uint64_t pages) const { return pages > 0 && charged() + pages > most_commit(); }
  static bool is_allowed_on_private(Protection protection);
  static void set_protection(Space& space, Page& page, Protection protection);
  static void unlock(Space& space, Page& page);
  void forget(Space& space, Page& page);
  Status access_of_model(Space& space, std::uint64_t page, machine::Access access);

  // Calls until the answer is final. Nothing: it waits, and the operation gives up.
  template <class Call>
  auto settle(const Operation& operation, Call&& call) -> std::optional<decltype(call())>;
  // Compares statuses. kNoMemory may stand for any other where memory was promised in vain.
  [[nodiscard]] std::string compare(const Operation& operation, std::string_view what, Status expected,
                                    Status got) const;
  std::string access(const Operation& operation, Space& space);
  std::string reserve(const Operation& operation, Space& space);
  std::string commit(const Operation& operation, Space& space);
  std::string free(const Operation& operation, Space& space);
  std::string protect(const Operation& operation, Space& space);
  std::string query(const Operation& operation, Space& space);
  std::string lock(const Operation& operation, Space& space);
  std::string unlock(const Operation& operation, Space& space);
  std::string set_limits(const Operation& operation, Space& space);
  std::string recreate(const Operation& operation, Space& space);

  World world_;
  std::unique_ptr<machine::SimMachine> machine_;
  std::unique_ptr<MemoryManager> manager_;
  std::vector<Space> spaces_;
  bool broke_promise_ = false;         // Was over its limit at some time.
  std::optional<Operation> given_up_;  // By the operation before.
};

// Performs all, checking after each `check_every`, and ends; what differs first.
std::string replay(const World& world, std::span<const Operation> operations, std::size_t check_every = 1);

}  // namespace pagoda::mm::testing
