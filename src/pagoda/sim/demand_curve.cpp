#include "pagoda/sim/demand_curve.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <optional>

#include "pagoda/base/status.h"
#include "pagoda/sim/parse_number.h"

namespace pagoda::sim {

namespace {

// A month of values each second is less; what goes on without end must come to an end here.
constexpr std::size_t kFileMost = std::size_t{256} << 20;
constexpr double kSecondsMost = 1e11;  // Since whenever its times count from.
constexpr double kLengthMost = 1e9;    // Seconds.
constexpr double kBytesMost = 0x1p50;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n\"";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  for (;;) {
    const std::size_t comma = line.find(',');
    fields.push_back(trimmed(line.substr(0, comma)));
    if (comma == std::string_view::npos) return fields;
    line.remove_prefix(comma + 1);
  }
}

enum Column : std::uint8_t { kTime, kUsed, kActive };
constexpr std::array<std::string_view, 3> kColumns{"time", "used", "active"};

class CsvReader {
 public:
  explicit CsvReader(const std::string& name) : name_(name) {}

  Input<> take(std::string_view line) {
    ++line_;
    if (trimmed(line).empty()) return {};
    const auto fields = fields_of(line);
    return width_ == 0 ? take_header(fields) : take_values(fields);
  }
  Input<DemandCurve> finish() {
    if (curve_.steps.empty()) return wrong("has no values; write lines of time,used,active below that header");
    const auto& steps = curve_.steps;
    const Duration last = steps.size() > 1 ? steps.back().at - steps[steps.size() - 2].at : Duration(1_s);
    curve_.length = steps.back().at + last;
    if (const auto checked = check_demand(curve_); !checked) return wrong(checked.error().message);
    return std::move(curve_);
  }

 private:
  std::unexpected<InputError> wrong(std::string_view what) const {
    return bad_input(fmt::format("{}:{}: {}", name_, line_, what));
  }
  Input<> take_header(const std::vector<std::string_view>& names) {
    for (std::size_t i = 0; i < kColumns.size(); ++i) {
      if (std::ranges::count(names, kColumns[i]) != 1)
        return wrong(
            fmt::format("names no column \"{}\", or two; the first line names time, used and active", kColumns[i]));
      places_[i] = static_cast<std::size_t>(std::ranges::find(names, kColumns[i]) - names.begin());
    }
    width_ = names.size();
    return {};
  }
  Input<> take_values(const std::vector<std::string_view>& fields) {
    if (fields.size() != width_)
      return wrong(fmt::format("has {} fields where the header has {}", fields.size(), width_));
    const auto time = PAGODA_TRY(number(fields, kTime, kSecondsMost));
    if (!time) return wrong("has no time");
    if (last_ && *time < *last_) return wrong("goes back in time");
    last_ = time;
    first_ = first_.value_or(*time);
    if (*time - *first_ > kLengthMost) return wrong("is more than 30 years after the first");
    const auto used = PAGODA_TRY(number(fields, kUsed, kBytesMost));
    const auto active = PAGODA_TRY(number(fields, kActive, kBytesMost));
    if (curve_.steps.empty() && (!used || !active)) return wrong("has no value in its first line");
    DemandStep step = curve_.steps.empty() ? DemandStep{} : curve_.steps.back();
    step.at = Duration(static_cast<std::uint64_t>(std::llround((*time - *first_) * 1e9)));
    if (used) step.used = pages_of(ByteCount(static_cast<std::uint64_t>(*used)));
    if (active) step.active = pages_of(ByteCount(static_cast<std::uint64_t>(*active)));
    // Measured at different moments, active may be a little more than used.
    step.active = std::min(step.active, step.used);
    if (!curve_.steps.empty() && step.at == curve_.steps.back().at) {
      curve_.steps.back() = step;  // The later line counts.
    } else {
      curve_.steps.push_back(step);
    }
    return {};
  }
  // Nothing: not known.
  Input<std::optional<double>> number(const std::vector<std::string_view>& fields, Column column, double most) const {
    const std::string_view text = fields[places_[column]];
    if (text.empty()) return std::nullopt;
    const auto value = parse_real(text);
    if (!value || !(*value >= 0) || *value > most)
      return wrong(fmt::format("\"{}\" is no {}", text, column == kTime ? "time in seconds" : "number of bytes"));
    return value;
  }

  const std::string& name_;
  std::uint64_t line_ = 0;
  std::array<std::size_t, kColumns.size()> places_{};
  std::size_t width_ = 0;
  std::optional<double> first_;
  std::optional<double> last_;
  DemandCurve curve_;
};

}  // namespace

PageCount DemandCurve::most_used() const {
  PageCount most;
  for (const DemandStep& step : steps) most = std::max(most, step.used);
  return most;
}

Input<> check_demand(const DemandCurve& curve) {
  if (curve.steps.empty()) return bad_input("has no steps");
  for (std::size_t i = 0; i < curve.steps.size(); ++i) {
    const DemandStep& step = curve.steps[i];
    if (i == 0 && !step.at.is_zero()) return bad_input("step 1 does not begin at 0s");
    if (i > 0 && step.at <= curve.steps[i - 1].at)
      return bad_input(fmt::format("step {} does not come after the one before it", i + 1));
    if (step.active > step.used)
      return bad_input(fmt::format("step {} has more active memory ({}) than used memory ({})", i + 1,
                                   to_string(bytes_of(step.active)), to_string(bytes_of(step.used))));
  }
  if (curve.most_used().is_zero()) return bad_input("uses no memory");
  if (curve.length <= curve.steps.back().at) return bad_input("ends before its last step begins");
  return {};
}

Input<DemandCurve> parse_demand_csv(std::string_view text, const std::string& name) {
  CsvReader reader(name);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size() - 1);
    PAGODA_TRY(reader.take(text.substr(0, end + 1)));
    text.remove_prefix(end + 1);
  }
  return reader.finish();
}

Input<DemandCurve> read_demand_csv(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return bad_input(fmt::format("{}: cannot be read", path));
  std::string text;
  std::array<char, 1 << 16> part{};
  while (file.read(part.data(), part.size()), file.gcount() > 0) {
    text.append(part.data(), static_cast<std::size_t>(file.gcount()));
    if (text.size() > kFileMost) return bad_input(fmt::format("{}: is larger than 256 MiB", path));
  }
  if (file.bad()) return bad_input(fmt::format("{}: cannot be read; name a file, not a folder", path));
  return parse_demand_csv(text, path);
}

}  // namespace pagoda::sim
