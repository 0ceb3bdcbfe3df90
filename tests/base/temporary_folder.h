// A folder that lives as long as the object.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

#include <ftw.h>

namespace mc {

// By POSIX: std::filesystem::remove_all crashes beside LibTorch builds that export parts of an older standard
// library (seen with 2.11 for CUDA 13).
inline void remove_tree(const std::filesystem::path& folder) {
  constexpr int kOpenFolders = 16;
  const auto remove_one = [](const char* path, const struct stat*, int, struct FTW*) {
    return std::remove(path);
  };
  nftw(folder.c_str(), remove_one, kOpenFolders, FTW_DEPTH | FTW_PHYS);
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "mc_test_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
    path_ = name;
  }
  ~TemporaryFolder() { remove_tree(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace mc
