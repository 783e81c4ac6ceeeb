// A machine over this process's own memory, as small as it can be: Linux's mappings of the frames are the TLB, which
// software fills, SIGSEGV is a TLB miss, and a shoot-down unmaps. Programs use real pointers. It shows what the
// interface of a machine must allow: a fill is a walk and a mapping under the space's lock.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "pagoda/mm/testing/test_machine.h"
#include "tests/support/in_child.h"

namespace pagoda::mm::testing {
namespace {

using machine::Access;
using machine::Privilege;
using machine::Translation;

constexpr unsigned kThreads = 2;
constexpr VirtualAddress kBase{0x1000'0000};  // In the user range, below the sanitizers' shadows.

void* pointer(VirtualAddress va) { return reinterpret_cast<void*>(va.value()); }

// A thread that runs a program.
class NativeProcessor final : public Processor {
 public:
  NativeProcessor(machine::Machine& machine, unsigned number, machine::PhysicalView physical, int memfd)
      : Processor(machine, number, physical), memfd_(memfd) {}

  // Linux's mappings are of all processors, and a shoot-down takes them away.
  void invalidate_page(VirtualAddress va, machine::Asid /*asid*/) override {
    munmap(pointer(va.page_base()), kPageBytes);
  }
  void invalidate_asid(machine::Asid /*asid*/) override {}
  void invalidate_all() override {}
  void invalidate_range(VpnRange /*pages*/, machine::Asid /*asid*/) override {}
  [[nodiscard]] std::vector<machine::CachedTranslation> cached() const override { return {}; }

  void fill_tlb(VirtualAddress va, const Translation& found) override {
    if (++fills_ % 4 == 0) usleep(100);  // Time for the entry to change before it is mapped.
    const int rights = PROT_READ | (found.writable && found.dirty ? PROT_WRITE : 0);
    if (mmap(pointer(va.page_base()), kPageBytes, rights, MAP_SHARED | MAP_FIXED, memfd_,
             static_cast<off_t>(PhysicalAddress(found.frame).value())) == MAP_FAILED)
      _exit(3);
  }
  // The program has touched the address: a TLB miss.
  void miss(VirtualAddress va, Access access) {
    if (handler().refill(*this, va, access, Privilege::kUser) != Status::kSuccess) _exit(2);
  }

 private:
  void do_load_root(Pfn root, machine::Asid asid, machine::OldEntries /*old*/) override { set_root(root, asid); }
  Result<> touch_page(VirtualAddress /*va*/, Access /*access*/, Privilege /*privilege*/) override {
    return fail(Status::kNotSupported);  // Programs touch their memory themselves.
  }

  const int memfd_;
  std::uint64_t fills_ = 0;
};

// Frames and disks are the simulated machine's.
class NativeMachine final : public machine::testing::WiderMachine {
 public:
  NativeMachine(machine::SimMachine& machine, VpnRange region)
      : WiderMachine(machine, machine.frame_count(), nullptr), region_(region) {
    for (unsigned number = 0; number <= kThreads; ++number) {
      owned_.push_back(
          std::make_unique<NativeProcessor>(*this, number, machine.memory().view(), machine.memory().memfd()));
      processors_.push_back(owned_.back().get());
    }
  }

  [[nodiscard]] machine::TlbRefill refill() const override { return machine::TlbRefill::kSoftware; }
  [[nodiscard]] std::span<Processor* const> processors() override { return processors_; }
  void shoot_down(Processor& /*initiator*/, const machine::CachedSpace& /*space*/,
                  std::span<const machine::StaleRun> runs) override {
    for (const machine::StaleRun& run : runs) {
      const VpnRange pages = run.pages.intersection(region_);  // Elsewhere this process has its own memory.
      if (!pages.empty()) munmap(pointer(VirtualAddress(pages.first)), bytes_of(pages.count).value());
    }
  }
  [[nodiscard]] NativeProcessor& processor(unsigned number) { return *owned_[number]; }

 private:
  const VpnRange region_;
  std::vector<std::unique_ptr<NativeProcessor>> owned_;
  std::vector<Processor*> processors_;
};

// One in the process: a signal handler finds it.
class NativeSystem {
 public:
  NativeSystem(PageCount frames, VpnRange region)
      : sim_(*machine::SimMachine::create(
            {.frames = frames, .frame_memory = machine::FrameMemory::kShareable, .disks = {{}}})),
        machine_(*sim_, region),
        manager_(*MemoryManager::create(
            machine_, {.paging_files = {{.name = "pagefile.sys", .disk = 0, .minimum = 10_MiB, .maximum = 10_MiB}}})),
        space_(*manager_->create_space(cpu(0),
                                       {.limits = WorkingSet::Limits{.minimum = PageCount(50), .maximum = frames}})) {
    struct sigaction action{};
    action.sa_sigaction = on_segv;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, nullptr);
    enter(0);
  }

  NativeProcessor& cpu(unsigned number) { return machine_.processor(number); }
  MemoryManager& manager() { return *manager_; }
  ProcessSpace& space() { return *space_; }
  // The calling thread is this processor from now on.
  void enter(unsigned number) {
    processor_ = &cpu(number);
    manager_->attach(*processor_, *space_);
  }

 private:
  static void on_segv(int /*signal*/, siginfo_t* info, void* context) {
    const auto error = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_ERR];
    const VirtualAddress va(reinterpret_cast<std::uint64_t>(info->si_addr));
    processor_->miss(va, (error & 2) != 0 ? Access::kWrite : Access::kRead);
  }

