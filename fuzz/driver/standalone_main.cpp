// Runs a fuzz target without libFuzzer, so that every compiler builds it and every test run executes it.
//
//   fuzz_<name> [--runs N] [--seed S] [FILE | DIRECTORY]...
//
// Replays the files (of a directory: all below it, in name order), then N random inputs, times PAGODA_EFFORT. Same arguments, same inputs. A
// failing input announces itself by the crash; the last line printed tells which one it was. It explores nothing: the
// preset `fuzz` does.
#include <algorithm>
#include <charconv>
#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "pagoda/base/testing/effort.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr unsigned kSizeBitsMax = 12;  // Random inputs are up to 4 KiB: libFuzzer's own default.

struct Options {
  std::uint64_t runs = 0;
  std::uint64_t seed = 1;
  std::vector<std::filesystem::path> files;
};

bool parse_number(std::string_view text, std::uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

bool add_files(const std::filesystem::path& path, std::vector<std::filesystem::path>& files) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) {
    files.push_back(path);
    return std::filesystem::exists(path, error);
  }
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
    if (entry.is_regular_file()) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  files.insert(files.end(), found.begin(), found.end());
  return true;
}

std::optional<Options> parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const bool is_runs = argument == "--runs";
    if (is_runs || argument == "--seed") {
      std::uint64_t& number = is_runs ? options.runs : options.seed;
      if (i + 1 == argc || !parse_number(argv[i + 1], number)) {
        std::fprintf(stderr, "%s needs a number\n", argv[i]);
        return std::nullopt;
      }
      ++i;
    } else if (!add_files(argv[i], options.files)) {
      std::fprintf(stderr, "%s: no such file\n", argv[i]);
      return std::nullopt;
    }
  }
  return options;
}

std::vector<std::uint8_t> random_input(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  // Short inputs are as likely as long ones: the size in bits is uniform, not the size.
  const std::size_t limit = std::size_t{1} << (random() % (kSizeBitsMax + 1));
  std::vector<std::uint8_t> input(random() % (limit + 1));
  for (std::uint8_t& byte : input) byte = static_cast<std::uint8_t>(random() & 0xFF);
  return input;
}

void run(const std::vector<std::uint8_t>& input) { LLVMFuzzerTestOneInput(input.data(), input.size()); }

}  // namespace

int main(int argc, char** argv) {
  const std::optional<Options> options = parse(argc, argv);
  if (!options) return 2;

  for (const std::filesystem::path& file : options->files) {
    std::printf("replaying %s\n", file.c_str());
    std::fflush(stdout);
    std::ifstream in(file, std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    run(std::vector<std::uint8_t>(bytes.begin(), bytes.end()));
  }
  const std::uint64_t runs = options->runs == 1 ? 1 : pagoda::testing::effort(options->runs);  // One is a replay.
  for (std::uint64_t i = 0; i < runs; ++i) {
    std::printf("--runs 1 --seed %" PRIu64 "\n", options->seed + i);
    std::fflush(stdout);
    run(random_input(options->seed + i));
  }
  std::printf("%zu files and %" PRIu64 " random inputs passed\n", options->files.size(), runs);
  return 0;
}
