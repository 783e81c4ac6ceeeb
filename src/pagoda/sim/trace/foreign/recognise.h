// Tells by its content what tool a trace is from.
//
// What has a magic number is what that says. Else the format fits that understands most of the first 64 KiB, if that is
// at least nine records in ten and no other understands as much. Nothing is guessed: in all other cases the user is
// asked for --format.
#pragma once

#include <string>
#include <string_view>

#include "pagoda/base/input_error.h"
#include "pagoda/sim/trace/foreign/decompressed_file.h"
#include "pagoda/sim/trace/foreign/foreign_formats.h"

namespace pagoda::sim {

// Whether it is one of Pagoda's own (VMPT1, VMPT2), which TraceReader reads.
bool is_page_trace(const DecompressedFile& file);

// Fails with one line: it is known and holds no readable text (then: which tool prints some), nothing fits, or several
// formats fit alike.
Input<const ForeignFormat*> recognise(const DecompressedFile& file);

}  // namespace pagoda::sim
