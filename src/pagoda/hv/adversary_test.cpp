// What a guest's programs read does not depend on where they run: on bare hardware, under nested or under shadow
// paging, in every paging mode, while the host takes guest pages away between any two instructions.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/hv/activity_sampler.h"
#include "pagoda/hv/testing/test_vm.h"
#include "pagoda/mm/ws/replacement.h"

namespace pagoda::hv::testing {
namespace {

using machine::SimProcessor;
using mm::ProcessSpace;

// A guest operating system's day: spaces with regions, forks, protections, trims; and every byte that is read.
class Day {
 public:
  Day(mm::MemoryManager& manager, SimProcessor& cpu, std::uint64_t seed) : manager_(manager), cpu_(cpu), random_(seed) {
    add_space(**manager.create_space(cpu, {}), {});
  }

  // One operation; the difference from the model, or nothing.
  std::string step() {
    Life& life = lives_[random_.below(lives_.size())];
    if (current_ != &*life.space) {
      manager_.attach(cpu_, *life.space);
      current_ = life.space;
    }
    switch (random_.below(40)) {
      case 0:
        return make_region(life);
      case 1:
        return drop_region(life);
      case 2:
        return protect(life);
      case 3:
        life.space->empty_working_set(cpu_);
        return "";
      case 4:
        manager_.balance_set_manager().run(cpu_);
        return "";
      case 5:
        manager_.flush_modified(cpu_);
        return "";
      case 6:
        return random_.below(6) == 0 ? fork(life) : "";
      case 7:
        return random_.below(6) == 0 ? die() : "";
      default:
        return access(life);
    }
  }
  [[nodiscard]] std::uint64_t seen() const { return seen_; }
  void end() {
    while (!lives_.empty()) kill(lives_.size() - 1);
  }

 private:
  static constexpr std::size_t kMostLives = 4;
  static constexpr std::size_t kMostRegions = 6;
  struct Region {
    VpnRange pages;
    bool writable = true;
    std::vector<std::uint64_t> words;  // What each page holds in its word.
  };
  struct Life {
    ProcessSpace* space = nullptr;
    std::vector<Region> regions;
  };

  void add_space(ProcessSpace& space, std::vector<Region> regions) { lives_.push_back({&space, std::move(regions)}); }

  static std::string refused(const char* what, Status status) { return std::string(what) + ": " + to_string(status); }

  std::string make_region(Life& life) {
    if (life.regions.size() == kMostRegions) return "";
    const PageCount count(1 + random_.below(60));
    const auto pages = life.space->reserve({.size = bytes_of(count), .commit = mm::MemCommit::kYes});
    if (!pages) return pages.error() == Status::kCommitmentLimit ? "" : refused("reserve", pages.error());
    life.regions.push_back({{pages->first, count}, true, std::vector<std::uint64_t>(count.value())});
    return "";
  }
  std::string drop_region(Life& life) {
    if (life.regions.empty()) return "";
    const std::size_t number = random_.below(life.regions.size());
    const auto released = life.space->release(cpu_, VirtualAddress(life.regions[number].pages.first), ByteCount(0));
    life.regions.erase(life.regions.begin() + static_cast<std::ptrdiff_t>(number));
    return released ? "" : refused("release", released.error());
  }
  std::string protect(Life& life) {
    if (life.regions.empty()) return "";
    Region& region = life.regions[random_.below(life.regions.size())];
    region.writable = !region.writable;
    const auto before = life.space->protect(cpu_, VirtualAddress(region.pages.first), bytes_of(region.pages.count),
                                            region.writable ? mm::Protection::kReadWrite : mm::Protection::kReadOnly);
    return before ? "" : refused("protect", before.error());
  }
  std::string fork(const Life& life) {
    if (lives_.size() == kMostLives) return "";
    const auto child = manager_.clone_space(cpu_, *life.space);
    if (!child) return child.error() == Status::kCommitmentLimit ? "" : refused("fork", child.error());
    add_space(**child, std::vector<Region>(life.regions));
    return "";
  }
  std::string die() {
    if (lives_.size() > 1) kill(random_.below(lives_.size()));
    return "";
  }
  void kill(std::size_t number) {
    manager_.detach(cpu_);
    current_ = nullptr;
    manager_.destroy_space(cpu_, *lives_[number].space);
    lives_.erase(lives_.begin() + static_cast<std::ptrdiff_t>(number));
  }
  std::string access(Life& life) {
    if (life.regions.empty()) return "";
    Region& region = life.regions[random_.below(life.regions.size())];
    const std::uint64_t number = random_.below(region.words.size());
    const VirtualAddress word = VirtualAddress(region.pages.first + PageCount(number)) + ByteCount(8 * (number % 500));
    if (random_.below(2) == 0) {
      const std::uint64_t value = random_.next();
      const auto stored = cpu_.store<std::uint64_t>(word, value);
      if (stored.has_value() != region.writable) return "a store and the protection do not agree";
      if (stored) region.words[number] = value;
      return "";
    }
    const auto loaded = cpu_.load<std::uint64_t>(word);
    if (!loaded) return refused("load", loaded.error());
    seen_ = Random::mix(seen_ ^ *loaded);
    return *loaded == region.words[number] ? "" : "a load returned something else than was stored";
  }

  mm::MemoryManager& manager_;
  SimProcessor& cpu_;
  Random random_;
  std::vector<Life> lives_;
  ProcessSpace* current_ = nullptr;
  std::uint64_t seen_ = 0;
};

// The host, against its guest: takes random pages of guest memory away, in every way that it has, and samples its
// activity all the time.
class Adversary final : public VirtualProcessor::Interruption {
 public:
  Adversary(TestHost& host, Partition& partition, std::uint64_t seed)
      : host_(host),
        partition_(partition),
        random_(seed),
        sampler_(partition, {.frames = PageCount(50), .period = 1_s}) {}

