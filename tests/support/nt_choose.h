// Chooses calls that make sense, most of the time, for the state that the model is in.
#pragma once

#include <array>
#include <optional>

#include "tests/support/nt_interpreter.h"

namespace pagoda::nt::testing {

class Chooser {
 public:
  Chooser(Random& random, const Interpreter& in) : random_(random), in_(in) {}

  // --- Instead of anything else ---
  // What frees a region of a process that is full.
  std::optional<Operation> make_room();
  // What leaves or closes a process that has ended, or makes another.
  std::optional<Operation> go_on();

  // --- Numbers ---
  std::uint64_t below(std::uint64_t end) { return random_.below(end); }
  // One in so many.
  bool chance(std::uint64_t in) { return below(in) == 0; }
  std::uint64_t any() { return random_.next(); }
  // Of any magnitude.
  std::uint64_t wild() { return random_.next() >> below(64); }
  std::uint32_t any_bit() { return std::uint32_t{1} << below(32); }
  // Now and then, for a pointer.
  bool is_null() { return chance(200); }
  template <class T, std::size_t kSize>
  T one_of(const std::array<T, kSize>& choices) {
    return choices[below(kSize)];
  }

  // --- Places in `h` ---
  std::uint8_t place(std::uint64_t from, std::uint64_t to) {
    return static_cast<std::uint8_t>(from + below(to - from));
  }
  std::uint8_t any_place() { return place(0, Handles::kCount); }
  // Where a new handle goes.
  std::uint8_t new_place() { return place(Handles::kFirstMade, Handles::kCount); }
  // One that names a section now, if luck will have it.
  std::uint8_t section();
  // The current process, mostly, or a child.
  std::uint8_t process();
  std::uint8_t child() { return place(Handles::kProcesses, Handles::kProcesses + 2); }
  // Whose memory a call is about; the current one's if it has no such process.
  [[nodiscard]] const ModelProcess& process_at(std::uint8_t place) const;

  // --- Parameters ---
  // Pages: in a region that there is, in the window where programs live, at an edge, or anything.
  op::Range pages(const ModelProcess& process);
  // The same, of any bytes; so many as a program moves.
  op::Range bytes(const ModelProcess& process);
  std::uint64_t address(const ModelProcess& process) { return pages(process).base; }
  // In the window.
  std::uint64_t in_window();
  [[nodiscard]] static std::uint64_t window();
  std::uint32_t protect();
  std::uint32_t access();
  std::uint64_t zero_bits();

 private:
  op::Range page_range(const ModelProcess& process);
  void make_wild(op::Range& range);

  Random& random_;
  const Interpreter& in_;
};

}  // namespace pagoda::nt::testing
