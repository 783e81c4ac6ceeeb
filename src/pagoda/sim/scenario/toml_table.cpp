#include "pagoda/sim/scenario/toml_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>

#include <utility>

#include "pagoda/sim/scenario/quantities.h"

namespace pagoda::sim {

struct TomlTable::Node {
  const toml::table& table;

  // Looks a key up, which makes it a known one.
  const toml::node* find(std::string_view key, std::set<std::string, std::less<>>& known) const {
    known.emplace(key);
    return table.get(key);
  }
};

TomlTable::TomlTable(const Node& node, std::string file, std::string path, std::optional<InputError>& error)
    : node_(std::make_unique<const Node>(node)), file_(std::move(file)), path_(std::move(path)), error_(error) {}

TomlTable::TomlTable(TomlTable&&) noexcept = default;

TomlTable::~TomlTable() = default;

std::string TomlTable::full(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

std::string TomlTable::where() const { return fmt::format("{}:{}", file_, node_->table.source().begin.line); }

std::string TomlTable::where(std::string_view key) const {
  const toml::node* const node = node_->table.get(key);
  return fmt::format("{}:{}", file_, node != nullptr ? node->source().begin.line : node_->table.source().begin.line);
}

void TomlTable::wrong(std::string_view key, const std::string& what) {
  if (!error_) error_ = InputError{fmt::format("{}: {}: {}", where(key), full(key), what)};
}

void TomlTable::require(std::string_view key) {
  if (!has(key)) wrong(key, "is missing");
}

bool TomlTable::has(std::string_view key) {
  known_.emplace(key);
  return node_->table.contains(key);
}

std::string TomlTable::text(std::string_view key, std::string fallback) {
  const toml::node* const node = node_->find(key, known_);
  if (node == nullptr) return fallback;
  const auto value = node->value_exact<std::string>();
  if (!value) {
    wrong(key, "must be text in quotes");
  } else if (value->contains('\0')) {
    wrong(key, "holds a character U+0000, which no name can");
  } else {
    return *value;
  }
  return fallback;
}

std::uint64_t TomlTable::number(std::string_view key, std::uint64_t fallback, std::uint64_t least, std::uint64_t most) {
  return static_cast<std::uint64_t>(signed_number(key, static_cast<std::int64_t>(fallback),
                                                  static_cast<std::int64_t>(least), static_cast<std::int64_t>(most)));
}

std::int64_t TomlTable::signed_number(std::string_view key, std::int64_t fallback, std::int64_t least,
                                      std::int64_t most) {
  const toml::node* const node = node_->find(key, known_);
  if (node == nullptr) return fallback;
  const auto value = node->value_exact<std::int64_t>();
  if (value && *value >= least && *value <= most) return *value;
  wrong(key, fmt::format("must be a whole number from {} to {}", least, most));
  return fallback;
}

double TomlTable::real(std::string_view key, double fallback, double least, double most) {
  const toml::node* const node = node_->find(key, known_);
  if (node == nullptr) return fallback;
  const auto value = node->is_number() ? node->value<double>() : std::nullopt;
  if (value && *value >= least && *value <= most) return *value;
  wrong(key, fmt::format("must be a number from {} to {}", least, most));
  return fallback;
}

bool TomlTable::flag(std::string_view key, bool fallback) {
  const toml::node* const node = node_->find(key, known_);
  if (node == nullptr) return fallback;
  if (const auto value = node->value_exact<bool>()) return *value;
  wrong(key, "must be true or false");
  return fallback;
}

ByteCount TomlTable::size(std::string_view key, ByteCount fallback) {
  if (!has(key)) return fallback;
  const auto parsed = parse_size(text(key, ""));
  if (parsed) return *parsed;
  wrong(key, parsed.error().message);
  return fallback;
}

PageCount TomlTable::pages(std::string_view key, PageCount fallback) {
  const ByteCount bytes = size(key, bytes_of(fallback));
  if (bytes.value() % kPageBytes != 0) wrong(key, "must be a multiple of 4KiB");
  return pages_of(bytes);
}

Duration TomlTable::duration(std::string_view key, Duration fallback, Duration least, Duration most) {
  if (!has(key)) return fallback;
  const auto parsed = parse_duration(text(key, ""));
  if (parsed && *parsed >= least && *parsed <= most) return *parsed;
  wrong(key, parsed ? fmt::format("must be from {} to {}", to_string(least), to_string(most)) : parsed.error().message);
  return fallback;
}

std::size_t TomlTable::choose(std::string_view key, std::span<const std::string_view> names, std::size_t fallback) {
  if (!has(key)) return fallback;
  const std::string name = text(key, "");
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] == name) return i;
  wrong(key, fmt::format("\"{}\" is not one of {}", name, fmt::join(names, ", ")));
  return fallback;
}

void TomlTable::table(std::string_view key, const std::function<void(TomlTable&)>& read) {
  const toml::node* const node = node_->find(key, known_);
  if (node == nullptr) return;
  const toml::table* const below = node->as_table();
  if (below == nullptr) return wrong(key, fmt::format("must be a table: [{}]", full(key)));
  TomlTable reader(Node{*below}, file_, full(key), error_);
  read(reader);
  reader.finish();
}

void TomlTable::tables(std::string_view key, const std::function<void(TomlTable&)>& read) {
  const toml::node* const node = node_->find(key, known_);
  if (node == nullptr) return;
  const toml::array* const array = node->as_array();
  if (array == nullptr) return wrong(key, fmt::format("must be an array of tables: [[{}]]", full(key)));
  for (const toml::node& element : *array) {
    const toml::table* const below = element.as_table();
    if (below == nullptr) return wrong(key, fmt::format("must be an array of tables: [[{}]]", full(key)));
    TomlTable reader(Node{*below}, file_, full(key), error_);
    read(reader);
    reader.finish();
  }
}

void TomlTable::finish() {
  for (const auto& [key, node] : node_->table) {
    if (known_.contains(key.str())) continue;
    wrong(key.str(), fmt::format("is not a known key; known here: {}", fmt::join(known_, ", ")));
    return;
  }
}

struct TomlFile::Parsed {
  toml::table root;
  std::string name;
  std::optional<InputError> error;
};

TomlFile::TomlFile(std::unique_ptr<Parsed> parsed) : parsed_(std::move(parsed)) {}

TomlFile::TomlFile(TomlFile&&) noexcept = default;

TomlFile::~TomlFile() = default;

Input<TomlFile> TomlFile::parse(const std::string& text, const std::string& name) {
  try {
    return TomlFile(std::make_unique<Parsed>(Parsed{.root = toml::parse(text, name), .name = name, .error = {}}));
  } catch (const toml::parse_error& error) {
    return bad_input(fmt::format("{}:{}: not TOML: {}", name, error.source().begin.line, error.description()));
  }
}

TomlTable TomlFile::root() { return TomlTable(TomlTable::Node{parsed_->root}, parsed_->name, "", parsed_->error); }

const std::optional<InputError>& TomlFile::error() const { return parsed_->error; }

}  // namespace pagoda::sim
