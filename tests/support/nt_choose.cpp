// Chooses calls that make sense, most of the time, for the state that the model is in.
#include <algorithm>
#include <optional>

#include "tests/support/nt_model.h"

namespace pagoda::nt::testing {

using Call = NtOperation::Call;

namespace {

// Around a border between page tables of every mode.
constexpr std::uint64_t kWindow = 0x400000 - 0x100000;
constexpr std::uint64_t kWindowPages = 512;
constexpr auto kProtections = std::to_array<std::uint32_t>(
    {PAGE_READWRITE, PAGE_READWRITE, PAGE_READWRITE, PAGE_READONLY, PAGE_NOACCESS, PAGE_EXECUTE, PAGE_EXECUTE_READ,
     PAGE_EXECUTE_READWRITE, PAGE_WRITECOPY, PAGE_EXECUTE_WRITECOPY, PAGE_READWRITE | PAGE_GUARD,
     PAGE_READONLY | PAGE_GUARD, PAGE_READWRITE | PAGE_NOCACHE, PAGE_READWRITE | PAGE_WRITECOMBINE});
constexpr auto kAllocationTypes = std::to_array<std::uint32_t>(
    {MEM_RESERVE, MEM_COMMIT, MEM_COMMIT, MEM_RESERVE | MEM_COMMIT, MEM_RESERVE | MEM_COMMIT,
     MEM_RESERVE | MEM_TOP_DOWN, MEM_RESERVE | MEM_COMMIT | MEM_TOP_DOWN});
// So often does each call come, of their sum.
constexpr std::array<unsigned, NtOperation::kCalls> kWeights{12, 3, 9, 9, 8, 3, 3, 7, 7, 8, 10, 3, 5, 3,
                                                             1,  1, 8, 3, 1, 3, 3, 2, 1, 2, 2,  1, 1, 2};

std::uint64_t near(Random& random, std::uint64_t value) { return value + random.below(3) - 1; }

}  // namespace

class NtInterpreter::Chooser {
 public:
  Chooser(const NtInterpreter& in, Random& random) : in_(in), random_(random) {}

  NtOperation next();

 private:
  // One in so many.
  bool chance(std::uint64_t in) { return random_.below(in) == 0; }
  std::uint8_t slot(std::uint64_t from, std::uint64_t to) {
    return static_cast<std::uint8_t>(from + random_.below(to - from));
  }
  std::uint8_t any_slot() { return slot(0, Handles::kCount); }
  // One that names a section now, if luck will have it.
  std::uint8_t section_slot();
  std::uint8_t process_slot();

  Call call();
  // Whose memory the call is about.
  [[nodiscard]] ProcessPointer process_of(const NtOperation& o) const;
  // An address: in a region that there is, in the window, at an edge, or anything.
  void place(NtOperation& o, const Process& process);
  // What a process that is full does instead.
  std::optional<NtOperation> make_room(const NtOperation& o, const Process& process);
  // What a process that has ended does instead, and what makes another.
  std::optional<NtOperation> go_on();
  // What the calls have of their own.
  void allocate(NtOperation& o);
  void memory(NtOperation& o, const Process& process);
  void section(NtOperation& o);
  void view(NtOperation& o);
  void process(NtOperation& o);

