// Units of memory and time, as types that do not convert into each other.
//
// A frame number is not a page number, an address is not a count, and a physical address is not a virtual one. The
// algebra:
//   address - address = ByteCount      pfn - pfn = PageCount
//   address + ByteCount = address      pfn + PageCount = pfn
// A subtraction that would go below zero is a bug and asserts. This is the only file of the house that shifts by 12.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>

#include "pagoda/base/check.h"
#include "pagoda/base/range.h"

namespace pagoda {

inline constexpr unsigned kPageShift = 12;
inline constexpr std::uint64_t kPageBytes = std::uint64_t{1} << kPageShift;
inline constexpr std::uint64_t kPageOffsetMask = kPageBytes - 1;
inline constexpr std::uint64_t kAllocationGranularity = 64 * 1024;  // Bytes. NT: MM_ALLOCATION_GRANULARITY.

// A count of something: adds, subtracts (asserting), scales and compares with its own kind only.
template <class Tag>
class Count {
 public:
  constexpr Count() = default;
  constexpr explicit Count(std::uint64_t value) : value_(value) {}

  [[nodiscard]] constexpr std::uint64_t value() const { return value_; }
  [[nodiscard]] constexpr bool is_zero() const { return value_ == 0; }

  friend constexpr auto operator<=>(Count, Count) = default;
  friend constexpr Count operator+(Count a, Count b) { return Count(a.value_ + b.value_); }
  friend constexpr Count operator-(Count a, Count b) {
    PAGODA_DCHECK_GE(a.value_, b.value_);
    return Count(a.value_ - b.value_);
  }
  friend constexpr Count operator*(Count a, std::uint64_t n) { return Count(a.value_ * n); }
  friend constexpr Count operator/(Count a, std::uint64_t n) { return Count(a.value_ / n); }
  friend constexpr std::uint64_t operator/(Count a, Count b) { return a.value_ / b.value_; }
  constexpr Count& operator+=(Count b) { return *this = *this + b; }
  constexpr Count& operator-=(Count b) { return *this = *this - b; }
  constexpr Count& operator++() {
    ++value_;
    return *this;
  }
  constexpr Count& operator--() { return *this = *this - Count(1); }

 private:
  std::uint64_t value_ = 0;
};

using ByteCount = Count<struct ByteCountTag>;
using PageCount = Count<struct PageCountTag>;
using Cycles = Count<struct CyclesTag>;

inline constexpr ByteCount kPageSize{kPageBytes};

constexpr ByteCount operator""_B(unsigned long long n) { return ByteCount(n); }
constexpr ByteCount operator""_KiB(unsigned long long n) { return ByteCount(n << 10); }
constexpr ByteCount operator""_MiB(unsigned long long n) { return ByteCount(n << 20); }
constexpr ByteCount operator""_GiB(unsigned long long n) { return ByteCount(n << 30); }
constexpr ByteCount operator""_TiB(unsigned long long n) { return ByteCount(n << 40); }
constexpr PageCount operator""_pages(unsigned long long n) { return PageCount(n); }

constexpr ByteCount bytes_of(PageCount pages) { return ByteCount(pages.value() << kPageShift); }
// Whole pages that `bytes` needs: rounds up.
constexpr PageCount pages_of(ByteCount bytes) {
  return PageCount((bytes.value() >> kPageShift) + ((bytes.value() & kPageOffsetMask) != 0 ? 1 : 0));
}

// NOLINTBEGIN(bugprone-crtp-constructor-accessibility): a place by itself is a plain value.
// A place: places of one kind subtract to a distance, and a place moves by a distance.
template <class Tag, class Distance, class Rep>
class Place {
 public:
  constexpr Place() = default;
  constexpr explicit Place(Rep value) : value_(value) {}

  [[nodiscard]] constexpr Rep value() const { return value_; }

  friend constexpr auto operator<=>(Place, Place) = default;
  friend constexpr Distance operator-(Place a, Place b) {
    PAGODA_DCHECK_GE(a.value_, b.value_);
    return Distance(static_cast<std::uint64_t>(a.value_ - b.value_));
  }
  friend constexpr Place operator+(Place a, Distance d) { return Place(static_cast<Rep>(a.value_ + d.value())); }
  friend constexpr Place operator-(Place a, Distance d) {
    PAGODA_DCHECK_GE(a.value_, d.value());
    return Place(static_cast<Rep>(a.value_ - d.value()));
  }
  constexpr Place& operator+=(Distance d) { return *this = *this + d; }
  constexpr Place& operator++() {
    ++value_;
    return *this;
  }

