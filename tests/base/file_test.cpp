#include "mc/base/file.h"

#include <csignal>
#include <cstdlib>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mc/base/error.h"
#include "tests/base/error_of.h"
#include "tests/base/temporary_folder.h"

namespace mc {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class FileTest : public testing::Test {
 protected:
  size_t files_in_folder() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  const TemporaryFolder temporary_;
  const fs::path& folder_ = temporary_.path();
};

TEST_F(FileTest, ReadsBackWhatWasWritten) {
  std::string content = std::string("a\0b\n", 4) + std::string(200000, 'x');
  write_file_atomic(folder_ / "f", content);
  EXPECT_EQ(read_file(folder_ / "f"), content);
  EXPECT_EQ(files_in_folder(), 1u);
}

TEST_F(FileTest, ReadsFilesThatDoNotTellTheirSize) {
  EXPECT_THAT(read_file("/proc/self/status"), HasSubstr("Pid:"));
}

TEST_F(FileTest, ReadNamesThePath) {
  EXPECT_THAT(error_of([&] { read_file(folder_ / "none.yaml"); }),
              AllOf(HasSubstr("none.yaml"), HasSubstr("No such file")));
  EXPECT_THAT(error_of([&] { read_file(folder_); }), HasSubstr("is a folder"));
  EXPECT_THAT(error_of([&] { MappedFile::open(folder_ / "none.onnx"); }), HasSubstr("none.onnx"));
  EXPECT_THAT(error_of([&] { MappedFile::open(folder_); }), HasSubstr("is a folder"));
  EXPECT_THAT(error_of([] { MappedFile::open("/dev/null"); }), HasSubstr("not a regular file"));
}

TEST_F(FileTest, MapsAFile) {
  write_file_atomic(folder_ / "f", "mapped");
  auto file = MappedFile::open(folder_ / "f");
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()), "mapped");
  EXPECT_EQ(file->path(), folder_ / "f");
  write_file_atomic(folder_ / "empty", "");
  EXPECT_TRUE(MappedFile::open(folder_ / "empty")->bytes().empty());
}

TEST_F(FileTest, WithoutCommitNothingChanges) {
  write_file_atomic(folder_ / "f", "before");
  {
    AtomicFile file(folder_ / "f");
    file.write("after");
    EXPECT_EQ(file.size(), 5u);
    EXPECT_EQ(files_in_folder(), 2u);
  }
  EXPECT_EQ(read_file(folder_ / "f"), "before");
  EXPECT_EQ(files_in_folder(), 1u);
}

TEST_F(FileTest, FilesGetTheUsualPermissions) {
  mode_t mask = ::umask(022);
  write_file_atomic(folder_ / "f", "x");
  ::umask(mask);
  EXPECT_EQ(static_cast<int>(fs::status(folder_ / "f").permissions()), 0644);
}

TEST_F(FileTest, WritesThroughALink) {
  write_file_atomic(folder_ / "target", "before");
  fs::create_symlink("target", folder_ / "link");
  write_file_atomic(folder_ / "link", "after");
  EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
  EXPECT_EQ(read_file(folder_ / "target"), "after");
}

TEST_F(FileTest, RefusesWhatIsNoFile) {
  EXPECT_THAT(error_of([&] { AtomicFile file(folder_); }), HasSubstr("a folder"));
  EXPECT_THAT(error_of([] { AtomicFile file("/dev/null"); }), HasSubstr("device"));
  EXPECT_THAT(error_of([] { AtomicFile file(""); }), HasSubstr("not the name of a file"));
  EXPECT_THAT(error_of([] { AtomicFile file(std::string("a\0b", 3)); }), HasSubstr("zero byte"));
  EXPECT_THAT(error_of([] { AtomicFile file(std::string("\0", 1)); }), HasSubstr("zero byte"));
  EXPECT_THAT(error_of([&] { AtomicFile file(folder_ / "none" / "f"); }), HasSubstr("No such file"));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

// Runs `body` in a child process and returns its exit status.
template <class Body>
int in_child(Body body) {
  pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

constexpr int kNotAllowed = 77;

// A file system of 64 kB that only a child process sees.
bool mount_small_disk(const fs::path& folder) {
  if (::unshare(CLONE_NEWNS) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
  ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  return ::mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=64k") == 0;
}

TEST_F(FileTest, AFullDiskLeavesThePreviousFile) {
  int status = in_child([&] {
    if (!mount_small_disk(folder_)) return kNotAllowed;
    fs::path path = folder_ / "checkpoint";
    write_file_atomic(path, "before");
    std::string message = error_of([&] { write_file_atomic(path, std::string(1 << 20, 'x')); });
    if (message.find("no space left on the disk") == std::string::npos) return 1;
    if (message.find(path.string()) == std::string::npos) return 2;
    if (read_file(path) != "before") return 3;
    return files_in_folder() == 1 ? 0 : 4;
  });
  if (status == kNotAllowed) GTEST_SKIP() << "mounting a small file system is not allowed here";
  EXPECT_EQ(status, 0);
}

TEST_F(FileTest, AFileSizeLimitLeavesThePreviousFile) {
  fs::path path = folder_ / "checkpoint";
  write_file_atomic(path, "before");
  int status = in_child([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit limit{1000, 1000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    std::string message = error_of([&] { write_file_atomic(path, std::string(5000, 'x')); });
    return message.find("cannot write: File too large") != std::string::npos ? 0 : 1;
  });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(read_file(path), "before");
  EXPECT_EQ(files_in_folder(), 1u);
}

TEST_F(FileTest, MakesOutputFolders) {
  make_output_folder(folder_ / "a" / "b");
  EXPECT_TRUE(fs::is_directory(folder_ / "a" / "b"));
  make_output_folder(folder_ / "a" / "b");
  write_file_atomic(folder_ / "file", "x");
  EXPECT_THAT(error_of([&] { make_output_folder(folder_ / "file"); }), HasSubstr("file"));
  EXPECT_THAT(error_of([&] { make_output_folder(folder_ / "file" / "below"); }), HasSubstr("output folder"));
  EXPECT_THAT(error_of([] { make_output_folder("/proc/mc_test"); }), HasSubstr("/proc/mc_test"));
}

}  // namespace
}  // namespace mc
