// Real threads, each with its own processor and space, in one manager: locks and atomics hold. To be run under the
// thread sanitizer. There is memory enough, so that no page is taken from a space by another's processor.
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm::testing {
namespace {

constexpr unsigned kThreads = 4;

TestMachineConfig roomy(machine::TlbRefill refill) {
  TestMachineConfig config{.frames = PageCount(8192), .refill = refill, .processors = kThreads};
  config.tunables = {};
  return config;
}

// What one thread does: regions come and go, pages are committed, stored to, read, protected, taken out of the working
// set, rescued, decommitted. Returns how many words were not what they should be.
std::uint64_t program(TestMachine& t, ProcessSpace& space, unsigned number) {
  constexpr std::uint64_t kPages = 200;
  machine::SimProcessor& cpu = t.cpu(number);
  std::uint64_t wrong = 0;
  Random random(number);
  for (int round = 0; round < 12; ++round) {
    const auto region = space.reserve({.size = bytes_of(PageCount(kPages))});
    if (!region) return ~std::uint64_t{0};
    const VirtualAddress base(region->first);
    for (std::uint64_t page = 0; page < kPages; page += 20) {
      const auto done =
          space.commit(cpu, TestMachine::page(base, page), bytes_of(PageCount(20)), Protection::kReadWrite);
      if (!done) ++wrong;
    }
    std::vector<std::uint64_t> model(kPages);
    for (int step = 0; step < 1500; ++step) {
      const std::uint64_t page = random.below(kPages);
      const VirtualAddress va = TestMachine::page(base, page);
      if (random.chance(0.4)) {
        model[page] = random.next();
        if (!cpu.store<std::uint64_t>(va, model[page])) ++wrong;
      } else if (const auto loaded = cpu.load<std::uint64_t>(va); !loaded || *loaded != model[page]) {
        ++wrong;
      }
      if (step % 100 == 0) {
        if (!space.decommit(cpu, va, kPageSize) || !space.commit(cpu, va, kPageSize, Protection::kReadWrite)) ++wrong;
        model[page] = 0;
      }
      if (step % 70 == 0 &&
          (!space.protect(cpu, va, kPageSize, Protection::kNoAccess) || cpu.load<std::uint64_t>(va).has_value() ||
           !space.protect(cpu, va, kPageSize, Protection::kReadWrite)))
        ++wrong;
      if (step % 500 == 0) space.empty_working_set(cpu);
    }
    if (!space.release(cpu, base, ByteCount(0))) ++wrong;
  }
  return wrong;
}

class MmThreads : public ::testing::TestWithParam<machine::TlbRefill> {};
std::string name_of(const ::testing::TestParamInfo<machine::TlbRefill>& refill) {
  return refill.param == machine::TlbRefill::kHardware ? "Hardware" : "Software";
}
INSTANTIATE_TEST_SUITE_P(Refills, MmThreads,
                         ::testing::Values(machine::TlbRefill::kHardware, machine::TlbRefill::kSoftware), name_of);

TEST_P(MmThreads, SpacesOfTheirOwnDoNotDisturbEachOther) {
  TestMachine t(roomy(GetParam()));
  std::array<ProcessSpace*, kThreads> spaces{};  // Not the machine's own, which every processor has loaded.
  for (ProcessSpace*& space : spaces) space = &t.add_space();
  for (unsigned i = 0; i < kThreads; ++i) t.manager().attach(t.cpu(i), *spaces[i]);

  std::array<std::uint64_t, kThreads> wrong{};
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < kThreads; ++i) threads.emplace_back([&, i] { wrong[i] = program(t, *spaces[i], i); });
  }
  for (unsigned i = 0; i < kThreads; ++i) EXPECT_EQ(wrong[i], 0U) << "thread " << i;
  EXPECT_EQ(t.check(), "");
  for (unsigned i = 0; i < kThreads; ++i) t.manager().detach(t.cpu(i));
  for (ProcessSpace* space : spaces) t.manager().destroy_space(t.cpu(), *space);
  EXPECT_EQ(t.manager().commit().charged, 1_pages);  // The root of the machine's own space.
  EXPECT_EQ(t.check(), "");
}

