#include "mc/base/file.h"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mc/base/error.h"

namespace mc {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void fail_system(const fs::path& path, std::string_view what, int code) {
  fail("{}: {}: {}", path.string(), what, std::generic_category().message(code));
}

// A descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

struct stat status_of(const fs::path& path, const Descriptor& file) {
  if (file.get() < 0) fail_system(path, "cannot open", errno);
  struct stat status = {};
  if (::fstat(file.get(), &status) != 0) fail_system(path, "cannot read", errno);
  MC_CHECK(!S_ISDIR(status.st_mode), "{}: is a folder, expected a file", path.string());
  return status;
}

}  // namespace

std::string read_file(const fs::path& path) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string content;
  // The size is only a hint: pipes and /proc have none.
  size_t room = static_cast<size_t>(status_of(path, file).st_size) + 1;
  size_t filled = 0;
  while (true) {
    content.resize(filled + room);
    ssize_t n = ::read(file.get(), content.data() + filled, room);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_system(path, "cannot read", errno);
    if (n == 0) break;
    filled += static_cast<size_t>(n);
    room = std::max<size_t>(content.size() - filled, 1 << 16);
  }
  content.resize(filled);
  return content;
}

std::shared_ptr<const MappedFile> MappedFile::open(const fs::path& path) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status = status_of(path, file);
  MC_CHECK(S_ISREG(status.st_mode), "{}: is not a regular file and cannot be mapped", path.string());
  std::shared_ptr<MappedFile> mapped(new MappedFile);
  mapped->path_ = path;
  if (status.st_size == 0) return mapped;  // mmap refuses empty ranges
  auto size = static_cast<size_t>(status.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (data == MAP_FAILED) fail_system(path, "cannot map", errno);
  mapped->data_ = static_cast<const std::byte*>(data);
  mapped->size_ = size;
  return mapped;
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

void make_output_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail_system(path, "cannot make the output folder", error.value());
  MC_CHECK(fs::is_directory(path, error), "{}: exists and is not a folder", path.string());
  if (::access(path.c_str(), W_OK | X_OK) != 0) fail_system(path, "cannot write into this folder", errno);
}

}  // namespace mc
