// Operations on the native API: a struct for each call, which knows how it is chosen, performed on the kernel and on the
// model, and printed as C++ that `replay` takes. Each has the name of its call without Nt or Pagoda. What a call names
// by a handle is a place in an array, `Handles`.
//
//   const std::vector<Operation> operations{
//       op::AllocateVirtualMemory{.range = {.base = 0x390000, .size = 0x1000}, .type = 0x3000, .protect = 4},
//       op::Store{.address = 0x390000, .size = 8, .value = 7}};
//   EXPECT_EQ(replay(world, operations), "");
//
// Before it is performed, an operation with a `keep_to_model` takes bits away that ask for what the model leaves out
// (nt_model.h), unless the call refuses them.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <variant>

#include "pagoda/machine/paging_mode.h"
#include "tests/support/nt_operations_access.h"
#include "tests/support/nt_operations_pages.h"
#include "tests/support/nt_operations_processes.h"
#include "tests/support/nt_operations_regions.h"
#include "tests/support/nt_operations_sections.h"

namespace pagoda::nt::testing {

// The machine that they are performed on.
struct World {
  machine::PteFormat paging = machine::PteFormat::kAmd64;
  std::uint64_t frames = 400;
};

using Operation =
    std::variant<op::AllocateVirtualMemory, op::AllocateVirtualMemoryEx, op::FreeVirtualMemory,
                 op::ProtectVirtualMemory, op::QueryVirtualMemory, op::LockVirtualMemory, op::UnlockVirtualMemory,
                 op::ReadVirtualMemory, op::WriteVirtualMemory, op::Load, op::Store, op::Fetch, op::CreateSection,
                 op::OpenSection, op::QuerySection, op::ExtendSection, op::MapViewOfSection, op::UnmapViewOfSection,
                 op::FlushVirtualMemory, op::Close, op::DuplicateObject, op::CreateProcess, op::TerminateProcess,
                 op::QueryInformationProcess, op::SetWorkingSet, op::SetPrivilege, op::Attach, op::Detach>;
inline constexpr std::size_t kKindCount = std::variant_size_v<Operation>;

// Of an alternative.
std::string_view name_of_kind(std::size_t kind);
// As C++ that makes it.
std::string to_string(const Operation& operation);
// A whole regression test.
std::string as_test(const World& world, std::span<const Operation> operations);

// Performs all, checking after each `check_every`, and ends; what differs first.
std::string replay(const World& world, std::span<const Operation> operations, std::size_t check_every = 50);

}  // namespace pagoda::nt::testing
