// Performs operations on a small machine and on the model, and says where they differ: statuses, words, regions,
// charges, locks, or a finding of mm::check. Random tests, fuzzers and regression tests share it.
//
// The model knows what may be refused and why. A shortage of frames may show only where disks broke the promise: more
// is charged than slots and frames are left.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/mm_model.h"
#include "tests/support/mm_operations.h"

namespace pagoda::mm::testing {

template <class T>
Status status_of(const Result<T>& result) {
  return result ? Status::kSuccess : result.error();
}

class Interpreter {
 public:
  explicit Interpreter(const World& world);

  // What differs; empty if nothing does.
  std::string perform(const Operation& operation);
  // The manager against the model, and mm::check.
  std::string check();
  // Reads everything back, ends all spaces and looks whether everything was given back.
  std::string finish();
  // An operation that makes sense now, most of the time.
  Operation next(Random& random) const;
  [[nodiscard]] Counters counters() const { return manager_->counters(); }

  // --- What operations work on ---
  [[nodiscard]] const World& world() const { return world_; }
  [[nodiscard]] MemoryManager& manager() { return *manager_; }
  [[nodiscard]] auto& cpu(const op::By& by) { return machine_->processor(by.cpu); }
  [[nodiscard]] const machine::PagingMode& mode() const { return machine_->paging(); }
  [[nodiscard]] ModelSpace& space(const op::By& by) { return spaces_[by.space]; }
  [[nodiscard]] ModelSection& section(unsigned number) { return sections_[number]; }
  [[nodiscard]] const std::shared_ptr<ModelSegment>& file(unsigned number) const {
    return files_[number % files_.size()];
  }
  // Counts for the commit charge from now on.
  void add_segment(const std::shared_ptr<ModelSegment>& segment);
  // Destroys the space, if there is one, and forgets it.
  void take_apart(ModelSpace& space, const op::By& by);
  Result<ProcessSpace*> make_space(const op::By& by);

  [[nodiscard]] std::uint64_t lowest_user() const { return kGranule; }
  [[nodiscard]] std::uint64_t highest_user() const;  // The last page that a region may have.
  // Whether so many pages more would be refused.
  [[nodiscard]] bool is_refused(std::uint64_t pages) const { return pages > 0 && charged() + pages > most_commit(); }

  // --- How operations call the manager ---
  // Calls until the answer is final. Nothing: it waits, and the operation gives up.
  template <class Call>
  auto settle(const op::By& by, Call&& call) -> std::optional<decltype(call())>;
  // The same; a read that the disk failed is repeated.
  template <class Call>
  auto settle_read(const op::By& by, Call&& call) -> std::optional<decltype(call())>;
  // Calls until the disk lets it through. What waits is not given up: it may be half done.
  template <class Call>
  auto insist(const op::By& by, Call&& call) -> decltype(call());
  // Whether memory was promised in vain, so that the status may stand for any other.
  [[nodiscard]] bool is_broken_promise(Status status) const { return status == Status::kNoMemory && broke_promise_; }
  // Whether that is the answer to locking so many pages because too little may stay in memory for them.
  [[nodiscard]] bool may_not_stay(Status status, std::uint64_t pages) const;
  // Compares statuses.
  [[nodiscard]] static std::string compare(const Operation& operation, std::string_view what, Status expected,
                                           Status got);
  // What the file holds where nothing is modified in memory, against the model.
  [[nodiscard]] static std::string compare_file(const Operation& operation, const ModelSegment& segment, Pages pages);

 private:
  static constexpr int kReadRetries = 64;
  static constexpr int kWaits = 100'000;

  [[nodiscard]] std::uint64_t charged() const;
  [[nodiscard]] std::uint64_t charged_for_locks() const;
  [[nodiscard]] std::uint64_t most_commit() const;  // With all paging files at their maximum.
  std::string read_everything_back();
  std::string finish_sections();
  // What was not given back.
  std::string leftovers();

  World world_;
  std::unique_ptr<machine::SimMachine> machine_;
  std::unique_ptr<MemoryManager> manager_;
  std::vector<ModelSpace> spaces_;
  std::vector<std::shared_ptr<ModelSegment>> files_;
  std::array<ModelSection, kSections> sections_;
  std::vector<std::weak_ptr<ModelSegment>> segments_;  // Those that the paging files back.
  bool broke_promise_ = false;                         // Was over its limit at some time.
  bool gave_up_ = false;                               // The operation that is performed.
  std::optional<Operation> given_up_;                  // The operation before.
};

template <class Call>
auto Interpreter::settle(const op::By& by, Call&& call) -> std::optional<decltype(call())> {
  auto& cpu = this->cpu(by);
  for (int waits = 0; waits < kWaits; ++waits) {
    auto result = call();
    const bool blocked = cpu.is_blocked();
    if (result || result.error() != Status::kPending) {
      if (blocked) cpu.advance_to(cpu.take_blocked_until());
      return result;
    }
    PAGODA_CHECK(blocked);
    if (by.gives_up) {
      gave_up_ = true;
      return std::nullopt;
    }
    cpu.advance_to(cpu.take_blocked_until());
  }
  return fail(Status::kPending);
}

template <class Call>
auto Interpreter::settle_read(const op::By& by, Call&& call) -> std::optional<decltype(call())> {
  auto result = settle(by, call);
  for (int tries = 1; tries < kReadRetries; ++tries) {
    if (!result || *result || result->error() != Status::kInPageError || world_.read_errors == 0) break;
    result = settle(by, call);
  }
  return result;
}

template <class Call>
auto Interpreter::insist(const op::By& by, Call&& call) -> decltype(call()) {
  op::By patient = by;
  patient.gives_up = false;
  auto result = settle(patient, call);
  for (int tries = 0; tries < kReadRetries; ++tries) {
    const Status status = status_of(*result);
    const bool failed = (status == Status::kInPageError && world_.read_errors > 0) ||
                        (status == Status::kIoDeviceError && world_.write_errors > 0);
    if (!failed) break;
    result = settle(patient, call);
  }
  return *result;
}

}  // namespace pagoda::mm::testing
