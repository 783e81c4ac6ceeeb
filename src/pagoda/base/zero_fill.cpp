#include "pagoda/base/zero_fill.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#else
#include <cstring>
#endif

namespace pagoda {

void zero_past_caches(std::span<std::byte, kPageBytes> page) {
#if defined(__x86_64__)
  const __m128i zeros = _mm_setzero_si128();
  for (std::size_t at = 0; at < kPageBytes; at += sizeof(__m128i))
    _mm_stream_si128(reinterpret_cast<__m128i*>(page.data() + at), zeros);
  // Streaming stores are not ordered with those that follow: the page may be handed to another thread next.
  _mm_sfence();
#else
  std::memset(page.data(), 0, page.size());
#endif
}

}  // namespace pagoda
