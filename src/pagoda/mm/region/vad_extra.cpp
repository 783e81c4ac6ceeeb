#include "pagoda/mm/region/vad_extra.h"

#include <algorithm>
#include <array>
#include <utility>

namespace pagoda::mm {

namespace {

bool meet(VpnRange a, VpnRange b) { return a.first < b.end() && b.first < a.end(); }

}  // namespace

bool allows_at_least(Protection protection, Protection weakest) {
  using machine::Access;
  constexpr bool kHasNoExecute = true;  // As the protection says, whatever the processor can enforce.
  return is_mappable(protection) &&
         std::ranges::all_of(std::array{Access::kRead, Access::kWrite, Access::kExecute}, [&](Access access) {
           return !allows(weakest, access, kHasNoExecute) || allows(protection, access, kHasNoExecute);
         });
}

bool secured_allow(const Vad& vad, VpnRange pages, Protection protection) {
  return vad.extra == nullptr || std::ranges::all_of(vad.extra->secured, [&](const SecuredRange& range) {
           return !meet(range.pages, pages) || allows_at_least(protection, range.weakest);
         });
}

bool may_free(const Vad& vad, VpnRange pages) {
  return vad.extra == nullptr ||
         std::ranges::none_of(vad.extra->secured, [&](const SecuredRange& range) { return meet(range.pages, pages); });
}

SecureHandle VadExtras::secure(Vad& vad, VpnRange pages, Protection weakest) {
  const SecureHandle handle{next_handle_++};
  of(vad).secured.push_back({handle, pages, weakest});
  first_page_.emplace(handle, pages.first);
  return handle;
}

bool VadExtras::unsecure(VadTree& vads, SecureHandle handle) {
  const auto known = first_page_.find(handle);
  if (known == first_page_.end()) return false;
  Vad& vad = *vads.find(known->second);
  std::erase_if(vad.extra->secured, [&](const SecuredRange& range) { return range.handle == handle; });
  first_page_.erase(known);
  drop_if_empty(vad);
  return true;
}

void VadExtras::watch(Vad& vad) {
  of(vad).watch = std::make_unique<WriteWatch>(vad.range);
  ++watches_;
}

void VadExtras::drop(Vad& vad) {
  if (vad.extra == nullptr) return;
  if (vad.extra->watch != nullptr) --watches_;
  for (const SecuredRange& range : vad.extra->secured) first_page_.erase(range.handle);
  owned_.erase(std::exchange(vad.extra, nullptr));
}

void VadExtras::divide(Vad& from, Vad& to) {
  PAGODA_DCHECK(to.extra == nullptr);
  if (from.extra == nullptr) return;
  std::vector<SecuredRange>& secured = from.extra->secured;
  const auto moved =
      std::ranges::partition(secured, [&](const SecuredRange& range) { return !to.range.contains(range.pages.first); });
  if (!moved.empty()) of(to).secured.assign(moved.begin(), moved.end());
  secured.erase(moved.begin(), moved.end());
  if (from.extra->watch != nullptr) {
    of(to).watch = std::make_unique<WriteWatch>(*from.extra->watch, to.range);
    ++watches_;
  }
  drop_if_empty(from);
}

std::optional<Vpn> VadExtras::find(SecureHandle handle) const {
  const auto known = first_page_.find(handle);
  return known == first_page_.end() ? std::nullopt : std::optional(known->second);
}

VadExtra& VadExtras::of(Vad& vad) {
  if (vad.extra == nullptr) {
    auto extra = std::make_unique<VadExtra>();
    vad.extra = extra.get();
    owned_.emplace(vad.extra, std::move(extra));
  }
  return *vad.extra;
}

void VadExtras::drop_if_empty(Vad& vad) {
  if (vad.extra != nullptr && vad.extra->empty()) owned_.erase(std::exchange(vad.extra, nullptr));
}

}  // namespace pagoda::mm
