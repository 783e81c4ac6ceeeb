// Committed means that a fault will not fail for want of memory. Programs commit up to the limit, in shapes that cost the
// manager most, and then touch everything, in every order: each access succeeds, each byte is what was written last.
//
// A seed says what machine it is, which programs there are and in which order they go on. PAGODA_EFFORT multiplies the
// seeds.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/base/testing/effort.h"
#include "pagoda/hv/testing/test_vm.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm::testing {
namespace {

using machine::PteFormat;
using pagoda::testing::effort;

using PageBytes = std::array<std::byte, kPageBytes>;

// What programs write: the version of the page says which bytes.
enum class Contents : std::uint8_t { kZero, kCompressible, kNoise, kMixed };
constexpr std::size_t kContents = 4;

void fill(PageBytes& bytes, Contents contents, std::uint64_t version) {
  if (contents == Contents::kMixed) contents = static_cast<Contents>(version % (kContents - 1));
  bytes.fill(std::byte{0});
  if (version == 0 || contents == Contents::kZero) return;
  // Noise at the front: half a chunk of the store, up to more than it takes.
  const std::size_t words = contents == Contents::kNoise ? kPageBytes / 8 : 1 + version % 300;
  Random random(version);
  for (std::size_t i = 0; i < words; ++i) {
    const std::uint64_t word = random.next();
    std::memcpy(bytes.data() + i * 8, &word, 8);
  }
}

// What a finding needs besides.
std::string state_of(MemoryManager& manager) {
  const FrameCounts frames = manager.frame_counts();
  const auto [charged, peak, limit] = manager.commit();
  PageCount slots;
  for (const PagingFileInfo& file : manager.paging_files()) slots += file.size - file.used - 1_pages;
  return fmt::format(
      "\n{} of {} charged; {} frames available, {} active, of those {} page tables and {} the store's; {} "
      "modified, {} in transition; {} slots free",
      charged.value(), limit.value(), manager.available().value(), frames.active.value(), frames.page_tables.value(),
      frames.compression_store.value(), frames.modified.value(), frames.transition.value(), slots.value());
}

// One program: a space, and the pages that were promised to it.
class Program {
 public:
  Program(MemoryManager& manager, machine::SimProcessor& cpu, ProcessSpace& space, Contents contents)
      : manager_(manager), cpu_(cpu), space_(space), contents_(contents) {}

  [[nodiscard]] MemoryManager& manager() { return manager_; }
  [[nodiscard]] machine::SimProcessor& cpu() { return cpu_; }
  [[nodiscard]] ProcessSpace& space() { return space_; }
  [[nodiscard]] std::size_t pages() const { return pages_.size(); }
  [[nodiscard]] VirtualAddress page(std::size_t number) const { return pages_[number].address; }

  // The pages from the address on are committed, and hold zeros.
  void add(VirtualAddress address, PageCount count) {
    for (std::uint64_t i = 0; i < count.value(); ++i) pages_.push_back({TestMachine::page(address, i), 0});
  }
  // The same of a region's pages that may be committed now. False: that was refused.
  bool commit(VirtualAddress address, PageCount count) {
    const auto done = space_.commit(cpu_, address, bytes_of(count), Protection::kReadWrite);
    if (done) add(address, count);
    return is_refused(done);
  }
  // A promise may be refused for want of commit, and for nothing else.
  template <class T>
  bool is_refused(const Result<T>& done) {
    if (done) return true;
    EXPECT_EQ(done.error(), Status::kCommitmentLimit) << to_string(done.error());
    return false;
  }

  // Looks at a page, and perhaps writes it. What went wrong; empty: nothing.
  std::string visit(std::size_t number, bool writes) {
    if (manager_.attached(cpu_) != &space_) manager_.attach(cpu_, space_);
    Page& page = pages_[number];
    PageBytes seen;
    PageBytes expected;
    if (const auto read = cpu_.load(page.address, std::span(seen)); !read)
      return fmt::format("read of page {}, {}: {}", number, to_string(page.address), to_string(read.error()));
    fill(expected, contents_, page.version);
    if (seen != expected) return fmt::format("page {}, {}, is not what was written", number, to_string(page.address));
    if (!writes) return {};
    page.version = ++versions_;
    fill(expected, contents_, page.version);
    if (const auto written = cpu_.store(page.address, std::span<const std::byte>(expected)); !written)
      return fmt::format("write of page {}, {}: {}", number, to_string(page.address), to_string(written.error()));
    return {};
  }
  // After a fork it has what the parent has.
  void inherit(const Program& parent) {
    pages_ = parent.pages_;
    versions_ = parent.versions_;
  }

