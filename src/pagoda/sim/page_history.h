// What happened to every page, kept so that a wrong byte can be explained: `--verify` prints the whole history of the
// page that lied.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "pagoda/mm/base/events.h"

namespace pagoda::sim {

class PageHistory : public mm::EventSink {
 public:
  void on_event(const mm::Event& event) override { events_[event.pte.value()].push_back(event); }
  // A line an event, oldest first. The page is named by its PTE's physical address.
  [[nodiscard]] std::string of(PhysicalAddress pte) const;

 private:
  std::unordered_map<std::uint64_t, std::vector<mm::Event>> events_;
};

}  // namespace pagoda::sim
