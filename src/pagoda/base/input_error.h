// What a person typed or a file contains was wrong: one line that says where, what, and what to do. Ends in exit
// status 2, or in 1 where the input was right and the computer could not do it. For mistakes of a program that calls the
// library there is Status.
#pragma once

#include <expected>
#include <string>

namespace pagoda {

struct InputError {
  std::string message;  // "scenarios/host.toml:12: host.memory: 64 MB is not a size; write 64MiB"
  bool failed = false;  // The computer did, while it worked on input that was right.
};

template <class T = void>
using Input = std::expected<T, InputError>;

inline std::unexpected<InputError> bad_input(std::string message) {
  return std::unexpected(InputError{.message = std::move(message)});
}

inline std::unexpected<InputError> failed_work(std::string message) {
  return std::unexpected(InputError{.message = std::move(message), .failed = true});
}

}  // namespace pagoda
