// Files of external data beside a model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mc/base/file.h"
#include "mc/graph/tensor.h"

namespace mc {

class ExternalFiles {
 public:
  explicit ExternalFiles(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // The bytes that a tensor's external_data entries (location, offset, length) point to: `needed` many when
  // no length is given. Throws Error when they leave the folder or the file.
  Buffer find(const Metadata& entries, uint64_t needed);

  std::vector<std::filesystem::path> paths() const;  // of the files opened so far

 private:
  std::shared_ptr<const MappedFile> open(const std::string& location);

  std::filesystem::path folder_;
  std::map<std::string, std::shared_ptr<const MappedFile>> files_;
};

}  // namespace mc
