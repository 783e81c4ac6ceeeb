// How figures and names look in front of a person: thousands separators, units, and escapes for the place where they
// are printed.
//
// Everything here is pure. Text from a scenario (titles, names of processes) is untrusted: it reaches HTML through
// escape_html only and a terminal through escape_terminal only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/base/units.h"

namespace pagoda::report {

std::string grouped(std::uint64_t value);  // "1,234,567"
// "1 page", "12,345 pages"; `plural` if it is not `noun` + "s".
std::string counted(std::uint64_t value, std::string_view noun, std::string_view plural = {});
std::string listed(const std::vector<std::string>& parts);  // "a, b and c"
std::string bytes_text(ByteCount bytes);                    // "48.2 MiB": three digits, binary units.
std::string bytes_text(PageCount pages);                    // The same of that many pages.
std::string duration_text(Duration duration);               // "1.25 ms"
std::string time_text(Time time);                           // The same since the start; "never" for kNever.
std::string seconds_text(double seconds);                   // The wall clock's.
std::string decimal_text(double value);  // "3.8", "12,345": three digits, more only before the point.
// `part` of `whole` in percent: "6.9%". 0% and 100% stand for exactly none and all; next to them "under 0.1%" and
// "over 99.9%".
std::string percent_text(std::uint64_t part, std::uint64_t whole);

// For text and for attributes in double or single quotes. Control characters, and those that turn the direction of
// writing, become U+FFFD, and so does what is not UTF-8; a line break or a tab becomes a space.
std::string escape_html(std::string_view text);
// The same for a terminal: no escape sequence of a name gets through.
std::string escape_terminal(std::string_view text);
// As one word of a POSIX shell.
std::string shell_quoted(std::string_view text);

// Cuts to `width` characters at most, the last one an ellipsis if something is missing. `text` is UTF-8.
std::string shortened(std::string_view text, std::size_t width);
// Characters (code points) of a UTF-8 text.
std::size_t width_of(std::string_view text);

}  // namespace pagoda::report
