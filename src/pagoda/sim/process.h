// A process of a run: a program in an address space, executed operation by operation on whatever processor the event
// loop lends.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pagoda/mm/memory_manager.h"
#include "pagoda/sim/page_history.h"
#include "pagoda/sim/program.h"
#include "pagoda/sim/program_memory.h"
#include "pagoda/sim/run_result.h"
#include "pagoda/sim/scenario.h"

namespace pagoda::sim {

// A load that did not return what was stored there: a bug of ours. The run stops.
struct Mismatch {
  std::string text;  // The address, both values, and the page's whole history.
};

class Process {
 public:
  enum class State : std::uint8_t { kNotStarted, kReady, kRunning, kWaiting, kDone };
  struct Options {
    bool verify = false;
    std::uint64_t operations_most = ~std::uint64_t{0};
  };

  // Both outlive the process.
  struct Surroundings {
    SharedFile* file = nullptr;  // What `config.view` asks for.
    Process* parent = nullptr;   // What `config.fork_of` names.
  };

  Process(const ProcessConfig& config, std::unique_ptr<Program> program, const Surroundings& surroundings,
          std::uint64_t seed, const Options& options);

  // Makes the address space and the program's memory, or forks its parent's. False: not now, try again at `ready_at`;
  // or refused, with the reason in `incidents`, and the process is done.
  bool start(mm::MemoryManager& manager, machine::Processor& cpu, std::vector<std::string>& incidents);
  // Executes until the processor's clock reaches `horizon`, the program waits or ends. What happened is in `state`.
  // Fails only if the program's input does, or on a mismatch.
  Input<> run(machine::Processor& cpu, Time horizon, std::uint32_t interval, std::vector<std::string>& incidents,
              const PageHistory* history);
  void finish(mm::MemoryManager& manager, machine::Processor& cpu);

  [[nodiscard]] State state() const { return state_; }
  void set_state(State state) { state_ = state; }
  [[nodiscard]] Time ready_at() const { return ready_at_; }
  void set_ready_at(Time time) { ready_at_ = time; }
  [[nodiscard]] mm::AddressSpace* space() const { return space_; }
  [[nodiscard]] const std::string& name() const { return config_.name; }
  [[nodiscard]] std::uint64_t length() const { return std::min(program_->length(), options_.operations_most); }
  [[nodiscard]] std::uint64_t operations() const { return result_.operations; }
  [[nodiscard]] std::uint64_t accesses() const { return accesses_; }
  [[nodiscard]] std::uint64_t checksum() const { return checksum_; }

  [[nodiscard]] ProcessSample sample();
  [[nodiscard]] ProcessResult result() const;

 private:
  // The address space with all that is in it.
  Result<> make_space(mm::MemoryManager& manager, machine::Processor& cpu);
  // One operation. kPending: repeat it later.
  Status execute(machine::Processor& cpu, const Operation& operation);
  Status fill(machine::Processor& cpu, std::uint32_t page);
  bool compare(std::uint32_t page, std::size_t word, std::uint64_t value);
  Input<bool> fetch_next();

  const ProcessConfig config_;
  const Options options_;
  const std::uint64_t seed_;
  Process* const parent_;
  std::unique_ptr<Program> program_;
  ProgramMemory memory_;
  mm::AddressSpace* space_ = nullptr;
  State state_ = State::kNotStarted;
  Time ready_at_;
  std::vector<Operation> batch_;
  std::size_t batch_at_ = 0;
  std::size_t batch_size_ = 0;
  bool filling_ = false;        // The current operation's page still lacks its first contents.
  std::uint64_t accesses_ = 0;  // Loads, stores and fetches done.
  std::uint64_t checksum_ = 0;  // Of all values loaded.
  std::optional<std::pair<std::uint32_t, std::string>> mismatch_;
  mm::AddressSpace::Statistics last_;  // Of the space, once it is gone.
  ProcessResult result_;
};

}  // namespace pagoda::sim
