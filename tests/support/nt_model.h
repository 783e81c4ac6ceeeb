// Random Nt* calls against a model of processes, handles, sections and regions made of plain maps.
//
// The interpreter performs one call at a time on an NtMachine and says where the status, the in/out parameters, the
// bytes or the regions differ from the model's. Calls print as C; what they name by a handle is `h[n]`, an array that
// the interpreter fills at its beginning (see Handles below) and that calls which make handles fill further.
//
// Left out: files and images (the interpreter of mm has them), and what a call does beside private and paging-file
// memory (large pages, AWE, write watch, reset, placeholders, clones): bits that ask for it are passed only where the
// call refuses them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt::testing {

struct NtWorld {
  machine::PteFormat paging = machine::PteFormat::kAmd64;
  std::uint64_t frames = 400;
};

struct NtOperation {
  enum class Call : std::uint8_t {
    kAllocate,    // handle, base, zero_bits, size, type, protect
    kAllocateEx,  // The same; parameters if there is a `value`: lowest `offset`, highest `commit`, alignment
                  // `zero_bits`
    kFree,
    kProtect,
    kQuery,  // Class `type`, of `size` bytes.
    kLock,
    kUnlock,
    kRead,
    kWrite,  // Bytes that begin with `value`.
    kLoad,   // The program of the current process.
    kStore,
    kFetch,
    kCreateSection,  // handle2: of which file; size; protect; type; value: which name; access
    kOpenSection,
    kQuerySection,
    kExtendSection,
    kMapView,  // handle: the section; handle2: the process
    kUnmapView,
    kFlush,
    kClose,
    kDuplicate,  // handle of handle2's process, to handle3's.
    kCreateProcess,
    kTerminateProcess,
    kQueryProcess,
    kSetWorkingSet,
    kSetPrivilege,
    kAttach,
    kDetach,
    kEnumEnd
  };
  static constexpr std::size_t kCalls = static_cast<std::size_t>(Call::kEnumEnd);
  // Which pointers are null.
  static constexpr std::uint8_t kNoBase = 1;
  static constexpr std::uint8_t kNoSize = 2;
  static constexpr std::uint8_t kNoOut = 4;

  Call call = Call::kLoad;
  std::uint8_t handle = 0;
  std::uint8_t handle2 = 0;
  std::uint8_t handle3 = 0;
  std::uint8_t out = 0;  // The place of a new handle.
  std::uint8_t nulls = 0;
  std::uint32_t type = 0;
  std::uint32_t protect = 0;
  std::uint32_t access = 0;
  std::uint64_t base = 0;
  std::uint64_t size = 0;
  std::uint64_t zero_bits = 0;
  std::uint64_t offset = 0;
  std::uint64_t commit = 0;
  std::uint64_t value = 0;
};

// What `h` holds. Calls that make handles put them where nothing is any more, from kFirstMade on.
struct Handles {
  static constexpr std::uint8_t kCurrent = 0;  // NtCurrentProcess().
  static constexpr std::uint8_t kThread = 1;   // Of the first process.
  static constexpr std::uint8_t kBad = 2;
  static constexpr std::uint8_t kNull = 3;
  static constexpr std::uint8_t kEnded = 4;       // A process that has ended.
  static constexpr std::uint8_t kMayQuery = 5;    // The first child, and no more than to query and to read it.
  static constexpr std::uint8_t kMayOperate = 6;  // The same, to operate on and to write to its memory.
  static constexpr std::uint8_t kFirstMade = 7;
  static constexpr std::uint8_t kProcesses = 7;  // Two children to begin with; to kSections.
  static constexpr std::uint8_t kSections = 11;  // To kAnything.
  static constexpr std::uint8_t kAnything = 17;
  static constexpr std::uint8_t kCount = 20;
};

class NtInterpreter {
 public:
  explicit NtInterpreter(const NtWorld& world);
  NtInterpreter(const NtInterpreter&) = delete;
  NtInterpreter& operator=(const NtInterpreter&) = delete;
  ~NtInterpreter();

  // What differs; empty if nothing does.
  std::string perform(const NtOperation& operation);
  // All regions of all processes, their bytes, and mm::check.
  std::string check();
  // Gives everything back and looks whether anything stays.
  std::string finish();
  // An operation that makes sense, most of the time.
  NtOperation next(Random& random) const;
  // Calls that succeeded, by kind.
  [[nodiscard]] const std::array<std::uint64_t, NtOperation::kCalls>& successes() const { return successes_; }

 private:
  using Bytes = std::array<std::uint8_t, kPageBytes>;
  using Contents = std::map<std::uint64_t, Bytes>;  // By page; zeros where there is none.
  struct Section {
    bool reserve = false;
    bool no_change = false;
    std::uint64_t pages = 0;
    mm::Protection protection = mm::Protection::kNone;
    std::u16string name;
    Contents contents;
    std::set<std::uint64_t> committed;

