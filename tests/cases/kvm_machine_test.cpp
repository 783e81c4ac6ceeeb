// A real MMU on the manager's own tables: a virtual processor of Linux's KVM runs a program at CPL 3 with CR3 at the
// space's root, and its page faults come back as exits. It shows what the interface of a machine must allow: a
// shoot-down names frames, since KVM may shadow our tables and then forgets a translation only with its frame's mapping
// in this process. Needs /dev/kvm.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <span>
#include <string>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm::testing {
namespace {

using machine::Access;
using machine::Privilege;

constexpr PageCount kFrames{512};
constexpr std::uint64_t kPages = 700;  // Of the program: more than there are frames.
constexpr std::uint64_t kRounds = 2;

// --- What lies in the frames beyond the manager's, mapped at kKernel ---

constexpr std::uint64_t kKernel = 0xFFFF'8000'0000'0000;
constexpr unsigned kKernelSlot = 256;  // Of the root.
// Frames by number.
constexpr unsigned kLevel3 = 0;
constexpr unsigned kLevel2 = 1;
constexpr unsigned kLevel1 = 2;
constexpr unsigned kFirstMapped = 3;
constexpr unsigned kStub = 3;
constexpr unsigned kIdt = 4;
constexpr unsigned kGdt = 5;
constexpr unsigned kTss = 6;
constexpr unsigned kStack = 7;
constexpr unsigned kKernelFrames = 8;

constexpr std::uint64_t address_of(unsigned frame) { return kKernel + (frame - kFirstMapped) * kPageBytes; }

constexpr std::uint8_t kFaultPort = 0x10;
constexpr std::uint8_t kEndPort = 0x11;
constexpr std::uint64_t kEndOffset = 256;  // In the stub.

// The page fault's handler: leaves to us, forgets all translations, and repeats the access.
constexpr auto kFaultHandler = std::to_array<std::uint8_t>({
    0x50,                    // push rax
    0xE6, kFaultPort,        // out kFaultPort, al
    0x0F, 0x20, 0xD8,        // mov rax, cr3
    0x0F, 0x22, 0xD8,        // mov cr3, rax
    0x58,                    // pop rax
    0x48, 0x83, 0xC4, 0x08,  // add rsp, 8
    0x48, 0xCF,              // iretq
});
constexpr auto kEndHandler = std::to_array<std::uint8_t>({0xE6, kEndPort, 0x48, 0xCF});  // out kEndPort, al; iretq

// The program: stores address ^ round into each of rdx pages at rbx and compares, r8 rounds; r9 counts differences.
constexpr auto kProgram = std::to_array<std::uint8_t>({
    0x48, 0x89, 0xDF,                          // 00: mov rdi, rbx
    0x48, 0x89, 0xD1,                          // 03: mov rcx, rdx
    0x48, 0x89, 0xF8,                          // 06: mov rax, rdi
    0x4C, 0x31, 0xC0,                          // 09: xor rax, r8
    0x48, 0x89, 0x07,                          // 0c: mov [rdi], rax
    0x48, 0x81, 0xC7, 0x00, 0x10, 0x00, 0x00,  // 0f: add rdi, 4096
    0x48, 0xFF, 0xC9,                          // 16: dec rcx
    0x75, 0xEB,                                // 19: jnz 06
    0x48, 0x89, 0xDF,                          // 1b: mov rdi, rbx
    0x48, 0x89, 0xD1,                          // 1e: mov rcx, rdx
    0x48, 0x89, 0xF8,                          // 21: mov rax, rdi
    0x4C, 0x31, 0xC0,                          // 24: xor rax, r8
    0x48, 0x3B, 0x07,                          // 27: cmp rax, [rdi]
    0x74, 0x03,                                // 2a: je 2f
    0x49, 0xFF, 0xC1,                          // 2c: inc r9
    0x48, 0x81, 0xC7, 0x00, 0x10, 0x00, 0x00,  // 2f: add rdi, 4096
    0x48, 0xFF, 0xC9,                          // 36: dec rcx
    0x75, 0xE6,                                // 39: jnz 21
    0x49, 0xFF, 0xC8,                          // 3b: dec r8
    0x75, 0xC0,                                // 3e: jnz 00
    0xCD, 0x80,                                // 40: int 0x80
});

// --- The machine ---

class KvmMachine : public machine::testing::WiderMachine {
 public:
  explicit KvmMachine(machine::SimMachine& machine)
      : WiderMachine(machine, kFrames, nullptr), bytes_(machine.frame_count()) {
    void* mapped =
        mmap(nullptr, bytes_of(bytes_).value(), PROT_READ | PROT_WRITE, MAP_SHARED, machine.memory().memfd(), 0);
    PAGODA_CHECK(mapped != MAP_FAILED);
    memory_ = static_cast<std::byte*>(mapped);
  }
  KvmMachine(const KvmMachine&) = delete;
  KvmMachine& operator=(const KvmMachine&) = delete;
  ~KvmMachine() override { munmap(memory_, bytes_of(bytes_).value()); }

