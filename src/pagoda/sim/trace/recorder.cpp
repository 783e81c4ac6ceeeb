#include "pagoda/sim/trace/recorder.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <utility>

#include "pagoda/base/status.h"
#include "pagoda/sim/trace/trace_reader.h"
#include "pagoda/sim/trace/trace_reducer.h"

namespace pagoda::sim {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kQemu = "qemu-x86_64";
constexpr std::string_view kPlugin = "libpagoda_trace_plugin.so";
constexpr int kBinaryDepthMax = 4;  // Folders between a binary of the build and the build's root.

bool is_executable_file(const std::string& path) {
  struct stat status{};
  return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && access(path.c_str(), X_OK) == 0;
}

// As execvp looks for it; empty if it is not there.
std::string search_path(std::string_view name) {
  const char* variable = std::getenv("PATH");
  std::string_view rest = variable == nullptr ? "/usr/local/bin:/usr/bin:/bin" : variable;
  for (;;) {
    const std::size_t colon = rest.find(':');
    const std::string_view directory = rest.substr(0, colon);
    std::string candidate = directory.empty() ? std::string(name) : fmt::format("{}/{}", directory, name);
    if (is_executable_file(candidate)) return candidate;
    if (colon == std::string_view::npos) return {};
    rest.remove_prefix(colon + 1);
  }
}

// QEMU separates options by commas; a doubled one stands for itself.
std::string escape_commas(std::string_view text) {
  std::string escaped;
  for (const char c : text) escaped.append(c == ',' ? 2 : 1, c);
  return escaped;
}

// While the program runs, the terminal's interrupt is for it and not for us.
class IgnoreInterrupts {
 public:
  IgnoreInterrupts() : interrupt_(std::signal(SIGINT, SIG_IGN)), quit_(std::signal(SIGQUIT, SIG_IGN)) {}
  ~IgnoreInterrupts() {
    std::signal(SIGINT, interrupt_);
    std::signal(SIGQUIT, quit_);
  }
  IgnoreInterrupts(const IgnoreInterrupts&) = delete;
  IgnoreInterrupts& operator=(const IgnoreInterrupts&) = delete;

 private:
  void (*interrupt_)(int);
  void (*quit_)(int);
};

// Runs `arguments` and returns its wait status.
Input<int> run_to_end(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const IgnoreInterrupts ignore;
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGINT);
  sigaddset(&defaults, SIGQUIT);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  pid_t child = -1;
  const int error = posix_spawn(&child, argv[0], nullptr, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    return bad_input(fmt::format("{}: cannot be started: {}; check the installation of qemu-user", arguments[0],
                                 std::strerror(error)));
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return bad_input(fmt::format("{}: lost: {}; record again", arguments[0], std::strerror(errno)));
  }
  return status;
}

