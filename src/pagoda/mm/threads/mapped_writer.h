// The mapped page writer: writes modified pages of files back to them. NT: MiMappedPageWriter, a thread of its own, so
// that a file system may fault while it serves a write.
//
// It takes the page at the head of its modified list and the modified neighbours in the same file, up to a cluster,
// in one transfer. It runs when there are too many modified pages or too few available ones, and in any case so often
// that no page stays unwritten for more than twice kMappedPageAge. Source: reference/nt.md section 3.
#pragma once

#include "pagoda/mm/backing/core.h"
#include "pagoda/mm/threads/system_thread.h"

namespace pagoda::mm {

// Reference/nt.md section 3, with a doubt (section 15).
inline constexpr Duration kMappedPageAge = 300_s;

class MappedWriter : public SystemThread {
 public:
  explicit MappedWriter(Core& core) : core_(core) {}

  [[nodiscard]] std::string_view name() const override { return "mapped page writer"; }
  [[nodiscard]] Time due(Time now) const override;
  void run(Processor& cpu) override;

  // Starts one transfer; false if no page of a file is on the modified list.
  bool write_cluster(Processor& cpu);

 private:
  [[nodiscard]] bool wanted() const PAGODA_REQUIRES(core_.pfns.lock);

  Core& core_;
  Time not_before_ PAGODA_GUARDED_BY(core_.pfns.lock);                        // After a failed transfer.
  Time by_age_ PAGODA_GUARDED_BY(core_.pfns.lock) = Time{} + kMappedPageAge;  // When everything is written next.
  std::uint32_t aged_ PAGODA_GUARDED_BY(core_.pfns.lock) = 0;                 // Pages still to write because of that.
};

}  // namespace pagoda::mm
