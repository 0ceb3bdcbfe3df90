// Magnitude pruning as Python's methods do it: a threshold that may be mixed with older ones, and masks of
// the weight's own type.
#include <cmath>
#include <cstdint>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>

#include "bindings/bindings.h"
#include "mc/base/error.h"
#include "mc/prune/distribution.h"
#include "mc/prune/select.h"

namespace py = pybind11;

namespace mc {
namespace {

constexpr int64_t kGrain = 1 << 15;  // elements a thread takes at least

void check_weight(const at::Tensor& weight) {
  MC_CHECK(weight.defined() && weight.layout() == at::kStrided && at::isFloatingType(weight.scalar_type()),
           "magnitudes are of dense floating-point tensors");
}

double nth_magnitude(const std::vector<at::Tensor>& weights, int64_t n) {
  int64_t total = 0;
  for (const at::Tensor& weight : weights) {
    check_weight(weight);
    total += weight.numel();
  }
  MC_CHECK(n >= 1 && n <= total, "there is no magnitude number {} of {}", n, total);
  Selection selection{.drop = n};
  for (const at::Tensor& weight : weights) selection.scores.push_back({weight.detach(), /*absolute=*/true});
  std::vector<Selection> selections = {std::move(selection)};
  select_largest(selections);
  return selections[0].threshold;
}

void write_mask(const at::Tensor& weight, float threshold, const at::Tensor& mask) {
  const float* from = weight.const_data_ptr<float>();
  float* to = mask.mutable_data_ptr<float>();
  at::parallel_for(0, weight.numel(), kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) to[i] = std::fabs(from[i]) > threshold ? 1.0F : 0.0F;
  });
}

at::Tensor magnitude_mask(const at::Tensor& weight, double threshold) {
  check_weight(weight);
  const at::NoGradGuard no_grad;
  if (!weight.is_cpu() || weight.scalar_type() != at::kFloat || !weight.is_non_overlapping_and_dense())
    return weight.abs().gt(threshold).to(weight.scalar_type());
  at::Tensor mask = at::empty_like(weight.detach());
  write_mask(weight, static_cast<float>(threshold), mask);
  return mask;
}

}  // namespace

void bind_magnitude(py::module_& module) {
  module.def("nth_magnitude", &nth_magnitude, py::arg("weights"), py::arg("n"),
             py::call_guard<py::gil_scoped_release>(),
             "The n-th smallest magnitude (from 1) of the elements of all weights together.");
  module.def("magnitude_mask", &magnitude_mask, py::arg("weight"), py::arg("threshold"),
             py::call_guard<py::gil_scoped_release>(),
             "1 where a magnitude exceeds the threshold, else 0; shape, type, device of the weight.");
  module.def("erdos_renyi", &erdos_renyi, py::arg("dims"), py::arg("sparsity"), py::arg("kernel"),
             "The sparsity of each weight, of these dims, whose total is `sparsity` (Mocanu et al. 2018; "
             "with `kernel` Evci et al. 2020).");
}

}  // namespace mc