 private:
  Rep value_ = 0;
};

// A page of virtual address space: a virtual address without its offset. NT: VPN.
using Vpn = Place<struct VpnTag, PageCount, std::uint64_t>;

// A frame of physical memory. 32 bits name 16 TiB, which keeps the links of the PFN database small.
using Pfn = Place<struct PfnTag, PageCount, std::uint32_t>;
inline constexpr Pfn kNoPfn{std::numeric_limits<std::uint32_t>::max()};

// A frame of a guest's memory, as its hypervisor numbers it; never confused with the frame of the host behind it.
using Gfn = Place<struct GfnTag, PageCount, std::uint32_t>;
inline constexpr Gfn kNoGfn{std::numeric_limits<std::uint32_t>::max()};

// An address: a place in bytes that knows its page.
template <class Self>
class Address : public Place<Self, ByteCount, std::uint64_t> {
 public:
  using Base = Place<Self, ByteCount, std::uint64_t>;
  using Base::Base;
  [[nodiscard]] constexpr std::uint64_t page_offset() const { return this->value() & kPageOffsetMask; }
  [[nodiscard]] constexpr bool is_page_aligned() const { return page_offset() == 0; }

  friend constexpr Self operator+(Self a, ByteCount d) { return Self(a.value() + d.value()); }
  friend constexpr Self operator-(Self a, ByteCount d) {
    PAGODA_DCHECK_GE(a.value(), d.value());
    return Self(a.value() - d.value());
  }
  constexpr Self& operator+=(ByteCount d) {
    auto& self = static_cast<Self&>(*this);
    return self = self + d;
  }
};
// NOLINTEND(bugprone-crtp-constructor-accessibility)

class VirtualAddress : public Address<VirtualAddress> {
 public:
  using Address::Address;
  constexpr explicit VirtualAddress(Vpn page) : Address(page.value() << kPageShift) {}
  [[nodiscard]] constexpr Vpn vpn() const { return Vpn(value() >> kPageShift); }
  [[nodiscard]] constexpr VirtualAddress page_base() const { return VirtualAddress(value() & ~kPageOffsetMask); }
};

class PhysicalAddress : public Address<PhysicalAddress> {
 public:
  using Address::Address;
  constexpr explicit PhysicalAddress(Pfn frame) : Address(std::uint64_t{frame.value()} << kPageShift) {}
  [[nodiscard]] constexpr Pfn pfn() const { return Pfn(static_cast<std::uint32_t>(value() >> kPageShift)); }
};

// Physical memory as a guest sees it; never confused with the host's.
class GuestPhysicalAddress : public Address<GuestPhysicalAddress> {
 public:
  using Address::Address;
  constexpr explicit GuestPhysicalAddress(Gfn frame) : Address(std::uint64_t{frame.value()} << kPageShift) {}
  [[nodiscard]] constexpr Gfn gfn() const { return Gfn(static_cast<std::uint32_t>(value() >> kPageShift)); }
};

// A slot of a paging file. Slot 0 is reserved, so that a zero offset means "no slot" (reference: NT paging files).
using PageFileSlot = Place<struct PageFileSlotTag, PageCount, std::uint32_t>;

// A place in a disk file.
using FileOffset = Place<struct FileOffsetTag, ByteCount, std::uint64_t>;

// Runs of places (base/range.h has what they can do).
using VpnRange = Range<Vpn>;
using PfnRange = Range<Pfn>;
using GfnRange = Range<Gfn>;
using SlotRange = Range<PageFileSlot>;
using VirtualRange = Range<VirtualAddress>;

// Virtual time, in nanoseconds since the machine started. Never the wall clock.
using Duration = Count<struct DurationTag>;
using Time = Place<struct TimeTag, Duration, std::uint64_t>;
inline constexpr Time kNever{std::numeric_limits<std::uint64_t>::max()};
constexpr Duration operator""_ns(unsigned long long n) { return Duration(n); }
constexpr Duration operator""_us(unsigned long long n) { return Duration(n * 1000); }
constexpr Duration operator""_ms(unsigned long long n) { return Duration(n * 1'000'000); }
constexpr Duration operator""_s(unsigned long long n) { return Duration(n * 1'000'000'000); }

// Printing, with the prefix or the unit: "va:0x7ff0000", "pfn:0x1a2", "64 KiB", "17 pages", "1.250 ms".
std::string to_string(VirtualAddress address);
std::string to_string(PhysicalAddress address);
std::string to_string(GuestPhysicalAddress address);
std::string to_string(Vpn page);
std::string to_string(Pfn frame);
std::string to_string(Gfn frame);
std::string to_string(PageFileSlot slot);
std::string to_string(FileOffset offset);
std::string to_string(ByteCount bytes);
std::string to_string(PageCount pages);
std::string to_string(Cycles cycles);
std::string to_string(Duration duration);
std::string to_string(Time time);

}  // namespace pagoda

template <class Tag, class Distance, class Rep>
struct std::hash<pagoda::Place<Tag, Distance, Rep>> {
  std::size_t operator()(pagoda::Place<Tag, Distance, Rep> place) const noexcept {
    return std::hash<Rep>{}(place.value());
  }
};
