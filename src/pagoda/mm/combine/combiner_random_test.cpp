// Random programs beside the scan, against a map of what each page holds: whatever is merged, every page reads as it was
// written; and where nothing moves any more, nearly all is merged that an omniscient merger would.
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "pagoda/mm/combine/combiner.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;

constexpr unsigned kKinds = 9;  // Of contents; 0 is zeros.
constexpr unsigned kPages = 24;
// Where a page's words are looked at; the rest of a kind that compresses is zero.
constexpr std::array<std::uint64_t, 4> kOffsets{0, 1000, 2048, 4088};

constexpr std::uint64_t word_of(unsigned kind, std::uint64_t offset) {
  return kind == 0 ? 0 : Random::mix(kind * 10'000 + (kind == 1 ? offset / 4000 : offset));
}

struct Program {
  ProcessSpace* space = nullptr;
  unsigned processor = 0;
  std::array<std::optional<unsigned>, kPages> kinds;  // Nothing: not committed.
  std::array<bool, kPages> read_only{};
};

class World {
 public:
  World(std::uint64_t seed, machine::PteFormat paging, unsigned hash_bits)
      : random_(seed), t_(config(random_, seed, paging, hash_bits)) {
    for (const unsigned free : {4U, 5U}) manager().detach(t_.cpu(free));  // For the children of forks.
    for (unsigned number = 0; number < 3; ++number) {
      ProcessSpace& space =
          **manager().create_space(t_.cpu(), {.limits = WorkingSet::Limits{PageCount(10), PageCount(60)},
                                              .domain = number < 2 ? std::optional(named_domain(1)) : std::nullopt});
      start(space, number + 1);
      PAGODA_CHECK(combiner().allow(space).has_value());
      base_ = VirtualAddress(space
                                 .reserve({.base = VirtualAddress(0x100000),
                                           .size = bytes_of(PageCount(kPages)),
                                           .protection = Protection::kReadWrite,
                                           .commit = MemCommit::kYes})
                                 ->first);
      programs_.back().kinds.fill(0U);
    }
  }

  // What is wrong after so many steps.
  std::string run(int steps) {
    for (int step = 0; step < steps; ++step) {
      if (auto wrong = this->step(); !wrong.empty()) return "step " + std::to_string(step) + ": " + wrong;
      if (step % 3 != 0) continue;
      if (auto wrong = t_.check(); !wrong.empty()) return "step " + std::to_string(step) + ": " + wrong;
    }
    return read_all();
  }
  // All that can be resident is, and stays as it is, while all is looked at a few times.
  std::string settle() {
    for (Program& program : programs_) {
      PAGODA_CHECK(program.space->set_limits(cpu(program), {PageCount(10), PageCount(500)}).has_value());
      for (bool& read_only : program.read_only) read_only = false;
      for (unsigned page = 0; page < kPages; ++page) {
        if (!program.kinds[page]) continue;
        PAGODA_CHECK(program.space->protect(cpu(program), at(page), kPageSize, Protection::kReadWrite).has_value());
        PAGODA_CHECK(program.space->make_resident(cpu(program), {at(page).vpn(), 1_pages}).has_value());
      }
    }
    t_.finish_io();
    if (auto wrong = read_all(); !wrong.empty()) return wrong;
    for (int pass = 0; pass < 4; ++pass) scan();
    return t_.check();
  }
  // Pages that the omniscient merger saves: all but one of each contents in a domain.
  [[nodiscard]] std::uint64_t could_be_saved() const {
    std::uint64_t pages = 0;
    std::set<std::tuple<SharingDomain, unsigned>> contents;
    for (const Program& program : programs_) {
      for (const auto& kind : program.kinds) {
        if (!kind || *kind == 0) continue;
        ++pages;
        contents.emplace(program.space->sharing_domain(), *kind);
      }
    }
    return pages - contents.size();
  }
  [[nodiscard]] std::uint64_t saved() { return combiner().statistics().saved.value(); }
  [[nodiscard]] Counters counters() { return manager().counters(); }

 private:
  static testing::TestMachineConfig config(Random& random, std::uint64_t seed, machine::PteFormat paging,
                                           unsigned hash_bits) {
    testing::TestMachineConfig config{
        .frames = PageCount(random.below(2) == 0 ? 160 : 400),
        .paging = paging,
        .refill = random.below(4) == 0 ? machine::TlbRefill::kSoftware : machine::TlbRefill::kHardware,
        .tlb = random.below(2) == 0 ? machine::TlbGeometry::kRealistic : machine::TlbGeometry::kLarge,
        .processors = 6};
    config.tunables.sharing.hash_bits = hash_bits;
    config.tunables.sharing.hints = random.below(5) == 0 ? SharingTunables::Hints::kNo : SharingTunables::Hints::kYes;
    if (random.below(2) == 0) config.tunables.sharing.order = SharingTunables::Order::kRandom;
    if (seed / 100 % 3 == 0) config.tunables.sharing.combine = SharingTunables::Combine::kSameBehaviour;
    if (seed % 2 == 0) config.tunables.compression_budget = PageCount(12);
    return config;
  }

  MemoryManager& manager() { return t_.manager(); }
  Combiner& combiner() { return manager().combiner(); }
  machine::SimProcessor& cpu(const Program& program) { return t_.cpu(program.processor); }
  [[nodiscard]] VirtualAddress at(unsigned page) const { return base_ + bytes_of(PageCount(page)); }
  void scan() { combiner().scan(t_.cpu(), {PageCount(1000), PageCount(1000)}); }
  void start(ProcessSpace& space, unsigned processor) {
    manager().attach(t_.cpu(processor), space);
    programs_.push_back({.space = &space, .processor = processor, .kinds = {}});
  }

  std::string write(Program& program, unsigned page, unsigned kind) {
    for (std::uint64_t offset = 0; offset < kPageBytes; offset += 8) {
      const bool is_looked_at = std::ranges::find(kOffsets, offset) != kOffsets.end();
      if (kind % 3 == 1 && !is_looked_at && offset % 8 == 0 && program.kinds[page] == 0U) continue;
      const std::uint64_t word = is_looked_at || kind % 3 == 2 ? word_of(kind, offset) : 0;
      if (const auto stored = cpu(program).store<std::uint64_t>(at(page) + ByteCount(offset), word); !stored)
        return "a store fails: " + std::string(to_string(stored.error()));
    }
    program.kinds[page] = kind;
    return "";
  }
  std::string read(Program& program, unsigned page) {
    for (const std::uint64_t offset : kOffsets) {
      const auto word = cpu(program).load<std::uint64_t>(at(page) + ByteCount(offset));
      if (!word || *word != word_of(*program.kinds[page], offset))
        return "page " + std::to_string(page) + " of space " + std::to_string(program.space->id()) +
               " does not hold kind " + std::to_string(*program.kinds[page]) +
               (word ? "" : ": " + std::string(to_string(word.error())));
    }
    return "";
  }
  std::string read_all() {
    for (Program& program : programs_) {
      for (unsigned page = 0; page < kPages; ++page) {
        if (!program.kinds[page]) continue;
        if (auto wrong = read(program, page); !wrong.empty()) return wrong;
      }
    }
    return "";
  }
  std::string fork() {
    if (programs_.size() > 4) {
      const std::size_t ending = 3 + random_.below(programs_.size() - 3);
      manager().detach(cpu(programs_[ending]));
      manager().destroy_space(t_.cpu(), *programs_[ending].space);
      programs_.erase(programs_.begin() + static_cast<std::ptrdiff_t>(ending));
      return "";
    }
    const Program parent = programs_[random_.below(programs_.size())];
    const auto child = manager().clone_space(t_.cpu(), *parent.space);
    if (!child) return child.error() == Status::kCommitmentLimit ? "" : "a fork fails";
    unsigned processor = 4;
    while (manager().attached(t_.cpu(processor)) != nullptr && processor < 5) ++processor;
    start(**child, processor);
    programs_.back().kinds = parent.kinds;
    programs_.back().read_only = parent.read_only;
    return "";
  }
  std::string step() {
    Program& program = programs_[random_.below(programs_.size())];
    const auto page = static_cast<unsigned>(random_.below(kPages));
    switch (random_.below(16)) {
      default:
        if (!program.kinds[page] || program.read_only[page]) return "";
        return write(program, page, static_cast<unsigned>(random_.below(kKinds)));
      case 5:
      case 6:
        return program.kinds[page] ? read(program, page) : "";
      case 7:
      case 8:
        combiner().scan(t_.cpu(), {PageCount(1 + random_.below(30)), PageCount(200)});
        return "";
      case 9:
        static_cast<void>(program.space->empty_working_set(cpu(program)));
        return "";
      case 10:
        static_cast<void>(manager().flush_modified(t_.cpu()));
        return "";
      case 11:
        t_.reuse_standby();
        return "";
      case 12:
        return random_.below(3) == 0 ? fork() : "";
      case 13:
        if (program.kinds[page]) {
          program.kinds[page].reset();
          return program.space->decommit(cpu(program), at(page), kPageSize) ? "" : "a decommit fails";
        }
        program.read_only[page] = false;
        if (!program.space->commit(cpu(program), at(page), kPageSize, Protection::kReadWrite)) return "";
        program.kinds[page] = 0;
        return "";
      case 14: {
        if (!program.kinds[page]) return "";
        program.read_only[page] = !program.read_only[page];
        const Protection rights = program.read_only[page] ? Protection::kReadOnly : Protection::kReadWrite;
        return program.space->protect(cpu(program), at(page), kPageSize, rights) ? "" : "a protect fails";
      }
      case 15:
        for (SystemThread* thread : manager().system_threads())
          if (thread->due(t_.cpu().now()) <= t_.cpu().now()) thread->run(t_.cpu());
        t_.cpu().advance_to(t_.cpu().now() + 50_ms);
        manager().complete_io(t_.cpu());
        return "";
    }
  }

  Random random_;
  TestMachine t_;
  VirtualAddress base_;
  std::vector<Program> programs_;
};

using Parameters = std::tuple<machine::PteFormat, unsigned>;
class CombinerRandom : public ::testing::TestWithParam<Parameters> {};

TEST_P(CombinerRandom, EveryPageReadsAsItWasWritten) {
  const auto [paging, hash_bits] = GetParam();
  Counters all;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    World world(seed * 100 + hash_bits, paging, hash_bits);
    ASSERT_EQ(world.run(300), "") << "seed " << seed;
    ASSERT_EQ(world.settle(), "") << "seed " << seed;
    if (hash_bits == 64) {
      EXPECT_GE(static_cast<double>(world.saved()), 0.98 * static_cast<double>(world.could_be_saved()));
      EXPECT_EQ(world.counters().sharing_false_matches, 0U);
    }
    EXPECT_LE(world.saved(), world.could_be_saved()) << "more than there is to save";
    const Counters& counters = world.counters();
    all.sharing_merged += counters.sharing_merged;
    all.sharing_zeros += counters.sharing_zeros;
    all.sharing_stale_hints += counters.sharing_stale_hints;
    all.sharing_offers_merged += counters.sharing_offers_merged;
    all.sharing_copied += counters.sharing_copied;
    all.page_file_pages_written += counters.page_file_pages_written;
    all.pages_decompressed += counters.pages_decompressed;
  }
  EXPECT_GT(all.sharing_merged, 100U);
  EXPECT_GT(all.sharing_zeros, 10U);
  EXPECT_GT(all.sharing_stale_hints, 0U);
  EXPECT_GT(all.sharing_offers_merged, 0U);
  EXPECT_GT(all.sharing_copied, 0U);
  EXPECT_GT(all.page_file_pages_written, 20U);
  EXPECT_GT(all.pages_decompressed, 0U);
}

INSTANTIATE_TEST_SUITE_P(ModesAndHashes, CombinerRandom,
                         ::testing::Combine(::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                                              machine::PteFormat::kAmd64),
                                            ::testing::Values(8U, 16U, 24U, 64U)),
                         [](const auto& test) {
                           return std::string(machine::paging_mode(std::get<0>(test.param)).name) + "Hash" +
                                  std::to_string(std::get<1>(test.param));
                         });

}  // namespace
}  // namespace pagoda::mm
