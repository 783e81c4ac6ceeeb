#include "pagoda/hv/traced_tables.h"

#include <algorithm>

namespace pagoda::hv {

bool TracedTables::Table::is_leaf() const {
  return std::ranges::all_of(uses, [](const Use& use) { return use.level == 1; });
}

TracedTables::Use* TracedTables::Table::find(const ShadowTree& tree, unsigned level, VirtualAddress base) {
  const auto at = std::ranges::find_if(
      uses, [&](const Use& use) { return use.tree == &tree && use.level == level && use.base == base; });
  return at == uses.end() ? nullptr : &*at;
}

TracedTables::Table* TracedTables::find(Gfn frame) {
  const auto at = tables_.find(frame);
  return at == tables_.end() ? nullptr : &at->second;
}

TracedTables::Table& TracedTables::add(Gfn frame) {
  flag(frame, true);
  return tables_[frame];
}

void TracedTables::set_state(Gfn frame, State state) {
  tables_.at(frame).state = state;
  flag(frame, state == State::kTraced);
  if (state == State::kUnsync) {
    unsync_.insert(frame);
  } else {
    unsync_.erase(frame);
  }
}

void TracedTables::remove(Gfn frame) {
  flag(frame, false);
  unsync_.erase(frame);
  tables_.erase(frame);
}

void TracedTables::flag(Gfn frame, bool traced) {
  // Wild frames are not memory: writes to them are lost.
  if (frame.value() < traced_.size()) traced_[frame.value()] = traced;
}

}  // namespace pagoda::hv
