// A shared library that is loaded while the program runs.
#pragma once

#include <string>
#include <vector>

namespace mc {

class DynamicLibrary {
 public:
  // The first of `candidates` that loads; empty ones are skipped. It stays loaded until the process ends:
  // engines keep threads of their own. Throws Error with what the loader said about each.
  explicit DynamicLibrary(const std::vector<std::string>& candidates);

  // Throws Error when the library has no such function (another version of it).
  void* find(const std::string& name) const;
  template <class Function>
  Function* function(const std::string& name) const {
    return reinterpret_cast<Function*>(find(name));
  }

  const std::string& path() const { return path_; }

 private:
  std::string path_;
  void* handle_ = nullptr;
};

// Where to look for an engine's library: $variable, if it is set, is the only place; else the one that was
// found when we were built, then the names that the system's loader may know.
std::vector<std::string> library_candidates(const char* variable, const std::string& built_with,
                                            const std::vector<std::string>& names);

}  // namespace mc
