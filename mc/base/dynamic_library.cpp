#include "mc/base/dynamic_library.h"

#include <cstdlib>

#include <dlfcn.h>

#include "mc/base/error.h"
#include "mc/base/text.h"

namespace mc {

DynamicLibrary::DynamicLibrary(const std::vector<std::string>& candidates) {
  std::vector<std::string> reasons;
  for (const std::string& candidate : candidates) {
    if (candidate.empty()) continue;
    handle_ = dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_) {
      path_ = candidate;
      return;
    }
    reasons.emplace_back(dlerror());
  }
  fail("{}", join(reasons, "; "));
}

void* DynamicLibrary::find(const std::string& name) const {
  void* symbol = dlsym(handle_, name.c_str());
  MC_CHECK(symbol, "{} has no function {}: its version does not fit", path_, name);
  return symbol;
}

std::vector<std::string> library_candidates(const char* variable, const std::string& built_with,
                                            const std::vector<std::string>& names) {
  if (const char* chosen = std::getenv(variable); chosen && *chosen) return {chosen};
  std::vector<std::string> candidates = {built_with};
  candidates.insert(candidates.end(), names.begin(), names.end());
  return candidates;
}

}  // namespace mc
