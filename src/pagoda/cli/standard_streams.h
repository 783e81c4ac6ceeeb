// Standard output and its kin, made safe for a program that opens files and writes to pipes.
#pragma once

namespace pagoda::cli {

// Takes the descriptors 0 to 2 if nobody has them, so that no file of ours gets one and is written to as if it were
// standard output. What would end the program by a signal (a closed pipe, a limit on file sizes) becomes an error of
// the write; programs that are started from here do not inherit that.
void prepare_standard_streams();

// Writes what standard output still holds back. False: it could not take everything that was written to it, which is
// said on standard error.
bool finish_standard_output();

}  // namespace pagoda::cli
