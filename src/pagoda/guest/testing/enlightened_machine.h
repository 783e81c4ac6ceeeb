// For tests: a small machine whose manager is a guest of a RecordingHypervisor.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pagoda/guest/enlightenments.h"
#include "pagoda/guest/testing/recording_hypervisor.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::guest::testing {

struct EnlightenedMachineConfig {
  PageCount frames{512};
  machine::PteFormat paging = machine::PteFormat::kAmd64;
  machine::Hypercalls::Capabilities capabilities{.cold_hint = true,
                                                 .hot_hint = true,
                                                 .cold_discard_hint = true,
                                                 .memory_report = true,
                                                 .reporting_granule = PageCount(8)};
  EnlightenmentSettings settings{.reserve = PageCount(64), .hot_window = PageCount(16)};
};

class EnlightenedMachine {
 public:
  using FrameState = RecordingHypervisor::FrameState;

  explicit EnlightenedMachine(const EnlightenedMachineConfig& config = {})
      : hypervisor(config.capabilities),
        t({.frames = config.frames, .paging = config.paging, .hypercalls = &hypervisor}) {
    hypervisor.connect(t.core());
    guest = Enlightenments::create(t.manager(), t.cpu(), config.settings);
  }

  // So many pages are used, and released in groups of `every` of which one stays in use; the others are zeroed.
  void make_zeroed(PageCount pages, std::uint64_t every = 0) {
    const VirtualAddress base = t.commit(pages);
    t.fill(base, pages);
    if (every == 0) {
      PAGODA_CHECK(t.space().release(t.cpu(), base, ByteCount(0)).has_value());
    } else {
      for (std::uint64_t i = 0; i < pages.value(); ++i) {
        if (i % every != 0) PAGODA_CHECK(t.space().decommit(t.cpu(), t.page(base, i), kPageSize).has_value());
      }
    }
    zero_free_pages();
  }
  void zero_free_pages() {
    while (t.count(mm::PageState::kFree) > 0_pages) t.manager().zero_page_thread().run(t.cpu());
  }
  // Runs what is due by the time of the processor.
  void run_due() {
    while (guest->due(t.cpu().now()) <= t.cpu().now()) guest->run(t.cpu());
  }
  void after(Duration time) {
    t.cpu().advance_to(t.cpu().now() + time);
    run_due();
  }
  // From the head.
  [[nodiscard]] std::vector<Pfn> zeroed_list() {
    std::vector<Pfn> frames;
    const LockGuard guard(t.core().pfns.lock);
    for (Pfn frame(t.core().pfns.lists().head(mm::PageState::kZeroed).flink); frame != kNoPfn;
         frame = Pfn(t.core().pfns.entry(frame).flink))
      frames.push_back(frame);
    return frames;
  }
  // What is wrong with the guest, with what it said, or with what it remembers of it.
  [[nodiscard]] std::string check() {
    std::string text = t.check() + hypervisor.mistakes();
    for (std::uint32_t number = 0; number < t.core().pfns.frames().value(); ++number) {
      const Pfn frame(number);
      if (!guest->is_hinted(frame)) continue;
      const mm::PageState state = t.core().pfns.entry(frame).state;
      if (!mm::is_available(state)) text += "HF1: " + to_string(frame) + " is hinted and " + std::string(name(state));
      if (hypervisor.state(frame) == FrameState::kOrdinary)
        text += to_string(frame) + " is said to be hinted, and the hypervisor does not know it\n";
    }
    return text;
  }

  RecordingHypervisor hypervisor;
  mm::testing::TestMachine t;
  std::unique_ptr<Enlightenments> guest;
};

}  // namespace pagoda::guest::testing
