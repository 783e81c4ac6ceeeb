// For tests: what a program does with memory, on any test machine that has a processor and a space for it.
//
//   class TestMachine : public ProgramMemory<TestMachine> { Processor& cpu(unsigned); AddressSpace& space(); };
//   const VirtualAddress base = t.commit(PageCount(16));
//   t.fill(base, PageCount(16));
//   EXPECT_EQ(t.differences(base, PageCount(16)), 0U);
#pragma once

#include <cstdint>

#include "pagoda/machine/processor.h"
#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm::testing {

template <class Self>
class ProgramMemory {
 public:
  VirtualAddress reserve(PageCount pages, MemCommit commit = MemCommit::kNo,
                         Protection protection = Protection::kReadWrite) {
    return VirtualAddress(
        self().space().reserve({.size = bytes_of(pages), .protection = protection, .commit = commit})->first);
  }
  VirtualAddress commit(PageCount pages, Protection protection = Protection::kReadWrite) {
    return reserve(pages, MemCommit::kYes, protection);
  }
  static VirtualAddress page(VirtualAddress base, std::uint64_t number) { return base + bytes_of(PageCount(number)); }

  // One word of a page; the status of the access.
  Status put(VirtualAddress base, std::uint64_t page_number, std::uint64_t value, unsigned on = 0) {
    const auto result = self().cpu(on).template store<std::uint64_t>(page(base, page_number), value);
    return result ? Status::kSuccess : result.error();
  }
  Result<std::uint64_t> get(VirtualAddress base, std::uint64_t page_number, unsigned on = 0) {
    return self().cpu(on).template load<std::uint64_t>(page(base, page_number));
  }
  Status touch(VirtualAddress va, machine::Access access = machine::Access::kRead, unsigned on = 0) {
    const auto result = self().cpu(on).touch(va, access);
    return result ? Status::kSuccess : result.error();
  }
  // The same where nothing may fail.
  void must_put(VirtualAddress base, std::uint64_t page_number, std::uint64_t value, unsigned on = 0) {
    PAGODA_CHECK_EQ(put(base, page_number, value, on), Status::kSuccess);
  }
  void must_touch(VirtualAddress va, machine::Access access = machine::Access::kRead, unsigned on = 0) {
    PAGODA_CHECK_EQ(touch(va, access, on), Status::kSuccess);
  }
  // A word into each page, the page's number plus `first`.
  void fill(VirtualAddress base, PageCount pages, std::uint64_t first = 1) {
    for (std::uint64_t i = 0; i < pages.value(); ++i) must_put(base, i, first + i);
  }
  // How many pages do not hold what `fill` wrote.
  std::uint64_t differences(VirtualAddress base, PageCount pages, std::uint64_t first = 1) {
    std::uint64_t wrong = 0;
    for (std::uint64_t i = 0; i < pages.value(); ++i) {
      const auto value = get(base, i);
      if (!value || *value != first + i) ++wrong;
    }
    return wrong;
  }

 private:
  friend Self;
  ProgramMemory() = default;

  Self& self() { return static_cast<Self&>(*this); }
};

}  // namespace pagoda::mm::testing
