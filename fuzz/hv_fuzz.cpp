// Any bytes are a hostile guest: a virtual machine without an operating system, whose memory, page tables, roots,
// invalidations, disk transfers and hypercalls are what the bytes say. Beside it live a well-behaved virtual machine
// and a process of the host, whose pages are full of a secret that the hostile guest must never read and cannot change.
//
// The first byte chooses paging mode, shadow or nested paging, and how much memory the host has; each following group
// of 12 is an operation. At the end both virtual machines and the host pass their checkers.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "fuzz/bytes.h"
#include "pagoda/hv/testing/test_vm.h"

namespace {

using namespace pagoda;
using fuzz::Bytes;
using hv::testing::TestHost;
using hv::testing::TestVm;
using machine::Access;
using machine::Privilege;

constexpr std::size_t kOperationBytes = 12;
constexpr std::size_t kMostOperations = 400;
constexpr std::uint64_t kHostileFrames = 512;
constexpr PageCount kNeighbours{48};  // Pages of the other guest's program, and of the host's process.
// Upper six bytes of every word that its neighbours wrote. The hostile guest's own words have zeros there.
constexpr std::uint64_t kSecret = 0x5E5E5E5E5E5E0000;

[[noreturn]] void found(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::abort();
}

// No fault of the hostile guest is ever served.
class NoHandler final : public machine::FaultHandler {
 public:
  machine::FaultOutcome resolve(machine::Processor& /*cpu*/, const machine::PageFault& /*fault*/) override {
    return Status::kAccessViolation;
  }
  machine::FaultOutcome refill(machine::Processor& cpu, VirtualAddress va, Access access,
                               Privilege privilege) override {
    std::uint64_t loads = 0;
    const auto walked = machine::walk(cpu.physical(), cpu.machine().paging(), cpu.root(), va, access, privilege,
                                      cpu.walk_rules(), loads);
    if (!walked) return Status::kAccessViolation;
    cpu.fill_tlb(va, *walked);
    return Status::kSuccess;
  }
};

// Pages full of the secret, each word with the page's number.
class Neighbour {
 public:
  Neighbour(machine::SimProcessor& cpu, VirtualAddress base) : cpu_(cpu), base_(base) { write(); }
  void write() {
    for (std::uint64_t page = 0; page < kNeighbours.value(); ++page) {
      std::array<std::uint64_t, kPageBytes / 8> words{};
      words.fill(kSecret | page);
      if (!cpu_.store(base_ + bytes_of(PageCount(page)), std::as_bytes(std::span(words)))) found("a neighbour's store");
    }
  }
  void check() {
    for (std::uint64_t page = 0; page < kNeighbours.value(); ++page) {
      for (const std::uint64_t word : {std::uint64_t{0}, page * 8, std::uint64_t{kPageBytes - 8}}) {
        const auto value = cpu_.load<std::uint64_t>(base_ + bytes_of(PageCount(page)) + ByteCount(word));
        if (!value || *value != (kSecret | page)) found("a neighbour's memory changed");
      }
    }
  }

