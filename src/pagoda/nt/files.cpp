#include "pagoda/nt/files.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <system_error>
#include <utility>

#include "pagoda/nt/unicode.h"

namespace pagoda::nt {

namespace {

// What NT calls the one volume there is.
constexpr std::string_view kVolume = "\\Device\\HarddiskVolume1";
constexpr std::array<std::u16string_view, 2> kDosPrefixes{u"\\??\\", u"\\DOSDEVICES\\"};
constexpr std::u16string_view kVolumePrefix = u"\\DEVICE\\HARDDISKVOLUME1\\";
// Not in a name: Microsoft's public documentation, "Naming Files". A slash would be a separator to the host.
constexpr std::u16string_view kForbidden = u"/:*?\"<>|";

// The part of a name that says where in the volume; empty if there is none.
std::u16string_view below_volume(std::u16string_view name) {
  const std::u16string upper = folded(std::u16string(name));
  if (upper.starts_with(kVolumePrefix)) return name.substr(kVolumePrefix.size());
  for (const std::u16string_view prefix : kDosPrefixes) {
    if (!upper.starts_with(prefix)) continue;
    name.remove_prefix(prefix.size());
    const bool has_drive = name.size() >= 3 && upper[prefix.size()] >= u'A' && upper[prefix.size()] <= u'Z' &&
                           name[1] == u':' && name[2] == u'\\';
    return has_drive ? name.substr(3) : std::u16string_view();
  }
  return name.starts_with(u'\\') ? name.substr(1) : std::u16string_view();
}

bool is_component(std::u16string_view part) {
  if (part.empty() || part == u"." || part == u"..") return false;
  return std::ranges::none_of(part, [](char16_t unit) { return unit < 0x20 || kForbidden.contains(unit); });
}

bool is_below(const std::filesystem::path& path, const std::filesystem::path& directory) {
  return std::mismatch(path.begin(), path.end(), directory.begin(), directory.end()).second == directory.end();
}

}  // namespace

Files::Files(machine::Disk* disk, const std::filesystem::path& directory)
    : disk_(disk), lock_(LockRank(LockClass::kObjects, 0)) {
  std::error_code error;
  if (!directory.empty()) directory_ = std::filesystem::canonical(directory, error);
}

Result<std::filesystem::path> Files::host_path(const std::u16string& name) const {
  if (directory_.empty() || disk_ == nullptr) return fail(Status::kObjectNameNotFound);
  std::u16string_view rest = below_volume(name);
  std::filesystem::path path = directory_;
  do {
    const std::size_t end = std::min(rest.find(u'\\'), rest.size());
    const std::u16string_view part = rest.substr(0, end);
    const auto utf8 = to_utf8(std::u16string(part));
    if (!is_component(part) || !utf8) return fail(Status::kObjectNameInvalid);
    path /= *utf8;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  } while (!rest.empty());
  std::error_code error;
  path = std::filesystem::weakly_canonical(path, error);
  if (error) return fail(Status::kObjectNameNotFound);
  if (!is_below(path, directory_)) return fail(Status::kObjectNameInvalid);
  return path;
}

Result<Files::Opened> Files::open(const std::u16string& name, machine::FileCreation creation) {
  const auto path = PAGODA_TRY(host_path(name));
  const LockGuard guard(lock_);
  std::erase_if(streams_, [](const auto& entry) { return entry.second.expired(); });
  if (const auto found = streams_.find(path.native()); found != streams_.end()) {
    if (auto stream = found->second.lock()) {
      if (creation == machine::FileCreation::kCreateNew) return fail(Status::kObjectNameCollision);
      return Opened{std::move(stream)};
    }
  }
  std::error_code error;
  const bool existed = std::filesystem::exists(path, error);
  auto file = disk_->open(path, machine::FileAccess::kReadWrite, creation);
  // A file that the host does not let be written can still be read.
  if (!file && file.error() == Status::kAccessDenied && existed && creation != machine::FileCreation::kCreateNew)
    file = disk_->open(path, machine::FileAccess::kRead, machine::FileCreation::kOpenExisting);
  if (!file) return fail(file.error());
  std::string nt_name(kVolume);
  for (const auto& part : path.lexically_relative(directory_)) nt_name += "\\" + part.string();
  auto stream = std::make_shared<mm::FileStream>(std::move(nt_name), std::move(*file));
  streams_[path.native()] = stream;
  return Opened{std::move(stream), existed ? Opened::How::kOpened : Opened::How::kCreated};
}

std::size_t Files::open_streams() const {
  const LockGuard guard(lock_);
  return static_cast<std::size_t>(
      std::ranges::count_if(streams_, [](const auto& entry) { return !entry.second.expired(); }));
}

}  // namespace pagoda::nt
