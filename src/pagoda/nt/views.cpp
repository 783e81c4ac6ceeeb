// NtMapViewOfSection(Ex), NtUnmapViewOfSection(Ex), NtAreMappedFilesTheSame, NtFlushVirtualMemory. Checks stand in the
// order of reference/nt.md 6.2 and 7.6; those that need the section are mm's.
#include <array>

#include "pagoda/mm/section/pe_image.h"
#include "pagoda/nt/edge.h"
#include "pagoda/nt/extended_parameters.h"
#include "pagoda/nt/section_object.h"

namespace pagoda::nt {

namespace {

bool is_64_bit(Kernel& kernel) { return kernel.machine().paging().format == machine::PteFormat::kAmd64; }

// MEM_DOS_LIM is for programs of 32-bit systems.
ULONG view_types(Kernel& kernel) {
  constexpr ULONG kAll = MEM_TOP_DOWN | MEM_LARGE_PAGES | SEC_NO_CHANGE | MEM_RESERVE;
  return is_64_bit(kernel) ? kAll : kAll | MEM_DOS_LIM;
}

// What a view of the protection needs of the section's handle. NT: MmMakeSectionAccess, by the five-bit rights.
AccessMask section_access(mm::Protection protection) {
  constexpr std::array<AccessMask, 8> kAccess{SECTION_MAP_READ,
                                              SECTION_MAP_READ,
                                              SECTION_MAP_EXECUTE,
                                              SECTION_MAP_EXECUTE | SECTION_MAP_READ,
                                              SECTION_MAP_WRITE,
                                              SECTION_MAP_READ,
                                              SECTION_MAP_EXECUTE | SECTION_MAP_WRITE,
                                              SECTION_MAP_EXECUTE | SECTION_MAP_READ};
  return kAccess[mm::bits(protection) & mm::kProtectionBase];
}

struct Mapping {
  HANDLE section = nullptr;
  HANDLE process = nullptr;
  PVOID* base = nullptr;
  LARGE_INTEGER* offset = nullptr;  // May be null.
  SIZE_T* size = nullptr;
  SIZE_T commit = 0;
  ULONG inherit = ViewUnmap;
  ULONG type = 0;
  ULONG protect = 0;
};

// What is told of a view that was mapped, beside that it was: its image is for another machine, or not where it wants
// to be.
Result<> placed(Kernel& kernel, const mm::Section& section, VirtualAddress view, ByteCount offset) {
  const mm::ImageLayout* const image = section.image();
  if (image == nullptr) return {};
  const auto native = is_64_bit(kernel) ? mm::PeMachine::kAmd64 : mm::PeMachine::kI386;
  PAGODA_TRY(require(image->machine == native, Status::kImageMachineTypeMismatch));
  return require(section.is_at_base(view, offset), Status::kImageNotAtBase);
}

// After the inheritance and the type: `limit` looks at the base and says where the view may lie.
template <class Limit>
Result<> map_view(const Caller& caller, const Mapping& request, const Limit& limit) {
  const auto protection = PAGODA_TRY(mm::protection_from_page(request.protect));
  PAGODA_TRY(probe(request.base, request.size));
  const bool on_page = has(request.type, MEM_DOS_LIM);
  const VirtualAddress given = address_of(*request.base);
  const VirtualAddress base = on_page ? VirtualAddress(given.vpn()) : given;
  const ByteCount size(*request.size);
  const VirtualAddress highest = highest_vad_address(caller);
  PAGODA_TRY(require(base <= highest && ends_by(base, size, highest), Status::kInvalidParameter3));
  const mm::PlacementWishes wishes = PAGODA_TRY(limit(base));
  const auto target = PAGODA_TRY(target_process(caller, request.process, PROCESS_VM_OPERATION));
  const auto object = PAGODA_TRY(object_from<SectionObject>(caller, request.section, section_access(protection)));

  mm::ViewRequest view{
      .base_on_page = on_page,
      .size = size,
      .commit = ByteCount(request.commit),
      .protection = protection,
      .direction = has(request.type, MEM_TOP_DOWN) ? mm::Direction::kTopDown : mm::Direction::kBottomUp,
      .inherit = static_cast<mm::Inherit>(request.inherit),
      .no_change = has(request.type, SEC_NO_CHANGE),
      .extendable = has(request.type, MEM_RESERVE),
      .replaces_placeholder = has(request.type, MEM_REPLACE_PLACEHOLDER)};
  if (base.value() != 0) {
    view.base = base;
  } else {
    view.wishes = wishes;
  }
  if (request.offset != nullptr) view.offset = ByteCount(static_cast<std::uint64_t>(request.offset->QuadPart));
  mm::Section& section = object->section();
  const auto mapped = PAGODA_TRY(target.space().map_view(caller.cpu(), section, view));
  *request.base = pointer_to(page_start(mapped));
  *request.size = byte_size(mapped);
  return placed(caller.kernel(), section, page_start(mapped), view.offset);
}

Result<> map_plain(const Mapping& request, ULONG_PTR zero_bits) {
  auto* const caller = PAGODA_TRY(calling());
  PAGODA_TRY(require(request.inherit == ViewShare || request.inherit == ViewUnmap, Status::kInvalidParameter8));
  PAGODA_TRY(require(!has(request.type, ~view_types(caller->kernel())), Status::kInvalidParameter9));
  return map_view(*caller, request, [&](VirtualAddress base) -> Result<mm::PlacementWishes> {
    if (zero_bits == 0) return mm::PlacementWishes{};
    const auto ceiling = mm::zero_bits_ceiling(caller->kernel().machine().paging(), zero_bits);
    if (!ceiling || base > *ceiling) return fail(Status::kInvalidParameter4);
    return mm::PlacementWishes{.highest = *ceiling};
  });
}

Result<> map_extended(const Mapping& request, std::span<const MEM_EXTENDED_PARAMETER> asked) {
  auto* const caller = PAGODA_TRY(calling());
  const ExtendedParameters parameters = PAGODA_TRY(extended_parameters(*caller, asked));
  PAGODA_TRY(require(!has(request.type, ~(view_types(caller->kernel()) | MEM_REPLACE_PLACEHOLDER)),
                     Status::kInvalidParameter));
  return with_plain_status(map_view(*caller, request, [&](VirtualAddress base) -> Result<mm::PlacementWishes> {
    PAGODA_TRY(check_parameters(parameters, pointer_to(base), request.type));
    return parameters.requirements.value_or(mm::PlacementWishes{});
  }));
}

Result<> unmap(HANDLE process, PVOID address, mm::ProcessSpace::After after) {
  auto* const caller = PAGODA_TRY(calling());
  const auto target = PAGODA_TRY(target_process(*caller, process, PROCESS_VM_OPERATION));
  PAGODA_TRY(require(address_of(address) <= highest_user_address(*caller), Status::kNotMappedView));
  return target.space().unmap_view(caller->cpu(), address_of(address), after);
}

Result<> unmap_extended(HANDLE process, PVOID address, ULONG flags) {
  PAGODA_TRY(
      require((flags & ~(MEM_UNMAP_WITH_TRANSIENT_BOOST | MEM_PRESERVE_PLACEHOLDER)) == 0, Status::kInvalidParameter));
  return unmap(process, address,
               (flags & MEM_PRESERVE_PLACEHOLDER) != 0 ? mm::ProcessSpace::After::kPlaceholder
                                                       : mm::ProcessSpace::After::kNothing);
}

Result<> compare_files(PVOID image, PVOID file) {
  auto* const caller = PAGODA_TRY(calling());
  const bool is_same = PAGODA_TRY(caller->space().maps_same_file(address_of(image), address_of(file)));
  return require(is_same, Status::kNotSameDevice);
}

Result<> flush(HANDLE process, PVOID* base_address, SIZE_T* region_size, IO_STATUS_BLOCK* io) {
  auto* const caller = PAGODA_TRY(calling());
  PAGODA_TRY(probe(base_address, region_size, io));
  const VirtualAddress base = address_of(*base_address);
  const ByteCount size(*region_size);
  const VirtualAddress highest = highest_user_address(*caller);
  PAGODA_TRY(require(base <= highest && ends_by(base, size, highest), Status::kInvalidParameter));
  const auto target = PAGODA_TRY(target_process(*caller, process, PROCESS_VM_OPERATION));
  const auto flushed = PAGODA_TRY(target.space().flush_view(caller->cpu(), base, size));
  *base_address = pointer_to(page_start(flushed));
  *region_size = byte_size(flushed);
  *io = {};
  io->Information = byte_size(flushed);
  return {};
}

}  // namespace
}  // namespace pagoda::nt