  static inline thread_local NativeProcessor* processor_ = nullptr;

  std::unique_ptr<machine::SimMachine> sim_;
  NativeMachine machine_;
  std::unique_ptr<MemoryManager> manager_;
  ProcessSpace* space_;
};

// Two threads write words of their own into each page of a region larger than memory and read them back at random;
// what went wrong, or nothing.
std::string run_program() {
  constexpr PageCount kFrames{1024};
  constexpr std::uint64_t kPages = 1500;
  constexpr std::uint64_t kWords = kPageBytes / sizeof(std::uint64_t);
  constexpr std::uint64_t kRounds = 3;
  void* const free = mmap(pointer(kBase), kPages * kPageBytes, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);
  if (free != pointer(kBase)) return "there is something where the region should be";
  munmap(free, kPages * kPageBytes);
  NativeSystem native(kFrames, {kBase.vpn(), PageCount(kPages)});
  if (!native.space().reserve({.base = kBase, .size = bytes_of(PageCount(kPages)), .commit = MemCommit::kYes}))
    return "no region";

  std::atomic<std::uint64_t> wrong{0};
  const auto program = [&](unsigned number) {
    native.enter(number);
    volatile std::uint64_t* const words = static_cast<std::uint64_t*>(pointer(kBase)) + std::uint64_t{number} * 16;
    Random random(number);
    const auto value = [&](std::uint64_t page, std::uint64_t round) { return page * 7 + round + number; };
    for (std::uint64_t round = 0; round < kRounds; ++round) {
      for (std::uint64_t page = 0; page < kPages; ++page) words[page * kWords + round] = value(page, round);
      for (std::uint64_t i = 0; i < kPages; ++i) {
        const std::uint64_t page = random.below(kPages);
        for (std::uint64_t written = 0; written <= round; ++written)
          if (words[page * kWords + written] != value(page, written)) ++wrong;
      }
    }
  };
  {
    const std::jthread first(program, 1U);
    const std::jthread second(program, 2U);
  }
  const std::uint64_t read = native.manager().counters().faults[static_cast<std::size_t>(FaultKind::kPageFile)];
  if (read < 100) return "the region was to be larger than memory";
  if (wrong != 0) return std::to_string(wrong) + " words were wrong";
  return TestMachine::check_manager(native.manager(), native.cpu(0));
}

TEST(NativeMachine, ThreadsReadTheirWords) { EXPECT_EQ(pagoda::testing::in_child(run_program), ""); }

}  // namespace
}  // namespace pagoda::mm::testing
