#include "pagoda/report/write_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

namespace pagoda::report {
namespace {

namespace fs = std::filesystem;
using NextPart = std::function<std::string_view()>;

std::unexpected<InputError> failed(const fs::path& path, int error) {
  return bad_input(fmt::format("{}: cannot write: {}", path.string(), std::strerror(error)));
}

// An open file; a temporary one is deleted unless it was renamed.
class OpenFile {
 public:
  explicit OpenFile(int descriptor, fs::path temporary = {})
      : descriptor_(descriptor), temporary_(std::move(temporary)) {}
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
  }

  // Each gives 0 or an errno.
  int write(const NextPart& next_part) const {
    for (std::string_view part = next_part(); !part.empty(); part = next_part())
      if (const int error = write_part(part); error != 0) return error;
    return 0;
  }
  int close() {
    const int descriptor = descriptor_;
    descriptor_ = -1;
    return ::close(descriptor) == 0 ? 0 : errno;
  }
  int rename_to(const fs::path& path) {
    if (::rename(temporary_.c_str(), path.c_str()) != 0) return errno;
    temporary_.clear();
    return 0;
  }

 private:
  [[nodiscard]] int write_part(std::string_view part) const {
    while (!part.empty()) {
      const ssize_t written = ::write(descriptor_, part.data(), part.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return errno;
      part.remove_prefix(static_cast<std::size_t>(written));
    }
    return 0;
  }

  int descriptor_;
  fs::path temporary_;
};

// Where a rename has to go: the file behind a symbolic link, not the link.
fs::path target_of(const fs::path& path) {
  std::error_code error;
  fs::path target = fs::is_symlink(path, error) ? fs::canonical(path, error) : path;
  return error ? path : target;
}

fs::path temporary_beside(const fs::path& target) {
  return target.parent_path() / fmt::format(".{}.{}.tmp", target.filename().string(), ::getpid());
}

int open_temporary(const fs::path& temporary) {
  return ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
}

bool is_special(const fs::path& target) {
  std::error_code error;
  const fs::file_status status = fs::status(target, error);
  return fs::exists(status) && !fs::is_regular_file(status);
}

int write_special(const fs::path& target, const NextPart& next_part) {
  const int descriptor = ::open(target.c_str(), O_WRONLY | O_CLOEXEC);
  if (descriptor < 0) return errno;
  OpenFile file(descriptor);
  if (const int error = file.write(next_part); error != 0) return error;
  return file.close();
}

int write_regular(const fs::path& target, const NextPart& next_part) {
  if (!target.has_filename()) return EISDIR;
  fs::path temporary = temporary_beside(target);
  const int descriptor = open_temporary(temporary);
  if (descriptor < 0) return errno;
  OpenFile file(descriptor, std::move(temporary));
  if (const int error = file.write(next_part); error != 0) return error;
  if (const int error = file.close(); error != 0) return error;
  return file.rename_to(target);
}

}  // namespace

Input<> write_file(const fs::path& path, std::string_view content) {
  return write_file_in_parts(path, [&content] { return std::exchange(content, {}); });
}

Input<> write_file_in_parts(const fs::path& path, const NextPart& next_part) {
  const fs::path target = target_of(path);
  const int error = is_special(target) ? write_special(target, next_part) : write_regular(target, next_part);
  if (error != 0) return failed(path, error);
  return {};
}

Input<> check_writable(const fs::path& path) {
  const fs::path target = target_of(path);
  if (is_special(target)) {
    std::error_code error;
    if (fs::is_directory(target, error)) return failed(path, EISDIR);
    return ::access(target.c_str(), W_OK) == 0 ? Input<>{} : failed(path, errno);
  }
  if (!target.has_filename()) return failed(path, EISDIR);
  fs::path temporary = temporary_beside(target);
  const int descriptor = open_temporary(temporary);
  if (descriptor < 0) return failed(path, errno);
  const OpenFile probe(descriptor, std::move(temporary));
  return {};
}

}  // namespace pagoda::report
