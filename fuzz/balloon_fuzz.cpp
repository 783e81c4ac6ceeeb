// Any bytes are a hostile balloon driver, and a host that takes memory away meanwhile. A model knows which frames are in
// the balloon and what each frame must read as; beside the guest lives another one, whose memory must not change. At the
// end, and now and then, both virtual machines and the host pass their checkers.
//
// The first byte chooses paging, backing and how much memory the host has; each following group of 8 is an operation.
#include <algorithm>
#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "fuzz/bytes.h"
#include "pagoda/hv/testing/test_vm.h"

namespace {

using namespace pagoda;
using fuzz::Bytes;
using hv::testing::TestHost;
using hv::testing::TestVm;
using machine::Balloon;
using machine::BalloonFeature;
using machine::BalloonFeatures;

constexpr std::size_t kOperationBytes = 8;
constexpr std::size_t kMostOperations = 300;
constexpr std::uint32_t kFrames = 512;
constexpr PageCount kNeighbours{32};

[[noreturn]] void found(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::abort();
}

class World {
 public:
  explicit World(std::uint64_t flags)
      : host_({.frames = PageCount((flags & 1) != 0 ? 4096 : 640), .paging_file = 16_MiB}), good_(host_) {
    partition_ = *hv::Partition::create(host_.manager(), host_.cpu(),
                                        {.name = "hostile",
                                         .memory = PageCount(kFrames),
                                         .mmu = (flags & 2) != 0 ? hv::MmuKind::kShadow : hv::MmuKind::kNested,
                                         .backing = (flags & 4) != 0 ? hv::Backing::kDeferred : hv::Backing::kVirtual,
                                         .fault_cluster = PageCount((flags & 8) != 0 ? 1 : 16),
                                         .balloon = BalloonFeatures::all()});
    host_.dispatch(*partition_);
    base_ = good_.commit(kNeighbours);
    good_.fill(base_, kNeighbours);
  }

  void perform(Bytes& bytes) {
    const std::uint64_t what = bytes.take(1);
    const std::uint64_t how = bytes.take(1);
    const auto first = static_cast<std::uint32_t>(bytes.take(3));
    const std::uint64_t value = bytes.take(3);
    switch (what % 12) {
      case 0:
      case 1:
      case 2:
        return request(Queue::kInflate, how, first, value);
      case 3:
        return request(Queue::kDeflate, how, first, value);
      case 4:
      case 5:
        return write(first % kFrames, value + 1);
      case 6:
        return read(first % kFrames);
      case 7:
        return report_free(how, first, value);
      case 8:
        return tell(how, value);
      case 9:
        return start(how);
      case 10:
        return squeeze(how);
      default:
        device().set_target(PageCount(value * first));
        device().set_actual(cpu(), PageCount(value));
        return check();
    }
  }

  void check() {
    if (device().held() != PageCount(in_balloon_.count())) found("the balloon does not hold what the model says");
    if (good_.differences(base_, kNeighbours) != 0) found("a neighbour's memory changed");
    const std::string wrong = good_.check() + hv::to_string(hv::check(*partition_));
    if (!wrong.empty()) found(wrong);
  }
  void finish() {
    check();
    for (std::uint32_t frame = 0; frame < kFrames; ++frame) read(frame);
    check();
  }

 private:
  enum class Queue : std::uint8_t { kInflate, kDeflate };

  [[nodiscard]] machine::SimProcessor& cpu() { return partition_->machine().processor(); }
  [[nodiscard]] hv::BalloonDevice& device() { return *partition_->machine().balloon(); }