  // Also inside the guest's kernel, now and then.
  void before_access() override {
    if (random_.below(64) == 0) act();
  }
  void act() {
    switch (random_.below(12)) {
      case 0:
        partition_.vmmem().empty_working_set(host_.cpu());
        break;
      case 1:
        PAGODA_CHECK(host_.manager().flush_modified(host_.cpu()));
        break;
      case 2: {
        const LockGuard guard(partition_.vmmem().lock);
        mm::age_working_set(partition_.vmmem(), host_.cpu());
        break;
      }
      case 3: {
        const LockGuard guard(partition_.vmmem().lock);
        mm::trim_working_set(partition_.vmmem(), host_.cpu(), PageCount(random_.below(40)), PageCount(0), 0);
        break;
      }
      case 4:
        host_.reuse_standby(PageCount(random_.below(200)));
        break;
      case 5:
        host_.manager().complete_io(host_.cpu());
        break;
      case 6:
        executed_ += 1_s;
        sampler_.advance(host_.cpu(), executed_);
        break;
      default:
        break;
    }
  }

 private:
  TestHost& host_;
  Partition& partition_;
  Random random_;
  ActivitySampler sampler_;
  Duration executed_ = 1_s;
};

constexpr std::uint64_t kSteps = 6000;
constexpr std::uint64_t kCheckEvery = 500;
constexpr PageCount kFewTables{10};

std::uint64_t on_bare_hardware(machine::PteFormat paging, std::uint64_t seed) {
  auto machine = *machine::SimMachine::create({.frames = pages_of(2_MiB), .paging = paging, .disks = {{}}});
  auto manager = *mm::MemoryManager::create(
      *machine, {.tunables = mm::testing::small_tunables(), .paging_files = {{.minimum = 16_MiB, .maximum = 16_MiB}}});
  Day day(*manager, machine->processor(), seed);
  for (std::uint64_t i = 0; i < kSteps; ++i) EXPECT_EQ(day.step(), "") << "step " << i;
  day.end();
  EXPECT_EQ(mm::testing::TestMachine::check_manager(*manager, machine->processor()), "");
  return day.seen();
}

struct Kind {
  machine::PteFormat paging;
  MmuKind mmu;
  machine::TlbRefill refill;
  machine::TlbGeometry tlb;
  std::uint64_t seed;
};

class Adversaries : public ::testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(Kinds, Adversaries, ::testing::ValuesIn([] {
                           std::vector<Kind> kinds;
                           std::uint64_t seed = 1;
                           for (const auto paging :
                                {machine::PteFormat::kAmd64, machine::PteFormat::kPae, machine::PteFormat::kX86})
                             for (const auto mmu : kAllMmus)
                               for (const auto refill : {machine::TlbRefill::kHardware, machine::TlbRefill::kSoftware})
                                 for (const auto tlb : {machine::TlbGeometry::kLarge, machine::TlbGeometry::kRealistic})
                                   if (mmu != MmuKind::kParavirtual || refill == machine::TlbRefill::kHardware)
                                     kinds.push_back({paging, mmu, refill, tlb, seed++});
                           return kinds;
                         }()));

TEST_P(Adversaries, GuestsReadTheSameAsOnBareHardware) {
  const Kind& kind = GetParam();
  TestHost host({.frames = PageCount(360)});
  TestVm vm(host,
            {.partition = {.memory = pages_of(2_MiB),
                           .paging = kind.paging,
                           .tlb = kind.tlb,
                           .refill = kind.refill,
                           .mmu = kind.mmu,
                           .shadow_limit = kind.tlb == machine::TlbGeometry::kLarge ? PageCount(1024) : kFewTables,
                           .disks = {{}}}});
  Adversary adversary(host, vm.partition(), kind.seed);
  vm.partition().processor(0).set_interruption(&adversary);
  Day day(vm.manager(), vm.cpu(), kind.seed);
  for (std::uint64_t i = 0; i < kSteps; ++i) {
    ASSERT_EQ(day.step(), "") << "step " << i;
    adversary.act();
    if (i % kCheckEvery != 0) continue;
    vm.partition().processor(0).set_interruption(nullptr);
    ASSERT_EQ(vm.check(), "") << "step " << i;
    vm.partition().processor(0).set_interruption(&adversary);
  }
  day.end();
  vm.partition().processor(0).set_interruption(nullptr);
  EXPECT_EQ(vm.check(), "");
  const PartitionCounts& counts = vm.partition().counts();
  EXPECT_GT(counts.page_ins, 100U);
  if (kind.mmu == MmuKind::kShadow && kind.refill == machine::TlbRefill::kHardware) {
    EXPECT_GT(counts.hidden_faults, 1000U);
    EXPECT_GT(counts.true_faults, 1000U);
    EXPECT_GT(counts.unsyncs, 100U);
    EXPECT_GT(counts.resyncs, 100U);
    EXPECT_GT(counts.root_hits, 10U);
    EXPECT_EQ(counts.shadow_evictions > 0, kind.tlb != machine::TlbGeometry::kLarge);
  }
  if (kind.mmu == MmuKind::kParavirtual) {
    EXPECT_GT(counts.table_updates, 1000U);
    EXPECT_EQ(counts.table_refusals, 0U);
    EXPECT_EQ(counts.hidden_faults + counts.table_writes, 0U);
  }
  EXPECT_EQ(day.seen(), on_bare_hardware(kind.paging, kind.seed));
}

}  // namespace
}  // namespace pagoda::hv::testing
