#include "mc/data/bad_values.h"

#include <vector>

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace mc {

std::string find_bad_sample(const Dataset& data) {
  if (data.raw_images()) return "";  // bytes
  const std::vector<FieldInfo> fields = data.fields();
  for (int64_t sample = 0; sample < data.size(); ++sample) {
    const Batch batch = data.get(std::vector<int64_t>{sample});
    for (size_t i = 0; i < batch.inputs.size(); ++i) {
      const at::Tensor& x = batch.inputs[i];
      if (!x.is_floating_point() || at::isfinite(x).all().item<bool>()) continue;
      const bool nan = at::isnan(x).any().item<bool>();
      return fmt::format("sample {}: input '{}' holds {}", sample, fields[i].name, nan ? "NaN" : "infinity");
    }
  }
  return "";
}

}  // namespace mc
