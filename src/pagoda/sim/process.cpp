#include "pagoda/sim/process.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pagoda/base/random.h"
#include "pagoda/base/status.h"

namespace pagoda::sim {

namespace {

constexpr std::size_t kOperationBatch = 4096;
// How often the clock is looked at, in operations: time passes in steps of a microsecond or so.
constexpr std::size_t kClockStride = 16;
// Incidents of one process that are told one by one.
constexpr std::uint64_t kIncidentsTold = 20;

// Which word of its page an operation touches: all of them in turn, in an order that leaves no neighbourhood.
std::size_t word_of(std::uint64_t operation) { return static_cast<std::size_t>(operation * 197 % kPageWords); }

ProgramMemory memory_of(const ProcessConfig& config, const Program& program, SharedFile* file) {
  if (file == nullptr) return ProgramMemory(program.pages());
  return {program.pages(), *file, config.view ? config.view->kind : FileViewConfig::Kind::kDirect};
}

std::string described(const ProcessConfig& config, const Program& program, const SharedFile* file,
                      const std::string& parent) {
  std::string text = program.describe() + (parent.empty() ? "" : ", forked from " + parent);
  if (file == nullptr) return text;
  if (!config.view) return fmt::format("{}, of template \"{}\"", text, file->stream()->name());
  return fmt::format("{}, the first {} a {} view of {}", text, to_string(bytes_of(file->pages())),
                     config.view->kind == FileViewConfig::Kind::kShared ? "shared" : "copied", file->stream()->name());
}

// Adds the time that passes on a processor while this lives, also when an exception ends it.
class ComputingTime {
 public:
  ComputingTime(const machine::SimProcessor& cpu, Duration& sum) : cpu_(cpu), sum_(sum), began_(cpu.now()) {}
  ComputingTime(const ComputingTime&) = delete;
  ComputingTime& operator=(const ComputingTime&) = delete;
  ~ComputingTime() { sum_ += cpu_.now() - began_; }