 private:
  struct Page {
    VirtualAddress address;
    std::uint64_t version;  // 0: never written.
  };

  MemoryManager& manager_;
  machine::SimProcessor& cpu_;
  ProcessSpace& space_;
  const Contents contents_;
  std::vector<Page> pages_;
  std::uint64_t versions_ = 0;
};

// --- Shapes: what is promised. Each stops when it is refused, or has had its share. ---

std::uint64_t pages_of_table(Program& program) { return program.manager().core().mode.entries(1); }

// A region of its own in reach of the next `step`, if there is a gap and commit for it.
bool commit_region_at(Program& program, VirtualAddress base, PageCount pages) {
  const auto region = program.space().reserve({.base = base, .size = bytes_of(pages), .commit = MemCommit::kYes});
  if (!region) return region.error() != Status::kCommitmentLimit;
  program.add(base, pages);
  return true;
}

// Single pages, a page table each.
void commit_page_a_table(Program& program, Random& random, std::size_t most) {
  const std::uint64_t step = pages_of_table(program);
  const std::size_t end = program.pages() + most;
  constexpr std::uint64_t kTables = 32;
  while (program.pages() < end) {
    const auto region = program.space().reserve({.size = bytes_of(PageCount(kTables * step))});
    if (!region) return;
    for (std::uint64_t i = 0; i < kTables; ++i) {
      if (!program.commit(VirtualAddress(region->first) + bytes_of(PageCount(i * step + random.below(step))), 1_pages))
        return;
    }
  }
}

// Pages side by side: whole tables of them.
void commit_whole_tables(Program& program, Random& random, std::size_t most) {
  const std::size_t end = program.pages() + most;
  while (program.pages() < end) {
    const PageCount pages(std::min<std::uint64_t>(end - program.pages(), 1 + random.below(300)));
    const auto region = program.space().reserve({.size = bytes_of(pages), .commit = MemCommit::kYes});
    if (!region) return;
    program.add(VirtualAddress(region->first), pages);
  }
}

// Single pages as far apart as the tables of upper levels reach, as many levels as there are.
void commit_sparsely(Program& program, Random& random, std::size_t most) {
  const machine::PagingMode& mode = program.manager().core().mode;
  const std::size_t end = program.pages() + most;
  const std::uint64_t space = program.space().highest_user().value();
  for (int misses = 0; program.pages() < end && misses < 100; ++misses) {
    const unsigned level = 2 + static_cast<unsigned>(random.below(mode.levels - 1));
    const std::uint64_t reach = mode.coverage(level).value();
    const std::uint64_t base = random.below(space / reach) * reach + 16 * kPageBytes;
    if (base > space - kPageBytes || !commit_region_at(program, VirtualAddress(base), 1_pages)) return;
  }
}

// Stacks, whose lower ends are guard pages: what is committed above them.
void commit_stacks(Program& program, Random& random, std::size_t most) {
  const std::size_t end = program.pages() + most;
  while (program.pages() < end) {
    const PageCount committed(1 + random.below(8));
    const auto stack = program.space().reserve_stack(program.cpu(), bytes_of(PageCount(64)), bytes_of(committed));
    if (!program.is_refused(stack)) return;
    program.add(VirtualAddress(stack->end() - committed), committed);
  }
}

// Pages of a section, a page of prototype PTEs each.
void commit_section(Program& program, Random& /*random*/, std::size_t most) {
  const std::uint64_t step = pages_of_table(program);
  const auto section = program.manager().sections().create(
      program.cpu(), {.size = bytes_of(PageCount(most * step)), .flags = {.reserve = true}});
  if (!section) {  // Without commit for its pages of prototype PTEs it is refused by another status.
    EXPECT_EQ(section.error(), Status::kInsufficientResources);
    return;
  }
  const auto view = program.space().map_view(program.cpu(), **section, {});
  program.manager().sections().dereference(program.cpu(), **section);
  if (!view) return;
  for (std::size_t i = 0; i < most; ++i)
    if (!program.commit(VirtualAddress(view->first) + bytes_of(PageCount(i * step)), 1_pages)) return;
}

using Shape = void (*)(Program& program, Random& random, std::size_t most);
constexpr std::array<Shape, 5> kShapes{commit_page_a_table, commit_whole_tables, commit_sparsely, commit_stacks,
                                       commit_section};

constexpr std::size_t kPrivateShapes = 4;  // The first ones: what a fork copies.
// A fork needs frames for all page tables of the child at once.
constexpr std::size_t kMostForked = 10;

// --- Orders: how everything is touched ---

std::vector<std::size_t> order_of(std::size_t count, std::size_t kind, Random& random) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  switch (kind) {
    case 0:
      break;
    case 1:
      std::ranges::reverse(order);
      break;
    case 2: {
      const std::size_t stride = 7 + random.below(40);
      std::ranges::sort(order, {}, [&](std::size_t page) { return std::pair(page % stride, page); });
      break;
    }
    default:
      for (std::size_t i = count; i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  }
  return order;
}
constexpr std::size_t kOrders = 4;

// Programs commit until no more is given, and touch all that was, in turns.
class Programs {
 public:
  explicit Programs(std::uint64_t seed) : random_(seed) {}