TEST_P(MmThreads, SpacesAreMadeAndDestroyedByManyAtOnce) {
  TestMachine t(roomy(GetParam()));
  t.manager().detach(t.cpu(0));
  std::array<std::uint64_t, kThreads> wrong{};
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        machine::SimProcessor& cpu = t.cpu(i);
        for (std::uint64_t round = 0; round < 60; ++round) {
          const auto space = t.manager().create_space(cpu, {});
          if (!space) {
            ++wrong[i];
            continue;
          }
          t.manager().attach(cpu, **space);
          const auto region = (*space)->reserve({.size = 64_KiB, .commit = MemCommit::kYes});
          const VirtualAddress base(region->first);
          for (std::uint64_t page = 0; page < 16; ++page)
            if (!cpu.store<std::uint64_t>(TestMachine::page(base, page), round * 100 + page)) ++wrong[i];
          for (std::uint64_t page = 0; page < 16; ++page)
            if (cpu.load<std::uint64_t>(TestMachine::page(base, page)) != round * 100 + page) ++wrong[i];
          t.manager().detach(cpu);
          t.manager().destroy_space(cpu, **space);
        }
      });
    }
  }
  for (unsigned i = 0; i < kThreads; ++i) EXPECT_EQ(wrong[i], 0U) << "thread " << i;
  EXPECT_EQ(t.check(), "");
}

// Counters, the clock of the I/O and the zero-page thread are read and run beside the programs.
TEST_P(MmThreads, TheZeroPageThreadRunsBesidePrograms) {
  TestMachine t(roomy(GetParam()));
  std::array<ProcessSpace*, kThreads - 1> spaces{};
  for (ProcessSpace*& space : spaces) space = &t.add_space();
  for (unsigned i = 0; i < spaces.size(); ++i) t.manager().attach(t.cpu(i), *spaces[i]);
  machine::SimProcessor& idle = t.cpu(kThreads - 1);
  t.manager().detach(idle);

  std::array<std::uint64_t, kThreads> wrong{};
  {
    std::jthread zeroer([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        if (t.manager().zero_page_thread().due(idle.now()) <= idle.now()) t.manager().zero_page_thread().run(idle);
        static_cast<void>(t.manager().counters());
        static_cast<void>(t.manager().frame_counts());
        std::this_thread::yield();
      }
    });
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < spaces.size(); ++i) threads.emplace_back([&, i] { wrong[i] = program(t, *spaces[i], i); });
    threads.clear();
  }
  for (unsigned i = 0; i < spaces.size(); ++i) EXPECT_EQ(wrong[i], 0U) << "thread " << i;
  EXPECT_GT(t.manager().counters().pages_zeroed_by_thread, 0U);
  EXPECT_EQ(t.check(), "");
}

// Spaces share a paging-file section and a file, written by all through views of their own, which they trim; others of
// their views copy what they write. A thread beside them writes to a second file and flushes it: it alone asks the
// disk, since the pages of the first are in memory when the threads begin and there is room for all. (A disk that takes
// a page while a program stores to it is a race to the sanitizer, as it is on hardware.) Each space has one processor,
// because a simulated one cannot take a shoot-down while it runs in a thread.
class SharingSpaces {
 public:
  static constexpr std::uint64_t kPages = 96;
  static constexpr unsigned kPrograms = kThreads - 1;

  explicit SharingSpaces(machine::TlbRefill refill) : t_(roomy(refill)) {
    Sections& sections = t_.manager().sections();
    const auto file = [&](const char* name) {
      auto disk_file = *t_.machine().sim_disk(0).create(name);
      PAGODA_CHECK(disk_file->resize(bytes_of(PageCount(kPages))).has_value());
      return std::make_shared<FileStream>(name, std::move(disk_file));
    };
    stream_ = file("data");
    log_ = file("log");
    const std::vector<std::byte> zeros(bytes_of(PageCount(kPages)).value());
    PAGODA_CHECK(sections.write(t_.cpu(), stream_, FileOffset{}, zeros).has_value());
    shared_ = *sections.create(t_.cpu(), {.size = bytes_of(PageCount(kPages))});
    data_ = *sections.create(t_.cpu(), {.file = stream_, .kind = SectionKind::kData});
    copied_ = *sections.create(t_.cpu(), {.size = bytes_of(PageCount(kPages))});
    for (ProcessSpace*& space : spaces_) space = &t_.add_space();
  }

  [[nodiscard]] TestMachine& machine() { return t_; }
  [[nodiscard]] ProcessSpace& space_of(unsigned program) { return *spaces_[program]; }
  [[nodiscard]] const std::shared_ptr<FileStream>& log() { return log_; }

