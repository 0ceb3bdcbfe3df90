#include "mc/prune/distribution.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "mc/base/error.h"

namespace mc {
namespace {

int64_t product(const std::vector<int64_t>& dims) {
  return std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<>());
}

double raw_density(const std::vector<int64_t>& dims, bool kernel) {
  const size_t count = kernel ? dims.size() : std::min<size_t>(dims.size(), 2);
  const std::vector<int64_t> part(dims.begin(), dims.begin() + static_cast<std::ptrdiff_t>(count));
  return static_cast<double>(std::accumulate(part.begin(), part.end(), int64_t{0})) /
         static_cast<double>(product(part));
}

}  // namespace

std::vector<double> erdos_renyi(const std::vector<std::vector<int64_t>>& dims, double sparsity, bool kernel) {
  MC_CHECK(!dims.empty(), "there is no weight to spread a sparsity over");
  MC_CHECK(sparsity >= 0 && sparsity < 1, "target_sparsity must be in [0, 1), is {}", sparsity);
  double kept = 0;  // elements that stay of all that are not dense
  for (const auto& weight : dims) kept += (1 - sparsity) * static_cast<double>(product(weight));
  std::vector<bool> dense(dims.size(), false);
  for (;;) {
    // density[i] = scale * raw[i], such that sum(density[i] * elements[i]) == kept.
    double weighted = 0, largest = 0;
    size_t densest = 0;
    for (size_t i = 0; i < dims.size(); ++i) {
      if (dense[i]) continue;
      const double raw = raw_density(dims[i], kernel);
      weighted += raw * static_cast<double>(product(dims[i]));
      if (raw > largest) {
        largest = raw;
        densest = i;
      }
    }
    const double scale = weighted > 0 ? kept / weighted : 0;
    if (largest * scale <= 1) {
      std::vector<double> sparsities;
      for (size_t i = 0; i < dims.size(); ++i)
        sparsities.push_back(dense[i] ? 0 : 1 - scale * raw_density(dims[i], kernel));
      return sparsities;
    }
    dense[densest] = true;
    kept -= static_cast<double>(product(dims[densest]));
  }
}

}  // namespace mc
