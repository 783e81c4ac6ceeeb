#include "pagoda/hv/check.h"

#include <fmt/format.h>

#include <map>
#include <string>

#include "pagoda/hv/check_paravirtual.h"
#include "pagoda/hv/check_shadow.h"

namespace pagoda::hv {

namespace {

using machine::RawPte;
using namespace machine::pte_bits;

class Checker {
 public:
  explicit Checker(Partition& partition)
      : partition_(partition), cpu_(*partition.host().machine().processors().front()) {}

  std::vector<Finding> run() {
    {
      const LockGuard guard(partition_.vmmem().lock);
      partition_.slat().for_each([&](Gfn first, unsigned level, RawPte raw) {
        partition_.vmmem().lock.assert_held();
        check_entry(first, level, raw);
      });
      partition_.memory().ballooned().for_each([&](Gfn frame) {
        partition_.vmmem().lock.assert_held();
        check_ballooned(frame);
      });
    }
    check_balloon_counts();
    for (std::size_t number = 0; number < partition_.processor_count(); ++number)
      check_processor(partition_.processor(static_cast<unsigned>(number)));
    if (partition_.shadow() != nullptr) check_shadow(partition_, findings_);
    if (partition_.paravirtual() != nullptr) check_paravirtual(partition_, findings_);
    return std::move(findings_);
  }

 private:
  void report(const std::string& rule, std::string text) { findings_.push_back({rule, std::move(text)}); }

  // [SL2-1], for each small page of the entry.
  void check_entry(Gfn first, unsigned level, RawPte raw) PAGODA_REQUIRES(partition_.vmmem().lock) {
    const PageCount pages = pages_of(Slat::mode().coverage(level));
    for (PageCount i; i < pages; ++i) {
      const Gfn guest = first + i;
      const Pfn frame = Slat::mode().frame(raw) + i;
      const GpaRange* const range = partition_.map().find(guest);
      if (range == nullptr) {
        report("SL2-1", fmt::format("guest frame {:#x} has an entry and nothing behind it", guest.value()));
        continue;
      }
      guest_of_[frame].push_back(guest);
      const Vpn page = range->page_of(guest);
      const mm::PageInfo info = partition_.vmmem().page_info_locked(cpu_, page);
      const Pfn expected = info.place == mm::PagePlace::kWorkingSet ? info.frame : kNoPfn;
      if (expected != frame)
        report("SL2-1", fmt::format("guest frame {:#x} leads to frame {:#x}, the host's page {:#x} to {:#x}",
                                    guest.value(), frame.value(), page.value(), expected.value()));
      else if ((raw & kWrite) != 0 && !info.dirty)
        report("SL2-1", fmt::format("guest frame {:#x} is writable, the host's page {:#x} is not, or is clean",
                                    guest.value(), page.value()));
    }
  }

  // [BL1]
  void check_ballooned(Gfn frame) PAGODA_REQUIRES(partition_.vmmem().lock) {
    const GpaRange* const range = partition_.map().find(frame);
    if (range == nullptr || range->kind != GpaKind::kMemory) {
      report("BL1", fmt::format("guest frame {:#x} is in the balloon and is no memory of the guest's", frame.value()));
      return;
    }
    const Vpn page = range->page_of(frame);
    if (partition_.vmmem().page_info_locked(cpu_, page).place != mm::PagePlace::kNowhere)
      report("BL1", fmt::format("guest frame {:#x} is in the balloon, and the host has its page {:#x} somewhere",
                                frame.value(), page.value()));
    if (partition_.slat().entry(frame) != 0)
      report("BL1",
             fmt::format("guest frame {:#x} is in the balloon, and the second level has an entry", frame.value()));
  }

  // [BL2]
  void check_balloon_counts() {
    const PartitionCounts& counts = partition_.counts();
    const std::uint64_t left = counts.deflated_pages + counts.popped_pages + counts.balloon_voided;
    const std::uint64_t in = partition_.memory().ballooned().count().value();
    if (counts.inflated_pages != left + in)
      report("BL2",
             fmt::format("{} frames are in the balloon; {} went in and {} left it", in, counts.inflated_pages, left));
  }

  void check_processor(VirtualProcessor& vcpu) {
    if (vcpu.tlb().pins_any()) report("VP3", "a frame is pinned between two instructions");
    for (const machine::CachedTranslation& held : vcpu.tlb().nested().held()) {
      const Gfn guest = GuestPhysicalAddress(held.page.value()).gfn();
      const Pfn frame = cpu_.physical().frame_at(held.host);
      const RawPte raw = partition_.slat().entry(guest);
      if (raw == 0 || partition_.slat().frame_of(guest) != frame) {
        report("VP1", fmt::format("the nested TLB leads from guest frame {:#x} to {:#x}, the second level does not",
                                  guest.value(), frame.value()));
      } else if ((held.rights & machine::access_right(machine::Access::kWrite, machine::Privilege::kUser)) != 0 &&
                 (raw & kWrite) == 0) {
        report("VP1", fmt::format("the nested TLB may write guest frame {:#x}", guest.value()));
      }
    }
    const std::uint64_t write = machine::access_right(machine::Access::kWrite, machine::Privilege::kUser) |
                                machine::access_right(machine::Access::kWrite, machine::Privilege::kKernel);
    for (const machine::CachedTranslation& held : vcpu.guest().tlb().held()) {
      const Pfn frame = cpu_.physical().frame_at(held.host);
      const auto found = guest_of_.find(frame);
      bool writable = false;
      if (found != guest_of_.end())
        for (const Gfn guest : found->second) writable |= (partition_.slat().entry(guest) & kWrite) != 0;
      if (found == guest_of_.end()) {
        report("VP2", fmt::format("the TLB leads from {:#x} to host frame {:#x}, which is no guest frame's",
                                  held.page.value(), frame.value()));
      } else if ((held.rights & write) != 0 && !writable) {
        report("VP2", fmt::format("the TLB may write host frame {:#x} at {:#x}, the second level may not",
                                  frame.value(), held.page.value()));
      }
    }
  }

  Partition& partition_;
  mm::Processor& cpu_;
  std::map<Pfn, std::vector<Gfn>> guest_of_;  // By host frame.
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> check(Partition& partition) { return Checker(partition).run(); }

}  // namespace pagoda::hv