 private:
  const machine::SimProcessor& cpu_;
  Duration& sum_;
  const Time began_;
};

}  // namespace

Process::Process(const ProcessConfig& config, std::unique_ptr<Program> program, const Surroundings& surroundings,
                 std::uint64_t seed, const Options& options)
    : config_(config),
      options_(options),
      seed_(seed),
      surroundings_(surroundings),
      parent_(surroundings.parent),
      program_(std::move(program)),
      memory_(memory_of(config, *program_, surroundings.file)),
      batch_(kOperationBatch) {
  set_ready_at(config.start);
  result_.name = config.name;
  result_.vm = options.vm;
  result_.program = described(config, *program_, surroundings.file, parent_ != nullptr ? parent_->name() : "");
  result_.finished = kNever;
  result_.limit_source = config.limits ? LimitSource::kScenario : LimitSource::kDefault;
}

void Process::log(Time time, std::string text) {
  surroundings_.log->incidents.push_back(
      {.time = time, .vm = options_.vm, .process = config_.name, .text = std::move(text)});
}

Result<> Process::make_space(machine::SimProcessor& cpu) {
  mm::MemoryManager& manager = *surroundings_.manager;
  if (parent_ != nullptr) {
    if (parent_->space_ == nullptr) return fail(Status::kProcessIsTerminating);
    space_ = PAGODA_TRY(manager.clone_space(cpu, *parent_->space_));
    memory_ = parent_->memory_.fork();
    return {};
  }
  space_ = PAGODA_TRY(manager.create_space(cpu, {.limits = config_.limits}));
  return memory_.make(manager, cpu, *space_);
}

bool Process::take(machine::SimProcessor& cpu) {
  if (state() == State::kNotStarted && !start(cpu)) return false;
  surroundings_.manager->attach(cpu, *space_);
  return true;
}

void Process::leave(machine::SimProcessor& cpu) {
  surroundings_.manager->detach(cpu);
  if (state() == State::kDone) finish(cpu);
}

bool Process::start(machine::SimProcessor& cpu) {
  if (parent_ != nullptr && parent_->state() == State::kNotStarted) {
    set_ready_at(std::max(parent_->ready_at(), cpu.now()));
    return false;
  }
  const auto made = make_space(cpu);
  if (!made) {
    if (space_ != nullptr) finish(cpu);
    if (made.error() == Status::kPending) {
      set_ready_at(cpu.take_blocked_until());
      return false;
    }
    log(cpu.now(),
        fmt::format("{} ({}) for {}", parent_ != nullptr ? "it could not be forked" : "its memory was refused",
                    to_string(made.error()), to_string(bytes_of(memory_.committed()))));
    set_state(State::kDone);
    return false;
  }
  {
    const LockGuard guard(space_->lock);
    result_.working_set_minimum = space_->working_set().limits().minimum;
    result_.working_set_maximum = space_->working_set().limits().maximum;
  }
  started_ = cpu.now();
  return true;
}

Input<bool> Process::fetch_next() {
  if (batch_at_ < batch_size_) return true;
  const std::uint64_t left = options_.operations_most - result_.operations;
  batch_size_ = PAGODA_TRY(program_->next(std::span(batch_).first(std::min<std::uint64_t>(kOperationBatch, left))));
  batch_at_ = 0;
  return batch_size_ > 0;
}

bool Process::compare(std::uint32_t page, std::size_t word, std::uint64_t value) {
  checksum_ = Random::mix(checksum_ ^ value);
  if (!options_.verify) return true;
  ++result_.loads_verified;
  const std::uint64_t expected = memory_.model(page)[word];
  if (value == expected) return true;
  mismatch_.emplace(
      page, fmt::format("{}: {} at {}: loaded {:#018x}, stored was {:#018x} (operation {})", config_.name,
                        to_string(memory_.address(page)), word * sizeof(value), value, expected, result_.operations));
  return false;
}

// What a loader would have put there: the page's first contents, one store for the whole page.
Status Process::fill(machine::SimProcessor& cpu, std::uint32_t page) {
  PageModel words;
  if (!program_->first_contents(page, std::as_writable_bytes(std::span(words))))
    for (std::size_t i = 0; i < words.size(); ++i) words[i] = Random::mix(seed_ + page * kPageWords + i);
  const std::span<const std::byte> bytes = std::as_bytes(std::span(words));
  const auto stored = cpu.store(memory_.address(page), bytes);
  if (!stored) return stored.error();
  if (options_.verify) memory_.model_to_change(page) = words;
  return Status::kSuccess;
}

Status Process::execute(machine::SimProcessor& cpu, const Operation& operation) {
  if (operation.kind == Operation::Kind::kFree) return give_back(cpu, operation.page);
  if (filling_) {
    if (const Status status = fill(cpu, operation.page); status != Status::kSuccess) return status;
    filling_ = false;
  }
  const std::size_t word = word_of(result_.operations);
  const VirtualAddress va = memory_.address(operation.page) + ByteCount(word * sizeof(std::uint64_t));
  if (operation.access.executes()) {
    if (const auto fetched = cpu.fetch(va); !fetched) return fetched.error();
    ++accesses_;
  }
  if (operation.access.reads() || operation.access.executes()) {
    const auto loaded = cpu.load<std::uint64_t>(va);
    if (!loaded) return loaded.error();
    ++accesses_;
    if (!compare(operation.page, word, *loaded)) return Status::kSuccess;
  }
  if (operation.access.writes()) {
    const std::uint64_t value = Random::mix(seed_ ^ result_.operations);
    if (const auto stored = cpu.store(va, value); !stored) return stored.error();
    ++accesses_;
    if (options_.verify) memory_.model_to_change(operation.page)[word] = value;
  }
  return Status::kSuccess;
}

// Its contents are gone, and its next touch is a first one again.
Status Process::give_back(machine::SimProcessor& cpu, std::uint32_t page) {
  if (const auto gone = space_->discard(cpu, {memory_.address(page).vpn(), 1_pages}); !gone) return gone.error();
  memory_.forget(page);
  return Status::kSuccess;
}

bool Process::sleeps(const machine::SimProcessor& cpu, const Operation& operation) {
  if (operation.at.is_zero() || started_ + operation.at <= cpu.now()) return false;
  set_state(State::kWaiting);
  set_ready_at(started_ + operation.at);
  is_asleep_ = true;
  return true;
}

void Process::wait_until(const machine::SimProcessor& cpu, Time time) {
  set_state(State::kWaiting);
  set_ready_at(time);
  if (time > cpu.now()) result_.wait_time += time - cpu.now();
}

void Process::stand_still(Time since, Time until) {
  if (state() == State::kNotStarted || state() == State::kDone) return;
  if (state() == State::kWaiting) since = std::max(since, ready_at());
  if (until <= since) return;
  result_.wait_time += until - since;
  set_state(State::kWaiting);
  set_ready_at(until);
}

Input<> Process::run(machine::SimProcessor& cpu, Time horizon) {
  const ComputingTime computing(cpu, result_.cpu_time);
  is_asleep_ = false;
  const PageHistory* const history = surroundings_.history;
  const machine::CostModel& costs = cpu.machine().costs();
  // In a guest any operation may have waited for a disk of the host, and then another task must run.
  const std::size_t clock_stride = cpu.machine().hypercalls() == nullptr ? kClockStride : 1;
  for (std::size_t step = 1;; ++step) {
    if (!PAGODA_TRY(fetch_next())) {
      set_state(State::kDone);
      result_.finished = cpu.now();
      break;
    }
    const Operation& operation = batch_[batch_at_];
    if (sleeps(cpu, operation)) break;
    if (operation.kind == Operation::Kind::kAccess) {
      const ProgramMemory::Touch touch = memory_.touch(operation.page, surroundings_.log->interval);
      using Touch = ProgramMemory::Touch;
      if (touch == Touch::kFirst || touch == Touch::kFirstOfAll) ++result_.footprint;
      if (touch == Touch::kFirstOfAll || touch == Touch::kAnew) filling_ = true;
    }
    const Status status = execute(cpu, operation);
    if (mismatch_) {
      std::string text = "wrong contents: " + mismatch_->second + "\n";
      if (history != nullptr) {
        const LockGuard guard(space_->lock);
        text += history->of(space_->tables().find(cpu, memory_.address(mismatch_->first).vpn()));
      }
      return bad_input(std::move(text));
    }
    if (status == Status::kPending) {
      wait_until(cpu, cpu.take_blocked_until());
      break;
    }
    cpu.charge(costs.reference * operation.references);
    if (status != Status::kSuccess) {
      // The access failed for good: the program is told, and continues with its next operation.
      filling_ = false;
      if (++result_.in_page_errors <= kIncidentsTold)
        log(cpu.now(), fmt::format("{} at {}", to_string(status), to_string(memory_.address(operation.page))));
      const Time told_at = cpu.take_blocked_until();
      if (told_at > cpu.now()) wait_until(cpu, told_at);
    }
    ++result_.operations;
    result_.references += operation.references;
    ++batch_at_;
    if (state() == State::kWaiting || (step % clock_stride == 0 && cpu.now() >= horizon)) break;
  }
  return {};
}

void Process::finish(machine::SimProcessor& cpu) {
  if (space_ == nullptr) return;
  last_ = space_->statistics();
  surroundings_.manager->destroy_space(cpu, *space_);
  space_ = nullptr;
}

Duration Process::waited(Time now) const {
  const Time until = state() == State::kWaiting && !is_asleep_ ? ready_at() : now;
  return until > now ? result_.wait_time - std::min(until - now, result_.wait_time) : result_.wait_time;
}

ProcessSample Process::sample(Time at) {
  const mm::ProcessSpace::Statistics now = space_ != nullptr ? space_->statistics() : last_;
  ProcessSample sample{.working_set = now.working_set,
                       .shared = now.shared,
                       .demand = memory_.take_touched(),
                       .private_commit = now.commit,
                       .faults = now.faults,
                       .cpu_time = result_.cpu_time,
                       .wait_time = waited(at)};
  if (space_ == nullptr) {
    sample.working_set = 0_pages;
    sample.shared = 0_pages;
    sample.private_commit = 0_pages;
  }
  return sample;
}

ProcessResult Process::result(Time now) const {
  ProcessResult result = result_;
  result.wait_time = waited(now);
  const mm::ProcessSpace::Statistics statistics = space_ != nullptr ? space_->statistics() : last_;
  result.peak_working_set = statistics.peak_working_set;
  result.end_private = statistics.working_set - statistics.shared;
  result.end_shared = statistics.shared;
  result.peak_commit = statistics.peak_commit;
  result.faults = statistics.faults;
  result.checksum = checksum_;
  return result;
}

}  // namespace pagoda::sim