  // The handler's load of CR3 forgets what the processor itself remembers.
  void shoot_down(Processor& initiator, const machine::CachedSpace& space,
                  std::span<const machine::StaleRun> runs) override {
    WiderMachine::shoot_down(initiator, space, runs);
    for (const machine::StaleRun& run : runs) {
      const bool all = run.first == kNoPfn;
      const PhysicalAddress from = all ? PhysicalAddress{} : PhysicalAddress(run.first);
      PAGODA_CHECK_EQ(
          madvise(memory_ + from.value(), (all ? size() : bytes_of(run.pages.count)).value(), MADV_DONTNEED), 0);
    }
  }

  [[nodiscard]] std::byte* memory() { return memory_; }
  [[nodiscard]] ByteCount size() const { return bytes_of(bytes_); }
  [[nodiscard]] std::byte* kernel_frame(unsigned number) {
    return memory_ + bytes_of(kFrames + PageCount(number)).value();
  }

 private:
  PageCount bytes_;
  std::byte* memory_ = nullptr;
};

void put_word(std::byte* at, std::uint64_t value) { std::memcpy(at, &value, sizeof(value)); }

// Linux's kvm_cpuid2, which has 4 bytes too many in C++, and so do the numbers of its ioctls.
struct SupportedCpuid {
  static constexpr unsigned long kGet = _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x05, 8);
  static constexpr unsigned long kSet = _IOC(_IOC_WRITE, KVMIO, 0x90, 8);
  std::uint32_t count = 100;
  std::uint32_t padding = 0;
  std::array<kvm_cpuid_entry2, 100> leaves{};
};

