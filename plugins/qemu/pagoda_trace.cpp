// A TCG plugin for QEMU's user mode that records which pages a program touches: `pagoda trace record` loads it.
//
//   qemu-x86_64 -plugin libpagoda_trace_plugin.so,out=FILE[,window=K][,program=NAME][,level=L] COMMAND
//
// Every load, store and instruction fetch is a raw reference. The fetches of a translation block count when it starts,
// in front of its loads and stores; for a window of two pages or more that makes no difference to the reduced trace but
// at the block's end.
//
// Threads: their references form one stream, in the order in which they take the lock. A program with one thread takes
// no lock. fork: the child runs on unrecorded; the file stays the parent's. exec: QEMU runs the new program natively,
// so the trace is published before it and ends there if it succeeds. A program that a signal kills leaves no trace:
// QEMU 7.2 calls no plugin then.
#include <pthread.h>

#include <atomic>
#include <charconv>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "pagoda/base/units.h"
#include "pagoda/sim/trace/trace_reducer.h"
#include "pagoda/sim/trace/trace_writer.h"
#include "qemu_plugin_api.h"

namespace {

using pagoda::VirtualAddress;
using pagoda::Vpn;
namespace sim = pagoda::sim;

constexpr std::int64_t kSyscallExecve = 59;  // Linux, x86-64.
constexpr std::int64_t kSyscallExecveAt = 322;
constexpr unsigned kFetchCountBits = 12;  // Page and number of fetches share a pointer; a block has at most 512.
constexpr std::uint64_t kFetchCountMax = (1 << kFetchCountBits) - 1;

struct Recording {
  explicit Recording(std::unique_ptr<sim::TraceWriter> w, std::uint64_t window)
      : writer(std::move(w)), reducer(window, *writer) {}

  std::unique_ptr<sim::TraceWriter> writer;
  sim::TraceReducer reducer;
  std::mutex mutex;
  bool failed = false;
};

// Never destroyed: threads of the program may run until the process is gone.
Recording* recording = nullptr;
std::atomic<bool> active = false;    // False in a forked child, and behind the end.
std::atomic<bool> threaded = false;  // There was a second thread. Set before that thread runs.

// Holds the lock if there is anybody to lock out.
class Guard {
 public:
  Guard() : locked_(threaded.load(std::memory_order_relaxed)) {
    if (locked_) recording->mutex.lock();
  }
  ~Guard() {
    if (locked_) recording->mutex.unlock();
  }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

 private:
  const bool locked_;
};

bool is_active() { return active.load(std::memory_order_relaxed); }

void publish(const char* ending) {
  recording->writer->append_references(recording->reducer.flush());
  const auto published = recording->writer->publish(ending);
  if (!published && !recording->failed) {
    recording->failed = true;
    std::fprintf(stderr, "pagoda: %s\n", published.error().message.c_str());
  }
}

void on_fetch(unsigned, void* userdata) {
  if (!is_active()) return;
  const Guard guard;
  if (!is_active()) return;
  const auto packed = reinterpret_cast<std::uintptr_t>(userdata);
  recording->reducer.reference(Vpn(packed >> kFetchCountBits), sim::kTraceExecute, packed & kFetchCountMax);
}

void on_memory(unsigned, qemu_plugin_meminfo_t info, std::uint64_t address, void*) {
  if (!is_active()) return;
  const Guard guard;
  if (!is_active()) return;
  const sim::TraceAccess access = qemu_plugin_mem_is_store(info) ? sim::kTraceWrite : sim::kTraceRead;
  const Vpn first = VirtualAddress(address).vpn();
  const Vpn last = VirtualAddress(address + (std::uint64_t{1} << qemu_plugin_mem_size_shift(info)) - 1).vpn();
  recording->reducer.reference(first, access);
  if (last != first) recording->reducer.reference(last, access);
}

void* pack_fetches(Vpn page, std::uint64_t count) {
  return reinterpret_cast<void*>(page.value() << kFetchCountBits | (count < kFetchCountMax ? count : kFetchCountMax));
}

// A block's instructions lie in one page or in two neighbouring ones, and the last one of the first page may reach into
// the second.
void on_translate(qemu_plugin_id_t, qemu_plugin_tb* block) {
  const std::size_t count = qemu_plugin_tb_n_insns(block);
  if (count == 0) return;
  const Vpn first = VirtualAddress(qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(block, 0))).vpn();
  Vpn second = first;
  qemu_plugin_insn* enters_second = nullptr;
  std::uint64_t in_first = 0;
  std::uint64_t in_second = 0;
  for (std::size_t i = 0; i < count; ++i) {
    qemu_plugin_insn* const instruction = qemu_plugin_tb_get_insn(block, i);
    const std::uint64_t address = qemu_plugin_insn_vaddr(instruction);
    const Vpn last = VirtualAddress(address + qemu_plugin_insn_size(instruction) - 1).vpn();
    if (VirtualAddress(address).vpn() == first) ++in_first;
    if (last != first) {
      ++in_second;
      second = last;
      if (enters_second == nullptr) enters_second = instruction;
    }
    qemu_plugin_register_vcpu_mem_cb(instruction, on_memory, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, nullptr);
  }
  qemu_plugin_register_vcpu_tb_exec_cb(block, on_fetch, QEMU_PLUGIN_CB_NO_REGS, pack_fetches(first, in_first));
  if (enters_second != nullptr) {
    qemu_plugin_register_vcpu_insn_exec_cb(enters_second, on_fetch, QEMU_PLUGIN_CB_NO_REGS,
                                           pack_fetches(second, in_second));
  }
}

