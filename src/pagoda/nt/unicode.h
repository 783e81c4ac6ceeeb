// Strings of 16-bit units, as callers of the native API pass them.
#pragma once

#include <optional>
#include <string>

#include "pagoda/base/status.h"
#include "pagoda/nt.h"

namespace pagoda::nt {

// Without regard to case: what NT's upcase table does, unit by unit; here as the C.UTF-8 locale sees it.
[[nodiscard]] std::u16string folded(const std::u16string& text);
[[nodiscard]] std::u16string to_utf16(const std::string& utf8);
// Nothing if surrogates do not pair.
[[nodiscard]] std::optional<std::string> to_utf8(const std::u16string& text);

// What a caller's string says.
// Fails with: kObjectNameInvalid (an odd length, more than its buffer, or no buffer).
Result<std::u16string> captured(const UNICODE_STRING& given);
// The name that attributes give: none if they are null, or have no name or an empty one.
// Fails with: kInvalidParameter (a wrong Length), kInvalidHandle (a root directory: there are none), kObjectNameInvalid
// (also a name that does not begin with a backslash, or ends with one).
Result<std::optional<std::u16string>> captured_name(const OBJECT_ATTRIBUTES* given);

}  // namespace pagoda::nt
