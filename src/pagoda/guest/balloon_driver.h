// The balloon's driver in a guest: takes nonpageable frames of its own guest and gives them to the host, as many as the
// host wants, so that the guest's memory manager chooses what to do without. Linux: virtio_balloon; ESX: vmmemctl.
//
//   polls the target, each second ── more wanted ──> takes frames, tells the host (inflate)       at a limited rate
//                                 ── fewer wanted ─> tells the host (deflate), frees frames
//   no frame to be had ──> has its manager trim for the next request, and tries again after 0.2 s; the host is not told
//                          ("out of puff")
//   the guest out of memory ──> a request's worth of frames comes back, whatever the target (DEFLATE_ON_OOM), and what
//                               is left stays the most until the host wants something else
//
// The driver takes what is available, and presses no more than once a retry: a guest feels it as a smaller machine. One
// that has nowhere to put its pages is not pressed.
//
// Free page reporting (REPORTING): blocks at the back of the zeroed list, which are told once until they are used
// (mm::HintedFrames). A guest with enlightenments has those in its place.
//
// Everything that goes wrong with balloons can be asked for: one that loads late, may take a part of the memory only, is
// slow, sticks (polls and reports, and moves no more), dies (its frames are lost to the guest), or lies (touches what it
// gave away). A guest without a driver has no such object.
//
// Locking: belongs to the thread that drives the guest's processors.
// Source: reference/virtualization.md 1.3 and 4.1; reference/overcommit-facts.md 1.2 and section 2.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "pagoda/machine/balloon.h"
#include "pagoda/mm/backing/last_resort.h"
#include "pagoda/mm/memory_manager.h"
#include "pagoda/mm/pfn/hinted_frames.h"
#include "pagoda/mm/threads/system_thread.h"

namespace pagoda::guest {

using machine::Processor;

struct BalloonDriverSettings {
  // Of those that the device offers, what the driver accepts.
  machine::BalloonFeatures features = machine::BalloonFeatures::all();
  Duration poll_period = 1_s;                     // reference/virtualization.md 1.3.
  Duration retry_delay = 200_ms;                  // reference/overcommit-facts.md section 2.
  PageCount pages_per_second = pages_of(64_MiB);  // Inflated, at most. A choice: "limited" is all that the source says.
  PageCount most{~std::uint64_t{0}};              // In the balloon.

  Time loads;            // From when on there is a driver.
  Time sticks = kNever;  // From when on it moves no more.
  Time dies = kNever;    // From when on it does nothing.
  enum class Conduct : std::uint8_t { kHonest, kTouches } conduct = Conduct::kHonest;

  // Free page reporting: frames that a block has, aligned; how soon a free block is told; and how many frames at the
  // front of the zeroed list are not, since faults take them next. Linux's blocks are larger; the size is the host's
  // fault cluster here, as for hints. reference/virtualization.md 4.1: about 2 s.
  PageCount report_block{16};
  Duration report_period = 2_s;
  PageCount report_reserve{1024};

  // The same reserve in proportion in a guest of any size.
  static BalloonDriverSettings for_memory(PageCount frames);
};

class BalloonDriver final : public mm::SystemThread, private mm::LastResort {
 public:
  // Null if the machine has no balloon.
  // Requires: the manager outlives it, has no other last resort, and, where free pages are reported, no other hinted
  // frames.
  static std::unique_ptr<BalloonDriver> create(mm::MemoryManager& guest, const BalloonDriverSettings& settings);
  // What is in the balloon stays there, and is lost to the guest.
  ~BalloonDriver() override;
  BalloonDriver(const BalloonDriver&) = delete;
  BalloonDriver& operator=(const BalloonDriver&) = delete;

  [[nodiscard]] std::string_view name() const override { return "balloon driver"; }
  [[nodiscard]] Time due(Time now) const override;
  // One look at the target, one request, one report of free pages: as far as they are due.
  void run(Processor& cpu) override;

  // Frames that it holds.
  [[nodiscard]] PageCount held() const { return PageCount(frames_.size()); }

  // Pages, unless said otherwise.
  struct Counts {
    std::uint64_t inflated = 0;
    std::uint64_t deflated = 0;
    std::uint64_t deflated_on_oom = 0;  // Of those.
    std::uint64_t out_of_puff = 0;      // Times that no frame was to be had.
    std::uint64_t touched = 0;          // By a driver that lies.
    std::uint64_t reported = 0;         // Free.
    std::uint64_t polls = 0;            // Times.
  };
  [[nodiscard]] const Counts& counts() const { return counts_; }

 private:
  BalloonDriver(mm::MemoryManager& guest, machine::Balloon& device, const BalloonDriverSettings& settings)
      : guest_(guest), device_(device), settings_(settings) {}

  enum class State : std::uint8_t { kNotLoaded, kRunning, kDead };

  void load(Processor& cpu);
  // No driver is there any more: its time has come, or the device does not know it any more.
  void die();
  void poll(Processor& cpu);
  void report_statistics(Processor& cpu);
  void touch_all(Processor& cpu);
  // How many pages should be in the balloon.
  [[nodiscard]] PageCount goal() const;
  // A request of one of the queues, if there is anything to ask for.
  void move(Processor& cpu);
  void inflate(Processor& cpu, PageCount count);
  // Makes the guest's manager find so many pages to do without, if what it trims has a place to go to.
  void press(Processor& cpu, PageCount count);
  void deflate(Processor& cpu, PageCount count);
  void report_free(Processor& cpu);
  // mm::LastResort: the guest is out of memory.
  bool release(Processor& cpu) override;

  mm::MemoryManager& guest_;
  machine::Balloon& device_;
  const BalloonDriverSettings settings_;
  State state_ = State::kNotLoaded;
  machine::BalloonFeatures accepted_;
  std::vector<Pfn> frames_;  // In the balloon; the last ones go first.
  PageCount target_;
  PageCount most_after_oom_{~std::uint64_t{0}};
  Time next_poll_;
  Time next_move_ = kNever;
  Time next_report_ = kNever;
  std::unique_ptr<mm::HintedFrames> free_frames_;  // Where free pages are reported.
  static constexpr std::uint64_t kNeverLooked = ~std::uint64_t{0};
  std::uint64_t zeroed_at_report_ = kNeverLooked;  // Pages that had ever been zeroed when all blocks were looked at.
  Counts counts_;
};

}  // namespace pagoda::guest
