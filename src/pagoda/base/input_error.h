// What a person typed or a file contains was wrong: one line that says where, what, and what to do. Ends in exit
// status 2. For mistakes of a program that calls the library there is Status.
#pragma once

#include <expected>
#include <string>

namespace pagoda {

struct InputError {
  std::string message;  // "scenarios/host.toml:12: host.memory: 64 MB is not a size; write 64MiB"
};

template <class T = void>
using Input = std::expected<T, InputError>;

inline std::unexpected<InputError> bad_input(std::string message) {
  return std::unexpected(InputError{std::move(message)});
}

}  // namespace pagoda