// Runs in the thread that creates the new one.
void on_vcpu_init(qemu_plugin_id_t, unsigned vcpu_index) {
  if (vcpu_index > 0) threaded.store(true, std::memory_order_relaxed);
}

void on_syscall(qemu_plugin_id_t, unsigned, std::int64_t number, std::uint64_t, std::uint64_t, std::uint64_t,
                std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t) {
  if ((number != kSyscallExecve && number != kSyscallExecveAt) || !is_active()) return;
  const Guard guard;
  if (is_active()) publish("exec");
}

void on_exit(qemu_plugin_id_t, void*) {
  if (!is_active()) return;
  const Guard guard;
  if (!active.exchange(false)) return;
  publish("exit");
}

void on_fork_in_child() { active.store(false, std::memory_order_relaxed); }

bool parse(std::string_view text, auto& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

extern "C" {

[[gnu::visibility("default")]] int qemu_plugin_version = 1;

[[gnu::visibility("default")]] int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t* info, int argc,
                                                       char** argv) {
  std::string out;
  std::uint64_t window = 64;
  sim::TraceWriterOptions options;
  options.source = "qemu-user-tcg-plugin";
  for (int i = 0; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const std::size_t equals = argument.find('=');
    const std::string_view key = argument.substr(0, equals);
    const std::string_view value = equals == std::string_view::npos ? std::string_view() : argument.substr(equals + 1);
    bool good = true;
    if (key == "out") {
      out = value;
    } else if (key == "program") {
      options.program = value;
    } else if (key == "window") {
      good = parse(value, window) && window >= 1 && window <= sim::TraceReducer::kWindowMax;
    } else if (key == "level") {
      good = parse(value, options.level);
    } else {
      good = false;
    }
    if (!good) {
      std::fprintf(
          stderr, "pagoda trace plugin: %s: not an argument of it; give out=FILE[,window=K][,program=NAME][,level=L]\n",
          argv[i]);
      return 1;
    }
  }
  if (out.empty() || info->system_emulation) {
    std::fprintf(
        stderr, "pagoda trace plugin: %s\n",
        out.empty() ? "out=FILE is missing" : "records programs; load it into qemu-x86_64, not into a whole machine");
    return 1;
  }
  options.window = window;
  auto writer = sim::TraceWriter::create(out, options);
  if (!writer) {
    std::fprintf(stderr, "pagoda trace plugin: %s\n", writer.error().message.c_str());
    return 1;
  }
  recording = new Recording(std::move(*writer), window);
  active = true;
  pthread_atfork(nullptr, nullptr, on_fork_in_child);
  qemu_plugin_register_vcpu_init_cb(id, on_vcpu_init);
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
  qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
  qemu_plugin_register_atexit_cb(id, on_exit, nullptr);
  return 0;
}

}  // extern "C"
