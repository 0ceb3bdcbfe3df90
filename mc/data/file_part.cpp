#include "mc/data/file_part.h"

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mc/base/error.h"

namespace mc {
namespace {

[[noreturn]] void fail_reading(const std::filesystem::path& path, int code) {
  fail("{}: cannot read: {}", path.string(), std::generic_category().message(code));
}

}  // namespace

FilePart::FilePart(const std::filesystem::path& path, uint64_t offset, uint64_t size)
    : path_(path), offset_(offset), size_(size), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (descriptor_ < 0) fail_reading(path_, errno);
  opened_ = stamp();
}

FilePart::~FilePart() {
  ::close(descriptor_);
}

FilePart::Stamp FilePart::stamp() const {
  struct stat status = {};
  if (::fstat(descriptor_, &status) != 0) fail_reading(path_, errno);
  return {status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_size};
}

void FilePart::read(uint64_t at, std::span<std::byte> out) const {
  MC_CHECK(at <= size_ && out.size() <= size_ - at, "{}: {} bytes at {} are beyond the end at {}",
           path_.string(), out.size(), at, size_);
  MC_CHECK(stamp() == opened_, "{}: was changed while it is in use; start again", path_.string());
  while (!out.empty()) {
    const ssize_t count = ::pread(descriptor_, out.data(), out.size(), static_cast<off_t>(offset_ + at));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_reading(path_, errno);
    MC_CHECK(count > 0, "{}: is cut off: {} more bytes expected", path_.string(), out.size());
    at += static_cast<uint64_t>(count);
    out = out.subspan(static_cast<size_t>(count));
  }
}

}  // namespace mc