NTSTATUS NtMapViewOfSection(HANDLE section, HANDLE process, PVOID* base, ULONG_PTR zero_bits, SIZE_T commit,
                            PLARGE_INTEGER offset, PSIZE_T size, SECTION_INHERIT inherit, ULONG type, ULONG protect) {
  using namespace pagoda::nt;
  return answer(map_plain({.section = section,
                           .process = process,
                           .base = base,
                           .offset = offset,
                           .size = size,
                           .commit = commit,
                           .inherit = static_cast<ULONG>(inherit),
                           .type = type,
                           .protect = protect},
                          zero_bits));
}

NTSTATUS NtMapViewOfSectionEx(HANDLE section, HANDLE process, PVOID* base, PLARGE_INTEGER offset, PSIZE_T size,
                              ULONG type, ULONG protect, PMEM_EXTENDED_PARAMETER parameters, ULONG count) {
  using namespace pagoda::nt;
  if (count != 0 && parameters == nullptr) return STATUS_INVALID_PARAMETER;
  return answer(map_extended({.section = section,
                              .process = process,
                              .base = base,
                              .offset = offset,
                              .size = size,
                              .type = type,
                              .protect = protect},
                             {parameters, count}));
}

NTSTATUS NtUnmapViewOfSection(HANDLE process, PVOID base) {
  using namespace pagoda::nt;
  return answer(unmap(process, base, pagoda::mm::ProcessSpace::After::kNothing));
}

NTSTATUS NtUnmapViewOfSectionEx(HANDLE process, PVOID base, ULONG flags) {
  using namespace pagoda::nt;
  return answer(unmap_extended(process, base, flags));
}

NTSTATUS NtAreMappedFilesTheSame(PVOID image, PVOID file) {
  using namespace pagoda::nt;
  return answer(compare_files(image, file));
}

NTSTATUS NtFlushVirtualMemory(HANDLE process, PVOID* base, PSIZE_T size, PIO_STATUS_BLOCK io) {
  using namespace pagoda::nt;
  return answer(flush(process, base, size, io));
}
