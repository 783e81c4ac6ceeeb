#include "bench/linux_ksm.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>
#include <thread>
#include <utility>

namespace pagoda::bench {

namespace {

namespace fs = std::filesystem;

const fs::path kFolder = "/sys/kernel/mm/ksm";
// Below that KSM would be measured on a computer that pages.
constexpr ByteCount kLeastMemory = 4_GiB;
constexpr std::chrono::seconds kMostTime{120};
// As fast as it goes: no sleep, and turns long enough that their overhead does not count.
constexpr std::string_view kPagesOfTurn = "20000";

std::string read(const fs::path& file) {
  std::ifstream in(file);
  std::string text;
  std::getline(in, text);
  return text;
}

bool write(const fs::path& file, std::string_view text) {
  std::ofstream out(file);
  out << text << std::flush;
  return out.good();
}

std::uint64_t number(const fs::path& file) {
  std::istringstream in(read(file));
  std::uint64_t value = 0;
  in >> value;
  return value;
}

// 0: there is none.
int find_ksmd() {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc", error)) {
    if (read(entry.path() / "comm") != "ksmd") continue;
    std::istringstream in(entry.path().filename().string());
    int process = 0;
    if (in >> process) return process;
  }
  return 0;
}

// Of user and kernel, in nanoseconds.
double processor_time(int process) {
  const std::string stat = read(fs::path("/proc") / std::to_string(process) / "stat");
  std::istringstream in(stat.substr(stat.rfind(')') + 1));
  const std::vector<std::string> fields{std::istream_iterator<std::string>(in), {}};
  if (fields.size() < 13) return 0;
  const double ticks = std::stod(fields[11]) + std::stod(fields[12]);  // utime and stime; field 3 is the first here.
  return ticks * 1e9 / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

std::unique_ptr<LinuxKsm> LinuxKsm::create(PageCount pages, std::string& why_not) {
  const auto memory =
      static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const int ksmd = find_ksmd();
  if (ByteCount(memory) < kLeastMemory) {
    why_not = "this computer has less than 4 GiB";
  } else if (!fs::exists(kFolder / "run") || ksmd == 0) {
    why_not = "this kernel has no KSM, or hides it";
  } else if (read(kFolder / "run") != "0") {
    why_not = "KSM is in use";
  } else if (!write(kFolder / "run", "0")) {
    why_not = "KSM is not ours to set";
  } else {
    void* const base =
        mmap(nullptr, bytes_of(pages).value(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base != MAP_FAILED) return std::unique_ptr<LinuxKsm>(new LinuxKsm(static_cast<std::byte*>(base), pages, ksmd));
    why_not = "there is no memory for it";
  }
  return nullptr;
}

LinuxKsm::LinuxKsm(std::byte* base, PageCount pages, int ksmd) : base_(base), pages_(pages), ksmd_(ksmd) {
  // What counts is KSM's own: pages of 4 KB from the start, which it would have to split huge ones into.
  madvise(base_, bytes_of(pages_).value(), MADV_NOHUGEPAGE);
  for (const char* const name : {"advisor_mode", "sleep_millisecs", "pages_to_scan"}) {
    const fs::path file = kFolder / name;
    if (!fs::exists(file)) continue;
    std::string before = read(file);
    if (const auto chosen = before.find('['); chosen != std::string::npos)  // "[none] scan-time".
      before = before.substr(chosen + 1, before.find(']') - chosen - 1);
    settings_.emplace_back(file.string(), before);
  }
  if (fs::exists(kFolder / "advisor_mode")) write(kFolder / "advisor_mode", "none");
  write(kFolder / "sleep_millisecs", "0");
  write(kFolder / "pages_to_scan", kPagesOfTurn);
}

LinuxKsm::~LinuxKsm() {
  write(kFolder / "run", "2");  // Unmerges.
  write(kFolder / "run", "0");
  for (const auto& [file, before] : settings_) write(file, before);
  munmap(base_, bytes_of(pages_).value());
}

std::optional<double> LinuxKsm::merge(PageCount saved) {
  if (madvise(base_, bytes_of(pages_).value(), MADV_MERGEABLE) != 0) return std::nullopt;
  const double before = processor_time(ksmd_);
  const auto start = std::chrono::steady_clock::now();
  write(kFolder / "run", "1");
  std::optional<double> time;
  while (!time && std::chrono::steady_clock::now() - start < kMostTime) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (number(kFolder / "pages_sharing") + number(kFolder / "ksm_zero_pages") >= saved.value())
      time = processor_time(ksmd_) - before;
  }
  write(kFolder / "run", "0");
  return time;
}

}  // namespace pagoda::bench
