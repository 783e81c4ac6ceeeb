// For tests of the checker: reaches what no public function does, to break it.
#pragma once

#include "pagoda/hv/paravirtual_mmu.h"

namespace pagoda::hv {

struct ParavirtualCorruptor {
  static ValidatedTables& tables(ParavirtualMmu& mmu) { return mmu.tables_; }
  static ValidatedTables::Table& table(ParavirtualMmu& mmu, Gfn frame) { return *mmu.tables_.tables_.at(frame); }
  static void store(ParavirtualMmu& mmu, Gfn frame, std::uint64_t index, machine::RawPte raw) {
    mmu.tables_.store(table(mmu, frame), index, raw);
  }
  static bool& flag(ParavirtualMmu& mmu, Gfn frame) { return mmu.tables_.is_table_[frame.value()]; }
  static std::uint32_t& writers(ParavirtualMmu& mmu, Gfn frame) { return mmu.tables_.writers_[frame.value()]; }
  static void erase(ParavirtualMmu& mmu, Gfn frame) { mmu.tables_.tables_.erase(frame); }
};

}  // namespace pagoda::hv
