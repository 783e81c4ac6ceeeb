// What a page may hold: written down by the one thread that changes it, asked by all who read it meanwhile.
//
//   writer: begin(what it becomes), the operation, finish()        reader: first = before(), the access, window = after(first)
//
// Whatever the reader found has to be what the page was at some moment between the two. Of a page that only its writer uses that is
// one answer.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace pagoda::mm::torture {

// What an access to the page finds.
struct Content {
  bool accessible = false;
  std::uint32_t version = 0;  // 0: zeros; else the stamp of that version.

  friend bool operator==(const Content&, const Content&) = default;
};

class History {
 public:
  // --- The writer ---
  void begin(Content next) {
    const std::uint32_t number = done_.load() + 1;
    events_[number % kKept].store(pack(next));
    begun_.store(number);
  }
  void finish() { done_.store(begun_.load()); }
  // The operation changed nothing.
  void cancel() { begun_.store(done_.load()); }
  [[nodiscard]] Content now() const { return unpack(events_[done_.load() % kKept].load()); }

  // --- A reader ---
  struct Window {
    std::uint32_t first = 0;
    std::uint32_t last = 0;
  };
  [[nodiscard]] std::uint32_t before() const { return done_.load(); }
  [[nodiscard]] Window after(std::uint32_t first) const {
    // The writer may have cancelled what had begun.
    const std::uint32_t last = begun_.load();
    return {first, last < first ? first : last};
  }
  // More has happened meanwhile than is remembered.
  static bool is_forgotten(Window window) { return window.last - window.first + 2 > kKept; }
  // Requires: not forgotten, and nothing begun since `after` that would make it so.
  [[nodiscard]] bool allows(Window window, Content found) const {
    for (std::uint32_t number = window.first; number <= window.last; ++number)
      if (unpack(events_[number % kKept].load()) == found) return true;
    // It may be forgotten by now.
    return begun_.load() - window.first + 2 > kKept;
  }

 private:
  static constexpr std::uint32_t kKept = 16;

  static constexpr std::uint64_t pack(Content content) {
    return std::uint64_t{content.version} << 1 | (content.accessible ? 1U : 0U);
  }
  static constexpr Content unpack(std::uint64_t packed) {
    return {.accessible = (packed & 1) != 0, .version = static_cast<std::uint32_t>(packed >> 1)};
  }

  std::array<std::atomic<std::uint64_t>, kKept> events_{};  // By number; at the start the page is not accessible.
  std::atomic<std::uint32_t> begun_ = 0;
  std::atomic<std::uint32_t> done_ = 0;
};

}  // namespace pagoda::mm::torture
