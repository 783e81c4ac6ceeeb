// What most sources of the floors include: precompiled once for all of them. No source may rely on it: every file includes what it
// uses, which ./lint checks by compiling without precompiled headers.
//
// Only what seldom changes belongs here, because a change compiles everything again.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <expected>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <ranges>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "pagoda/base/status.h"
#include "pagoda/base/units.h"
