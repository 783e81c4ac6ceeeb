// For tests of sharing by contents: a machine of three processors, and spaces with pages of known contents.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pagoda/mm/combine/combiner.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm::testing {

inline constexpr WorkingSet::Limits kSharersLimits{PageCount(50), PageCount(400)};

inline TestMachineConfig config_of_sharers(machine::PteFormat paging, PageCount frames = PageCount(512)) {
  return {.frames = frames, .paging = paging, .processors = 3, .limits = kSharersLimits};
}

class CombinerTest : public ::testing::TestWithParam<machine::PteFormat> {
 protected:
  CombinerTest() : CombinerTest(config_of_sharers(GetParam())) {}
  explicit CombinerTest(const TestMachineConfig& config) : t(config) {}

  Combiner& combiner() { return t.manager().combiner(); }
  // Everything is looked at so many times.
  void scan(int passes = 2) {
    for (int pass = 0; pass < passes; ++pass) combiner().scan(t.cpu(), {PageCount(100'000), PageCount(100'000)});
  }
  PageCount shared() { return combiner().statistics().shared; }
  PageCount saved() { return combiner().statistics().saved; }
  // A space of the domain on the processor, which takes part.
  ProcessSpace& add_space(unsigned processor, std::optional<SharingDomain> domain = std::nullopt) {
    ProcessSpace& space = **t.manager().create_space(t.cpu(), {.limits = kSharersLimits, .domain = domain});
    t.manager().attach(t.cpu(processor), space);
    EXPECT_TRUE(combiner().allow(space));
    return space;
  }
  // Memory of a space, each page with a word in it.
  VirtualAddress fill(ProcessSpace& space, unsigned processor, const std::vector<std::uint64_t>& words) {
    const VirtualAddress base = commit(space, words.size());
    for (std::size_t i = 0; i < words.size(); ++i) t.must_put(base, i, words[i], processor);
    return base;
  }
  static VirtualAddress commit(ProcessSpace& space, std::uint64_t pages) {
    return VirtualAddress(
        space
            .reserve(
                {.size = bytes_of(PageCount(pages)), .protection = Protection::kReadWrite, .commit = MemCommit::kYes})
            ->first);
  }

  TestMachine t;
};

// All modes of paging.
inline auto all_modes() {
  return ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae, machine::PteFormat::kAmd64);
}
inline std::string name_of_mode(const ::testing::TestParamInfo<machine::PteFormat>& mode) {
  return std::string(machine::paging_mode(mode.param).name);
}

}  // namespace pagoda::mm::testing
