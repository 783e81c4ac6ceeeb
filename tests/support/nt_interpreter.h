// Performs Nt* calls on a small machine and on the model, and says where they differ: statuses, in/out parameters,
// bytes, regions, or a finding of mm::check. Random tests, fuzzers and regression tests share it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/nt/testing/nt_machine.h"
#include "tests/support/nt_model.h"
#include "tests/support/nt_operations.h"

namespace pagoda::nt::testing {

class Interpreter {
 public:
  explicit Interpreter(const World& world);
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;
  ~Interpreter();

  // What differs; empty if nothing does.
  std::string perform(const Operation& operation);
  // All regions of all processes, their bytes, and mm::check.
  std::string check();
  // Gives everything back and looks whether anything stays.
  std::string finish();
  // An operation that makes sense now, most of the time.
  Operation next(Random& random) const;
  // One of this kind.
  Operation next_of_kind(std::size_t kind, Random& random) const;
  // Calls that succeeded, by kind.
  [[nodiscard]] const std::array<std::uint64_t, kKindCount>& successes() const { return successes_; }

  // --- The machine ---
  [[nodiscard]] std::uint64_t highest_user() const { return highest_user_; }
  [[nodiscard]] std::uint64_t highest_vad() const { return highest_vad_; }  // Where a region may end.
  [[nodiscard]] bool is_64_bit() const { return highest_user_ > ~std::uint32_t{0}; }
  [[nodiscard]] bool has_no_execute() const { return has_no_execute_; }
  [[nodiscard]] bool has(Difference difference) const { return machine_->kernel().has(difference); }
  // Where regions may lie.
  [[nodiscard]] Limits limits() const;
  [[nodiscard]] std::uint64_t commit_limit() const;  // Pages.
  // Whether so many pages more may well be refused.
  [[nodiscard]] bool is_short(std::uint64_t pages) const;
  // Whether too little may stay in memory to lock so many pages.
  [[nodiscard]] bool may_not_stay(std::uint64_t pages) const;

  // --- Handles ---
  // In this place of `h`.
  [[nodiscard]] HANDLE handle(std::uint8_t place) const { return h_.at(place % Handles::kCount); }
  // Whether a call that makes a handle may put it there.
  [[nodiscard]] bool is_free(std::uint8_t place) const;
  // Finds what a handle of the current process names.
  NTSTATUS find(HANDLE handle, ObjectType type, AccessMask needed, ModelEntry& out) const {
    return current().find(handle, type, needed, out);
  }
  NTSTATUS find_process(HANDLE handle, AccessMask needed, ProcessPointer& out) const;
  // The same, if it has not ended.
  NTSTATUS find_space(HANDLE handle, AccessMask needed, ProcessPointer& out) const;
  // The newest section of the name. Null: there is none.
  enum class Case : std::uint8_t { kCounts, kIgnored };
  [[nodiscard]] std::shared_ptr<ModelSection> named(const std::u16string& name, Case rule) const;
  // Of a section that is made now.
  std::uint64_t next_section_number() { return ++sections_made_; }
  // A call gave a handle; what is wrong with it.
  std::string take_handle(const Operation& operation, std::uint8_t place, HANDLE handle, const ProcessPointer& owner,
                          ModelEntry entry);

  // --- Processes ---
  [[nodiscard]] const ProcessPointer& current_process() const { return runs_.back(); }
  [[nodiscard]] ModelProcess& current() const { return *runs_.back(); }
  // What a call that gives a handle says in the end: a process that has ended has no table for it.
  [[nodiscard]] NTSTATUS with_handle(NTSTATUS status) const {
    return NT_SUCCESS(status) && current().ended ? STATUS_PROCESS_IS_TERMINATING : status;
  }
  [[nodiscard]] bool is_attached() const { return runs_.size() > 1; }
  [[nodiscard]] bool may_attach() const;
  [[nodiscard]] bool may_create_process();
  ProcessPointer add_process(HANDLE handle);
  void end_process(const ProcessPointer& process);
  void attach(const ProcessPointer& process) { runs_.push_back(process); }
  void detach();

  // --- Comparing ---
  // Statuses. A call that wants so many pages may find that there is no memory.
  std::string compare(const Operation& operation, NTSTATUS expected, NTSTATUS got, std::uint64_t pages_wanted = 0);

 private:
  void make_processes();
  void make_thread();
  static void read_limits(ModelProcess& process, HANDLE handle);
  std::string check_process(ModelProcess& process, HANDLE handle) const;
  std::string close_everything();
  std::string free_everything() const;
  std::string leftovers();
  void leave_space(const ProcessPointer& process) const;

  std::unique_ptr<NtMachine> machine_;
  const bool has_no_execute_;
  NtMachine::Totals before_;
  std::size_t prototypes_before_ = 0;
  std::uint64_t highest_user_ = 0;
  std::uint64_t highest_vad_ = 0;
  std::vector<ProcessPointer> runs_;  // The last is the current one.
  std::array<HANDLE, Handles::kCount> h_{};
  std::array<std::weak_ptr<ModelProcess>, Handles::kCount> owners_;  // In whose table h_[n] is.
  std::vector<std::weak_ptr<ModelProcess>> processes_;
  std::uint64_t sections_made_ = 0;
  std::array<std::uint64_t, kKindCount> successes_{};
};

// The variables that a call reads and writes through the pointers of a range.
class InOut {
 public:
  explicit InOut(const op::Range& range) : range_(range), base_(NtMachine::pointer(range.base)), size_(range.size) {}

  [[nodiscard]] PVOID* base() { return range_.no_base ? nullptr : &base_; }
  [[nodiscard]] SIZE_T* size() { return range_.no_size ? nullptr : &size_; }
  // A call that succeeds leaves the pages there, one that fails what was there; what differs.
  [[nodiscard]] std::string compare(const Operation& operation, bool success, Pages pages) const;

 private:
  op::Range range_;
  PVOID base_;
  SIZE_T size_;
};

// For messages.
std::string to_string(const MEMORY_BASIC_INFORMATION& info);

}  // namespace pagoda::nt::testing
