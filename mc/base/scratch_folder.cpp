#include "mc/base/scratch_folder.h"

#include <cstdlib>
#include <system_error>

#include "mc/base/error.h"

namespace mc {

ScratchFolder::ScratchFolder() {
  const std::filesystem::path parent = std::filesystem::temp_directory_path();
  std::string name = (parent / "mc_scratch_XXXXXX").string();
  MC_CHECK(mkdtemp(name.data()), "cannot make a folder in {}", parent.string());
  path_ = name;
}

ScratchFolder::~ScratchFolder() {
  std::error_code error;
  for (const std::filesystem::path& file : files_) {
    std::filesystem::remove(file, error);
    std::filesystem::remove(file.string() + ".data", error);
  }
  std::filesystem::remove(path_, error);
}

std::filesystem::path ScratchFolder::file(const std::string& name) {
  files_.push_back(path_ / name);
  return files_.back();
}

}  // namespace mc