  Random& random() { return random_; }
  void add(MemoryManager& manager, machine::SimProcessor& cpu, ProcessSpace& space, Contents contents) {
    programs_.emplace_back(manager, cpu, space, contents);
  }
  std::vector<Program>& all() { return programs_; }

  // Each commits in its shapes; the last ones take single pages, so that nothing is left.
  void commit_all(std::size_t first_shape, std::size_t most) {
    for (Program& program : programs_)
      kShapes[(first_shape++) % kShapes.size()](program, random_, 1 + random_.below(most));
    for (Program& program : programs_) kShapes[first_shape++ % kShapes.size()](program, random_, most);
    for (Program& program : programs_) {
      while (program.pages() < 4 * most) {
        const auto region = program.space().reserve({.size = kPageSize, .commit = MemCommit::kYes});
        if (!region) break;
        program.add(VirtualAddress(region->first), 1_pages);
      }
    }
  }
  // All pages, in an order for each program, some of each at a time. What went wrong; empty: nothing.
  std::string touch_all(std::size_t order, double writes) {
    std::vector<std::vector<std::size_t>> left;
    for (Program& program : programs_) left.push_back(order_of(program.pages(), order++ % kOrders, random_));
    for (bool any = true; any;) {
      any = false;
      for (std::size_t i = 0; i < programs_.size(); ++i) {
        for (std::uint64_t turn = 1 + random_.below(20); turn > 0 && !left[i].empty(); --turn) {
          const std::size_t page = left[i].back();
          left[i].pop_back();
          any = true;
          if (auto wrong = programs_[i].visit(page, random_.chance(writes)); !wrong.empty())
            return fmt::format("program {}: {}{}", i, wrong, state_of(programs_[i].manager()));
        }
      }
    }
    return {};
  }

 private:
  Random random_;
  std::vector<Program> programs_;
};

Tunables tunables_of(std::uint64_t frames, bool store, Random& random) {
  Tunables tunables = small_tunables();
  tunables.commit_reserve = kFaultReserve + kTablesOfFaults + 1_pages + PageCount(random.below(8));
  if (store) tunables.compression_budget = PageCount(2 + random.below(frames));
  return tunables;
}

void expect_all_promised(MemoryManager& manager) {
  const auto [charged, peak, limit] = manager.commit();
  EXPECT_LE(charged, limit);
  EXPECT_GE(charged + PageCount(16), limit);
}

// Two programs and perhaps a fork of one, on a machine of the seed's. Adds what the manager counted.
void commit_and_touch(std::uint64_t seed, Counters& counted) {
  SCOPED_TRACE(fmt::format("seed {}", seed));
  Programs programs(seed);
  Random& random = programs.random();
  const std::uint64_t frames = 128 + random.below(200);
  const ByteCount paging_file = bytes_of(PageCount(256 + random.below(3 * frames)));
  TestMachine t({.frames = PageCount(frames),
                 .paging = static_cast<PteFormat>(seed % 3),
                 .processors = 2,
                 .tunables = tunables_of(frames, seed % 4 != 3, random),
                 .paging_files = {{.disk = 0, .minimum = paging_file, .maximum = paging_file}}});
  const auto contents = static_cast<Contents>(random.below(kContents));
  programs.add(t.manager(), t.cpu(0), t.space(), contents);
  programs.add(t.manager(), t.cpu(1), t.add_space(), contents);
  if (const bool forks = random.chance(0.3); forks) {
    // The child shares what there is, and its pages are promised to it once more.
    kShapes[seed % kPrivateShapes](programs.all()[0], random, kMostForked);
    ASSERT_EQ(programs.touch_all(0, 1), "");
    const auto child = t.manager().clone_space(t.cpu(0), t.space());
    ASSERT_TRUE(child) << to_string(child.error());
    programs.add(t.manager(), t.cpu(0), **child, contents);
    programs.all().back().inherit(programs.all()[0]);
  }
  programs.commit_all(seed, frames + random.below(frames));
  expect_all_promised(t.manager());
  for (std::size_t pass = 0; pass < 3; ++pass) {
    ASSERT_EQ(programs.touch_all(random.below(kOrders), pass == 0 ? 1 : 0.4), "") << "pass " << pass;
    ASSERT_EQ(t.check(), "") << "pass " << pass;
  }
  const Counters counters = t.manager().counters();
  counted.pages_compressed += counters.pages_compressed;
  counted.pages_evicted += counters.pages_evicted;
  counted.page_tables_paged_out += counters.page_tables_paged_out;
  counted.prototype_pages_paged_out += counters.prototype_pages_paged_out;
}

class PromiseRandom : public ::testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, PromiseRandom, ::testing::Range<std::uint64_t>(0, 20));

