// What scenario files and reports call the values of enumerations; each table is indexed by its enumeration.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace pagoda::sim {

inline constexpr std::array<std::string_view, 3> kPagingNames{"x86", "pae", "amd64"};           // PteFormat
inline constexpr std::array<std::string_view, 2> kTlbNames{"large", "realistic"};               // TlbGeometry
inline constexpr std::array<std::string_view, 2> kRefillNames{"hardware", "software"};          // TlbRefill
inline constexpr std::array<std::string_view, 3> kMmuNames{"nested", "shadow", "paravirtual"};  // hv::MmuKind
inline constexpr std::array<std::string_view, 3> kBackingNames{"va", "deferred", "pinned"};     // hv::Backing
inline constexpr std::array<std::string_view, 2> kGuestNames{"plain", "windows"};               // VmConfig::GuestKind
inline constexpr std::array<std::string_view, 2> kViewNames{"shared", "copy"};                  // FileViewConfig::Kind
inline constexpr std::array<std::string_view, 2> kVictimNames{"clock", "random"};               // Tunables::Victim
inline constexpr std::array<std::string_view, 2> kZerosNames{"demand_zero", "one_page"};  // SharingTunables::Zeros
inline constexpr std::array<std::string_view, 2> kCombineNames{"ordinary",
                                                               "same_behaviour"};  // SharingTunables::Combine
inline constexpr std::array<std::string_view, 6> kBalloonDriverNames{"normal", "absent", "late", "stuck",
                                                                     "dies",   "lies"};  // BalloonConfig::Driver
inline constexpr std::array<std::string_view, 2> kStatesNames{"esx2002", "esx6"};        // policy::StatesPreset
inline constexpr std::array<std::string_view, 4> kGeneratorNames{"sequential", "uniform", "zipf", "phases"};

template <class Enum>
std::string name_in(std::span<const std::string_view> names, Enum value) {
  return std::string(names[static_cast<std::size_t>(value)]);
}

}  // namespace pagoda::sim
