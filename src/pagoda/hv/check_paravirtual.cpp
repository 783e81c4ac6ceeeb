#include "pagoda/hv/check_paravirtual.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>

#include "pagoda/hv/paravirtual_mmu.h"

namespace pagoda::hv {

namespace {

using machine::RawPte;
using namespace machine::pte_bits;

class ParavirtualChecker {
 public:
  ParavirtualChecker(Partition& partition, std::vector<mm::Finding>& findings)
      : partition_(partition),
        tables_(partition.paravirtual()->tables()),
        mode_(machine::paging_mode(partition.config().paging)),
        findings_(findings) {}

  void run() {
    for (const auto& [frame, table] : tables_.all())
      for (std::uint64_t index = 0; index < mode_.entries(table->level); ++index)
        if (const RawPte raw = tables_.entry(frame, index); (raw & kValid) != 0)
          check_entry(frame, table->level, index, raw);
    check_tables();
    check_frames();
    check_tlbs();
  }

 private:
  void find(const char* rule, std::string text) { findings_.push_back({rule, std::move(text)}); }

  // [PV3]; gathers what the counts must be.
  void check_entry(Gfn table, unsigned level, std::uint64_t index, RawPte raw) {
    const auto mapped = tables_.mapped_by(level, raw);
    if (!mapped) {
      const Gfn below = to_gfn(mode_.frame(raw));
      ++links_[below];
      const auto found = tables_.all().find(below);
      if (found == tables_.all().end() || found->second->level != level - 1)
        find("PV3", fmt::format("entry {} of the table in guest frame {:#x} names {:#x}, which is no table of level {}",
                                index, table.value(), below.value(), level - 1));
      return;
    }
    const GpaRange* const range = partition_.map().find(mapped->first);
    if (range == nullptr || mapped->end() > range->frames.end())
      return find("PV3", fmt::format("entry {} of the table in guest frame {:#x} maps {:#x}, with nothing behind it",
                                     index, table.value(), mapped->first.value()));
    if ((raw & kWrite) == 0) return;
    for (Gfn frame = mapped->first; frame < mapped->end(); ++frame) ++writers_[frame];
  }

  // [PV1]
  void check_tables() {
    std::map<Gfn, std::uint32_t> loads;
    for (const Gfn root : tables_.roots())
      if (root != kNoGfn) ++loads[root];
    for (const auto& [frame, table] : tables_.all()) {
      if (table->links != links_[frame] || table->loads != loads[frame])
        find("PV1", fmt::format("the table in guest frame {:#x} counts {} links and {} loads, there are {} and {}",
                                frame.value(), table->links, table->loads, links_[frame], loads[frame]));
      const bool is_root = table->level == mode_.levels;
      if (!table->is_needed() || ((table->pinned || table->loads > 0) && !is_root))
        find("PV1",
             fmt::format("nothing needs the table in guest frame {:#x}, or it is pinned and no root", frame.value()));
    }
    for (const auto& [root, count] : loads)
      if (!tables_.all().contains(root))
        find("PV1", fmt::format("guest frame {:#x} is loaded, and no table", root.value()));
  }

  // [PV2]
  void check_frames() {
    for (const GpaRange& range : partition_.map().ranges()) {
      for (Gfn frame = range.frames.first; frame < range.frames.end(); ++frame) {
        const bool is_table = tables_.all().contains(frame);
        if (tables_.is_table(frame) != is_table)
          find("PV1", fmt::format("guest frame {:#x} is marked wrongly", frame.value()));
        const auto found = writers_.find(frame);
        const std::uint32_t writers = found == writers_.end() ? 0 : found->second;
        if (tables_.writers(frame) != writers || (is_table && writers > 0))
          find("PV2", fmt::format("guest frame {:#x}{} counts {} writers, there are {}", frame.value(),
                                  is_table ? ", a table," : "", tables_.writers(frame), writers));
      }
    }
  }

  // [PV4]
  void check_tlbs() {
    std::map<Pfn, Gfn> tables;  // By host frame.
    for (const auto& [frame, table] : tables_.all())
      if (const Pfn host = partition_.slat().frame_of(frame); host != kNoPfn) tables.emplace(host, frame);
    const machine::PhysicalView& memory = partition_.memory().host_memory();
    const std::uint64_t write = machine::access_right(machine::Access::kWrite, machine::Privilege::kUser);
    for (std::size_t number = 0; number < partition_.processor_count(); ++number) {
      for (const machine::CachedTranslation& held :
           partition_.processor(static_cast<unsigned>(number)).guest().tlb().held()) {
        const auto found = tables.find(memory.frame_at(held.host));
        if (found != tables.end() && (held.rights & write) != 0)
          find("PV4", fmt::format("processor {} may write the table in guest frame {:#x} at {:#x}", number,
                                  found->second.value(), held.page.value()));
      }
    }
  }

  Partition& partition_;
  const ValidatedTables& tables_;
  const machine::PagingMode& mode_;
  std::vector<mm::Finding>& findings_;
  std::map<Gfn, std::uint32_t> links_;    // Installed entries that name the table.
  std::map<Gfn, std::uint32_t> writers_;  // Installed entries that map the frame writably.
};

}  // namespace

void check_paravirtual(Partition& partition, std::vector<mm::Finding>& findings) {
  ParavirtualChecker(partition, findings).run();
}

}  // namespace pagoda::hv
