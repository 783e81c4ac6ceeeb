// For tests: a kernel with the calling thread inside, and short ways to look at it.
//
//   NtMachine m;
//   const HANDLE child = m.create_process();
//   ...
//   NtClose(child);
//   EXPECT_EQ(m.check(), "");
//   EXPECT_EQ(m.totals(), before);  // Nothing leaked.
#pragma once

#include <fmt/format.h>

#include <memory>
#include <string>

#include "pagoda/mm/check/check.h"
#include "pagoda/mm/testing/test_machine.h"
#include "pagoda/nt.h"
#include "pagoda/nt/caller.h"
#include "pagoda/nt/edge.h"

namespace pagoda::nt::testing {

struct NtMachineConfig {
  PageCount frames{512};
  machine::PteFormat paging = machine::PteFormat::kAmd64;
  unsigned processors = 1;
  ByteCount paging_file = 4_MiB;
  std::filesystem::path directory;
  mm::UserRange user_range = mm::UserRange::kNormal;
  std::optional<Version> version;
};

class NtMachine {
 public:
  explicit NtMachine(const NtMachineConfig& config = {})
      : kernel_(*Kernel::create(
            {.machine = {.frames = config.frames, .paging = config.paging, .processors = config.processors},
             .manager = {.tunables = mm::testing::small_tunables(),
                         .paging_files =
                             {{.name = "pagefile.sys", .minimum = config.paging_file, .maximum = config.paging_file}}},
             .directory = config.directory,
             .user_range = config.user_range,
             .version = config.version})) {
    PAGODA_CHECK(Caller::enter(*kernel_).has_value());
  }
  NtMachine(const NtMachine&) = delete;
  NtMachine& operator=(const NtMachine&) = delete;
  ~NtMachine() { [[maybe_unused]] const auto left = Caller::leave(); }  // A test may have left before.

  [[nodiscard]] Kernel& kernel() { return *kernel_; }
  [[nodiscard]] Caller& caller() { return *Caller::current(); }
  [[nodiscard]] std::string check() { return mm::to_string(mm::check(kernel_->manager(), caller().cpu())); }

  // An address space of its own, with all rights.
  HANDLE create_process(ULONG flags = 0) {
    HANDLE handle = nullptr;
    PAGODA_CHECK_EQ(PagodaCreateProcess(&handle, PROCESS_ALL_ACCESS, NtCurrentProcess(), flags), STATUS_SUCCESS);
    return handle;
  }
  // The same process through a handle that grants less.
  HANDLE with_access(HANDLE process, ACCESS_MASK access) {
    HANDLE handle = nullptr;
    PAGODA_CHECK_EQ(NtDuplicateObject(NtCurrentProcess(), process, NtCurrentProcess(), &handle, access, 0, 0),
                    STATUS_SUCCESS);
    return handle;
  }
  // A handle of no object.
  static HANDLE bad_handle() { return reinterpret_cast<HANDLE>(std::uintptr_t{0x7770}); }
  HANDLE create_thread() {
    HANDLE handle = nullptr;
    PAGODA_CHECK_EQ(PagodaCreateThread(&handle, NtCurrentProcess(), 64 << 10, 4096), STATUS_SUCCESS);
    return handle;
  }

  // Memory of a process where nothing may go wrong.
  std::uint64_t allocate(std::uint64_t base, SIZE_T size, ULONG type = MEM_RESERVE | MEM_COMMIT,
                         ULONG protect = PAGE_READWRITE, HANDLE process = NtCurrentProcess()) {
    PVOID at = pointer(base);
    PAGODA_CHECK_EQ(NtAllocateVirtualMemory(process, &at, 0, &size, type, protect), STATUS_SUCCESS);
    return bits_of(at);
  }
  void release(std::uint64_t base, HANDLE process = NtCurrentProcess()) {
    PVOID at = pointer(base);
    SIZE_T size = 0;
    PAGODA_CHECK_EQ(NtFreeVirtualMemory(process, &at, &size, MEM_RELEASE), STATUS_SUCCESS);
  }
  static PVOID pointer(std::uint64_t address) { return pointer_to(VirtualAddress(address)); }
  static NTSTATUS put(std::uint64_t address, std::uint64_t value) {
    return PagodaStore(pointer(address), &value, sizeof value);
  }
  static NTSTATUS get(std::uint64_t address, std::uint64_t& value) {
    return PagodaLoad(pointer(address), &value, sizeof value);
  }

  static MEMORY_BASIC_INFORMATION query(std::uint64_t address, HANDLE process = NtCurrentProcess()) {
    MEMORY_BASIC_INFORMATION info{};
    PAGODA_CHECK_EQ(
        NtQueryVirtualMemory(process, pointer(address), MemoryBasicInformation, &info, sizeof info, nullptr),
        STATUS_SUCCESS);
    return info;
  }
  // All regions of a process, one line each: what a failing call must not change.
  std::string regions(HANDLE process = NtCurrentProcess()) {
    std::string out;
    const std::uint64_t highest = highest_user_address(caller()).value();
    for (std::uint64_t at = 0; at <= highest;) {
      MEMORY_BASIC_INFORMATION info{};
      if (NtQueryVirtualMemory(process, pointer(at), MemoryBasicInformation, &info, sizeof info, nullptr) !=
          STATUS_SUCCESS)
        break;
      if (info.State != MEM_FREE)
        out += fmt::format("{:x}+{:x} in {:x} state {:x} protect {:x} of {:x} type {:x}\n", at, info.RegionSize,
                           bits_of(info.AllocationBase), info.State, info.Protect, info.AllocationProtect, info.Type);
      at += info.RegionSize;
    }
    return out;
  }

  // What must be the same when everything that was made has been deleted.
  struct Totals {
    std::uint64_t commit = 0;
    std::uint64_t active = 0;
    std::uint64_t slots = 0;
    std::size_t handles = 0;
    std::size_t names = 0;
    std::size_t spaces = 0;
    friend bool operator==(const Totals&, const Totals&) = default;
  };
  Totals totals() {
    mm::MemoryManager& manager = kernel_->manager();
    Totals out{.commit = manager.commit().charged.value(),
               .active = manager.frame_counts().active.value(),
               .handles = caller().process().handles().size(),
               .names = kernel_->names().size()};
    {
      const LockGuard guard(manager.spaces().lock);
      out.spaces = manager.spaces().spaces.size();
    }
    const LockGuard guard(manager.core().pfns.lock);
    out.slots = manager.core().paging_files.used().value();
    return out;
  }

 private:
  std::unique_ptr<Kernel> kernel_;
};

}  // namespace pagoda::nt::testing