  const NtInterpreter& in_;
  Random& random_;
};

NtOperation NtInterpreter::next(Random& random) const { return Chooser(*this, random).next(); }

std::uint8_t NtInterpreter::Chooser::section_slot() {
  constexpr int kTries = 12;
  Entry entry;
  std::uint8_t found = slot(Handles::kSections, Handles::kAnything);
  for (int i = 0; i < kTries; ++i) {
    if (in_.find(in_.current(), in_.h_.at(found), ObjectType::kSection, 0, entry) == STATUS_SUCCESS) break;
    found = slot(Handles::kFirstMade, Handles::kCount);
  }
  return found;
}

std::uint8_t NtInterpreter::Chooser::process_slot() {
  if (chance(20)) return any_slot();
  return chance(3) ? slot(Handles::kProcesses, Handles::kProcesses + 2) : Handles::kCurrent;
}

NtOperation::Call NtInterpreter::Chooser::call() {
  std::uint64_t weight = 0;
  for (const unsigned each : kWeights) weight += each;
  std::uint64_t pick = random_.below(weight);
  std::size_t index = 0;
  while (pick >= kWeights.at(index)) pick -= kWeights.at(index++);
  return static_cast<Call>(index);
}

NtInterpreter::ProcessPointer NtInterpreter::Chooser::process_of(const NtOperation& o) const {
  ProcessPointer found;
  const std::uint8_t which = o.call == Call::kMapView ? o.handle2 : o.handle;
  const bool own = o.call == Call::kLoad || o.call == Call::kStore || o.call == Call::kFetch;
  return !own && in_.find_process(in_.h_.at(which), 0, found) == STATUS_SUCCESS ? found : in_.runs_.back();
}

void NtInterpreter::Chooser::place(NtOperation& o, const Process& process) {
  o.base = kWindow + random_.below(kWindowPages) * kPageBytes;
  o.size = (1 + random_.below(chance(4) ? 64 : 8)) * kPageBytes;
  if (!process.regions.empty() && !chance(4)) {
    auto region = process.regions.lower_bound(o.base >> kPageShift);
    if (region == process.regions.end() || chance(8)) region = std::prev(process.regions.end());
    if (chance(8)) region = process.regions.begin();
    const std::uint64_t page = region->first + random_.below(region->second.count);
    o.base = page * kPageBytes;
    const std::uint64_t left = region->first + region->second.count - page;
    o.size = (1 + random_.below(std::min<std::uint64_t>(left, 16))) * kPageBytes;
    if (chance(6)) o.base = region->first * kPageBytes;
  }
  const bool moves = o.call >= Call::kRead && o.call <= Call::kFetch;
  if (moves) {
    o.base += random_.below(kPageBytes);
    o.size = random_.below(chance(8) ? 3 * kPageBytes : 64);
  } else if (chance(6)) {
    o.base += random_.below(kPageBytes);
    o.size += random_.below(kPageBytes);
  }
  if (chance(30)) o.size = chance(2) ? 0 : random_.next() >> random_.below(64);
  if (chance(40)) o.base = random_.next() >> random_.below(64);
  if (chance(40)) {
    const std::array<std::uint64_t, 5> edges{in_.highest_vad_, in_.highest_user_, ~std::uint64_t{0}, 0,
                                             kAllocationGranularity};
    o.base = near(random_, edges.at(random_.below(edges.size())));
    if (chance(2)) o.size = near(random_, edges.at(random_.below(edges.size())) - o.base);
  }
}

std::optional<NtOperation> NtInterpreter::Chooser::make_room(const NtOperation& o, const Process& process) {
  constexpr std::size_t kManyRegions = 12;
  constexpr std::uint64_t kSomePages = 48;
  if (!process.regions.empty() && (process.regions.size() > kManyRegions || in_.is_short(kSomePages)) && chance(4)) {
    const auto region =
        std::next(process.regions.begin(), static_cast<std::ptrdiff_t>(random_.below(process.regions.size())));
    const Call freeing = region->second.section != nullptr ? Call::kUnmapView : Call::kFree;
    return NtOperation{.call = freeing,
                       .handle = o.call == Call::kMapView ? o.handle2 : o.handle,
                       .type = freeing == Call::kFree ? MEM_RELEASE : 0,
                       .base = region->first * kPageBytes};
  }
  return std::nullopt;
}

std::optional<NtOperation> NtInterpreter::Chooser::go_on() {
  // Little can be done in a process that has ended.
  if (in_.current().ended && chance(4)) return NtOperation{.call = Call::kDetach};
  // It makes room for another.
  Entry entry;
  for (std::uint8_t i = Handles::kProcesses; i < Handles::kProcesses + 2; ++i) {
    if (in_.find(in_.current(), in_.h_.at(i), ObjectType::kProcess, 0, entry) != STATUS_SUCCESS ||
        !entry.process->ended)
      continue;
    if (chance(10)) return NtOperation{.call = Call::kClose, .handle = i};
  }
  for (std::uint8_t i = Handles::kProcesses; i < Handles::kProcesses + 2; ++i)
    if (in_.runs_.size() == 1 && in_.is_free(i) && chance(10))
      return NtOperation{.call = Call::kCreateProcess, .out = i};
  return std::nullopt;
}

NtOperation NtInterpreter::Chooser::next() {
  NtOperation o{.call = call()};
  o.handle = process_slot();
  o.handle2 = process_slot();
  o.handle3 = process_slot();
  o.out = slot(Handles::kFirstMade, Handles::kCount);
  const ProcessPointer whose = process_of(o);
  place(o, *whose);
  if (const auto instead = make_room(o, *whose)) return *instead;
  o.protect = kProtections.at(random_.below(kProtections.size()));
  if (chance(20)) o.protect = static_cast<std::uint32_t>(random_.next() >> random_.below(64));
  o.value = random_.next();
  if (chance(100)) o.nulls = static_cast<std::uint8_t>(random_.below(8));
  o.access = chance(3) ? static_cast<std::uint32_t>(random_.next()) : std::uint32_t{MAXIMUM_ALLOWED};
  allocate(o);
  memory(o, *whose);
  section(o);
  view(o);
  process(o);
  return go_on().value_or(o);
}

void NtInterpreter::Chooser::allocate(NtOperation& o) {
  if (o.call != Call::kAllocate && o.call != Call::kAllocateEx) return;
  o.type = kAllocationTypes.at(random_.below(kAllocationTypes.size()));
  if (chance(16)) o.type |= 1U << random_.below(32);
  if ((o.type & MEM_RESERVE) != 0 && chance(2)) o.base = 0;
  if (o.call == Call::kAllocate && chance(12))
    o.zero_bits = chance(2) ? random_.below(24) : random_.next() >> random_.below(64);
  o.value = random_.below(2);
  if (o.call == Call::kAllocateEx && o.value == 1) {
    if (!chance(10)) o.base = 0;
    o.offset = chance(2) ? 0 : kWindow & ~(kAllocationGranularity - 1);
    o.commit = chance(3) ? 0 : kWindow + random_.below(kWindowPages) * kPageBytes - (chance(8) ? 0 : 1);
    o.zero_bits = chance(2) ? 0 : kAllocationGranularity << random_.below(4);
    if (chance(10)) o.zero_bits = random_.next() >> random_.below(64);
    if (chance(10)) o.offset = random_.next() >> random_.below(64);
    if (chance(10)) o.commit = random_.next() >> random_.below(64);
  }
}

void NtInterpreter::Chooser::memory(NtOperation& o, const Process& process) {
  switch (o.call) {
    case Call::kFree:
      o.type = chance(2) ? MEM_DECOMMIT : MEM_RELEASE;
      if (chance(20)) o.type |= 1U << random_.below(32);
      if (chance(3)) o.size = 0;
      break;
    case Call::kQuery:
      o.type = chance(2) ? 0 : static_cast<std::uint32_t>(random_.below(6));
      o.size = chance(10) ? random_.below(200) : o.type == 1 ? 4096 : o.type == 4 ? 16 : o.type == 3 ? 32 : 48;
      break;
    case Call::kLock:
    case Call::kUnlock:
      o.type =
          chance(20) ? static_cast<std::uint32_t>(random_.below(5)) : 1 + static_cast<std::uint32_t>(random_.below(2));
      if (o.call == Call::kUnlock && process.locked > 0 && !chance(4)) {
        const auto locked =
            std::ranges::find_if(process.pages, [](const auto& page) { return page.second.is_locked(); });
        o.base = locked->first * kPageBytes;
        o.size = (1 + random_.below(2)) * kPageBytes;
        o.type = locked->second.locked[0] ? MAP_PROCESS : MAP_SYSTEM;
      }
      break;
    default:
      break;
  }
}

void NtInterpreter::Chooser::section(NtOperation& o) {
  switch (o.call) {
    case Call::kCreateSection:
      o.type = chance(2) ? SEC_COMMIT : SEC_RESERVE;
      if (chance(8)) o.type |= SEC_NO_CHANGE;
      if (chance(12)) o.type |= 1U << random_.below(32);
      o.handle2 = chance(20) ? any_slot() : Handles::kNull;
      o.protect &= chance(10) ? ~0U : 0xFFU;
      if (chance(2)) o.protect = PAGE_EXECUTE_READWRITE;
      o.size = 1 + random_.below(64 * kPageBytes);
      if (chance(20)) o.size = random_.next() >> random_.below(64);
      o.value = random_.below(8);
      o.out = slot(Handles::kSections, Handles::kAnything);
      break;
    case Call::kOpenSection:
      o.value = chance(10) ? 0 : 1 + random_.below(3);
      break;
    case Call::kQuerySection:
    case Call::kExtendSection:
      o.handle = chance(10) ? any_slot() : section_slot();
      o.type = static_cast<std::uint32_t>(random_.below(chance(10) ? 5 : 2));
      if (o.call == Call::kQuerySection && !chance(8)) o.size = 128;
      break;
    default:
      break;
  }
}

void NtInterpreter::Chooser::view(NtOperation& o) {
  switch (o.call) {
    case Call::kMapView:
      o.handle = chance(20) ? any_slot() : section_slot();
      if (!chance(8)) o.base &= ~(kAllocationGranularity - 1);
      if (chance(2)) o.base = 0;
      if (chance(2)) o.size = 0;
      o.offset = chance(8) ? random_.next() >> random_.below(64) : random_.below(3) * kAllocationGranularity;
      if (chance(2)) o.commit = random_.below(8) * kPageBytes;
      if (chance(12)) o.zero_bits = chance(2) ? random_.below(24) : random_.next() >> random_.below(64);
      o.value = chance(20) ? random_.below(4) : 1 + random_.below(2);
      if (chance(4)) o.type = MEM_TOP_DOWN;
      if (chance(10)) o.type |= 1U << random_.below(32);
      if (chance(20)) o.type = SEC_NO_CHANGE;
      break;
    case Call::kUnmapView:
      o.type = static_cast<std::uint32_t>(random_.below(2));
      break;
    default:
      break;
  }
}

void NtInterpreter::Chooser::process(NtOperation& o) {
  switch (o.call) {
    case Call::kClose:
      o.handle = chance(10) ? any_slot() : slot(Handles::kSections, Handles::kCount);
      break;
    case Call::kDuplicate:
      o.handle = any_slot();
      o.type = static_cast<std::uint32_t>(random_.below(4));
      o.out = slot(Handles::kAnything, Handles::kCount);
      break;
    case Call::kCreateProcess:
      o.out = slot(Handles::kProcesses, Handles::kSections);
      if (chance(10)) o.type = static_cast<std::uint32_t>(random_.below(4));
      break;
    case Call::kTerminateProcess:
      o.handle = chance(10) ? any_slot() : slot(Handles::kProcesses, Handles::kSections);
      if (!chance(4)) o.handle = slot(Handles::kThread, Handles::kMayOperate);
      break;
    case Call::kQueryProcess:
      o.type = chance(2) ? std::uint32_t{ProcessVmCounters} : static_cast<std::uint32_t>(random_.below(5));
      o.size = chance(10)                    ? random_.below(200)
               : o.type == ProcessVmCounters ? sizeof(VM_COUNTERS)
                                             : sizeof(QUOTA_LIMITS);
      break;
    case Call::kSetWorkingSet:
      o.base = random_.below(100) * kPageBytes;
      o.size = o.base + random_.below(200) * kPageBytes;
      if (chance(2)) o.base = o.size = ~std::uint64_t{0};
      if (chance(20)) o.size = random_.next() >> random_.below(64);
      break;
    case Call::kAttach:
      o.handle = chance(4) ? any_slot() : slot(Handles::kProcesses, Handles::kProcesses + 2);
      break;
    default:
      break;
  }
}

}  // namespace pagoda::nt::testing
