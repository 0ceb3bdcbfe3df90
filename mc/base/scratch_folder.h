// A folder for files that others must be able to open, gone again with the object.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace mc {

class ScratchFolder {
 public:
  // In the system's folder for temporary files. Throws Error when none can be made there.
  ScratchFolder();
  // Removes the files that were asked for, their external data ("NAME.data"), and the folder.
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  // The path of a file in it, which the caller may write.
  std::filesystem::path file(const std::string& name);

 private:
  std::filesystem::path path_;
  std::vector<std::filesystem::path> files_;
};

}  // namespace mc
