// Strict reading of TOML: every key is asked for by name and type. A key that no reader asked for is an error, and so is
// a wrong unit. Hides toml++, which takes seconds to compile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "pagoda/base/input_error.h"
#include "pagoda/base/units.h"

namespace pagoda::sim {

// One table of a file. It keeps the first thing that is wrong, and reads all that follows as its default; so a reader
// reads all keys in a row and asks TomlFile::error once.
class TomlTable {
 public:
  // Longer than any run here, and far from where virtual time would overflow.
  static constexpr Duration kLongest = 1'000'000_s;

  TomlTable(TomlTable&& other) noexcept;
  ~TomlTable();

  std::string text(std::string_view key, std::string fallback);
  std::uint64_t number(std::string_view key, std::uint64_t fallback, std::uint64_t least = 0,
                       std::uint64_t most = ~std::uint64_t{0} >> 1);
  // The same, which may be below zero.
  std::int64_t signed_number(std::string_view key, std::int64_t fallback, std::int64_t least, std::int64_t most);
  double real(std::string_view key, double fallback, double least, double most);
  bool flag(std::string_view key, bool fallback);
  ByteCount size(std::string_view key, ByteCount fallback);
  // Whole pages: anything else is an error.
  PageCount pages(std::string_view key, PageCount fallback);
  Duration duration(std::string_view key, Duration fallback, Duration least = 0_ns, Duration most = kLongest);
  // One of the names: its index, or the value of the enumeration that the names are indexed by.
  std::size_t choose(std::string_view key, std::span<const std::string_view> names, std::size_t fallback);
  template <class Enum>
  Enum choice(std::string_view key, std::span<const std::string_view> names, Enum fallback) {
    return static_cast<Enum>(choose(key, names, static_cast<std::size_t>(fallback)));
  }
  [[nodiscard]] bool has(std::string_view key);
  // Makes a missing key an error.
  void require(std::string_view key);
  // Tables below: one, or an array of them, each given to `read`.
  void table(std::string_view key, const std::function<void(TomlTable&)>& read);
  void tables(std::string_view key, const std::function<void(TomlTable&)>& read);
  // Says that something is wrong with a key.
  void wrong(std::string_view key, const std::string& what);
  // Makes unknown keys errors. Requires: all known ones were read.
  void finish();

  [[nodiscard]] std::string where(std::string_view key) const;  // "file:line".
  [[nodiscard]] std::string where() const;

 private:
  friend class TomlFile;
  struct Node;

  TomlTable(const Node& node, std::string file, std::string path, std::optional<InputError>& error);
  [[nodiscard]] std::string full(std::string_view key) const;

  std::unique_ptr<const Node> node_;
  std::string file_;
  std::string path_;  // The table's: "host", "process".
  std::optional<InputError>& error_;
  std::set<std::string, std::less<>> known_;
};

// A file, parsed. Outlives its tables.
class TomlFile {
 public:
  // Fails with: one line that says where it is not TOML.
  static Input<TomlFile> parse(const std::string& text, const std::string& name);
  TomlFile(TomlFile&& other) noexcept;
  ~TomlFile();

  [[nodiscard]] TomlTable root();
  // The first thing that a reader of its tables found wrong.
  [[nodiscard]] const std::optional<InputError>& error() const;

 private:
  struct Parsed;

  explicit TomlFile(std::unique_ptr<Parsed> parsed);

  std::unique_ptr<Parsed> parsed_;
};

}  // namespace pagoda::sim
