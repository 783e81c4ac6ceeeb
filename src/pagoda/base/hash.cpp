#include "pagoda/base/hash.h"

#include <xxhash.h>

#include "pagoda/base/check.h"

namespace pagoda {

struct StateHash::State {
  XXH3_state_t* xxh = XXH3_createState();
  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { XXH3_freeState(xxh); }
};

std::uint64_t hash_bytes(std::span<const std::byte> bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

StateHash::StateHash() : state_(std::make_unique<State>()) {
  PAGODA_CHECK(state_->xxh != nullptr);
  XXH3_64bits_reset(state_->xxh);
}

StateHash::~StateHash() = default;

void StateHash::add(std::uint64_t word) { XXH3_64bits_update(state_->xxh, &word, sizeof(word)); }

void StateHash::add(std::span<const std::byte> bytes) { XXH3_64bits_update(state_->xxh, bytes.data(), bytes.size()); }

std::uint64_t StateHash::digest() const { return XXH3_64bits_digest(state_->xxh); }

}  // namespace pagoda
