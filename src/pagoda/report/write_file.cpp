#include "pagoda/report/write_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <expected>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "pagoda/base/descriptor.h"

namespace pagoda::report {
namespace {

namespace fs = std::filesystem;
using NextPart = std::function<std::string_view()>;

std::string cannot_write(const fs::path& path, int error) {
  const std::string name = is_standard_output(path) ? "standard output" : path.string();
  return fmt::format("{}: cannot write: {}", name, std::strerror(error));
}

std::unexpected<InputError> failed(const fs::path& path, int error) { return failed_work(cannot_write(path, error)); }
std::unexpected<InputError> refused(const fs::path& path, int error) { return bad_input(cannot_write(path, error)); }

// Gives 0 or an errno.
int write_all(int descriptor, const NextPart& next_part) {
  for (std::string_view part = next_part(); !part.empty(); part = next_part()) {
    while (!part.empty()) {
      const ssize_t written = ::write(descriptor, part.data(), part.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return errno;
      part.remove_prefix(static_cast<std::size_t>(written));
    }
  }
  return 0;
}

// An open file; a temporary one is deleted unless it was renamed.
class OpenFile {
 public:
  explicit OpenFile(int descriptor, fs::path temporary = {})
      : descriptor_(descriptor), temporary_(std::move(temporary)) {}
  OpenFile(OpenFile&& other) noexcept
      : descriptor_(std::move(other.descriptor_)), temporary_(std::exchange(other.temporary_, {})) {}
  OpenFile& operator=(OpenFile&&) = delete;
  ~OpenFile() {
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
  }

  // Each gives 0 or an errno.
  int write(const NextPart& next_part) const { return write_all(descriptor_.get(), next_part); }
  int close() { return ::close(descriptor_.release()) == 0 ? 0 : errno; }
  int rename_to(const fs::path& path) {
    if (::rename(temporary_.c_str(), path.c_str()) != 0) return errno;
    temporary_.clear();
    return 0;
  }

 private:
  Descriptor descriptor_;
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

bool is_direct(const fs::path& path) { return is_standard_output(path) || is_special(target_of(path)); }

int write_standard_output(const NextPart& next_part) {
  if (std::fflush(stdout) != 0) return errno;
  return write_all(STDOUT_FILENO, next_part);
}

int write_special(const fs::path& target, const NextPart& next_part) {
  const int descriptor = ::open(target.c_str(), O_WRONLY | O_CLOEXEC);
  if (descriptor < 0) return errno;
  OpenFile file(descriptor);
  if (const int error = file.write(next_part); error != 0) return error;
  return file.close();
}

int write_direct(const fs::path& path, const NextPart& next_part) {
  return is_standard_output(path) ? write_standard_output(next_part) : write_special(target_of(path), next_part);
}

// A new content, complete beside the file whose place it will take.
struct Staged {
  OpenFile file;
  fs::path target;
};

std::expected<Staged, int> stage(const fs::path& path, const NextPart& next_part) {
  fs::path target = target_of(path);
  if (!target.has_filename()) return std::unexpected(EISDIR);
  fs::path temporary = temporary_beside(target);
  const int descriptor = open_temporary(temporary);
  if (descriptor < 0) return std::unexpected(errno);
  OpenFile file(descriptor, std::move(temporary));
  if (const int error = file.write(next_part); error != 0) return std::unexpected(error);
  if (const int error = file.close(); error != 0) return std::unexpected(error);
  return Staged{.file = std::move(file), .target = std::move(target)};
}

// One part, then none.
NextPart whole(std::string_view content) {
  return [content]() mutable { return std::exchange(content, {}); };
}

}  // namespace

Input<> write_file(const fs::path& path, std::string_view content) { return write_file_in_parts(path, whole(content)); }

Input<> write_file_in_parts(const fs::path& path, const NextPart& next_part) {
  if (is_direct(path)) {
    const int error = write_direct(path, next_part);
    return error == 0 ? Input<>{} : failed(path, error);
  }
  auto staged = stage(path, next_part);
  if (!staged) return failed(path, staged.error());
  const int error = staged->file.rename_to(staged->target);
  return error == 0 ? Input<>{} : failed(path, error);
}

Input<> write_files(std::span<const NamedContent> files) {
  std::vector<std::pair<const NamedContent*, Staged>> all;
  for (const NamedContent& file : files) {
    if (is_direct(file.path)) continue;
    auto staged = stage(file.path, whole(file.content));
    if (!staged) return failed(file.path, staged.error());
    all.emplace_back(&file, std::move(*staged));
  }
  for (const NamedContent& file : files) {
    if (!is_direct(file.path)) continue;
    if (const int error = write_direct(file.path, whole(file.content)); error != 0) return failed(file.path, error);
  }
  for (auto& [file, staged] : all)
    if (const int error = staged.file.rename_to(staged.target); error != 0) return failed(file->path, error);
  return {};
}

bool is_standard_output(const fs::path& path) {
  if (path == "-") return true;
  struct stat named{};
  struct stat standard{};
  return ::stat(path.c_str(), &named) == 0 && ::fstat(STDOUT_FILENO, &standard) == 0 &&
         named.st_dev == standard.st_dev && named.st_ino == standard.st_ino;
}

bool is_same_file(const fs::path& one, const fs::path& other) {
  if (is_standard_output(one) || is_standard_output(other)) return is_standard_output(one) && is_standard_output(other);
  std::error_code error;
  if (fs::exists(one, error) && fs::exists(other, error)) return fs::equivalent(one, other, error);
  // A folder that is missing is made for it: what is there decides as far as it goes.
  const fs::path first = fs::weakly_canonical(fs::absolute(one, error), error);
  const fs::path second = fs::weakly_canonical(fs::absolute(other, error), error);
  return first == second;
}

Input<> check_writable(const fs::path& path) {
  if (is_standard_output(path)) {
    const int flags = ::fcntl(STDOUT_FILENO, F_GETFL);
    if (flags < 0) return refused(path, errno);
    return (flags & O_ACCMODE) == O_RDONLY ? refused(path, EBADF) : Input<>{};
  }
  const fs::path target = target_of(path);
  if (is_special(target)) {
    std::error_code error;
    if (fs::is_directory(target, error)) return refused(path, EISDIR);
    return ::access(target.c_str(), W_OK) == 0 ? Input<>{} : refused(path, errno);
  }
  if (!target.has_filename()) return refused(path, EISDIR);
  fs::path temporary = temporary_beside(target);
  const int descriptor = open_temporary(temporary);
  if (descriptor < 0) return refused(path, errno);
  const OpenFile probe(descriptor, std::move(temporary));
  return {};
}

}  // namespace pagoda::report
