#include "pagoda/policy/decision.h"

#include <fmt/format.h>

#include <array>

#include "pagoda/policy/pages.h"

namespace pagoda::policy {

namespace {

constexpr std::array<std::string_view, 19> kNames = {
    "unmanaged",          "enough",       "fixed_split",  "host_pages", "price",     "surplus", "host_short",
    "guest_short",        "guest_idle",   "guest_demand", "back_first", "stalls",    "probe",   "floor",
    "unknown_statistics", "dead_balloon", "no_balloon",   "settling",   "one_period"};
static_assert(kNames.size() == static_cast<std::size_t>(Why::kOnePeriod) + 1);

std::string percent(double share) { return fmt::format("{:.3g} %", 100 * share); }

// What a policy that takes `previous - target` from a machine uses for it.
std::string mechanisms(const Decision& decision) {
  std::string text;
  const auto add = [&](std::string_view mechanism) {
    text += fmt::format("{}{}", text.empty() ? "" : " and ", mechanism);
  };
  if (decision.previous > decision.target && !decision.balloon.is_zero()) add("balloon");
  if (!decision.compress.is_zero()) add("compression");
  if (!decision.page_out.is_zero()) add("paging");
  if (!decision.reclaim_cache.is_zero()) add("its page cache");
  return text;
}

std::string move_of(const Decision& decision, std::string_view machine) {
  const PageCount taken = std::max(
      {excess(decision.previous, decision.target), decision.compress + decision.page_out, decision.reclaim_cache});
  if (decision.target > decision.previous)
    return fmt::format("gave {} {} back", machine, to_string(bytes_of(decision.target - decision.previous)));
  if (taken.is_zero()) return fmt::format("left {} at {}", machine, to_string(bytes_of(decision.target)));
  const std::string by = mechanisms(decision);
  return fmt::format("took {} from {}{}{}", to_string(bytes_of(taken)), machine, by.empty() ? "" : " by ", by);
}

std::string stalls(const Reason& reason) {
  return reason.stall ? fmt::format("it waits {} of its time", percent(*reason.stall)) : "its stalls are not known";
}

std::string of_price(const Reason& reason) {
  std::string text = reason.active ? fmt::format("{} of its memory is active", percent(*reason.active))
                                   : "how much of its memory is active is not known";
  if (reason.price) text += fmt::format(", its price is {:.3g} of the highest", *reason.price);
  if (reason.charged_to)
    text +=
        fmt::format(", it answers for {} that others had to bring in again", to_string(bytes_of(*reason.charged_to)));
  return text;
}

std::string of_guest(const Reason& reason, std::string_view otherwise) {
  return reason.available ? fmt::format("{} are available in it", to_string(bytes_of(*reason.available)))
                          : std::string(otherwise);
}

std::string of_host(const Reason& reason, std::string_view otherwise) {
  return reason.host_free ? fmt::format("{} of the host's memory is free", percent(*reason.host_free))
                          : std::string(otherwise);
}

std::string because(const Reason& reason) {
  switch (reason.why) {
    case Why::kUnmanaged:
      return "this policy does not move it";
    case Why::kEnough:
      return of_host(reason, "its target is right");
    case Why::kFixedSplit:
      return "the host was split once, by what machines were promised at most";
    case Why::kHostPages:
      return "the host pages by itself";
    case Why::kPrice:
      return of_price(reason);
    case Why::kSurplus:
      return of_host(reason, "the host has more than it needs");
    case Why::kHostShort:
      return of_host(reason, "the host is short");
    case Why::kGuestShort:
      return of_guest(reason, "the guest is short");
    case Why::kGuestIdle:
      return of_guest(reason, "the guest does not use it");
    case Why::kGuestDemand:
      return "that is what it claims, and its buffer";
    case Why::kBackFirst:
      return stalls(reason) + ", more than is acceptable, so it comes first";
    case Why::kStalls:
      return stalls(reason) + ", so it stops giving";
    case Why::kProbe:
      return stalls(reason) + ", less than is acceptable";
    case Why::kFloor:
      return "it is at its floor";
    case Why::kUnknownStatistics:
      return "its statistics are unknown or old, which shrinks nobody";
    case Why::kDeadBalloon:
      return "its balloon does not move, so it is paged instead";
    case Why::kNoBalloon:
      return "it has no balloon, so it is paged instead";
    case Why::kSettling:
      return "its last move is under way";
    case Why::kOnePeriod:
      return "it moved the other way within this period";
  }
  return "";
}

}  // namespace

std::string_view name(Why why) { return kNames[static_cast<std::size_t>(why)]; }

std::string sentence(const Decision& decision, std::string_view machine) {
  std::string text = fmt::format("{}: {}", move_of(decision, machine), because(decision.reason));
  if (decision.execution == Execution::kBlock) text += "; it does not run until it is at its target";
  if (decision.reason.state) text += fmt::format(", and the host was in the {} state", name(*decision.reason.state));
  return text;
}

}  // namespace pagoda::policy
