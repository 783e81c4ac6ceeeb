#include "pagoda/sim/trace/lackey_import.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "pagoda/base/status.h"

namespace pagoda::sim {

namespace {

constexpr std::size_t kBlockBytes = 1 << 20;
constexpr std::uint64_t kProgressBytes = 16 << 20;
constexpr std::size_t kLineBytesMax = 4096;      // Longer ones are no lines of lackey's.
constexpr std::uint64_t kAccessBytesMax = 4096;  // Lackey's largest is 512 (MAX_DSIZE).
constexpr std::size_t kQuotedBytesMax = 60;

constexpr std::array<std::int8_t, 256> make_hex_digits() {
  std::array<std::int8_t, 256> digits{};
  digits.fill(-1);
  for (int i = 0; i < 10; ++i) digits[static_cast<std::size_t>('0' + i)] = static_cast<std::int8_t>(i);
  for (int i = 0; i < 6; ++i) {
    digits[static_cast<std::size_t>('a' + i)] = static_cast<std::int8_t>(10 + i);
    digits[static_cast<std::size_t>('A' + i)] = static_cast<std::int8_t>(10 + i);
  }
  return digits;
}
constexpr std::array<std::int8_t, 256> kHexDigits = make_hex_digits();

// The line without its end, fit for a message.
std::string quote(std::string_view line) {
  std::string text(line.substr(0, kQuotedBytesMax));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ' || static_cast<unsigned char>(c) > '~') c = '?';
  }
  return line.size() > kQuotedBytesMax ? text + "..." : text;
}

class LackeyParser {
 public:
  LackeyParser(const std::string& name, TraceReducer& reducer) : name_(name), reducer_(reducer) {}

  // `line` has no line feed.
  Input<> parse(std::string_view line) {
    ++totals_.lines;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with("==") || line.starts_with("--")) return {};
    TraceAccess access;
    std::uint64_t times = 1;
    const std::string_view kind = line.substr(0, 3);
    if (kind == "I  ") {
      access = kTraceExecute;
    } else if (kind == " L ") {
      access = kTraceRead;
    } else if (kind == " S ") {
      access = kTraceWrite;
    } else if (kind == " M ") {
      access = kTraceRead | kTraceWrite;
      times = 2;
    } else {
      return malformed(line, "does not begin with \"I  \", \" L \", \" S \" or \" M \"");
    }
    const char* at = line.data() + kind.size();
    const char* const end = line.data() + line.size();
    std::uint64_t address = 0;
    const char* const digits = at;
    for (; at != end && kHexDigits[static_cast<unsigned char>(*at)] >= 0; ++at) {
      address = address << 4 | static_cast<std::uint64_t>(kHexDigits[static_cast<unsigned char>(*at)]);
    }
    // Lackey pads to eight digits; leading zeros do not make an address longer than 64 bits.
    const auto significant = std::string_view(digits, at);
    if (significant.empty() || significant.size() > 16) return malformed(line, "has no address of 1 to 16 hex digits");
    if (at == end || *at != ',') return malformed(line, "has no comma behind the address");
    std::uint64_t size = 0;
    const char* const size_digits = ++at;
    for (; at != end && *at >= '0' && *at <= '9' && size <= kAccessBytesMax; ++at) {
      size = size * 10 + static_cast<std::uint64_t>(*at - '0');
    }
    if (at == size_digits || at != end) return malformed(line, "has no decimal size at its end");
    if (size == 0 || size > kAccessBytesMax) return malformed(line, "has a size that is not 1 to 4096 bytes");
    if (address + (size - 1) < address) return malformed(line, "goes beyond the last address");
    const Vpn first = VirtualAddress(address).vpn();
    const Vpn last = VirtualAddress(address + (size - 1)).vpn();
    for (Vpn page = first;; ++page) {
      reducer_.reference(page, access, times);
      totals_.references += times;
      if (page == last) return {};
    }
  }

  [[nodiscard]] const LackeyTotals& totals() const { return totals_; }

 private:
  std::unexpected<InputError> malformed(std::string_view line, std::string_view what) const {
    return bad_input(
        fmt::format("{}:{}: \"{}\" {}; give the plain output of valgrind --tool=lackey --trace-mem=yes "
                    "(--log-file keeps it apart from the program's own)",
                    name_, totals_.lines, quote(line), what));
  }

  const std::string& name_;
  TraceReducer& reducer_;
  LackeyTotals totals_;
};

}  // namespace

Input<LackeyTotals> import_lackey(int fd, const std::string& name, TraceReducer& reducer,
                                  const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  LackeyParser parser(name, reducer);
  std::vector<char> buffer(kBlockBytes + kLineBytesMax);
  std::size_t held = 0;  // Bytes of an unfinished line, at the front.
  std::uint64_t total = 0;
  std::uint64_t told = 0;
  for (;;) {
    const ssize_t n = read(fd, buffer.data() + held, kBlockBytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0)
      return bad_input(fmt::format("{}: cannot be read: {}; give the output of lackey", name, std::strerror(errno)));
    const char* at = buffer.data();
    const char* const end = at + held + n;
    while (const auto* feed = static_cast<const char*>(std::memchr(at, '\n', static_cast<std::size_t>(end - at)))) {
      PAGODA_TRY(parser.parse({at, feed}));
      at = feed + 1;
    }
    if (n == 0) {
      if (at != end) PAGODA_TRY(parser.parse({at, end}));
      return parser.totals();
    }
    held = static_cast<std::size_t>(end - at);
    if (held > kLineBytesMax) {
      return bad_input(fmt::format("{}:{}: the line is longer than {} bytes; give the output of lackey", name,
                                   parser.totals().lines + 1, kLineBytesMax));
    }
    std::copy(at, end, buffer.data());
    total += static_cast<std::uint64_t>(n);
    if (progress && total - told >= kProgressBytes) {
      told = total;
      progress(total, parser.totals().lines);
    }
  }
}

}  // namespace pagoda::sim
