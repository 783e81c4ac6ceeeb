// pagoda/nt.h is C (header_test.c), and its values are the ones that the rest of the house uses.
#include <gtest/gtest.h>

#include <array>

#include "pagoda/base/status.h"
#include "pagoda/mm/pte/protection.h"
#include "pagoda/nt.h"

extern "C" NTSTATUS pagoda_nt_test_c_program(char* read, SIZE_T size);

namespace pagoda::nt {
namespace {

TEST(NtHeader, IsUsableFromC) {
  std::array<char, 8> read{};
  EXPECT_EQ(pagoda_nt_test_c_program(read.data(), read.size()), STATUS_SUCCESS);
  EXPECT_STREQ(read.data(), "in C");
}

TEST(NtHeader, HasTheValuesOfTheHouse) {
  EXPECT_EQ(STATUS_CONFLICTING_ADDRESSES, static_cast<NTSTATUS>(Status::kConflictingAddresses));
  EXPECT_EQ(STATUS_INVALID_PARAMETER_12, static_cast<NTSTATUS>(Status::kInvalidParameter12));
  EXPECT_EQ(STATUS_COMMITMENT_MINIMUM, static_cast<NTSTATUS>(Status::kCommitmentMinimum));
  EXPECT_EQ(PAGE_GUARD, mm::page_constants::kGuard);
  EXPECT_EQ(PAGE_EXECUTE_WRITECOPY, mm::page_constants::kExecuteWriteCopy);
}

TEST(NtHeader, ConfigurationsAreChecked) {
  PAGODA_KERNEL* kernel = nullptr;
  PAGODA_KERNEL_CONFIG config{};
  EXPECT_EQ(PagodaCreateKernel(nullptr, &kernel), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(PagodaCreateKernel(&config, &kernel), STATUS_INVALID_PARAMETER);  // No size.
  config.Size = sizeof config;
  EXPECT_EQ(PagodaCreateKernel(&config, &kernel), STATUS_INVALID_PARAMETER);  // No memory.
  config.MemoryBytes = 4096;
  EXPECT_EQ(PagodaCreateKernel(&config, &kernel), STATUS_INSUFFICIENT_RESOURCES);
  config.MemoryBytes = 4 << 20;
  config.Directory = "/nonexistent";
  EXPECT_EQ(PagodaCreateKernel(&config, &kernel), STATUS_OBJECT_NAME_NOT_FOUND);
  config.Directory = nullptr;
  config.Flags = 0x100;
  EXPECT_EQ(PagodaCreateKernel(&config, &kernel), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(kernel, nullptr);
  config.Size = offsetof(PAGODA_KERNEL_CONFIG, Processors);  // An older program's: no flags.
  EXPECT_EQ(PagodaCreateKernel(&config, &kernel), STATUS_SUCCESS);
  EXPECT_EQ(PagodaLeave(), STATUS_INVALID_HANDLE);
  EXPECT_EQ(PagodaDestroyKernel(kernel), STATUS_SUCCESS);
}

}  // namespace
}  // namespace pagoda::nt