// Takes away a file unless it was kept.
class Unfinished {
 public:
  explicit Unfinished(std::string path) : path_(std::move(path)) {}
  ~Unfinished() { std::remove(path_.c_str()); }
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

Input<std::string> find_qemu() {
  std::string path = search_path(kQemu);
  if (!path.empty()) return path;
  return bad_input(fmt::format("{}: is not in PATH; install the package qemu-user (apt install qemu-user)", kQemu));
}

Input<std::string> find_trace_plugin() {
  if (const char* given = std::getenv(kTracePluginVariable); given != nullptr && *given != '\0') {
    if (fs::is_regular_file(given)) return fs::absolute(given).string();
    return bad_input(
        fmt::format("{}: {}: is not a file; set it to the path of {}", kTracePluginVariable, given, kPlugin));
  }
  std::error_code error;
  fs::path directory = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (int depth = 0; depth < kBinaryDepthMax && !directory.empty(); ++depth) {
    for (const char* below : {"", "lib/pagoda"}) {
      const fs::path candidate = directory / below / kPlugin;
      if (fs::is_regular_file(candidate, error)) return candidate.string();
    }
    directory = directory == directory.parent_path() ? fs::path() : directory.parent_path();
  }
  return bad_input(
      fmt::format("{}: is neither beside this binary nor in lib/pagoda; build the target pagoda_trace_plugin or set {}",
                  kPlugin, kTracePluginVariable));
}

Input<std::string> find_program(const std::string& name) {
  std::string path = name.find('/') != std::string::npos ? name : search_path(name);
  if (path.empty()) return bad_input(fmt::format("{}: is not in PATH; give the path of the program", name));
  std::array<unsigned char, 20> start{};
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return bad_input(fmt::format("{}: cannot be read: {}; give the path of a program", path, std::strerror(errno)));
  file.read(reinterpret_cast<char*>(start.data()), static_cast<std::streamsize>(start.size()));
  if (!file && file.gcount() < 2) return bad_input(fmt::format("{}: is not a program; give an x86-64 ELF file", path));
  if (start[0] == '#' && start[1] == '!') {
    return bad_input(fmt::format("{}: is a script; record its interpreter: ... -- /bin/sh {}", path, path));
  }
  // ELF header: magic, class 2 (64 bits), machine 62 (AMD x86-64) at offset 18.
  if (std::memcmp(start.data(), "\177ELF\2", 5) != 0 || start[18] != 62 || start[19] != 0) {
    return bad_input(fmt::format("{}: is not an x86-64 program; give an x86-64 ELF file", path));
  }
  if (!is_executable_file(path)) return bad_input(fmt::format("{}: is not executable; chmod +x it", path));
  return path;
}

Input<RecordOutcome> record_program(const RecordOptions& options) {
  if (options.command.empty()) return bad_input("record: no command; write it behind --, as in: -- sort words.txt");
  if (options.window < 1 || options.window > TraceReducer::kWindowMax) {
    return bad_input(fmt::format("--window {}: is not 1 to {} pages", options.window, TraceReducer::kWindowMax));
  }
  struct stat existing{};
  if (stat(options.output.c_str(), &existing) == 0 && !S_ISREG(existing.st_mode)) {
    return bad_input(fmt::format("{}: is not a regular file; give the name of a new .vmpt.zst file", options.output));
  }
  const std::string qemu = PAGODA_TRY(find_qemu());
  const std::string plugin = PAGODA_TRY(find_trace_plugin());
  const std::string program = PAGODA_TRY(find_program(options.command[0]));

  // The program may change its directory, so the plugin gets an absolute name.
  std::error_code error;
  const fs::path output = fs::absolute(options.output, error);
  if (error || access(output.parent_path().c_str(), W_OK) != 0) {
    return bad_input(fmt::format("{}: its directory cannot be written; give another place", options.output));
  }
  const Unfinished unfinished(fmt::format("{}.{}.recording", output.string(), getpid()));
  std::vector<std::string> arguments = {
      qemu,
      "-plugin",
      fmt::format("{},out={},window={},level={},program={}", escape_commas(plugin), escape_commas(unfinished.path()),
                  options.window, options.level, escape_commas(fs::path(program).filename().string())),
      "-0",
      options.command[0],
      program,
  };
  arguments.insert(arguments.end(), options.command.begin() + 1, options.command.end());
  const int status = PAGODA_TRY(run_to_end(arguments));

  Input<TraceReader> reader = TraceReader::open(unfinished.path());
  if (!reader) {
    if (WIFSIGNALED(status)) {
      return bad_input(fmt::format("{}: killed by signal {} ({}), which leaves no trace; let it end by itself",
                                   options.command[0], WTERMSIG(status), strsignal(WTERMSIG(status))));
    }
    if (!fs::exists(unfinished.path())) {
      return bad_input(fmt::format("{}: ended with status {} and left no trace; see what it and QEMU said above",
                                   options.command[0], WEXITSTATUS(status)));
    }
    return std::unexpected(reader.error());
  }
  if (std::rename(unfinished.path().c_str(), output.c_str()) != 0) {
    return failed_work(fmt::format("{}: cannot write: {}; give another place", options.output, std::strerror(errno)));
  }
  return RecordOutcome{WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status), reader->info()};
}

}  // namespace pagoda::sim