  // In a row, scattered, or all the same; now and then of no memory, or too many of them.
  void request(Queue queue, std::uint64_t how, std::uint32_t first, std::uint64_t value) {
    std::vector<Pfn> frames;
    const std::size_t count = (how & 0xC0) == 0xC0 ? value % 300 : value % 20;
    const std::uint32_t step = (how & 3) == 3 ? first : static_cast<std::uint32_t>(how & 3);
    const std::uint32_t range = (how & 0x30) == 0x30 ? 0xFFFFFF : kFrames;
    frames.reserve(count);
    for (std::uint32_t i = 0; i < count; ++i) frames.emplace_back((first + i * step) % range);
    const bool done =
        (queue == Queue::kInflate ? device().inflate(cpu(), frames) : device().deflate(cpu(), frames)).has_value();
    if (done != (started_ && !frames.empty() && frames.size() <= Balloon::kMostFrames))
      found("a request was not answered as it should be");
    if (!done) return;
    for (const Pfn frame : frames) {
      if (frame.value() >= kFrames) continue;
      in_balloon_[frame.value()] = queue == Queue::kInflate;
      if (queue == Queue::kInflate) words_.at(frame.value()) = 0;
    }
  }
  void write(std::uint32_t frame, std::uint64_t value) {
    cpu().physical().store<std::uint64_t>(PhysicalAddress(Pfn(frame)), value);
    words_.at(frame) = value;
    in_balloon_[frame] = false;
  }
  void read(std::uint32_t frame) {
    if (cpu().physical().load<std::uint64_t>(PhysicalAddress(Pfn(frame))) != words_.at(frame))
      found("a frame does not read as the model says");
    in_balloon_[frame] = false;
  }
  void report_free(std::uint64_t how, std::uint32_t first, std::uint64_t value) {
    std::vector<PfnRange> blocks;
    blocks.reserve(how % 40);
    for (std::uint32_t i = 0; i < how % 40; ++i)
      blocks.push_back({Pfn((first + i * 31) % (kFrames + 2)), PageCount((how & 0x80) != 0 ? value : value % 9)});
    if (!device().report_free(cpu(), blocks) || poisoned_) return;
    for (const PfnRange& block : blocks)
      for (Pfn frame = block.first; frame < block.end(); ++frame) words_.at(frame.value()) = 0;
  }
  void tell(std::uint64_t how, std::uint64_t value) {
    std::vector<machine::BalloonStatistic> statistics;
    statistics.reserve(how % 40);
    for (std::uint64_t i = 0; i < how % 40; ++i)
      statistics.push_back({static_cast<std::uint16_t>(value * (i + 1)), ~(value << (i % 60))});
    const bool understood = device().report_statistics(cpu(), statistics).has_value();
    if (understood && !started_) found("statistics without a driver");
    const std::uint64_t memory = bytes_of(PageCount(kFrames)).value();
    if (device().statistic(machine::BalloonTag::kFree).value_or(0) > memory) found("more is free than there is");
  }
  void start(std::uint64_t how) {
    BalloonFeatures features{BalloonFeature::kReporting};
    if ((how & 1) != 0) features = BalloonFeatures::all();
    started_ = device().start(cpu(), features, (how & 2) != 0 ? 0xAA : 0).has_value();
    poisoned_ = how % 4 == 3;
    if ((how & 0xF0) == 0xF0) {
      device().reset();
      started_ = false;
    }
    in_balloon_.reset();
  }
  // The host takes memory away from both.
  void squeeze(std::uint64_t how) {
    if ((how & 1) != 0) static_cast<void>(partition_->vmmem().empty_working_set(host_.cpu()));
    if ((how & 2) != 0) static_cast<void>(good_.partition().vmmem().empty_working_set(host_.cpu()));
    if ((how & 4) != 0) static_cast<void>(host_.manager().flush_modified(host_.cpu()));
    if ((how & 8) != 0) host_.reuse_standby();
    if ((how & 16) != 0) static_cast<void>(host_.manager().balance_set_manager().trim(host_.cpu(), PageCount(300)));
  }

  TestHost host_;
  TestVm good_;
  std::unique_ptr<hv::Partition> partition_;
  VirtualAddress base_;
  bool started_ = false;
  bool poisoned_ = false;
  std::bitset<kFrames> in_balloon_;
  std::array<std::uint64_t, kFrames> words_{};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes(std::span(data, size));
  World world(bytes.take(1));
  for (std::size_t count = 0; count < kMostOperations && bytes.left() >= kOperationBytes; ++count) world.perform(bytes);
  world.finish();
  return 0;
}
