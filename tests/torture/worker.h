// A program under torture: one operation after the other, chosen by its seed, each checked against what it may find.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/machine/sim/sim_processor.h"
#include "pagoda/mm/process/process_space.h"
#include "tests/torture/stamp.h"
#include "tests/torture/world.h"

namespace pagoda::mm::torture {

class Worker {
 public:
  Worker(World& world, unsigned number);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // One operation. What is wrong goes to the world.
  void step();
  [[nodiscard]] std::uint64_t operations() const { return operations_; }
  // Commits all of its regions and maps every section; writes about half of the pages. While everybody rests.
  void take_everything();
  // All pages of its own and all that it sees of others, one by one; while everybody rests.
  void look_at_everything();

 private:
  struct OwnPage {
    bool committed = false;
    Protection protection = Protection::kNone;
    std::uint32_t version = 0;
    // For who looks for a fault: what changed it last, and what was refused since.
    std::uint64_t changed_by = 0;
    std::uint64_t refused = 0;
    Status refusal = Status::kSuccess;
  };
  struct Region {
    bool reserved = false;
    std::vector<OwnPage> pages;
  };
  // A write-copy view; pages that this worker has written are its own.
  struct CopyView {
    std::optional<VirtualAddress> base;
    std::uint32_t first_number = 0;
    std::vector<std::uint32_t> versions;  // 0: still the section's.
  };
  // A run of pages of one of the regions.
  struct Range {
    unsigned region = 0;
    std::size_t first = 0;
    std::size_t count = 0;
    VirtualAddress base;
  };

  void perform(Operation operation);
  // --- Accesses ---
  void read_own(unsigned region, std::size_t page);
  void write_own(unsigned region, std::size_t page);
  void read_other();
  void read_shared(unsigned section, std::size_t page);
  void write_shared(unsigned section, std::size_t page);
  void read_copy(unsigned section, std::size_t page);
  void write_copy();
  // Reads the page, or a word of it. What was found may be of several versions.
  struct Found {
    Status status = Status::kSuccess;
    std::size_t first_word = 0;
    std::size_t words = 0;
  };
  Found read(VirtualAddress page);
  Status write(VirtualAddress page, std::uint32_t number, std::uint32_t version);
  void expect_exactly(const Found& found, VirtualAddress at, std::uint32_t number, Content content);
  void expect_within(const Found& found, VirtualAddress at, const Page& page, History::Window window);
  // --- Memory ---
  [[nodiscard]] Range some_pages();
  void reserve(unsigned region);
  void commit(const Range& range);
  void decommit();
  void release();
  void protect();
  void discard();
  void lock_or_unlock(bool lock);
  [[nodiscard]] VpnRange some_range();
  void query();
  void remap();
  void flush_view();
  void fork();
  bool map(unsigned section);
  bool map_copy(unsigned section);
  [[nodiscard]] static std::string past_of(const OwnPage& page);
  [[nodiscard]] static Content content_of(const OwnPage& page);
  // `change(own page)` for all pages of the range, before the call that does it; then the call decides.
  template <class Change, class Call>
  void change(const Range& range, Change&& change, Call&& call);
  [[nodiscard]] bool may_be_refused(Status status) const;
  void wrong(std::string text);
  [[nodiscard]] unsigned section_count() const { return static_cast<unsigned>(world_.sections().size()); }
  [[nodiscard]] ProcessSpace& space() { return world_.space(world_.process_of(number_)); }

  World& world_;
  const unsigned number_;
  machine::SimProcessor& cpu_;
  Random random_;
  std::vector<Region> regions_;
  std::vector<std::optional<VirtualAddress>> views_;  // By section.
  std::vector<CopyView> copies_;                      // By section.
  const std::uint32_t child_number_;                  // Of every page that a child of a fork writes.
  std::uint64_t operations_ = 0;
  // Of twins there are few versions, so that equal ones meet.
  std::uint32_t next_version() {
    const std::uint32_t version = next_version_++;
    return world_.config().twins ? 1 + version % 3 : version;
  }
  std::uint32_t next_version_ = 1;
  Operation operation_ = Operation::kQuery;
  PageWords words_{};
};

}  // namespace pagoda::mm::torture
