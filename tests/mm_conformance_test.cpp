// One program, every machine: whatever the paging mode, who walks the tables and what the TLB looks like, a program
// reads the same bytes and gets the same statuses. Only counts differ. (x86 has no NX, so the program fetches nothing.)
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "pagoda/base/hash.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm::testing {
namespace {

using machine::PteFormat;
using machine::TlbGeometry;
using machine::TlbRefill;

using Parameters = std::tuple<PteFormat, TlbRefill, TlbGeometry>;

constexpr PageCount kFrames{96};
constexpr std::uint64_t kPages = 320;  // Of the region: more than three times the frames.
constexpr std::uint64_t kWords = kPageBytes / 8;
constexpr int kSteps = 6000;

std::string name_of(const ::testing::TestParamInfo<Parameters>& info) {
  const auto [format, refill, tlb] = info.param;
  constexpr std::array<const char*, 3> kFormats{"X86", "Pae", "Amd64"};
  return std::string(kFormats[static_cast<std::size_t>(format)]) +
         (refill == TlbRefill::kHardware ? "Hardware" : "Software") +
         (tlb == TlbGeometry::kLarge ? "Large" : "Realistic");
}

struct Outcome {
  std::uint64_t digest = 0;  // Of every status and every word read, in order.
  std::uint64_t accesses_refused = 0;
};

class MmConformance : public ::testing::TestWithParam<Parameters> {
 protected:
  static TestMachineConfig config(const Parameters& parameters) {
    TestMachineConfig config{.frames = kFrames};
    std::tie(config.paging, config.refill, config.tlb) = parameters;
    return config;
  }

  // The program: random loads, stores, commits, decommits and protects. Checks itself against a plain map.
  static Outcome run(TestMachine& t) {
    enum class Rights { kNone, kRead, kWrite };
    std::vector<Rights> rights(kPages, Rights::kNone);
    std::map<std::uint64_t, std::uint64_t> words;  // By number in the region; zero where there is none.
    Random random(2026);
    StateHash digest;
    Outcome outcome;
    const VirtualAddress base = t.reserve(PageCount(kPages));
    const auto forget = [&](std::uint64_t first, std::uint64_t count) {
      words.erase(words.lower_bound(first * kWords), words.lower_bound((first + count) * kWords));
    };
    for (int step = 0; step < kSteps; ++step) {
      const std::uint64_t page = random.below(kPages);
      const std::uint64_t count = 1 + random.below(std::min<std::uint64_t>(24, kPages - page));
      const std::uint64_t word = page * kWords + random.below(kWords);
      const VirtualAddress address = base + ByteCount(word * 8);
      switch (random.below(20)) {
        case 0:
        case 1: {
          const auto done = t.space().commit(t.cpu(), TestMachine::page(base, page), bytes_of(PageCount(count)),
                                             Protection::kReadWrite);
          EXPECT_TRUE(done) << to_string(done.error());
          for (std::uint64_t i = page; i < page + count; ++i) rights[i] = Rights::kWrite;
          break;
        }
        case 2: {
          if (step % 3 != 0) break;
          const std::uint64_t few = std::min<std::uint64_t>(count, 4);
          EXPECT_TRUE(t.space().decommit(t.cpu(), TestMachine::page(base, page), bytes_of(PageCount(few))));
          forget(page, few);
          for (std::uint64_t i = page; i < page + few; ++i) rights[i] = Rights::kNone;
          break;
        }
        case 3: {
          const bool writable = random.chance(0.6);
          const auto old = t.space().protect(t.cpu(), TestMachine::page(base, page), kPageSize,
                                             writable ? Protection::kReadWrite : Protection::kReadOnly);
          EXPECT_EQ(old.has_value(), rights[page] != Rights::kNone);
          if (old) {
            EXPECT_EQ(*old, rights[page] == Rights::kWrite ? Protection::kReadWrite : Protection::kReadOnly);
            rights[page] = writable ? Rights::kWrite : Rights::kRead;
          }
          digest.add(old ? bits(*old) : static_cast<std::uint64_t>(old.error()));
          break;
        }
        default: {
          if (random.chance(0.5)) {
            const auto loaded = t.cpu().load<std::uint64_t>(address);
            EXPECT_EQ(loaded.has_value(), rights[page] != Rights::kNone) << step;
            if (loaded) {
              const auto found = words.find(word);
              EXPECT_EQ(*loaded, found == words.end() ? 0 : found->second) << step;
            }
            digest.add(loaded ? *loaded : static_cast<std::uint64_t>(loaded.error()));
            outcome.accesses_refused += loaded ? 0 : 1;
          } else {
            const std::uint64_t value = random.next();
            const auto stored = t.cpu().store<std::uint64_t>(address, value);
            EXPECT_EQ(stored.has_value(), rights[page] == Rights::kWrite) << step;
            if (stored) words[word] = value;
            digest.add(stored ? value : static_cast<std::uint64_t>(stored.error()));
            outcome.accesses_refused += stored ? 0 : 1;
          }
          break;
        }
      }
      if (::testing::Test::HasFailure()) return outcome;
      if (step % 50 == 0) {
        for (SystemThread* thread : t.manager().system_threads())
          if (thread->due(t.cpu().now()) <= t.cpu().now()) thread->run(t.cpu());
      }
      if (step % 500 == 0) {
        EXPECT_EQ(t.check(), "") << step;
      }
    }
    outcome.digest = digest.digest();
    return outcome;
  }
};

INSTANTIATE_TEST_SUITE_P(Machines, MmConformance,
                         ::testing::Combine(::testing::Values(PteFormat::kX86, PteFormat::kPae, PteFormat::kAmd64),
                                            ::testing::Values(TlbRefill::kHardware, TlbRefill::kSoftware),
                                            ::testing::Values(TlbGeometry::kLarge, TlbGeometry::kRealistic)),
                         name_of);

TEST_P(MmConformance, AProgramReadsTheSameBytesOnEveryMachine) {
  TestMachine reference(config({PteFormat::kAmd64, TlbRefill::kHardware, TlbGeometry::kLarge}));
  const Outcome expected = run(reference);
  ASSERT_FALSE(HasFailure());
  TestMachine t(config(GetParam()));
  const Outcome outcome = run(t);
  EXPECT_EQ(outcome.digest, expected.digest);
  EXPECT_EQ(outcome.accesses_refused, expected.accesses_refused);
  EXPECT_GT(outcome.accesses_refused, 0U);
  EXPECT_GT(t.faults(FaultKind::kPageFile), 100U) << "the region was to be larger than memory";
  EXPECT_EQ(t.check(), "");
}

TEST_P(MmConformance, TheSameHistoryGivesTheSameStateTwice) {
  TestMachine first(config(GetParam()));
  TestMachine second(config(GetParam()));
  run(first);
  run(second);
  EXPECT_EQ(first.manager().state_hash(first.cpu()), second.manager().state_hash(second.cpu()));
  EXPECT_EQ(first.cpu().now(), second.cpu().now());
  EXPECT_EQ(first.check(), "");
}

}  // namespace
}  // namespace pagoda::mm::testing
