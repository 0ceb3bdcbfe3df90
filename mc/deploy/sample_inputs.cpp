#include "mc/deploy/sample_inputs.h"

#include <algorithm>
#include <numeric>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>

#include "mc/base/error.h"
#include "mc/ops/slot.h"

namespace mc {
namespace {

void check_batch(const PortInfo& port, int64_t batch) {
  if (!port.type.shape || port.type.shape->empty()) return;
  const Dim& first = port.type.shape->front();
  MC_CHECK(!first.known() || first.value == batch, "the model's batch is fixed to {}", first.value);
}

at::Tensor random_input(const PortInfo& port, int64_t batch, at::Generator& random) {
  MC_CHECK(port.type.shape, "the rank of input '{}' is not known: give data", port.name);
  std::vector<int64_t> dims;
  for (const Dim& dim : *port.type.shape) {
    MC_CHECK(dim.known() || dims.empty(), "dimension {} of input '{}' ({}) is not known: give data",
             dims.size(), port.name, to_string(*port.type.shape));
    dims.push_back(dims.empty() ? batch : dim.value);
  }
  const at::ScalarType type = to_scalar_type(port.type.dtype);
  if (dtype_is_float(port.type.dtype)) return at::randn(dims, random, at::kFloat).to(type);
  return at::randint(0, 2, dims, random, at::kLong).to(type);
}

std::vector<at::Tensor> from_data(const std::vector<PortInfo>& ports, const Dataset& data, int64_t batch) {
  MC_CHECK(data.size() > 0, "the data has no samples");
  std::vector<int64_t> indices(static_cast<size_t>(batch));
  for (int64_t i = 0; i < batch; ++i) indices[static_cast<size_t>(i)] = i % data.size();
  const Batch samples = data.get(indices);
  const std::vector<FieldInfo> fields = data.fields();
  MC_CHECK(samples.inputs.size() >= ports.size(), "the model takes {} inputs, the data has {}", ports.size(),
           samples.inputs.size());
  std::vector<at::Tensor> inputs;
  for (size_t i = 0; i < ports.size(); ++i) {
    auto field = std::find_if(fields.begin(), fields.end(),
                              [&](const FieldInfo& info) { return info.name == ports[i].name; });
    const size_t source = field == fields.end() ? i : static_cast<size_t>(field - fields.begin());
    inputs.push_back(samples.inputs[source].to(to_scalar_type(ports[i].type.dtype)).contiguous());
  }
  return inputs;
}

}  // namespace

std::vector<at::Tensor> sample_inputs(const std::vector<PortInfo>& ports, const Dataset* data,
                                      int64_t batch) {
  for (const PortInfo& port : ports) check_batch(port, batch);
  if (data) return from_data(ports, *data, batch);
  at::Generator random = at::make_generator<at::CPUGeneratorImpl>(0);
  std::vector<at::Tensor> inputs;
  for (const PortInfo& port : ports) inputs.push_back(random_input(port, batch, random));
  return inputs;
}

}  // namespace mc
