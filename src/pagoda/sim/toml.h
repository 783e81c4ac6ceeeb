// Strict reading of TOML: every key is asked for by name and type, and one that nobody asked for is an error, as is a
// wrong unit.
#pragma once

#include <toml++/toml.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/base/units.h"

namespace pagoda::sim {

// "64MiB", "64 KiB", "4096B". Fails with what is wrong.
Input<ByteCount> parse_size(std::string_view text);
// "65us", "1.5ms", "2s".
Input<Duration> parse_duration(std::string_view text);

// One table of a file. The first thing that is wrong is kept, and everything after it is read as its default; `finish`
// says it. So a reader reads all keys in a row and asks once.
class TomlTable {
 public:
  // Longer than any run here, and far from where virtual time would overflow.
  static constexpr Duration kLongest = 1'000'000_s;

  TomlTable(const toml::table& table, std::string file, std::string path, std::optional<InputError>& error);

  std::string text(std::string_view key, std::string fallback);
  std::uint64_t number(std::string_view key, std::uint64_t fallback, std::uint64_t least = 0,
                       std::uint64_t most = ~std::uint64_t{0} >> 1);
  double real(std::string_view key, double fallback, double least, double most);
  bool flag(std::string_view key, bool fallback);
  ByteCount size(std::string_view key, ByteCount fallback);
  // Whole pages: anything else is an error.
  PageCount pages(std::string_view key, PageCount fallback);
  Duration duration(std::string_view key, Duration fallback, Duration least = 0_ns, Duration most = kLongest);
  // One of the names; returns its place.
  std::size_t choice(std::string_view key, const std::vector<std::string_view>& names, std::size_t fallback);
  [[nodiscard]] bool has(std::string_view key) { return find(key) != nullptr; }
  // Makes a missing key an error.
  void require(std::string_view key);
  // Tables below: one, or an array of them, each given to `read`.
  void table(std::string_view key, const std::function<void(TomlTable&)>& read);
  void tables(std::string_view key, const std::function<void(TomlTable&)>& read);
  // Says that something is wrong with a key.
  void wrong(std::string_view key, const std::string& what);
  // Unknown keys are errors: to be called when all known ones were read.
  void finish();

  [[nodiscard]] std::string where(std::string_view key) const;  // "file:line".
  [[nodiscard]] std::string where() const;

 private:
  const toml::node* find(std::string_view key);
  [[nodiscard]] std::string full(std::string_view key) const;

  const toml::table& table_;
  std::string file_;
  std::string path_;  // Of the table: "host", "process".
  std::optional<InputError>& error_;
  std::set<std::string, std::less<>> known_;
};

}  // namespace pagoda::sim