  // Every program has a word of its own in each page, which no other program writes; returns how many were wrong.
  std::uint64_t program(unsigned number) {
    ProcessSpace& space = space_of(number);
    machine::SimProcessor& cpu = t_.cpu(number);
    Random random(number + 1);
    std::uint64_t wrong = 0;
    std::array<std::vector<std::uint64_t>, 2> model{std::vector<std::uint64_t>(kPages),
                                                    std::vector<std::uint64_t>(kPages)};
    for (int round = 0; round < 8; ++round) {
      for (unsigned which = 0; which < 2; ++which) {
        Section& section = which == 0 ? *shared_ : *data_;
        const auto view = space.map_view(cpu, section, {});
        // Of pages that are not written: a processor may store while another copies the page, as on any machine, and the
        // thread sanitizer would say so.
        const auto source = space.map_view(cpu, *copied_, {.protection = Protection::kReadOnly});
        const auto copy = space.map_view(cpu, *copied_, {.protection = Protection::kWriteCopy});
        if (!view || !source || !copy) return ~std::uint64_t{0};
        const VirtualAddress base = VirtualAddress(view->first) + ByteCount(number * 64);
        const VirtualAddress source_base(source->first);
        const VirtualAddress copy_base = VirtualAddress(copy->first) + ByteCount(number * 64);
        for (int step = 0; step < 400; ++step) {
          const std::uint64_t page = random.below(kPages);
          const VirtualAddress va = TestMachine::page(base, page);
          if (random.chance(0.4)) {
            model[which][page] = random.next();
            if (!cpu.store<std::uint64_t>(va, model[which][page])) ++wrong;
          } else if (const auto loaded = cpu.load<std::uint64_t>(va); !loaded || *loaded != model[which][page]) {
            ++wrong;
          }
          if (step % 9 == 0) {
            const VirtualAddress copied = TestMachine::page(copy_base, page);
            if (!cpu.store<std::uint64_t>(copied, step) || cpu.load<std::uint64_t>(copied) != step) ++wrong;
            // The shared page is as it was.
            if (cpu.load<std::uint64_t>(TestMachine::page(source_base, page)) != std::uint64_t{0}) ++wrong;
          }
          if (step % 80 == 0) space.empty_working_set(cpu);
          if (step % 50 == 0 && (!space.protect(cpu, va, 8_B, Protection::kReadOnly) ||
                                 !space.protect(cpu, va, 8_B, Protection::kReadWrite)))
            ++wrong;
        }
        for (const VirtualAddress mapped : {base, source_base, copy_base})
          if (!space.unmap_view(cpu, mapped)) ++wrong;
      }
    }
    return wrong;
  }

 private:
  TestMachine t_;
  std::shared_ptr<FileStream> stream_;
  std::shared_ptr<FileStream> log_;
  Section* shared_ = nullptr;
  Section* data_ = nullptr;
  Section* copied_ = nullptr;
  std::array<ProcessSpace*, kPrograms> spaces_{};
};

TEST_P(MmThreads, SpacesShareViewsAndCopyOnWrite) {
  SharingSpaces sharing(GetParam());
  TestMachine& t = sharing.machine();
  for (unsigned i = 0; i < SharingSpaces::kPrograms; ++i) t.manager().attach(t.cpu(i), sharing.space_of(i));
  machine::SimProcessor& idle = t.cpu(kThreads - 1);
  t.manager().detach(idle);

  std::array<std::uint64_t, SharingSpaces::kPrograms> wrong{};
  std::uint64_t flush_failures = 0;
  {
    std::jthread flusher([&](const std::stop_token& stop) {
      Sections& sections = t.manager().sections();
      for (std::uint64_t round = 0; !stop.stop_requested(); ++round) {
        const FileOffset at(round % SharingSpaces::kPages * kPageBytes);
        if (!sections.write(idle, sharing.log(), at, std::as_bytes(std::span(&round, 1))) ||
            !sections.flush(idle, *sharing.log(), FileOffset{}, ByteCount{}))
          ++flush_failures;
        std::this_thread::yield();
      }
    });
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < SharingSpaces::kPrograms; ++i)
      threads.emplace_back([&, i] { wrong[i] = sharing.program(i); });
    threads.clear();
  }
  for (unsigned i = 0; i < SharingSpaces::kPrograms; ++i) EXPECT_EQ(wrong[i], 0U) << "thread " << i;
  EXPECT_EQ(flush_failures, 0U);
  EXPECT_GT(t.faults(FaultKind::kCopyOnWrite), 0U);
  EXPECT_GT(t.manager().counters().mapped_file_pages_written, 0U);
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm::testing
