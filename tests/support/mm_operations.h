// Operations on a memory manager: a struct each, which knows how it is chosen, performed on the manager and on the
// model, and printed as C++ that `replay` takes.
//
//   const std::vector<Operation> operations{
//       op::Commit{.by = {.cpu = 0, .space = 1}, .range = {.address = 0x390000, .size = 0x1000}},
//       op::Store{.by = {.cpu = 0, .space = 1}, .range = {.address = 0x390000, .size = 0x1000}, .value = 7}};
//   EXPECT_EQ(replay(world, operations), "");
//
// `fields` visits the fields of an operation in their order, with their names: to print it, or to fill it from bytes.
// Operations that are `kInSpace` need their space, and a processor that runs in it.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <variant>

#include "tests/support/mm_operations_access.h"
#include "tests/support/mm_operations_memory.h"
#include "tests/support/mm_operations_sections.h"
#include "tests/support/mm_world.h"

namespace pagoda::mm::testing {

using Operation =
    std::variant<op::Reserve, op::Commit, op::Decommit, op::Release, op::Protect, op::Load, op::Store, op::Fetch,
                 op::Query, op::Empty, op::SetLimits, op::Lock, op::Unlock, op::RunThreads, op::Advance, op::Flush,
                 op::Recreate, op::CreateSection, op::CloseSection, op::MapView, op::UnmapView, op::Extend,
                 op::FlushView, op::ReadFile, op::WriteFile, op::ResizeFile, op::DropUnused>;

// As C++ that makes it.
std::string to_string(const Operation& operation);
// A whole regression test.
std::string as_test(const World& world, std::span<const Operation> operations);

// Performs all, checking after each `check_every`, and ends; what differs first.
std::string replay(const World& world, std::span<const Operation> operations, std::size_t check_every = 1);

}  // namespace pagoda::mm::testing
