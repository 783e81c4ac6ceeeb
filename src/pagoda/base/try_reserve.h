// Room in a vector, as much as a caller asked for: what a caller can ask for must not throw.
#pragma once

#include <new>
#include <stdexcept>
#include <vector>

namespace pagoda {

// False: there is no memory for so many.
template <class T>
[[nodiscard]] bool try_reserve(std::vector<T>& vector, std::size_t count) {
  try {
    vector.reserve(count);
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  } catch (const std::length_error&) {
    return false;
  }
}

}  // namespace pagoda