    [[nodiscard]] bool is_committed(std::uint64_t page) const { return !reserve || committed.contains(page); }
  };
  struct Page {
    mm::Protection protection = mm::Protection::kNone;  // kNone: reserved. Of a view: as if it were committed.
    bool is_private = true;                             // Of a view: false until a write has copied it.
    std::array<bool, 2> locked{};                       // In the working set, in memory.
    [[nodiscard]] bool is_locked() const { return locked[0] || locked[1]; }
  };
  struct Region {
    std::uint64_t count = 0;
    mm::Protection protection = mm::Protection::kNone;
    std::shared_ptr<Section> section;  // Of a view.
    std::uint64_t section_page = 0;
    bool no_change = false;
  };
  struct Process;
  struct Entry {
    ObjectType type = ObjectType::kProcess;
    AccessMask access = 0;
    std::shared_ptr<Process> process;
    std::shared_ptr<Section> section;
  };
  struct Process {
    bool first = false;
    bool ended = false;
    bool may_lock = true;  // Holds SeLockMemory.
    std::uint64_t minimum = 0;
    std::uint64_t locked = 0;
    std::map<std::uint64_t, Entry> handles;
    std::map<std::uint64_t, Region> regions;  // By first page.
    std::map<std::uint64_t, Page> pages;      // Of all regions.
    Contents contents;                        // Of private pages.
  };
  using ProcessPointer = std::shared_ptr<Process>;
  using RegionPlace = std::map<std::uint64_t, Region>::iterator;
  struct Pages {
    std::uint64_t first = 0;
    std::uint64_t count = 0;
    [[nodiscard]] std::uint64_t end() const { return first + count; }
  };
  struct Limits {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    std::uint64_t alignment = 0;
    bool top_down = false;
  };

  // --- The model ---
  [[nodiscard]] Process& current() const { return *runs_.back(); }
  NTSTATUS find(const Process& process, HANDLE handle, ObjectType type, AccessMask needed, Entry& out) const;
  NTSTATUS find_process(HANDLE handle, AccessMask needed, ProcessPointer& out) const;
  NTSTATUS find_space(HANDLE handle, AccessMask needed, ProcessPointer& out) const;
  [[nodiscard]] bool is_free(std::uint8_t slot) const;
  [[nodiscard]] std::shared_ptr<Section> named(const std::u16string& name) const;
  static Pages covering(std::uint64_t base, std::uint64_t size);
  static RegionPlace region_at(Process& process, std::uint64_t page);
  static RegionPlace region_of(Process& process, Pages pages);
  static bool overlaps(const Process& process, Pages pages);
  static std::optional<std::uint64_t> find_gap(const Process& process, std::uint64_t count, const Limits& limits);
  [[nodiscard]] Limits all() const;
  static mm::Protection rights(const Region& region, std::uint64_t first, std::uint64_t page, const Page& model);
  static mm::Protection in_region(const Region& region, const Page& page, mm::Protection wanted);
  static NTSTATUS may_protect(const Region& region, mm::Protection protection);
  static void set_protection(Process& process, Page& page, mm::Protection protection);
  static void forget(Process& process, std::uint64_t page);
  static void forget_region(Process& process, RegionPlace region);
  NTSTATUS touch(Process& process, std::uint64_t page, machine::Access access, bool from_outside);
  // The page's bytes; null: zeros, unless `make`.
  static Bytes* bytes_of_page(Process& process, std::uint64_t page, bool make);
  [[nodiscard]] MEMORY_BASIC_INFORMATION information(Process& process, std::uint64_t page) const;
  // Whether so many pages more may well be refused.
  [[nodiscard]] bool is_short(std::uint64_t pages) const;

  // --- The calls ---
  [[nodiscard]] NtOperation sane(NtOperation operation) const;
  std::string compare(const NtOperation& operation, NTSTATUS expected, NTSTATUS got, std::uint64_t pages_wanted = 0);
  static std::string compare_in_out(const NtOperation& operation, Pages expected, bool success, PVOID base,
                                    SIZE_T size);
  std::string allocate(const NtOperation& operation);
  std::string free(const NtOperation& operation);
  std::string protect(const NtOperation& operation);
  std::string query(const NtOperation& operation);
  std::string lock(const NtOperation& operation);
  std::string copy(const NtOperation& operation);
  std::string access(const NtOperation& operation);
  std::string create_section(const NtOperation& operation);
  std::string open_section(const NtOperation& operation);
  std::string query_section(const NtOperation& operation);
  std::string extend_section(const NtOperation& operation);
  std::string map_view(const NtOperation& operation);
  std::string unmap_view(const NtOperation& operation);
  std::string flush(const NtOperation& operation);
  std::string close(const NtOperation& operation);
  std::string duplicate(const NtOperation& operation);
  std::string create_process(const NtOperation& operation);
  std::string terminate_process(const NtOperation& operation);
  std::string query_process(const NtOperation& operation);
  std::string set_working_set(const NtOperation& operation);
  std::string set_privilege(const NtOperation& operation);
  std::string attach(const NtOperation& operation);
  std::string detach(const NtOperation& operation);
  std::string took_handle(const NtOperation& operation, HANDLE handle, const ProcessPointer& owner, Entry entry);
  void read_limits(Process& process, HANDLE handle);
  std::string check_process(Process& process, HANDLE handle);
  void leave_space(const ProcessPointer& process);

  class Chooser;

  std::unique_ptr<NtMachine> machine_;
  NtMachine::Totals before_;
  std::size_t prototypes_before_ = 0;
  std::uint64_t highest_user_ = 0;
  std::uint64_t highest_vad_ = 0;
  bool has_no_execute_ = true;
  std::vector<ProcessPointer> runs_;  // The last is the current one.
  std::array<HANDLE, Handles::kCount> h_{};
  std::array<std::weak_ptr<Process>, Handles::kCount> owners_;  // In whose table h_[n] is.
  std::vector<std::weak_ptr<Section>> sections_;
  std::vector<std::weak_ptr<Process>> processes_;
  std::array<std::uint64_t, NtOperation::kCalls> successes_{};
};

// As C.
std::string to_string(const NtOperation& operation);
// A regression test: as C, and as what `replay` takes.
std::string as_test(const NtWorld& world, std::span<const NtOperation> operations);
// Performs all, checking after each `check_every`, and ends; what differs first.
std::string replay(const NtWorld& world, std::span<const NtOperation> operations, std::size_t check_every = 50);

}  // namespace pagoda::nt::testing
