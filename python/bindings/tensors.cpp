// Methods on plain tensors: masks by score and structure, fake quantization with its gradient.
#include <optional>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>

#include "bindings/bindings.h"
#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/module/apply_mask.h"
#include "mc/ops/fake_quantize.h"
#include "mc/prune/mask_request.h"

namespace py = pybind11;

namespace mc {
namespace {

Structure make_structure(const std::string& name, int64_t block_size, const std::vector<int64_t>& block_dims,
                         const std::string& pooling_type, int64_t n, int64_t m) {
  if (name == "unstructured") return Unstructured{};
  if (name == "uniform") return Uniform{block_size};
  if (name == "block") return Blocks{block_dims, pooling_type};
  if (name == "n_m") return NToM{n, m};
  if (name == "nonzero") return Nonzero{};
  const std::vector<std::string> names = {"unstructured", "uniform", "block", "n_m", "nonzero"};
  fail("there is no structure '{}'{}; there are {}", name, did_you_mean(name, names), join(names, ", "));
}

struct Masks {
  std::vector<at::Tensor> keep;
  double threshold;
};

Masks keep_masks(const std::vector<at::Tensor>& scores, double sparsity, const std::string& structure,
                 bool absolute, int64_t block_size, const std::vector<int64_t>& block_dims,
                 const std::string& pooling_type, int64_t n, int64_t m, double threshold_decay,
                 double threshold, int64_t output_axis, int64_t input_axis,
                 const std::vector<std::string>& names) {
  MC_CHECK(!scores.empty(), "no tensor of scores was given");
  const at::NoGradGuard no_grad;
  MaskRequest request;
  request.structure = make_structure(structure, block_size, block_dims, pooling_type, n, m);
  request.sparsity = sparsity;
  request.names = names;
  request.threshold_decay = threshold_decay;
  request.threshold = threshold;
  for (const at::Tensor& each : scores) {
    MC_CHECK(each.defined() && each.layout() == at::kStrided, "scores must be dense tensors");
    MC_CHECK(each.device() == scores[0].device(), "scores lie on {} and {}; one device is needed",
             scores[0].device().str(), each.device().str());
    request.scores.push_back({each.detach(), absolute});
    request.axes.push_back({output_axis, input_axis});
  }
  std::vector<MaskRequest> requests = {std::move(request)};
  make_masks(requests);
  return {std::move(requests[0].keep), requests[0].threshold};
}

void apply_plain_masks(const std::vector<at::Tensor>& tensors, const std::vector<at::Tensor>& masks) {
  MC_CHECK(tensors.size() == masks.size(), "{} tensors and {} masks were given", tensors.size(),
           masks.size());
  std::vector<MaskedTensor> pairs;
  for (size_t i = 0; i < tensors.size(); ++i) {
    MC_CHECK(tensors[i].defined() && at::isFloatingType(tensors[i].scalar_type()),
             "tensor {} is not floating point", i);
    MC_CHECK(masks[i].defined() && masks[i].scalar_type() == at::kBool, "mask {} is not bool", i);
    MC_CHECK(masks[i].sizes() == tensors[i].sizes() && masks[i].device() == tensors[i].device(),
             "mask {} has another shape or device than its tensor", i);
    pairs.push_back({tensors[i], masks[i]});
  }
  apply_masks(pairs);
}

FakeQuantizeOptions::Observer find_observer(const std::string& name) {
  if (name == "moving_average") return FakeQuantizeOptions::Observer::kMovingAverage;
  if (name == "min_max") return FakeQuantizeOptions::Observer::kMinMax;
  fail("there is no observer '{}' of plain tensors; there are moving_average and min_max", name);
}

at::Tensor fake_quantize_tensor(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& zero_point,
                                const at::Tensor& running_min, const at::Tensor& running_max,
                                int64_t quant_min, int64_t quant_max, int64_t axis, bool symmetric,
                                double averaging, const std::string& observer, bool observes,
                                bool quantizes) {
  constexpr int64_t kLevels = int64_t{1} << 24;  // what a float counts
  MC_CHECK(x.defined() && at::isFloatingType(x.scalar_type()), "fake_quantize takes a floating-point tensor");
  MC_CHECK(x.numel() > 0 || !observes, "an empty tensor has no range to observe");
  MC_CHECK(quant_min < quant_max && quant_min >= -kLevels && quant_max <= kLevels,
           "quant_min {} and quant_max {} must be ascending and within 24 bits", quant_min, quant_max);
  MC_CHECK(averaging >= 0 && averaging <= 1, "averaging must be in [0, 1], is {}", averaging);
  for (const at::Tensor* each : {&scale, &zero_point, &running_min, &running_max})
    MC_CHECK(each->defined() && !each->requires_grad(), "the state must be tensors without a gradient");
  FakeQuantizeOptions options;
  options.quant_min = quant_min;
  options.quant_max = quant_max;
  options.axis = axis < 0 ? -1 : axis;
  options.symmetric = symmetric;
  options.averaging = averaging;
  options.observer = find_observer(observer);
  const FakeQuantizeState state{scale, zero_point, running_min, running_max};
  if (observes) observe(x.detach(), state, options);
  return quantizes ? fake_quantize(x, state, options) : x;
}

}  // namespace

void bind_tensors(py::module_& module) {
  module.def(
      "keep_masks",
      [](const std::vector<at::Tensor>& scores, double sparsity, const std::string& structure, bool absolute,
         int64_t block_size, const std::vector<int64_t>& block_dims, const std::string& pooling_type,
         int64_t n, int64_t m, double threshold_decay, double threshold, int64_t output_axis,
         int64_t input_axis, const std::vector<std::string>& names) {
        Masks masks = keep_masks(scores, sparsity, structure, absolute, block_size, block_dims, pooling_type,
                                 n, m, threshold_decay, threshold, output_axis, input_axis, names);
        return std::pair(std::move(masks.keep), masks.threshold);
      },
      py::arg("scores"), py::arg("sparsity"), py::kw_only(), py::arg("structure") = "unstructured",
      py::arg("absolute") = true, py::arg("block_size") = 1, py::arg("block_dims") = std::vector<int64_t>{1},
      py::arg("pooling_type") = "avg", py::arg("n") = 2, py::arg("m") = 4, py::arg("threshold_decay") = 0.0,
      py::arg("threshold") = 0.0, py::arg("output_axis") = 0, py::arg("input_axis") = 1,
      py::arg("names") = std::vector<std::string>{}, py::call_guard<py::gil_scoped_release>(),
      "Masks (bool, true keeps) of tensors that compete with each other as if they were one, and the "
      "threshold. structure: unstructured, uniform (block_size), block (block_dims, pooling_type), n_m (n, "
      "m), nonzero; absolute: by |scores|.");
  module.def("apply_masks", &apply_plain_masks, py::arg("tensors"), py::arg("masks"),
             py::call_guard<py::gil_scoped_release>(),
             "tensors[i] = masks[i] ? tensors[i] : 0, in place and outside of autograd.");
  module.def("fake_quantize", &fake_quantize_tensor, py::arg("x"), py::arg("scale"), py::arg("zero_point"),
             py::arg("running_min"), py::arg("running_max"), py::kw_only(), py::arg("quant_min"),
             py::arg("quant_max"), py::arg("axis") = -1, py::arg("symmetric") = true,
             py::arg("averaging") = 0.01, py::arg("observer") = "moving_average", py::arg("observe") = true,
             py::arg("quantize") = true, py::call_guard<py::gil_scoped_release>(),
             "Observes the range of x (updating the state in place) and fake-quantizes it, with a "
             "straight-through gradient. State: float32 [C] but zero_point, int32 [C]; C is 1 where axis is "
             "-1.");
  module.def("choose_qparams", &choose_qparams, py::arg("min"), py::arg("max"), py::arg("quant_min"),
             py::arg("quant_max"), py::arg("symmetric"), py::call_guard<py::gil_scoped_release>(),
             "Scales (float) and zero points (int32) for ranges, elementwise.");
}

}  // namespace mc
