// The thread that looks for equal pages (combine/combiner.h), at the rate that the tunables allow. Linux: ksmd.
#pragma once

#include "pagoda/mm/combine/combiner.h"
#include "pagoda/mm/threads/system_thread.h"

namespace pagoda::mm {

class CombineThread : public SystemThread {
 public:
  CombineThread(Combiner& combiner, const SharingTunables& tunables) : combiner_(combiner), tunables_(tunables) {}

  [[nodiscard]] std::string_view name() const override { return "combine thread"; }
  // Never, as long as no space takes part.
  [[nodiscard]] Time due(Time now) const override;
  void run(machine::Processor& cpu) override;

 private:
  Combiner& combiner_;
  const SharingTunables& tunables_;
  Time next_;
};

}  // namespace pagoda::mm
