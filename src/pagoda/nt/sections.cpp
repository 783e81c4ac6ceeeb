// NtCreateSection, NtOpenSection, NtQuerySection, NtExtendSection. Checks are in the order of reference/nt.md 6.1.
#include <array>
#include <bit>

#include "pagoda/mm/section/control_area.h"
#include "pagoda/nt/edge.h"
#include "pagoda/nt/files.h"
#include "pagoda/nt/section_object.h"
#include "pagoda/nt/unicode.h"

namespace pagoda::nt {

namespace {

constexpr ULONG kTypes = SEC_COMMIT | SEC_RESERVE | SEC_IMAGE;
constexpr ULONG kAttributes = kTypes | SEC_BASED | SEC_NO_CHANGE | SEC_NOCACHE | SEC_WRITECOMBINE | SEC_LARGE_PAGES;

struct SectionCreation {
  HANDLE* out = nullptr;
  ACCESS_MASK desired = 0;
  const OBJECT_ATTRIBUTES* attributes = nullptr;
  const LARGE_INTEGER* maximum_size = nullptr;
  ULONG protect = 0;
  ULONG flags = 0;
  HANDLE file = nullptr;
};

// The first row of 6.1.
Result<> check_flags(const SectionCreation& request) {
  constexpr auto kBad = Status::kInvalidParameter6;
  const ULONG flags = request.flags;
  PAGODA_TRY(require((flags & ~kAttributes) == 0, kBad));  // SEC_FILE, too: it is told, never asked for.
  PAGODA_TRY(require(std::has_single_bit(flags & kTypes), kBad));
  PAGODA_TRY(require(!has(flags, SEC_IMAGE) || flags == SEC_IMAGE_NO_EXECUTE || (flags & ~(SEC_IMAGE | SEC_BASED)) == 0,
                     kBad));
  PAGODA_TRY(require(!has(flags, SEC_LARGE_PAGES) || (has(flags, SEC_COMMIT) && request.file == nullptr), kBad));
  return {};
}

// What a section may be protected with: rights alone, and some. An image that is not to be executed is to be read.
Result<mm::Protection> section_protection(ULONG flags, ULONG protect) {
  const auto protection = PAGODA_TRY(mm::protection_from_page(protect));
  const bool is_bad = mm::base_of(protection) != protection || protect == PAGE_NOACCESS ||
                      (flags == SEC_IMAGE_NO_EXECUTE && protect != PAGE_READONLY);
  PAGODA_TRY(require(!is_bad, Status::kInvalidPageProtection));
  return protection;
}

// What a section of the protection does to its file. NT: MmMakeFileAccess, by the five-bit rights.
AccessMask file_access(mm::Protection protection) {
  constexpr std::array<AccessMask, 8> kAccess{0,
                                              FILE_READ_DATA,
                                              FILE_EXECUTE,
                                              FILE_EXECUTE | FILE_READ_DATA,
                                              FILE_WRITE_DATA | FILE_READ_DATA,
                                              FILE_READ_DATA,
                                              FILE_EXECUTE | FILE_WRITE_DATA | FILE_READ_DATA,
                                              FILE_EXECUTE | FILE_READ_DATA};
  return kAccess[mm::bits(protection) & mm::kProtectionBase];
}

// A name that is taken already, or the object itself where the caller would have it opened.
Result<std::optional<ObjectUse>> existing(Kernel& kernel, const std::u16string& name,
                                          const OBJECT_ATTRIBUTES& attributes) {
  auto found = kernel.names().find(name, ObjectType::kSection, case_of(&attributes));
  if (!found && found.error() == Status::kObjectNameNotFound) return std::nullopt;
  if ((attributes.Attributes & OBJ_OPENIF) == 0) return fail(Status::kObjectNameCollision);
  if (!found) return fail(found.error());
  return std::optional<ObjectUse>(std::move(*found));
}

Result<> create_section(const SectionCreation& request) {
  auto* const called_by = PAGODA_TRY(calling());
  const Caller& caller = *called_by;
  PAGODA_TRY(check_flags(request));
  const auto protection = PAGODA_TRY(section_protection(request.flags, request.protect));
  PAGODA_TRY(probe(request.out));
  mm::SectionRequest section{.protection = protection};
  if (request.maximum_size != nullptr)
    section.size = ByteCount(static_cast<std::uint64_t>(request.maximum_size->QuadPart));
  const bool is_image = has(request.flags, SEC_IMAGE);
  PAGODA_TRY(require(!is_image || request.file != nullptr, Status::kInvalidFileForSection));
  PAGODA_TRY(require(request.file != nullptr || !section.size.is_zero(), Status::kInvalidParameter4));
  Kernel& kernel = caller.kernel();
  if (has(request.flags, SEC_LARGE_PAGES)) {
    const ByteCount large = kernel.machine().paging().coverage(2);
    PAGODA_TRY(require(section.size.value() % large.value() == 0, Status::kInvalidParameter4));
    PAGODA_TRY(require(caller.process().token().holds(Privilege::kLockMemory), Status::kPrivilegeNotHeld));
  }
  if (request.file != nullptr) {
    const auto file = PAGODA_TRY(object_from<FileObject>(caller, request.file, file_access(protection)));
    section.file = file->stream();
    section.kind = is_image ? mm::SectionKind::kImage : mm::SectionKind::kData;
  }
  const auto name = PAGODA_TRY(captured_name(request.attributes));
  const auto give = [&](const ObjectUse& use) {
    return give_handle(caller, use.object(), request.desired, inheritance_of(request.attributes), request.out);
  };
  if (name) {
    if (const auto found = PAGODA_TRY(existing(kernel, *name, *request.attributes))) {
      PAGODA_TRY(give(*found));
      return fail(Status::kObjectNameExists);
    }
  }

  // RESERVE on a file acts like COMMIT.
  section.flags = {.reserve = has(request.flags, SEC_RESERVE) && request.file == nullptr,
                   .based = has(request.flags, SEC_BASED),
                   .no_change = has(request.flags, SEC_NO_CHANGE),
                   .no_cache = has(request.flags, SEC_NOCACHE) && !is_image,
                   .write_combine = has(request.flags, SEC_WRITECOMBINE),
                   .large_pages = has(request.flags, SEC_LARGE_PAGES),
                   .no_execute = request.flags == SEC_IMAGE_NO_EXECUTE};
  auto* const created = PAGODA_TRY(kernel.manager().sections().create(caller.cpu(), section));
  const ObjectUse made(std::make_shared<SectionObject>(kernel, *created));
  if (name) {
    // Another thread may have taken the name meanwhile: then its object is the one that exists.
    while (!kernel.names().add(made.object(), *name, case_of(request.attributes))) {
      const auto found = PAGODA_TRY(existing(kernel, *name, *request.attributes));
      if (!found) continue;
      PAGODA_TRY(give(*found));
      return fail(Status::kObjectNameExists);
    }
  }
  return give(made);
}

Result<> open_section(HANDLE* out, ACCESS_MASK desired, const OBJECT_ATTRIBUTES* attributes) {
  auto* const caller = PAGODA_TRY(calling());
  PAGODA_TRY(probe(out, attributes));
  const auto name = PAGODA_TRY(captured_name(attributes));
  PAGODA_TRY(require(name.has_value(), Status::kObjectNameInvalid));
  const auto found = PAGODA_TRY(caller->kernel().names().find(*name, ObjectType::kSection, case_of(attributes)));
  return give_handle(*caller, found.object(), desired, inheritance_of(attributes), out);
}

ULONG attributes_of(const mm::Section& section) {
  const mm::SectionFlags& flags = section.flags();
  ULONG out = 0;
  switch (section.kind()) {
    case mm::SectionKind::kPagingFile:
      out = flags.reserve ? SEC_RESERVE : SEC_COMMIT;
      break;
    case mm::SectionKind::kData:
      out = SEC_FILE;
      break;
    case mm::SectionKind::kImage:
      out = SEC_FILE | (flags.no_execute ? SEC_IMAGE_NO_EXECUTE : SEC_IMAGE);
      break;
  }
  if (flags.based) out |= SEC_BASED;
  if (flags.no_change) out |= SEC_NO_CHANGE;
  if (flags.no_cache) out |= SEC_NOCACHE;
  if (flags.write_combine) out |= SEC_WRITECOMBINE;
  if (flags.large_pages) out |= SEC_LARGE_PAGES;
  return out;
}

SECTION_IMAGE_INFORMATION image_information(const Kernel& kernel, const mm::Section& section) {
  const mm::ImageLayout& image = *section.image();
  SECTION_IMAGE_INFORMATION info{};
  info.TransferAddress = pointer_to(image.base + image.entry_point);
  info.MaximumStackSize = image.stack_reserve.value();
  info.CommittedStackSize = image.stack_commit.value();
  info.SubSystemType = static_cast<ULONG>(image.subsystem);
  info.SubSystemMinorVersion = image.subsystem_minor;
  info.SubSystemMajorVersion = image.subsystem_major;
  info.ImageCharacteristics = image.characteristics;
  info.DllCharacteristics = image.dll_characteristics;
  info.Machine = static_cast<USHORT>(image.machine);
  info.ImageContainsCode = image.contains_code ? 1 : 0;
  if (kernel.has(Difference::kImageFlags) && image.is_flat()) info.ImageFlags = SECTION_IMAGE_MAPPED_FLAT;
  info.LoaderFlags = image.has_com_descriptor ? 1 : 0;
  info.ImageFileSize = static_cast<ULONG>(section.control_area().file()->size().value());
  info.CheckSum = image.checksum;
  return info;
}

struct SectionQuery {
  HANDLE section = nullptr;
  void* out = nullptr;
  SIZE_T size = 0;
  SIZE_T* written = nullptr;
};

Result<> query_section(const SectionQuery& request, SECTION_INFORMATION_CLASS what) {
  auto* const caller = PAGODA_TRY(calling());
  PAGODA_TRY(require(what == SectionBasicInformation || what == SectionImageInformation, Status::kInvalidInfoClass));
  const SIZE_T needed =
      what == SectionBasicInformation ? sizeof(SECTION_BASIC_INFORMATION) : sizeof(SECTION_IMAGE_INFORMATION);
  PAGODA_TRY(require_length(request.size >= needed, needed, request.written));
  PAGODA_TRY(probe(request.out));
  const auto object = PAGODA_TRY(object_from<SectionObject>(*caller, request.section, SECTION_QUERY));
  const mm::Section& section = object->section();
  if (what == SectionImageInformation) {
    PAGODA_TRY(require(section.image() != nullptr, Status::kSectionNotImage));
    const SECTION_IMAGE_INFORMATION info = image_information(caller->kernel(), section);
    std::memcpy(request.out, &info, sizeof info);
    if (request.written != nullptr) *request.written = sizeof info;
    return {};
  }
  SECTION_BASIC_INFORMATION info{};
  if (section.based_at()) info.BaseAddress = pointer_to(*section.based_at());
  info.AllocationAttributes = attributes_of(section);
  info.MaximumSize.QuadPart = static_cast<LONGLONG>(section.maximum_size().value());
  std::memcpy(request.out, &info, sizeof info);
  if (request.written != nullptr) *request.written = sizeof info;
  return {};
}

Result<> extend_section(HANDLE handle, LARGE_INTEGER* size) {
  auto* const caller = PAGODA_TRY(calling());
  PAGODA_TRY(probe(size));
  const auto object = PAGODA_TRY(object_from<SectionObject>(*caller, handle, SECTION_EXTEND_SIZE));
  const auto extended = PAGODA_TRY(caller->kernel().manager().sections().extend(
      caller->cpu(), object->section(), ByteCount(static_cast<std::uint64_t>(size->QuadPart))));
  size->QuadPart = static_cast<LONGLONG>(extended.value());
  return {};
}

}  // namespace
}  // namespace pagoda::nt

NTSTATUS NtCreateSection(PHANDLE out, ACCESS_MASK desired, POBJECT_ATTRIBUTES attributes, PLARGE_INTEGER maximum_size,
                         ULONG protect, ULONG flags, HANDLE file) {
  using namespace pagoda::nt;
  return answer(create_section({.out = out,
                                .desired = desired,
                                .attributes = attributes,
                                .maximum_size = maximum_size,
                                .protect = protect,
                                .flags = flags,
                                .file = file}));
}

NTSTATUS NtOpenSection(PHANDLE out, ACCESS_MASK desired, POBJECT_ATTRIBUTES attributes) {
  using namespace pagoda::nt;
  return answer(open_section(out, desired, attributes));
}

NTSTATUS NtQuerySection(HANDLE section, SECTION_INFORMATION_CLASS what, PVOID out, SIZE_T size, PSIZE_T written) {
  using namespace pagoda::nt;
  return answer(query_section({.section = section, .out = out, .size = size, .written = written}, what));
}

NTSTATUS NtExtendSection(HANDLE section, PLARGE_INTEGER size) {
  using namespace pagoda::nt;
  return answer(extend_section(section, size));
}
