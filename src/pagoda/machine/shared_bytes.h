// Copies of bytes that somebody else may be storing to meanwhile: a disk moves a frame that a program still writes, as a DMA
// does, and two processors' programs race on a page that they share. Whoever loses such a race finds some mixture of old and
// new bytes, which is what hardware promises, and what the other side (the dirty bit, the program's own protocol) reckons with.
//
// The processor's plain copy does exactly that. ThreadSanitizer would report it, as the language must; where it watches, the
// copies are made of relaxed atomic words instead, and what the kernel would move goes through a buffer (kRacesAreWatched).
// Only bytes of frames are excused this way: everything that mm keeps about them is still watched.
#pragma once

#include <cstddef>
#include <cstring>

#if defined(__SANITIZE_THREAD__)
#define PAGODA_RACES_ARE_WATCHED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PAGODA_RACES_ARE_WATCHED 1
#endif
#endif
#ifndef PAGODA_RACES_ARE_WATCHED
#define PAGODA_RACES_ARE_WATCHED 0
#endif

#if PAGODA_RACES_ARE_WATCHED
#include <atomic>
#include <cstdint>
#endif

namespace pagoda::machine {

inline constexpr bool kRacesAreWatched = PAGODA_RACES_ARE_WATCHED != 0;

#if PAGODA_RACES_ARE_WATCHED
template <class Word>
void copy_shared_as(std::byte* to, const std::byte* from, std::size_t bytes) {
  for (std::size_t at = 0; at < bytes; at += sizeof(Word)) {
    // atomic_ref wants a Word that is not const (until C++26).
    auto& source = *reinterpret_cast<Word*>(const_cast<std::byte*>(from + at));
    const Word word = std::atomic_ref<Word>(source).load(std::memory_order_relaxed);
    std::atomic_ref<Word>(*reinterpret_cast<Word*>(to + at)).store(word, std::memory_order_relaxed);
  }
}

inline void copy_shared(std::byte* to, const std::byte* from, std::size_t bytes) {
  const std::uintptr_t all = reinterpret_cast<std::uintptr_t>(to) | reinterpret_cast<std::uintptr_t>(from) | bytes;
  if (all % sizeof(std::uint64_t) == 0) return copy_shared_as<std::uint64_t>(to, from, bytes);
  copy_shared_as<std::uint8_t>(to, from, bytes);
}
#else
inline void copy_shared(std::byte* to, const std::byte* from, std::size_t bytes) { std::memcpy(to, from, bytes); }
#endif

}  // namespace pagoda::machine
