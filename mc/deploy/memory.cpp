#include "mc/deploy/memory.h"

#include <algorithm>
#include <fstream>
#include <string>

#include "mc/base/free_memory.h"

namespace mc {
namespace {

// A figure of /proc/self/status ("VmRSS", "VmHWM") in megabytes; 0 where there is none.
double status_megabytes(const std::string& key) {
  std::ifstream file("/proc/self/status");
  std::string word;
  while (file >> word) {
    double kibibytes = 0;
    if (word == key + ":" && file >> kibibytes) return kibibytes * 1024 / 1e6;
  }
  return 0;
}

// Writing 5 there sets VmHWM to VmRSS (proc(5), clear_refs).
bool reset_peak() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  return static_cast<bool>(file);
}

}  // namespace

PeakMemory::PeakMemory() {
  release_free_memory();  // freed memory that is still ours would hide growth
  exact_ = reset_peak();
  before_ = status_megabytes("VmRSS");
}

double PeakMemory::megabytes() const {
  return std::max(0.0, status_megabytes(exact_ ? "VmHWM" : "VmRSS") - before_);
}

}  // namespace mc
