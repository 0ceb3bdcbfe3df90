// The folder beside an output in which models are timed.
#pragma once

#include <filesystem>
#include <system_error>

#include "mc/base/file.h"

namespace mc {

class TimingFolder {
 public:
  // OUTPUT.timing. Throws Error when it cannot be made.
  explicit TimingFolder(const std::filesystem::path& output) : path_(output.string() + ".timing") {
    make_output_folder(path_);
  }
  // Gone once it is empty: those who time models remove them.
  ~TimingFolder() {
    std::error_code error;
    std::filesystem::remove(path_, error);
  }
  TimingFolder(const TimingFolder&) = delete;
  TimingFolder& operator=(const TimingFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace mc
