// For tests of the checker: reaches what no public function does, to break it.
#pragma once

#include <map>
#include <set>

#include "pagoda/hv/shadow_mmu.h"

namespace pagoda::hv {

struct ShadowCorruptor {
  static ShadowTree& tree(ShadowMmu& shadow) { return *shadow.trees_.begin()->second; }
  static ShadowMmu::ReverseMap& reverse_map(ShadowMmu& shadow) { return shadow.reverse_map_; }
  static ShadowMmu::Index& index(ShadowMmu& shadow) { return shadow.index_; }
  static std::map<Gfn, TracedTables::Table>& tables(ShadowMmu& shadow) { return shadow.traced_.tables_; }
  static std::set<Gfn>& unsync(ShadowMmu& shadow) { return shadow.traced_.unsync_; }
  static bool& flag(ShadowMmu& shadow, Gfn frame) { return shadow.traced_.traced_[frame.value()]; }
  static ShadowTree::Table& table(ShadowTree& tree, Pfn host) { return tree.tables_.at(host); }
};

}  // namespace pagoda::hv
