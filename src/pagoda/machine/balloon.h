// A virtual machine's memory balloon, as the driver in its guest reaches it: virtio-balloon's device. A machine on bare
// hardware has none (`Machine::balloon`), and a guest without a driver runs unchanged.
//
//   the guest's --inflate-> in the balloon: the host has its memory
//               <-deflate-- the driver is about to use it again
//
// Numbers and names are virtio's: frames are of 4 KB, whatever pages the guest uses. Left out: FREE_PAGE_HINT (bit 3),
// which serves migration alone.
// Source: reference/overcommit-facts.md 1.2 and section 2; reference/virtualization.md 4.1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>

#include "pagoda/base/status.h"
#include "pagoda/base/units.h"

namespace pagoda::machine {

class Processor;

// VIRTIO_BALLOON_F_*. The values are the numbers of their bits.
enum class BalloonFeature : std::uint8_t {
  kMustTellHost = 0,  // The driver deflates before it uses a frame again.
  kStatistics = 1,    // STATS_VQ.
  kDeflateOnOom = 2,  // The driver may deflate, whatever the target, when its guest is out of memory.
  kPagePoison = 4,    // The guest fills free frames with a pattern, which the driver names.
  kReporting = 5,     // The driver tells of free frames, which the host then has until they are used.
};

class BalloonFeatures {
 public:
  constexpr BalloonFeatures() = default;
  constexpr BalloonFeatures(std::initializer_list<BalloonFeature> features) {
    for (const BalloonFeature feature : features) bits_ |= bit(feature);
  }
  static constexpr BalloonFeatures all() {
    return {BalloonFeature::kMustTellHost, BalloonFeature::kStatistics, BalloonFeature::kDeflateOnOom,
            BalloonFeature::kPagePoison, BalloonFeature::kReporting};
  }
  [[nodiscard]] constexpr bool has(BalloonFeature feature) const { return (bits_ & bit(feature)) != 0; }
  [[nodiscard]] constexpr bool are_part_of(BalloonFeatures other) const { return (bits_ & ~other.bits_) == 0; }
  [[nodiscard]] constexpr BalloonFeatures operator|(BalloonFeatures other) const {
    BalloonFeatures all;
    all.bits_ = bits_ | other.bits_;
    return all;
  }
  // Those of both.
  [[nodiscard]] constexpr BalloonFeatures operator&(BalloonFeatures other) const {
    BalloonFeatures both;
    both.bits_ = bits_ & other.bits_;
    return both;
  }
  constexpr bool operator==(const BalloonFeatures&) const = default;

 private:
  static constexpr std::uint32_t bit(BalloonFeature feature) { return 1U << static_cast<unsigned>(feature); }

  std::uint32_t bits_ = 0;
};

// VIRTIO_BALLOON_S_*. Bytes or counts since the guest started; guests of 2024 and later (Linux 6.12) have those from
// kOomKill on.
enum class BalloonTag : std::uint16_t {
  kSwapIn = 0,
  kSwapOut = 1,
  kMajorFaults = 2,
  kMinorFaults = 3,
  kFree = 4,       // Bytes.
  kTotal = 5,      // Bytes.
  kAvailable = 6,  // Bytes.
  kCaches = 7,     // Bytes.
  kHugePagesMade = 8,
  kHugePagesFailed = 9,
  kOomKill = 10,
  kAllocationStall = 11,
  kScanAsync = 12,
  kScanDirect = 13,
  kReclaimAsync = 14,
  kReclaimDirect = 15,
};
inline constexpr std::size_t kBalloonTags = 16;

// What a guest says, which may be anything: virtio's record of 10 bytes.
struct BalloonStatistic {
  std::uint16_t tag = 0;
  std::uint64_t value = 0;
};
constexpr BalloonStatistic balloon_statistic(BalloonTag tag, std::uint64_t value) {
  return {static_cast<std::uint16_t>(tag), value};
}

class Balloon {
 public:
  // Frames that one request of the inflate or the deflate queue names. VIRTIO_BALLOON_ARRAY_PFNS_MAX.
  static constexpr std::size_t kMostFrames = 256;
  // Blocks that one report of free frames names. A choice.
  static constexpr std::size_t kMostBlocks = 32;
  // Records in one buffer of statistics: each tag, and as many again that are not known here.
  static constexpr std::size_t kMostStatistics = 2 * kBalloonTags;

  virtual ~Balloon() = default;

  [[nodiscard]] virtual BalloonFeatures offered(Processor& cpu) = 0;
  // A driver is there and accepted features. The device begins anew: nothing is in the balloon, nothing is known.
  // `poison`: what the guest fills free frames with, if it accepted that.
  // Fails with: kInvalidParameter (a feature that is not offered); no driver is there then.
  virtual Result<> start(Processor& cpu, BalloonFeatures accepted, std::uint32_t poison) = 0;
  // How many pages the host wants in the balloon (`num_pages`), and how many the driver says are in it (`actual`).
  [[nodiscard]] virtual PageCount target(Processor& cpu) = 0;
  virtual void set_actual(Processor& cpu, PageCount pages) = 0;

  // Frames that are not the guest's own memory, or are in the balloon already (not in it), are passed over: what a guest
  // says wrongly harms nobody else. After a deflation the frames have any contents.
  // Fails with: kNotSupported (no driver started), kInvalidParameter (no frame, or more than kMostFrames).
  virtual Result<> inflate(Processor& cpu, std::span<const Pfn> frames) = 0;
  virtual Result<> deflate(Processor& cpu, std::span<const Pfn> frames) = 0;
  // Fails with: kNotSupported (STATS_VQ was not accepted), kInvalidParameter (more than kMostStatistics).
  virtual Result<> report_statistics(Processor& cpu, std::span<const BalloonStatistic> statistics) = 0;
  // Free frames: the host has their memory until they are touched, and they read as zero then. With a poison that is not
  // zero nothing is done, since they would no longer hold it.
  // Fails with: kNotSupported (REPORTING was not accepted), kInvalidParameter (no block, more than kMostBlocks, an empty
  // one, or one that is not all memory of the guest's own); nothing is done then.
  virtual Result<> report_free(Processor& cpu, std::span<const PfnRange> blocks) = 0;
};

}  // namespace pagoda::machine
