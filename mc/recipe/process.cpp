#include "mc/recipe/process.h"

#include <charconv>

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <torch/version.h>

#include "mc/base/error.h"
#include "mc/base/threads.h"
#include "mc/deploy/engine.h"

namespace mc {

void use_threads(int count) {
  Threads::set_count(count);
  at::set_num_threads(Threads::count());
}

at::Device open_device(const std::string& name) {
  if (name == "cpu") return at::kCPU;
  MC_CHECK(name.starts_with("cuda"), "device '{}' is not known; use cpu, cuda or cuda:N", name);
  MC_CHECK(at::globalContext().hasCUDA(), "device '{}': this machine or this LibTorch has no CUDA; use cpu",
           name);
  int index = 0;
  if (name.size() > 5) std::from_chars(name.data() + 5, name.data() + name.size(), index);
  const int count = static_cast<int>(at::detail::getCUDAHooks().deviceCount());
  MC_CHECK(index < count, "device '{}' does not exist; there are {}, counted from cuda:0", name, count);
  return {at::kCUDA, static_cast<c10::DeviceIndex>(index)};
}

std::vector<std::pair<std::string, std::string>> library_versions(const std::vector<std::string>& engines) {
  std::vector<std::pair<std::string, std::string>> versions = {{"LibTorch", TORCH_VERSION}};
  for (const std::string& name : engines) {
    Engine& engine = find_engine(name);
    if (name != "torch" && engine.available()) versions.emplace_back(name, engine.version());
  }
  return versions;
}

}  // namespace mc
