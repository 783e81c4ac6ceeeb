// Processors and disks that threads of their own drive. To be run under the thread sanitizer.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "pagoda/machine/sim/sim_machine.h"
#include "pagoda/machine/testing/page_tables.h"

namespace pagoda::machine {
namespace {

constexpr VirtualAddress kVa{0x10000};
constexpr RawPte kRights = pte_bits::kWrite | pte_bits::kUser;
constexpr std::uint64_t kNobodys = ~std::uint64_t{0};

class SimThreads : public ::testing::TestWithParam<TlbGeometry> {
 protected:
  SimThreads() {
    for (SimProcessor* cpu : machine_->sim_processors()) everybody_.add(cpu->number());
    for (Pfn& frame : frames_) frame = tables_.allocate();
  }

  // Maps the page to the other of the two frames, after putting the word there; nobody uses the frame before afterwards.
  Pfn move_page(unsigned round, std::uint64_t word) {
    const Pfn before = frames_[(round + 1) % 2];
    const Pfn after = frames_[round % 2];
    view_.store(PhysicalAddress(after), word);
    tables_.map(kVa, after, kRights);
    const StaleRun run{{kVa.vpn(), 1_pages}, before};
    machine_->shoot_down(machine_->processor(0), {tables_.root(), Asid{1}, everybody_}, std::span(&run, 1));
    return before;
  }

  std::unique_ptr<SimMachine> machine_ =
      *SimMachine::create({.processors = 3, .tlb = GetParam(), .driving = Driving::kThreads, .disks = {{}}});
  PhysicalView view_ = machine_->memory().view();
  testing::PageTables tables_{view_, machine_->paging(), Pfn(1)};
  std::array<Pfn, 2> frames_{};
  ProcessorSet everybody_;
};

INSTANTIATE_TEST_SUITE_P(Geometries, SimThreads, ::testing::Values(TlbGeometry::kLarge, TlbGeometry::kRealistic),
                         [](const auto& geometry) { return geometry.param == TlbGeometry::kLarge ? "Large" : "Real"; });

TEST_P(SimThreads, AfterAShootDownNobodyReadsTheOldFrame) {
  move_page(0, 0);
  std::atomic<std::uint64_t> settled = 0;  // The page has this word, or a later one.
  std::array<std::uint64_t, 3> wrong{};
  {
    std::vector<std::jthread> readers;
    for (unsigned number = 1; number < 3; ++number)
      readers.emplace_back([&, number](const std::stop_token& stop) {
        SimProcessor& cpu = machine_->processor(number);
        cpu.load_root(tables_.root(), Asid{1});
        while (!stop.stop_requested()) {
          const std::uint64_t least = settled.load();
          const auto word = cpu.load<std::uint64_t>(kVa);
          if (!word || *word < least || *word == kNobodys) ++wrong[number];
        }
      });
    for (unsigned round = 1; round < 3000; ++round) {
      const Pfn old = move_page(round, round);
      settled.store(round);
      view_.store(PhysicalAddress(old), kNobodys);
    }
  }
  EXPECT_EQ(wrong, (std::array<std::uint64_t, 3>{}));
}

TEST_P(SimThreads, AfterAShootDownNobodyWritesTheOldFrame) {
  move_page(0, 0);
  std::uint64_t late = 0;
  {
    std::vector<std::jthread> writers;
    for (unsigned number = 1; number < 3; ++number)
      writers.emplace_back([&, number](const std::stop_token& stop) {
        SimProcessor& cpu = machine_->processor(number);
        cpu.load_root(tables_.root(), Asid{1});
        for (std::uint64_t i = 0; !stop.stop_requested(); ++i) EXPECT_TRUE(cpu.store(kVa, i));
      });
    for (unsigned round = 1; round < 3000; ++round) {
      const Pfn old = move_page(round, round);
      view_.store(PhysicalAddress(old), kNobodys);
      for (int look = 0; look < 20; ++look)
        if (view_.load<std::uint64_t>(PhysicalAddress(old)) != kNobodys) ++late;
    }
  }
  EXPECT_EQ(late, 0U);
}

TEST_P(SimThreads, InterruptsArePaidByTheInterrupted) {
  move_page(0, 0);
  SimProcessor& other = machine_->processor(1);
  other.load_root(tables_.root(), Asid{1});
  ASSERT_TRUE(other.load<std::uint64_t>(kVa));
  move_page(1, 1);
  const Time before = other.now();
  ASSERT_TRUE(other.load<std::uint64_t>(kVa));
  const CostModel& costs = machine_->costs();
  EXPECT_GE((other.now() - before).value() * costs.cycles_per_us / 1000 + 1,
            costs.shootdown.value() + costs.invalidate.value());
  EXPECT_EQ(other.counts().shootdowns_received, 2U);
}

TEST_P(SimThreads, ADiskServesManyAtOnce) {
  constexpr std::uint64_t kRounds = 200;
  const auto file = *machine_->sim_disk().create("shared");
  ASSERT_TRUE(file->resize(64_KiB));
  std::array<std::uint64_t, 3> wrong{};
  {
    std::vector<std::jthread> threads;
    for (unsigned number = 0; number < 3; ++number)
      threads.emplace_back([&, number] {
        SimProcessor& cpu = machine_->processor(number);
        const Pfn frame(100 + number);
        const FileOffset at(number * kPageBytes);
        for (std::uint64_t round = 0; round < kRounds; ++round) {
          view_.store(PhysicalAddress(frame), round);
          const DiskTransfer written = file->write(cpu, at, std::span(&frame, 1));
          view_.store(PhysicalAddress(frame), kNobodys);
          const DiskTransfer read = file->read(cpu, at, std::span(&frame, 1));
          if (written.status != Status::kSuccess || read.status != Status::kSuccess ||
              view_.load<std::uint64_t>(PhysicalAddress(frame)) != round)
            ++wrong[number];
        }
      });
    for (std::uint64_t size = 64; size < 96; ++size) ASSERT_TRUE(file->resize(ByteCount(size * 1024)));
  }
  EXPECT_EQ(wrong, (std::array<std::uint64_t, 3>{}));
  EXPECT_EQ(machine_->sim_disk().counts().reads, 3 * kRounds);
  EXPECT_EQ(machine_->sim_disk().counts().writes, 3 * kRounds);
  EXPECT_EQ(machine_->sim_disk().used(), 95_KiB);
}

}  // namespace
}  // namespace pagoda::machine
