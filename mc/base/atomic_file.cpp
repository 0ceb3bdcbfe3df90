#include <atomic>
#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/base/text.h"

namespace mc {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void fail_write(const fs::path& path, int code, uint64_t written) {
  if (code == ENOSPC || code == EDQUOT) {
    fail(
        "{}: no space left on the disk after {}; the file that was there before is unchanged. Free some "
        "space or choose another output folder",
        path.string(), human_bytes(static_cast<double>(written)));
  }
  fail("{}: cannot write: {}", path.string(), std::generic_category().message(code));
}

// Renaming over a link would cut it, and over a device (/dev/null) would replace it.
fs::path resolve_target(fs::path path) {
  const std::string& text = path.native();
  MC_CHECK(text.find('\0') == std::string::npos, "'{}...': a file's name cannot hold a zero byte",
           text.c_str());
  std::error_code error;
  if (fs::is_symlink(path, error)) path = fs::weakly_canonical(path, error);
  auto status = fs::status(path, error);
  MC_CHECK(!fs::exists(status) || fs::is_regular_file(status),
           "{}: cannot write: it is {}, not a regular file", path.string(),
           fs::is_directory(status) ? "a folder" : "a device or pipe");
  MC_CHECK(path.has_filename(), "'{}' is not the name of a file to write", path.string());
  return path;
}

// Without this the rename itself may be lost in a power cut. Some file systems refuse it: not an error.
void sync_folder(const fs::path& folder) {
  int descriptor = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace

AtomicFile::AtomicFile(fs::path path) : path_(resolve_target(std::move(path))) {
  static std::atomic<unsigned> counter{0};
  do {
    std::string name = fmt::format(".{}.{}-{}.tmp", path_.filename().string(), ::getpid(), counter++);
    temporary_ = path_.parent_path() / name;
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && errno == EEXIST);  // left by a process of the same number that was killed
  if (descriptor_ < 0) fail_write(path_, errno, 0);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, size_t size) {
  auto bytes = static_cast<const char*>(data);
  while (size > 0) {
    ssize_t n = ::write(descriptor_, bytes, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_write(path_, errno, size_);
    bytes += n;
    size -= static_cast<size_t>(n);
    size_ += static_cast<uint64_t>(n);
  }
}

void AtomicFile::commit() {
  // Network file systems report a full disk only here.
  if (::fsync(descriptor_) != 0 && errno != EINVAL) fail_write(path_, errno, size_);
  int closed = ::close(descriptor_);
  descriptor_ = -1;
  if (closed != 0 && errno != EINTR) fail_write(path_, errno, size_);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_write(path_, errno, size_);
  temporary_.clear();
  sync_folder(path_.parent_path());
}

void write_file_atomic(const fs::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

}  // namespace mc
