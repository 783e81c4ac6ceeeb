#include "pagoda/mm/base/events.h"

namespace pagoda::mm {

std::string_view name(EventKind kind) {
  switch (kind) {
    case EventKind::kDemandZero:
      return "demand zero";
    case EventKind::kReadStarted:
      return "read started";
    case EventKind::kRescued:
      return "rescued";
    case EventKind::kMapped:
      return "mapped";
    case EventKind::kCopied:
      return "copied";
    case EventKind::kFirstWrite:
      return "first write";
    case EventKind::kEvicted:
      return "evicted";
    case EventKind::kWriteStarted:
      return "write started";
    case EventKind::kWriteFailed:
      return "write failed";
    case EventKind::kReadFailed:
      return "read failed";
    case EventKind::kRemoved:
      return "removed";
    case EventKind::kProtected:
      return "protected";
    case EventKind::kCompressed:
      return "compressed";
    case EventKind::kDecompressed:
      return "decompressed";
    case EventKind::kZeroFound:
      return "zero found";
    case EventKind::kMerged:
      return "merged";
  }
  return "";
}

}  // namespace pagoda::mm
