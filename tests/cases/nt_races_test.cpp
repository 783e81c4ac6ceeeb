// Calls of the native API from several threads at once: each is done as if alone.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "pagoda/nt.h"

namespace pagoda::nt::testing {
namespace {

// NtFreeVirtualMemory must not look at a region, let go of the lock, and free what lies there by then.
TEST(NtRaces, DISABLED_AFreeAgainstAnAllocateKeepsTheVirtualSize) {
  PAGODA_KERNEL_CONFIG config{
      .Size = sizeof(PAGODA_KERNEL_CONFIG), .MemoryBytes = 64U << 20, .Processors = 2, .PagingFileBytes = 16U << 20};
  PAGODA_KERNEL* kernel = nullptr;
  ASSERT_EQ(PagodaCreateKernel(&config, &kernel), STATUS_SUCCESS);
  void* const place = reinterpret_cast<void*>(std::uintptr_t{0x1000'0000});
  const auto free_region = [&](SIZE_T& size) {
    void* base = place;
    size = 0;
    return NtFreeVirtualMemory(NtCurrentProcess(), &base, &size, MEM_RELEASE);
  };

  // Both reserve and free by turns at the same place, regions of different sizes.
  std::atomic<unsigned> wrong{0};
  const auto program = [&](unsigned number, SIZE_T reserved) {
    ASSERT_EQ(PagodaEnter(kernel), STATUS_SUCCESS);
    for (unsigned i = 0; i < 400'000; ++i) {
      if (i % 2 == number) {
        void* base = place;
        SIZE_T size = reserved;
        NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &size, MEM_RESERVE, PAGE_READWRITE);
      } else if (SIZE_T size = 0; free_region(size) == STATUS_SUCCESS && size != 0x1'0000 && size != 0x3'0000) {
        ++wrong;
      }
    }
    PagodaLeave();
  };
  {
    const std::jthread first(program, 0U, SIZE_T{0x3'0000});
    const std::jthread second(program, 1U, SIZE_T{0x1'0000});
  }
  EXPECT_EQ(wrong, 0U) << "sizes freed that no region had";

  ASSERT_EQ(PagodaEnter(kernel), STATUS_SUCCESS);
  for (SIZE_T size = 0; free_region(size) == STATUS_SUCCESS;) {
  }
  VM_COUNTERS counters{};
  ASSERT_EQ(NtQueryInformationProcess(NtCurrentProcess(), ProcessVmCounters, &counters, sizeof(counters), nullptr),
            STATUS_SUCCESS);
  EXPECT_EQ(counters.VirtualSize, 0U);
  PagodaLeave();
  EXPECT_EQ(PagodaDestroyKernel(kernel), STATUS_SUCCESS);
}

}  // namespace
}  // namespace pagoda::nt::testing
