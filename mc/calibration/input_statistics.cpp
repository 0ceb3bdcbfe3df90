#include "mc/calibration/input_statistics.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/module/mode_guard.h"

namespace mc {
namespace {

struct Gathering {
  std::string key;
  const InputView* view = nullptr;
  InputStatistics statistics;
};
using Part = std::vector<Gathering>;

int64_t hessian_bytes(const InputView& view) {
  return std::max<int64_t>(view.groups, 1) * view.inner * view.inner * static_cast<int64_t>(sizeof(double));
}

Gathering begin_view(const std::string& key, const InputView& view, bool hessian) {
  std::vector<int64_t> shape = {view.inner};
  if (view.groups > 0) shape.insert(shape.begin(), view.groups);
  Gathering result{key, &view, {}};
  result.statistics.magnitude = at::zeros(shape, at::kDouble);
  result.statistics.square = at::zeros(shape, at::kDouble);
  result.statistics.mean = at::zeros(shape, at::kDouble);
  shape.push_back(view.inner);
  if (hessian) result.statistics.hessian = at::zeros(shape, at::kDouble);
  return result;
}

void add_input(Gathering& gathering, const at::Tensor& given) {
  MC_CHECK(given.is_floating_point(), "it holds no real numbers");
  const at::Tensor x = gathering.view->rows(given.to(at::kCPU, at::kFloat));
  InputStatistics& statistics = gathering.statistics;
  const at::Tensor square = x.square().sum(-2, /*keepdim=*/false, at::kDouble);
  MC_CHECK(at::isfinite(square).all().item<bool>(), "it holds NaN or infinity, or its squares overflow");
  statistics.square.add_(square);
  statistics.mean.add_(x.sum(-2, /*keepdim=*/false, at::kDouble));
  statistics.magnitude.add_(x.abs().sum(-2, /*keepdim=*/false, at::kDouble));
  if (statistics.hessian.defined()) {
    const at::Tensor product = at::matmul(x.transpose(-2, -1), x);
    MC_CHECK(at::isfinite(product).all().item<bool>(), "its squares overflow");
    statistics.hessian.add_(product);
  }
  statistics.rows += x.size(-2);
}

// One pass for the views of `part`; gives the number of samples.
int64_t gather_part(GraphModule& module, Part& part, const Samples& samples) {
  std::map<std::string, std::vector<Gathering*>> readers;
  for (Gathering& gathering : part) readers[gathering.view->value].push_back(&gathering);
  std::vector<std::string> wanted;
  wanted.reserve(readers.size());
  for (const auto& entry : readers) wanted.push_back(entry.first);
  const GraphModule::Observer run = module.observer(wanted);
  int64_t done = 0;
  for_each_batch(samples, "inputs of layers", [&](const Batch& batch) {
    run(batch.inputs, [&](const std::string& name, const at::Tensor& x) {
      const auto found = readers.find(name);
      if (found == readers.end() || x.numel() == 0) return;
      with_context([&] { return fmt::format("value '{}'", name); },
                   [&] {
                     for (Gathering* gathering : found->second) add_input(*gathering, x);
                   });
    });
    done += batch.size();
  });
  for (Gathering& gathering : part) {
    InputStatistics& statistics = gathering.statistics;
    MC_CHECK(statistics.rows > 0, "calibrate: value '{}' held no element in any of the {} samples",
             gathering.view->value, done);
    const auto rows = static_cast<double>(statistics.rows);
    if (statistics.hessian.defined()) statistics.hessian.mul_(2 / rows);
    statistics.magnitude.div_(rows);
    statistics.square.div_(rows);
    statistics.mean.div_(rows);
  }
  return done;
}

}  // namespace

InputView last_axis(const std::string& value, int64_t inner) {
  return {value, inner, 0, [inner](const at::Tensor& x) {
            MC_CHECK(x.dim() >= 1 && x.size(-1) == inner,
                     "its last axis does not have the {} elements of the layer's weight", inner);
            return x.reshape({-1, inner});
          }};
}

CollectedInputs collect_inputs(GraphModule& module, const std::map<std::string, InputView>& views,
                               const Samples& samples, const InputOptions& options) {
  const at::NoGradGuard no_grad;
  const ModeGuard mode(module, /*training=*/false);
  CollectedInputs result;
  auto next = views.begin();
  while (next != views.end()) {
    Part part;
    for (int64_t used = 0; next != views.end(); ++next) {
      if (options.hessians) used += hessian_bytes(next->second);
      if (!part.empty() && used > options.bytes) break;
      part.push_back(begin_view(next->first, next->second, options.hessians));
    }
    result.samples = gather_part(module, part, samples);
    for (Gathering& gathering : part) result.values[gathering.key] = std::move(gathering.statistics);
  }
  return result;
}

}  // namespace mc
