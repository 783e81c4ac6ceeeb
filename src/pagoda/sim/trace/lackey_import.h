// Reads what `valgrind --tool=lackey --trace-mem=yes` prints, and turns it into raw references.
//
//   "I  0401a2b0,3"   fetch      " L 1ffefff8,8"   load      " S ..."   store      " M ..."   load and store (two
//   references)
//
// Lines of valgrind itself ("==pid==", "--pid--") and empty lines are skipped; anything else is an error that names the
// line. An access that straddles pages references each of them. Source: valgrind 3.19, lackey/lk_main.c (trace_instr,
// trace_load, trace_store, trace_modify).
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "pagoda/base/input_error.h"
#include "pagoda/sim/trace/trace_reducer.h"

namespace pagoda::sim {

struct LackeyTotals {
  std::uint64_t lines = 0;
  std::uint64_t references = 0;
};

// Reads file descriptor `fd` to its end into `reducer` (which is not flushed). `name` is for messages. `progress`, if
// any, is called with the bytes and lines read so far, about every 16 MiB.
Input<LackeyTotals> import_lackey(int fd, const std::string& name, TraceReducer& reducer,
                                  const std::function<void(std::uint64_t bytes, std::uint64_t lines)>& progress = {});

}  // namespace pagoda::sim