class KvmProgram : public ::testing::Test {
 protected:
  void SetUp() override {
    kvm_ = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm_ < 0) GTEST_SKIP() << "NOTHING WAS TESTED: /dev/kvm cannot be opened: " << std::strerror(errno);
  }
  void TearDown() override {
    for (const int file : {vcpu_, vm_, kvm_})
      if (file >= 0) close(file);
  }

  // Runs the program several times, between which its memory is decommitted and another region takes the frames.
  void run(int runs) {
    const auto sim = *machine::SimMachine::create({.frames = kFrames + PageCount(kKernelFrames),
                                                   .frame_memory = machine::FrameMemory::kShareable,
                                                   .disks = {{}}});
    KvmMachine seen(*sim);
    const auto manager = *MemoryManager::create(
        seen, {.paging_files = {{.name = "pagefile.sys", .disk = 0, .minimum = 64_MiB, .maximum = 64_MiB}}});
    auto& cpu = sim->processor();
    ProcessSpace& space =
        **manager->create_space(cpu, {.limits = WorkingSet::Limits{.minimum = PageCount(50), .maximum = kFrames}});
    manager->attach(cpu, space);
    const VirtualAddress code(
        space.reserve({.size = kPageSize, .protection = Protection::kExecuteReadWrite, .commit = MemCommit::kYes})
            ->first);
    ASSERT_TRUE(cpu.store(code, std::as_bytes(std::span(kProgram))));
    const ByteCount size = bytes_of(PageCount(kPages));
    const VirtualAddress base(space.reserve({.size = size, .commit = MemCommit::kYes})->first);

    std::byte* const root_slot =
        seen.memory() + PhysicalAddress(space.root()).value() + kKernelSlot * sizeof(std::uint64_t);
    write_kernel(seen, root_slot);
    start(seen, space.root());
    for (int number = 0; number < runs && !HasFatalFailure(); ++number) {
      if (number > 0) {
        ASSERT_TRUE(space.decommit(cpu, base, size));
        ASSERT_TRUE(space.commit(cpu, base, size, Protection::kReadWrite));
        use_frames(cpu, space, 37 * static_cast<std::uint64_t>(number));
      }
      set_registers(code, base);
      serve(seen, *manager, cpu);
    }
    ASSERT_FALSE(HasFatalFailure());

    std::uint64_t wrong = 0;
    for (std::uint64_t page = 0; page < kPages; ++page) {
      const VirtualAddress va = TestMachine::page(base, page);
      if (cpu.load<std::uint64_t>(va) != (va.value() ^ 1)) ++wrong;
    }
    EXPECT_EQ(wrong, 0U) << "words that the program stored, read by the simulated processor";
    EXPECT_GT(manager->counters().faults[static_cast<std::size_t>(FaultKind::kPageFile)], 100U);
    put_word(root_slot, 0);  // The manager knows of no kernel half.
    EXPECT_EQ(TestMachine::check_manager(*manager, cpu), "");
  }

 private:
  // Tables, code and descriptors, which the manager does not know of.
  static void write_kernel(KvmMachine& seen, std::byte* root_slot) {
    const auto frame = [](unsigned number) { return bytes_of(kFrames + PageCount(number)).value(); };
    const auto entry = [&](unsigned number) { return frame(number) | 3; };  // Present, writable, the kernel's.
    put_word(root_slot, entry(kLevel3));
    put_word(seen.kernel_frame(kLevel3), entry(kLevel2));
    put_word(seen.kernel_frame(kLevel2), entry(kLevel1));
    for (unsigned i = kFirstMapped; i < kKernelFrames; ++i)
      put_word(seen.kernel_frame(kLevel1) + (i - kFirstMapped) * 8, entry(i));
    std::memcpy(seen.kernel_frame(kStub), kFaultHandler.data(), kFaultHandler.size());
    std::memcpy(seen.kernel_frame(kStub) + kEndOffset, kEndHandler.data(), kEndHandler.size());

    // Intel SDM vol. 3A 6.14.1: interrupt gates of 64-bit mode.
    const auto gate = [&](unsigned vector, std::uint64_t handler, std::uint64_t privilege) {
      std::byte* const at = seen.kernel_frame(kIdt) + vector * 16;
      put_word(at, (handler & 0xFFFF) | 0x08ULL << 16 | (0x8E | privilege << 5) << 40 | (handler >> 16 & 0xFFFF) << 48);
      put_word(at + 8, handler >> 32);
    };
    gate(14, address_of(kStub), 0);
    gate(0x80, address_of(kStub) + kEndOffset, 3);
    for (const unsigned bug : {6U, 8U, 13U}) gate(bug, address_of(kStub) + kEndOffset, 0);
    put_word(seen.kernel_frame(kGdt) + 8, 0x0020'9A00'0000'0000);   // Kernel code.
    put_word(seen.kernel_frame(kGdt) + 16, 0x0000'9200'0000'0000);  // Kernel data.
    put_word(seen.kernel_frame(kGdt) + 24, 0x0020'FA00'0000'0000);  // User code.
    put_word(seen.kernel_frame(kGdt) + 32, 0x0000'F200'0000'0000);  // User data.
    put_word(seen.kernel_frame(kTss) + 4, address_of(kStack) + kPageBytes);
  }

  static kvm_segment segment(std::uint16_t selector, std::uint8_t type, bool code) {
    return {.limit = 0xFFFF'FFFF,
            .selector = selector,
            .type = type,
            .present = 1,
            .dpl = 3,
            .db = static_cast<__u8>(code ? 0 : 1),
            .s = 1,
            .l = static_cast<__u8>(code ? 1 : 0),
            .g = 1};
  }

  void start(KvmMachine& seen, Pfn root) {
    vm_ = ioctl(kvm_, KVM_CREATE_VM, 0);
    ASSERT_GE(vm_, 0);
    kvm_userspace_memory_region region{.memory_size = seen.size().value(),
                                       .userspace_addr = reinterpret_cast<std::uint64_t>(seen.memory())};
    ASSERT_EQ(ioctl(vm_, KVM_SET_USER_MEMORY_REGION, &region), 0);
    vcpu_ = ioctl(vm_, KVM_CREATE_VCPU, 0);
    ASSERT_GE(vcpu_, 0);
    void* mapped = mmap(nullptr, static_cast<std::size_t>(ioctl(kvm_, KVM_GET_VCPU_MMAP_SIZE, 0)),
                        PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_, 0);
    ASSERT_NE(mapped, MAP_FAILED);
    exit_ = static_cast<kvm_run*>(mapped);

    SupportedCpuid cpuid;
    ASSERT_EQ(ioctl(kvm_, SupportedCpuid::kGet, &cpuid), 0) << std::strerror(errno);
    ASSERT_EQ(ioctl(vcpu_, SupportedCpuid::kSet, &cpuid), 0) << std::strerror(errno);

    ASSERT_EQ(ioctl(vcpu_, KVM_GET_SREGS, &special_), 0);
    special_.cr0 = 0x8001'0033;  // PG, WP, NE, ET, MP, PE.
    special_.cr4 = 0x20;         // PAE.
    special_.efer = 0xD00;       // NXE, LMA, LME.
    special_.cr3 = PhysicalAddress(root).value();
    special_.cs = segment(0x1B, 11, true);
    special_.ss = special_.ds = special_.es = segment(0x23, 3, false);
    special_.gdt = {.base = address_of(kGdt), .limit = 39};
    special_.idt = {.base = address_of(kIdt), .limit = 4095};
    special_.tr = {.base = address_of(kTss), .limit = 103, .selector = 0x28, .type = 11, .present = 1};
  }

  void set_registers(VirtualAddress code, VirtualAddress base) {
    ASSERT_EQ(ioctl(vcpu_, KVM_SET_SREGS, &special_), 0);
    kvm_regs registers{.rbx = base.value(), .rdx = kPages, .r8 = kRounds, .rip = code.value(), .rflags = 2};
    ASSERT_EQ(ioctl(vcpu_, KVM_SET_REGS, &registers), 0);
  }

  // Another region takes frames that the program had, and gives them back.
  static void use_frames(auto& cpu, ProcessSpace& space, std::uint64_t pages) {
    const VirtualAddress other(space.reserve({.size = bytes_of(PageCount(pages)), .commit = MemCommit::kYes})->first);
    for (std::uint64_t i = 0; i < pages; ++i)
      ASSERT_TRUE(cpu.template store<std::uint64_t>(TestMachine::page(other, i), i * 0x1001 + 7));
    ASSERT_TRUE(space.release(cpu, other, ByteCount()));
  }

  // Resolves the program's faults until it ends.
  void serve(KvmMachine& seen, MemoryManager& manager, Processor& cpu) {
    for (;;) {
      ASSERT_EQ(ioctl(vcpu_, KVM_RUN, 0), 0) << std::strerror(errno);
      ASSERT_EQ(exit_->exit_reason, unsigned{KVM_EXIT_IO});
      kvm_regs registers{};
      kvm_sregs special{};
      ASSERT_EQ(ioctl(vcpu_, KVM_GET_REGS, &registers), 0);
      ASSERT_EQ(ioctl(vcpu_, KVM_GET_SREGS, &special), 0);
      if (exit_->io.port == kEndPort) {
        ASSERT_EQ(registers.r8, 0U) << "an exception, at " << VirtualAddress(special.cr2).value();
        EXPECT_EQ(registers.r9, 0U) << "words that the program read and had not stored";
        return;
      }
      std::uint64_t error = 0;
      std::memcpy(&error, seen.kernel_frame(kStack) + (registers.rsp + 8 - address_of(kStack)), sizeof(error));
      const machine::PageFault fault{
          .address = VirtualAddress(special.cr2),
          .access = (error & 16) != 0 ? Access::kExecute : ((error & 2) != 0 ? Access::kWrite : Access::kRead),
          .privilege = (error & 4) != 0 ? Privilege::kUser : Privilege::kKernel,
          .present = (error & 1) != 0,
          .reserved_bit = (error & 8) != 0};
      ASSERT_EQ(manager.resolve(cpu, fault), Status::kSuccess)
          << "at " << special.cr2 << ", error " << error << ", instruction " << registers.rip;
      for (SystemThread* thread : manager.system_threads())
        if (thread->due(cpu.now()) <= cpu.now()) thread->run(cpu);
    }
  }

  int kvm_ = -1;
  int vm_ = -1;
  int vcpu_ = -1;
  kvm_run* exit_ = nullptr;
  kvm_sregs special_{};
};

TEST_F(KvmProgram, ReadsWhatItStoredWhilePagesAreTrimmed) { run(1); }

// The entries of freed pages name no frame by the time of their shoot-down.
TEST_F(KvmProgram, ReadsWhatItStoredWhereMemoryWasFreed) { run(5); }

}  // namespace
}  // namespace pagoda::mm::testing
