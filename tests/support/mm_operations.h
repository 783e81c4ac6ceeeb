// Operations on a memory manager, and the model that says what each must do: plain maps of regions, pages and words;
// segments of words that views share, and the private copies that views have of their pages.
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
  unsigned files = 2;             // That are mapped; all on one more disk.
  std::uint64_t file_pages = 40;  // What each has at first.
  unsigned read_cluster = 8;
  unsigned write_cluster = 16;
  std::uint64_t minimum_free = 10;
  std::uint64_t plenty_free = 16;
  std::uint64_t modified_maximum = 16;
  std::uint64_t commit_reserve = 16;
  std::uint64_t working_set_minimum = 10;
  std::uint64_t working_set_maximum = 40;
  bool hard_maximum = false;
  bool yields = false;                   // Processors give back what has to wait (Waiting::kYields).
  std::uint64_t compression_budget = 0;  // Frames; none: no compression store.
  std::uint64_t most_compressed = 3072;  // Bytes. A page of a word takes about 30.
  bool find_zero_pages = true;
  bool random_victims = false;
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
    // Of one of kSections sections, which `section` names, or the file that it would be of.
    kCreateSection,  // `size` bytes with `protection`.
    kCloseSection,
    kMapView,    // At `address`, `size` bytes from `offset` on, with `protection`.
    kUnmapView,  // That contains `address`.
    kExtend,     // To `size` bytes.
    kFlushView,  // `size` bytes from `address` on.
    kReadFile,   // `size` bytes at `offset`, at most 4 pages.
    kWriteFile,  // The same; words are value, value + 1, ... and zeros between them.
    kResizeFile,
    kDropUnused,
  };
  static constexpr std::size_t kKinds = 27;
  static constexpr unsigned kSections = 5;
  Kind kind = Kind::kLoad;
  unsigned cpu = 0;
  unsigned space = 0;
  std::uint64_t address = 0;
  std::uint64_t size = 0;
  Protection protection = Protection::kReadWrite;
  std::uint64_t value = 0;  // Also the bits below.
  unsigned section = 0;
  std::uint64_t offset = 0;

  static constexpr std::uint64_t kCommitted = 1;     // kReserve.
  static constexpr std::uint64_t kAnywhere = 2;      // kReserve: wherever there is room,
  static constexpr std::uint64_t kTopDown = 4;       // from the top.
  static constexpr std::uint64_t kOfFile = 1;        // kCreateSection: of a file's data; else of the paging files,
  static constexpr std::uint64_t kReserved = 2;      // with pages that are committed one by one.
  static constexpr std::uint64_t kExtendable = 1;    // kMapView, beside kAnywhere and kTopDown.
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
  static constexpr unsigned kWords = 8;
  using Words = std::array<std::uint64_t, kWords>;
  struct Page {
    Protection protection = Protection::kNone;  // kNone: reserved. Of a view: as if it were committed.
    bool locked_in_ws = false;
    bool locked_in_memory = false;
    bool is_private = true;  // Of a view: false until a write has copied it.
    Words words{};
    // How many bytes of each word mean something. What a file's page shows behind the file's end does not.
    std::array<std::uint8_t, kWords> known{8, 8, 8, 8, 8, 8, 8, 8};

    [[nodiscard]] bool is_committed() const { return protection != Protection::kNone; }
    [[nodiscard]] bool is_locked() const { return locked_in_ws || locked_in_memory; }
  };
  // What views share.
  struct Segment {
    std::shared_ptr<FileStream> file;  // None: of the paging files.
    std::uint64_t file_size = 0;       // Bytes.
    std::uint64_t pages = 0;           // That views may show.
    std::uint64_t prototypes = 0;      // Pages of prototype PTEs that are charged.
    bool reserve = false;
    std::uint64_t views = 0;
    std::map<std::uint64_t, Words> words;  // Zero where there are none.
    std::map<std::uint64_t, bool> committed;

    [[nodiscard]] bool is_committed(std::uint64_t page) const {
      return page < pages && (!reserve || committed.contains(page));
    }
    [[nodiscard]] bool is_behind_end(std::uint64_t page) const {
      return file != nullptr && page * kPageBytes >= file_size;
    }
    [[nodiscard]] std::uint64_t charge() const {
      return file != nullptr ? 0 : prototypes + (reserve ? committed.size() : pages);
    }
    [[nodiscard]] unsigned known(std::uint64_t page, std::uint64_t word) const;  // Bytes.
    void resize(std::uint64_t size);
  };
  struct OpenSection {
    Section* section = nullptr;  // None: closed.
    std::shared_ptr<Segment> segment;
    std::uint64_t size = 0;
    Protection protection = Protection::kNone;
  };
  struct Region {
    std::uint64_t count = 0;
    Protection protection = Protection::kNone;  // As reserved or mapped.
    std::shared_ptr<Segment> segment;           // Of a view.
    std::uint64_t section_page = 0;
    Protection section_protection = Protection::kNone;
  };
  struct Space {
    ProcessSpace* manager = nullptr;          // None: there was no commit for one.
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
  // What a page may be used for now; kNone if it is not committed.
  static Protection rights(const Region& region, std::uint64_t first, std::uint64_t page, const Page& model);
  // Whether it counts for its view's charge.
  static bool is_charged(const Page& page) { return page.is_private || is_write_copy(page.protection); }
  // What a view would fail to be changed to, if anything.
  static Status may_protect(const Region& region, Protection protection);
  // The protection that a page of the region gets when asked for this one.
  static Protection in_region(const Region& region, const Page& page, Protection wanted);
  static std::uint64_t charge_after_protect(const Space& space, const Region& region, Pages pages, Protection wanted);
  static std::uint64_t charge_of(const Space& space, Pages pages);
  void forget_region(Space& space, RegionPlace region);
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
  std::string commit_view(const Operation& operation, Space& space, const Region& region, std::uint64_t first,
                          Pages pages);
  std::string create_section(const Operation& operation);
  std::string close_section(const Operation& operation);
  std::string map_view(const Operation& operation, Space& space);
  std::string unmap_view(const Operation& operation, Space& space);
  std::string extend(const Operation& operation);
  std::string flush_view(const Operation& operation, Space& space);
  std::string read_file(const Operation& operation);
  std::string write_file(const Operation& operation);
  std::string resize_file(const Operation& operation);
  // Calls until the disk lets it through. What waits is not given up: it may be half done.
  template <class Call>
  auto insist(const Operation& operation, Call&& call) -> decltype(call());
  // The same of what is done in pieces.
  template <class Call>
  Result<ByteCount> piecewise(const Operation& operation, std::uint64_t size, Call&& call);
  // What the file holds where nothing is modified in memory, against the model.
  [[nodiscard]] std::string compare_file(const Operation& operation, const Segment& segment, Pages pages) const;
  std::string finish_sections();

  World world_;
  std::unique_ptr<machine::SimMachine> machine_;
  std::unique_ptr<MemoryManager> manager_;
  std::vector<Space> spaces_;
  std::vector<std::shared_ptr<Segment>> files_;
  std::array<OpenSection, Operation::kSections> sections_;
  std::vector<std::weak_ptr<Segment>> segments_;  // Of the paging files.
  bool broke_promise_ = false;                    // Was over its limit at some time.
  std::optional<Operation> given_up_;             // By the operation before.
};

// Performs all, checking after each `check_every`, and ends; what differs first.
std::string replay(const World& world, std::span<const Operation> operations, std::size_t check_every = 1);

}  // namespace pagoda::mm::testing
