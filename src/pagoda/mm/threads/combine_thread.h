// The thread that looks for equal pages (combine/combiner.h), at the rate that the combiner is given. Linux: ksmd.
#pragma once

#include <optional>

#include "pagoda/mm/combine/combiner.h"
#include "pagoda/mm/threads/system_thread.h"

namespace pagoda::mm {

class CombineThread : public SystemThread {
 public:
  CombineThread(Combiner& combiner, SpaceList& spaces) : combiner_(combiner), spaces_(spaces) {}

  [[nodiscard]] std::string_view name() const override { return "combine thread"; }
  // Never, as long as no space takes part or the rate is zero; at once, if pages are to join what has left.
  [[nodiscard]] Time due(Time now) const override;
  void run(machine::Processor& cpu) override;

 private:
  [[nodiscard]] Time next_look(Time now) const;

  Combiner& combiner_;
  SpaceList& spaces_;
  std::optional<Time> last_;  // When it looked.
};

}  // namespace pagoda::mm
