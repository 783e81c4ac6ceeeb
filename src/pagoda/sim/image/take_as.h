// What a file with a memory image is taken for.
#pragma once

#include <cstdint>

namespace pagoda::sim {

enum class TakeAs : std::uint8_t {
  kWhatItIs,  // By its bytes; raw memory if they begin with nothing that is known.
  kRaw,       // Memory as it is, whatever it begins with; archives and compression around it are opened all the same.
};

}  // namespace pagoda::sim
