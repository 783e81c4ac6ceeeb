// Pagoda's own calls: a kernel instance, who is in it, and what a program does to memory.
#include <algorithm>

#include "pagoda/nt/edge.h"

struct PAGODA_KERNEL {  // NOLINT(readability-identifier-naming): as the header names it.
  std::unique_ptr<pagoda::nt::Kernel> kernel;
};

namespace pagoda::nt {

namespace {

constexpr std::uint64_t kMaximumGrowth = 4;  // A paging file may grow to so many times its first size. A choice.

Result<machine::PteFormat> format_of(PAGODA_PAGING paging) {
  switch (paging) {
    case PagodaPagingAmd64:
      return machine::PteFormat::kAmd64;
    case PagodaPagingPae:
      return machine::PteFormat::kPae;
    case PagodaPagingX86:
      return machine::PteFormat::kX86;
    default:
      return fail(Status::kInvalidParameter);
  }
}

Result<std::unique_ptr<Kernel>> create_kernel(const PAGODA_KERNEL_CONFIG& asked) {
  const auto format = PAGODA_TRY(format_of(asked.Paging));
  PAGODA_TRY(require((asked.Flags & ~PAGODA_KERNEL_3GB) == 0, Status::kInvalidParameter));
  KernelConfig config;
  config.machine.frames = pages_of(ByteCount(asked.MemoryBytes));
  config.machine.paging = format;
  config.machine.processors = asked.Processors == 0 ? 1 : asked.Processors;
  const ByteCount paging_file(asked.PagingFileBytes);
  if (!paging_file.is_zero()) {
    const PageCount most =
        std::min(pages_of(paging_file) * kMaximumGrowth, mm::largest_paging_file(machine::paging_mode(format)));
    config.manager.paging_files.push_back(
        {.name = "pagefile.sys", .minimum = paging_file, .maximum = std::max(bytes_of(most), paging_file)});
  }
  if (asked.Version != 0) {
    config.version = version_of(asked.Version);
    PAGODA_TRY(require(config.version.has_value(), Status::kInvalidParameter));
  }
  if (asked.Directory != nullptr) config.directory = asked.Directory;
  if ((asked.Flags & PAGODA_KERNEL_3GB) != 0) config.user_range = mm::UserRange::kLarge;
  return Kernel::create(config);
}

Result<> load(VirtualAddress from, std::span<std::byte> into) {
  auto* const caller = PAGODA_TRY(calling());
  return caller->cpu().load(from, into);
}

Result<> store(VirtualAddress to, std::span<const std::byte> from) {
  auto* const caller = PAGODA_TRY(calling());
  return caller->cpu().store(to, from);
}

Result<> fetch(VirtualAddress at) {
  auto* const caller = PAGODA_TRY(calling());
  return caller->cpu().fetch(at);
}

}  // namespace
}  // namespace pagoda::nt

NTSTATUS PagodaCreateKernel(const PAGODA_KERNEL_CONFIG* config, PAGODA_KERNEL** out) {
  using namespace pagoda::nt;
  if (config == nullptr || out == nullptr) return STATUS_ACCESS_VIOLATION;
  if (config->Size < offsetof(PAGODA_KERNEL_CONFIG, Paging)) return STATUS_INVALID_PARAMETER;
  PAGODA_KERNEL_CONFIG complete{};
  std::memcpy(&complete, config, std::min<std::size_t>(config->Size, sizeof complete));
  auto kernel = create_kernel(complete);
  if (!kernel) return nt_status(kernel.error());
  *out = std::make_unique<PAGODA_KERNEL>(std::move(*kernel)).release();
  return STATUS_SUCCESS;
}

NTSTATUS PagodaDestroyKernel(PAGODA_KERNEL* kernel) {
  if (kernel == nullptr) return STATUS_ACCESS_VIOLATION;
  if (kernel->kernel->has_threads()) return STATUS_ACCESS_DENIED;
  const std::unique_ptr<PAGODA_KERNEL> owned(kernel);
  return STATUS_SUCCESS;
}

NTSTATUS PagodaEnter(PAGODA_KERNEL* kernel) {
  using namespace pagoda::nt;
  if (kernel == nullptr) return STATUS_ACCESS_VIOLATION;
  return answer(Caller::enter(*kernel->kernel));
}

NTSTATUS PagodaLeave() {
  using namespace pagoda::nt;
  return answer(Caller::leave());
}

NTSTATUS PagodaLoad(const VOID* address, VOID* into, SIZE_T size) {
  using namespace pagoda::nt;
  return answer(load(address_of(address), {static_cast<std::byte*>(into), size}));
}

NTSTATUS PagodaStore(VOID* address, const VOID* from, SIZE_T size) {
  using namespace pagoda::nt;
  return answer(store(address_of(address), {static_cast<const std::byte*>(from), size}));
}

NTSTATUS PagodaFetch(const VOID* address) {
  using namespace pagoda::nt;
  return answer(fetch(address_of(address)));
}
