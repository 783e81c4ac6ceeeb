// What few regions have, so that a Vad does not carry it: secured ranges, the marks of a write watch, and what a kind
// keeps, such as device frames. NT: the long VAD, and what its special regions keep elsewhere.
//
// An address space owns the extras of its regions. A region gets one when it needs one, and loses it when it is empty
// again. Secured ranges (NT: MmSecureVirtualMemory) hold a driver's view of a program's buffer: until they are given
// up, no page of theirs is decommitted, released or protected against what they allow.
//
// Invariants (mm::check):
//   [VE1] Each extra is one region's and not empty; its secured ranges lie inside that region and are known by their
//         handles.
//   [VE2] Secured pages are committed and allow at least what was secured.
// Locking: the lock of the address space. Source: reference/nt.md section 5 and 7.3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/mm/pte/protection.h"
#include "pagoda/mm/region/write_watch.h"
#include "pagoda/mm/space/vad_tree.h"

namespace pagoda::mm {

enum class SecureHandle : std::uint64_t {};  // Never 0.

struct SecuredRange {
  SecureHandle handle{};
  VpnRange pages;
  Protection weakest = Protection::kReadOnly;
};

// What a kind of regions keeps about one region; never divided.
struct KindState {
  KindState() = default;
  KindState(const KindState&) = default;
  KindState& operator=(const KindState&) = default;
  virtual ~KindState() = default;
};

struct VadExtra {
  std::vector<SecuredRange> secured;
  std::unique_ptr<WriteWatch> watch;  // Regions of VadType::kWriteWatch have one.
  std::unique_ptr<KindState> state;   // The kind's own.

  [[nodiscard]] bool empty() const { return secured.empty() && watch == nullptr && state == nullptr; }
};

// Whether a page of the one protection allows everything that one of the other does. A guard allows nothing yet.
bool allows_at_least(Protection protection, Protection weakest);

// Whether no secured range among the pages asks for more than the protection.
bool secured_allow(const Vad& vad, VpnRange pages, Protection protection);
// Whether pages of the region may be decommitted or released: none is secured.
bool may_free(const Vad& vad, VpnRange pages);

// The extras of one address space.
class VadExtras {
 public:
  // `watches` counts the regions that are watched.
  explicit VadExtras(std::size_t& watches) : watches_(watches) {}

  SecureHandle secure(Vad& vad, VpnRange pages, Protection weakest);
  // Forgets a secured range of a region in the tree. False: there is none of the handle.
  bool unsecure(VadTree& vads, SecureHandle handle);
  // Pages of the region that are written are marked from now on.
  void watch(Vad& vad);
  // The region's kind keeps this about it.
  void set_state(Vad& vad, std::unique_ptr<KindState> state) { of(vad).state = std::move(state); }
  // The region is about to go.
  void drop(Vad& vad);
  // A region was split, or part of one was cut off: what `from` had goes to the one where it lies, `to` or `from`; both
  // are watched if it was. `to` has none of its own yet. No secured range lies across the cut.
  void divide(Vad& from, Vad& to);

  [[nodiscard]] std::size_t size() const { return owned_.size(); }
  [[nodiscard]] bool owns(const VadExtra& extra) const { return owned_.contains(&extra); }
  [[nodiscard]] std::optional<Vpn> find(SecureHandle handle) const;
  [[nodiscard]] std::size_t handles() const { return first_page_.size(); }

 private:
  friend struct Corruptor;

  VadExtra& of(Vad& vad);
  void drop_if_empty(Vad& vad);

  std::unordered_map<const VadExtra*, std::unique_ptr<VadExtra>> owned_;
  std::unordered_map<SecureHandle, Vpn> first_page_;  // Each secured range's first page leads to its region.
  std::uint64_t next_handle_ = 1;
  std::size_t& watches_;
};

}  // namespace pagoda::mm
