#include "pagoda/sim/image/image_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pagoda/base/status.h"
#include "pagoda/sim/image/byte_fields.h"
#include "pagoda/sim/image/dump/avml_image.h"
#include "pagoda/sim/image/dump/elf_image.h"
#include "pagoda/sim/image/dump/flattened_bytes.h"
#include "pagoda/sim/image/dump/kdump_image.h"
#include "pagoda/sim/image/dump/lime_image.h"
#include "pagoda/sim/image/dump/windows_dump.h"
#include "pagoda/sim/image/page_map.h"
#include "pagoda/sim/image/skippable_frame.h"
#include "pagoda/sim/image/tar_header.h"
#include "pagoda/sim/image/zlib_stream.h"

namespace pagoda::sim {

namespace {

using namespace std::string_view_literals;

constexpr std::string_view kIsDisk =
    "it is what a disk holds, not memory; dump the guest with \"virsh dump --memory-only\" or QEMU's "
    "dump-guest-memory, "
    "or say --raw if these are bytes of memory";
constexpr std::string_view kUnpack = "unpack it and give what was in it";
constexpr std::string_view kIsTrace =
    "it is a trace, not memory; print it as text with the tool that wrote it and give that to \"pagoda trace\"";

bool begins_with_zlib(const FileEnds& ends) { return ZlibStream::begins_with(ends.first); }

// Frames without data may come first; a source passes over those in front of zstd's.
bool begins_with_lz4_after_frames(const FileEnds& ends) {
  constexpr std::uint32_t kLz4 = 0x184d2204;
  const auto rest = behind_skippable_frames(ends.first);
  return rest.size() >= sizeof kLz4 && ByteFields(rest).u32(0) == kLz4;
}

bool begins_with_tar(const FileEnds& ends) { return is_tar_header(ends.first); }

// A fixed VHD has its mark in its last sector only.
bool ends_as_vhd(const FileEnds& ends) {
  constexpr std::string_view kCookie = "conectix";
  return ends.last.size() == kLastBytes &&
         std::ranges::equal(ends.last.first(kCookie.size()), std::as_bytes(std::span(kCookie)));
}

// makedumpfile and QEMU flatten kdump files and ELF cores alike.
Input<std::unique_ptr<MemoryImage>> open_flattened(const std::shared_ptr<const StoredBytes>& file) {
  std::shared_ptr<const StoredBytes> flat = PAGODA_TRY(unflatten(file));
  std::vector<std::byte> first(kFirstBytes);
  first.resize(PAGODA_TRY(flat->read(0, first)));
  const ImageFormat& format = find_format({.first = first, .last = {}});
  if (format.open != open_elf && format.open != open_kdump)
    return flat->damaged(fmt::format("damaged: what was flattened is no dump ({})", format.name));
  return format.open(flat);
}

std::vector<ImageFormat> make_formats() {
  const auto memory = [](std::string_view name, const std::vector<Magic>& magics, auto* open) {
    return ImageFormat{.name = name, .use = FormatUse::kMemory, .magics = magics, .open = open};
  };
  const auto refused = [](std::string_view name, const std::vector<Magic>& magics, std::string_view advice) {
    return ImageFormat{.name = name, .use = FormatUse::kRefused, .magics = magics, .advice = advice};
  };
  return {
      {.name = "page map (VPM1)", .use = FormatUse::kPageMap, .magics = {{0, PageMap::kMagic}}},
      // Long magics first: where two fit, the longer one is surer.
      memory("flattened kdump or ELF core (makedumpfile, QEMU)", {{0, "makedumpfile\0\0\0\0"sv}}, open_flattened),
      memory("kdump-compressed dump", {{0, "KDUMP   "}, {0, "DISKDUMP"}}, open_kdump),
      memory("LiME", {{0, "EMiL\1\0\0\0"sv}}, open_lime),
      memory("AVML", {{0, "AVML\2\0\0\0"sv}}, open_avml),
      memory("Windows dump, complete or bitmap", {{0, "PAGEDU64"}, {0, "PAGEDUMP"}}, open_windows_dump),
      refused("VMware state (.vmss, .vmsn)",
              {{0, "\xd0\xbe\xd2\xbe"}, {0, "\xd1\xba\xd1\xba"}, {0, "\xd2\xbe\xd2\xbe"}, {0, "\xd3\xbe\xd3\xbe"}},
              "give the .vmem file beside it, or what vmss2core makes of both"),
      refused("VirtualBox saved state (.sav)", {{0, "\x7fVirtualBox SavedState V"}},
              "start the machine from it and run \"VBoxManage debugvm NAME dumpvmcore --filename FILE\""),
      refused("libvirt saved state", {{0, "LibvirtQemudSave"}, {0, "LibvirtQemudPart"}},
              "run \"virsh restore --paused FILE\", then \"virsh dump --memory-only NAME FILE\""),
      refused("QEMU migration state", {{0, "QEVM"}},
              "load it with \"-incoming\", paused, and run dump-guest-memory in its monitor"),
      refused("Xen saved state",
              {{0, "\xff\xff\xff\xff\xff\xff\xff\xffXENF"}, {0, "Xen saved domain"}, {0, "LinuxGuestRecord"}},
              "run \"xl restore -p FILE\", then LiME or AVML inside the guest"),
      refused("Xen core of old tools", {{0, "\xed\xeb\x0f\xf0"}, {0, "\xee\xeb\x0f\xf0"}},
              "run LiME or AVML inside the guest"),
      refused("Windows minidump (of a process)", {{0, "MDMP\x93\xa7"}},
              "it knows virtual addresses only; set \"Complete memory dump\", or write one with DumpIt"),
      refused("LiME of another version", {{0, "EMiL"}}, "load LiME with format=lime and dump again"),
      refused("AVML of another version", {{0, "AVML"}}, "make version 2 of it with \"avml-convert\""),
      refused("hiberfil.sys (Windows hibernation)",
              {{0, "hibr"}, {0, "HIBR"}, {0, "wake"}, {0, "WAKE"}, {0, "RSTR"}, {0, "HORM"}, {0, "BRKP"}},
              "make a raw image of it with hibr2bin"),
      refused("virtual disk",
              {{0, "QFI\xfb"},
               {0, "KDMV"},
               {0, "COWD"},
               {0, "# Disk DescriptorFile"},
               {0, "vhdxfile"},
               {0, "conectix"},
               {0x40, "\x7f\x10\xda\xbe"}},
              kIsDisk),
      memory("ELF core of a machine",
             {{0,
               "\x7f"
               "ELF"}},
             open_elf),
      {.name = "zip archive", .use = FormatUse::kArchive, .magics = {{0, "PK\3\4"}, {0, "PK\5\6"}, {0, "PK\7\x08"}}},
      {.name = "compressed with zstd",
       .use = FormatUse::kCompressed,
       .magics = {{0, "\x28\xb5\x2f\xfd"}},
       .packing = Packing::kZstd},
      {.name = "compressed with gzip", .use = FormatUse::kCompressed, .magics = {{0, "\x1f\x8b\x08"}}},
      {.name = "compressed with xz",
       .use = FormatUse::kCompressed,
       .magics = {{0,
                   "\xfd"
                   "7zXZ\0"sv}}},
      {.name = "compressed with LZ4",
       .use = FormatUse::kCompressed,
       .magics = {{0, "\x04\x22\x4d\x18"}, {0, "\x02\x21\x4c\x18"}},
       .also = begins_with_lz4_after_frames},
      {.name = "compressed with bzip2", .use = FormatUse::kCompressed, .magics = {{4, "1AY&SY"}}},
      refused("compressed otherwise (snappy, lzop, 7z, rar)",
              {{0, "\xff\x06\x00\x00sNaPpY"sv},
               {0, "\x89LZO\0\r\n\x1a\n"sv},
               {0, "7z\xbc\xaf\x27\x1c"},
               {0, "Rar!\x1a\x07"}},
              kUnpack),
      refused("trace",
              {{0, "VMPT1\n"},
               {0, "gem5"},
               {0, "PERFILE2"},
               {0, "damon_recfmt_ver"},
               {0, "\xf0\xde\xbc\x9a\x78\x56\x34\x12"},
               {0, "\x07\x74\x16\x65"}},
              kIsTrace),
      {.name = "compressed with zlib",
       .use = FormatUse::kCompressed,
       .magics = {},
       .also = begins_with_zlib,
       .packing = Packing::kZlib},
      {.name = "tar archive", .use = FormatUse::kArchive, .magics = {}, .also = begins_with_tar},
      refused("disk, partition or file system",
              {{510, "\x55\xaa"},
               {512, "EFI PART"},
               {4096, "EFI PART"},
               {0x438, "\x53\xef"},
               {0, "XFSB"},
               {0x10040, "_BHRfS_M"},
               {3, "NTFS    "},
               {3, "EXFAT   "},
               {0x52, "FAT32"},
               {0x36, "FAT1"},
               {0x8001, "CD001"},
               {0, "hsqs"},
               {0, "LUKS\xba\xbe"},
               {0x200, "LABELONE"},
               {0xff6, "SWAPSPACE2"}},
              kIsDisk),
      {.name = "fixed virtual disk (VHD)",
       .use = FormatUse::kRefused,
       .magics = {},
       .also = ends_as_vhd,
       .advice = kIsDisk},
      {.name = "raw memory", .use = FormatUse::kRaw, .magics = {}},
  };
}

bool has(std::span<const std::byte> bytes, const Magic& magic) {
  return bytes.size() >= magic.at + magic.bytes.size() &&
         std::ranges::equal(bytes.subspan(magic.at, magic.bytes.size()), std::as_bytes(std::span(magic.bytes)));
}

}  // namespace

const std::vector<ImageFormat>& image_formats() {
  static const std::vector<ImageFormat> formats = make_formats();
  return formats;
}

const ImageFormat& find_format(const FileEnds& ends) {
  const auto fits = [&](const ImageFormat& format) {
    return std::ranges::any_of(format.magics, [&](const Magic& magic) { return has(ends.first, magic); }) ||
           (format.also != nullptr && format.also(ends));
  };
  const auto found = std::ranges::find_if(image_formats(), fits);
  return found != image_formats().end() ? *found : raw_format();
}

const ImageFormat& raw_format() { return image_formats().back(); }

}  // namespace pagoda::sim
