// Writes a trace again: seals a VMPT1 file, compresses harder, reduces further with a wider window.
#pragma once

#include <cstdint>

#include "pagoda/base/input_error.h"
#include "pagoda/sim/trace/trace_reader.h"
#include "pagoda/sim/trace/trace_writer.h"

namespace pagoda::sim {

// Copies what `reader` has, from its front, to `path`. Source and space come from the trace, and so does the program
// unless `options` names one. A window that is wider than the trace's own drops more records; a narrower one changes
// nothing (dropped records cannot be restored).
Input<TraceInfo> rewrite_trace(TraceReader& reader, const std::string& path, TraceWriterOptions options);

}  // namespace pagoda::sim