TEST_P(PromiseRandom, WhatIsCommittedCanBeTouched) {
  Counters counted;
  for (std::uint64_t round = 0; round < effort(); ++round) commit_and_touch(GetParam() + 1000 * round, counted);
}

// A random test that never pages proves nothing.
TEST(PromiseRandomLarge, PagesOfEntriesLeaveMemoryAfterTheirPagesHaveLeftTheStore) {
  Counters counted;
  for (const std::uint64_t seed : {2, 4, 8, 10, 14}) commit_and_touch(seed, counted);
  EXPECT_GT(counted.pages_compressed, 1000U);
  EXPECT_GT(counted.pages_evicted, 1000U);
  EXPECT_GT(counted.page_tables_paged_out, 1000U);
  EXPECT_GT(counted.prototype_pages_paged_out, 100U);
}

class PromiseRandomInGuests : public ::testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, PromiseRandomInGuests, ::testing::Range<std::uint64_t>(0, 6));

// Guests whose host has less memory than was promised to them, each with programs that were promised more than the guest
// has. What the host has left to promise goes to a program of its own.
TEST_P(PromiseRandomInGuests, WhatIsCommittedCanBeTouched) {
  const std::uint64_t seed = GetParam();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  Programs programs(seed);
  Random& random = programs.random();
  const std::uint64_t frames = 400 + random.below(300);
  hv::testing::TestHost host({.frames = PageCount(frames),
                              .processors = 3,
                              .paging_file = 5_MiB,
                              .tunables = tunables_of(frames, seed % 2 == 0, random)});
  std::vector<std::unique_ptr<hv::testing::TestVm>> vms;
  for (std::uint64_t i = 0; i < 2; ++i) {
    hv::testing::TestVmConfig config{.tunables = tunables_of(512, random.chance(0.5), random), .paging_file = 2_MiB};
    config.tunables.find_zero_pages = random.chance(0.5);
    config.partition.paging = static_cast<PteFormat>((seed + i) % 3);
    config.partition.mmu = hv::testing::kAllMmus.at(random.below(hv::testing::kAllMmus.size()));
    vms.push_back(std::make_unique<hv::testing::TestVm>(host, config));
    programs.add(vms[i]->manager(), vms[i]->cpu(), vms[i]->space(), static_cast<Contents>(random.below(kContents)));
  }
  ProcessSpace& own = **host.manager().create_space(host.cpu(), {});
  programs.add(host.manager(), host.cpu(), own, static_cast<Contents>(random.below(kContents)));
  programs.commit_all(seed, 600);
  for (const auto& vm : vms) expect_all_promised(vm->manager());
  expect_all_promised(host.manager());
  for (std::size_t pass = 0; pass < 2; ++pass) {
    ASSERT_EQ(programs.touch_all(random.below(kOrders), pass == 0 ? 1 : 0.4), "")
        << "pass " << pass << "; the host:" << state_of(host.manager());
  }
  EXPECT_GT(host.manager().counters().page_file_pages_read, 100U);
  for (const auto& vm : vms) EXPECT_EQ(vm->check(), "");
  host.manager().detach(host.cpu());
}

}  // namespace
}  // namespace pagoda::mm::testing
