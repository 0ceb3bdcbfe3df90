// What one process shares: threads and devices.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <c10/core/Device.h>

namespace mc {

// CPU threads of LibTorch and of the engines that load after it; 0: all cores.
void use_threads(int count);

// cpu, cuda or cuda:N. Throws Error when this machine, or the LibTorch that we run on, has no such device.
at::Device open_device(const std::string& name);

// LibTorch and every engine that is there, with versions; loads the engines' libraries.
std::vector<std::pair<std::string, std::string>> library_versions(const std::vector<std::string>& engines);

}  // namespace mc