 private:
  machine::SimProcessor& cpu_;
  VirtualAddress base_;
};

// Whether the hostile guest gets what it asks for is not what is tested.
template <class Answer>
void ignore(const Answer& /*answer*/) {}

struct Kind {
  machine::PteFormat paging = machine::PteFormat::kAmd64;
  hv::MmuKind mmu = hv::MmuKind::kNested;
  machine::TlbRefill refill = machine::TlbRefill::kHardware;
  machine::TlbGeometry tlb = machine::TlbGeometry::kLarge;
  PageCount host_frames;
};

Kind kind_from(std::uint64_t flags) {
  constexpr std::array kFormats{machine::PteFormat::kAmd64, machine::PteFormat::kPae, machine::PteFormat::kX86,
                                machine::PteFormat::kAmd64};
  return {.paging = kFormats.at(flags & 3),
          .mmu = (flags & 0x38) == 0x30 ? hv::MmuKind::kParavirtual
                 : (flags & 4) != 0     ? hv::MmuKind::kShadow
                                        : hv::MmuKind::kNested,
          .refill = (flags & 0x38) == 0x38 ? machine::TlbRefill::kSoftware : machine::TlbRefill::kHardware,
          .tlb = (flags & 0x40) != 0 ? machine::TlbGeometry::kRealistic : machine::TlbGeometry::kLarge,
          .host_frames = PageCount((flags & 0x80) != 0 ? 2048 : 560)};
}

class World {
 public:
  explicit World(const Kind& kind) : host_({.frames = kind.host_frames, .paging_file = 16_MiB}), good_(host_) {
    const hv::PartitionConfig config{.name = "hostile",
                                     .memory = PageCount(kHostileFrames),
                                     .paging = kind.paging,
                                     .tlb = kind.tlb,
                                     .refill = kind.refill,
                                     .mmu = kind.mmu,
                                     .disks = {{}}};
    hostile_ = *hv::Partition::create(host_.manager(), host_.cpu(), config);
    host_.dispatch(*hostile_);
    cpu().attach(handler_);
    disk_file_ = *hostile_->machine().disks()[0]->create("hostile");
    if (!disk_file_->resize(bytes_of(PageCount(64)))) found("no disk");

    process_ = *host_.manager().create_space(host_.cpu(), {});
    host_.manager().attach(host_.cpu(), *process_);
    const VirtualAddress base(process_->reserve({.size = bytes_of(kNeighbours), .commit = mm::MemCommit::kYes})->first);
    process_memory_ = base;
    in_process_ = std::make_unique<Neighbour>(host_.cpu(), base);
    in_guest_ = std::make_unique<Neighbour>(good_.cpu(), good_.commit(kNeighbours));
  }
  ~World() {
    disk_file_.reset();
    host_.manager().detach(host_.cpu());
    host_.manager().destroy_space(host_.cpu(), *process_);
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  void perform(Bytes& bytes) {
    const std::uint64_t what = bytes.take(1);
    const std::uint64_t how = bytes.take(1);
    const std::uint64_t a = bytes.take(4);
    const std::uint64_t b = bytes.take(6);  // What is written never looks like the secret.
    switch (what % 18) {
      case 0:
      case 1:
      case 2:
        return set_entry(how, a, b);
      case 3:
        return write_physical(how, a, b);
      case 4:
        return expect_no_secret(cpu().physical().load<std::uint64_t>(physical(how, a)));
      case 5:
        return cpu().load_root(frame(how, a), asid(b));
      case 6:
      case 7:
        return load(how, a, b);
      case 8:
      case 9:
        ignore(cpu().store<std::uint64_t>(address(how, a), b, privilege(how)));
        return;
      case 10:
        ignore(cpu().fetch(address(how, a), privilege(how)));
        return;
      case 11:
        return invalidate(how, a, b);
      case 12:
        return hypercall(how, a, b);
      case 13:
        return transfer(how, a, b);
      case 14:
        return squeeze(how);
      case 15:
        return live_on(how);
      case 16:
        return make_tables(a);
      default:
        return cpu().set_walk_rules({.write_protect = (how & 1) != 0, .no_execute = (how & 2) != 0});
    }
  }

  void finish() {
    in_guest_->check();
    in_process_->check();
    for (std::uint32_t frame = 0; frame < kHostileFrames; ++frame)
      for (const std::uint64_t offset : {0U, 2048U, 4088U})
        expect_no_secret(
            cpu().physical().load<std::uint64_t>(PhysicalAddress(PhysicalAddress(Pfn(frame)).value() + offset)));
    const std::string wrong = good_.check() + hv::to_string(hv::check(*hostile_));
    if (!wrong.empty()) found(wrong);
  }

 private:
  [[nodiscard]] machine::SimProcessor& cpu() { return hostile_->machine().processor(); }

  static void expect_no_secret(std::uint64_t word) {
    for (unsigned shift = 0; shift <= 16; shift += 8)
      if ((word >> shift & 0xFFFFFFFFFFFF) == kSecret >> 16) found("the hostile guest read memory that is not its own");
  }
  // Mostly the first few frames, so that tables meet; sometimes any of its own; sometimes anything.
  static Pfn frame(std::uint64_t how, std::uint64_t number) {
    const auto pfn = static_cast<std::uint32_t>(number);
    if ((how & 0xF0) == 0xF0) return Pfn(pfn & 0xFFFFF);
    return Pfn((how & 0x80) != 0 ? pfn % kHostileFrames : pfn % 12);
  }
  static PhysicalAddress physical(std::uint64_t how, std::uint64_t number) {
    return PhysicalAddress(PhysicalAddress(frame(how, number)).value() + (number >> 16) % (kPageBytes / 8) * 8);
  }
  static Privilege privilege(std::uint64_t how) { return (how & 1) != 0 ? Privilege::kUser : Privilege::kKernel; }
  static machine::Asid asid(std::uint64_t number) {
    return machine::Asid{static_cast<std::uint16_t>(number & 1)};  // Untagged, or a tag.
  }
  // A few indices of every level; sometimes anything.
  static VirtualAddress address(std::uint64_t how, std::uint64_t number) {
    if ((how & 0xF0) == 0xF0) return VirtualAddress(number << 20 | number);
    std::uint64_t va = (number >> 8 & 0xFF8) + (number >> 24 & 1);
    for (unsigned level = 0; level < 4; ++level) va |= (number >> (2 * level) & 3) << (12 + 9 * level);
    return VirtualAddress(va);
  }

  void set_entry(std::uint64_t how, std::uint64_t a, std::uint64_t b) {
    // An entry that could be one: of one of the first slots, valid, with whatever rights, to whatever frame.
    const machine::PagingMode& mode = hostile_->machine().paging();
    const PhysicalAddress at(PhysicalAddress(frame(how, a)).value() + (a >> 16 & 3) * mode.entry_bytes);
    const std::uint64_t flags = (b & 0x1FF) | ((how & 8) != 0 ? 0U : 7U);
    machine::RawPte raw = PhysicalAddress(frame(how >> 1, b >> 9)).value() | flags;
    if (mode.entry_bytes == 4) raw &= 0xFFFFFFFF;
    machine::store_entry(cpu().physical(), mode, at, raw);
  }
  // A directory of directories, with loops: frame i points to frames around it.
  void make_tables(std::uint64_t a) {
    for (std::uint32_t table = 0; table < 6; ++table)
      for (std::uint64_t slot = 0; slot < 4; ++slot)
        set_entry(0, table | slot << 16, (a >> (4 * (slot + table) % 28) & 7) << 9 | 7);
    cpu().load_root(Pfn(static_cast<std::uint32_t>(a % 6)), machine::Asid{1});
  }
  void write_physical(std::uint64_t how, std::uint64_t a, std::uint64_t b) {
    cpu().physical().store<std::uint64_t>(physical(how, a), b);
  }
  void load(std::uint64_t how, std::uint64_t a, std::uint64_t b) {
    if ((b & 7) != 0) {
      if (const auto value = cpu().load<std::uint64_t>(address(how, a), privilege(how))) expect_no_secret(*value);
      return;
    }
    std::array<std::uint64_t, 64> words{};
    if (cpu().load(address(how, a), std::as_writable_bytes(std::span(words)), privilege(how)))
      for (const std::uint64_t word : words) expect_no_secret(word);
  }
  void invalidate(std::uint64_t how, std::uint64_t a, std::uint64_t b) {
    switch (how % 4) {
      case 0:
        return cpu().invalidate_page(address(how, a), asid(b));
      case 1:
        return cpu().invalidate_asid(asid(b));
      case 2:
        return cpu().invalidate_range({address(how, a).vpn(), PageCount(b % 64)}, asid(b));
      default:
        return cpu().invalidate_all();
    }
  }
  void hypercall(std::uint64_t how, std::uint64_t a, std::uint64_t b) {
    machine::Hypercalls& calls = *hostile_->machine().hypercalls();
    std::vector<machine::FrameRange> ranges(how % 8 == 7 ? 600 : how % 8);
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      const std::uint64_t count = (how & 0x40) != 0 ? b : b % 20;
      ranges[i] = {frame(how, a + i * 7), PageCount(count)};
    }
    ignore(calls.query_capabilities(cpu()));
    ignore(calls.direct_maps(cpu()));
    ignore(calls.report_memory(cpu(), {.available = PageCount(a), .committed = PageCount(b)}));
    ignore(calls.heat_hint(cpu(), static_cast<machine::HeatHint>(a % 3), ranges));
  }
  // Its disk reads and writes whatever frames it names.
  void transfer(std::uint64_t how, std::uint64_t a, std::uint64_t b) {
    std::vector<Pfn> frames(1 + how % 8);
    for (std::size_t i = 0; i < frames.size(); ++i) frames[i] = frame(how, a + i * 5);
    const FileOffset at(b % 48 * kPageBytes);
    const machine::DiskTransfer done =
        (how & 8) != 0 ? disk_file_->read(cpu(), at, frames) : disk_file_->write(cpu(), at, frames);
    cpu().wait_until(done.completes);
  }
  // The host takes memory away from all of them.
  void squeeze(std::uint64_t how) {
    if ((how & 1) != 0) ignore(hostile_->vmmem().empty_working_set(host_.cpu()));
    if ((how & 2) != 0) ignore(good_.partition().vmmem().empty_working_set(host_.cpu()));
    if ((how & 4) != 0) ignore(process_->empty_working_set(host_.cpu()));
    if ((how & 8) != 0) ignore(host_.manager().flush_modified(host_.cpu()));
    if ((how & 16) != 0) ignore(host_.manager().balance_set_manager().trim(host_.cpu(), PageCount(300)));
  }
  // The neighbours look after their memory, or give it back and take other pages: frames with the secret in them go
  // from hand to hand.
  void live_on(std::uint64_t how) {
    in_guest_->check();
    in_process_->check();
    if ((how & 1) == 0) return;
    if (!process_->decommit(host_.cpu(), process_memory_, bytes_of(kNeighbours)) ||
        !process_->commit(host_.cpu(), process_memory_, bytes_of(kNeighbours), mm::Protection::kReadWrite))
      found("the host's process cannot have its memory");
    if ((how & 2) != 0) {
      for (std::uint32_t frame = 0; frame < 64; ++frame)
        expect_no_secret(cpu().physical().load<std::uint64_t>(PhysicalAddress(Pfn(frame + 100))));
    }
    in_process_->write();
  }

  NoHandler handler_;
  TestHost host_;
  TestVm good_;
  std::unique_ptr<hv::Partition> hostile_;
  std::unique_ptr<machine::DiskFile> disk_file_;
  mm::ProcessSpace* process_ = nullptr;
  VirtualAddress process_memory_;
  std::unique_ptr<Neighbour> in_process_;
  std::unique_ptr<Neighbour> in_guest_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes(std::span(data, size));
  World world(kind_from(bytes.take(1)));
  for (std::size_t count = 0; count < kMostOperations && bytes.left() >= kOperationBytes; ++count) world.perform(bytes);
  world.finish();
  return 0;
}
