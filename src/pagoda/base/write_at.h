// Writes all bytes into a file, whatever part of them each call of the system takes.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>

namespace pagoda {

// From that offset on. 0, or the errno with which it could not.
int write_at(int descriptor, std::span<const std::byte> bytes, off_t at);

}  // namespace pagoda
