#include "mc/ops/kernel_helpers.h"

#include <ATen/ATen.h>

#include "mc/base/error.h"

namespace mc {

void missing_input(size_t i) {
  fail("input {} is missing; the operator needs it", i);
}

std::vector<int64_t> tensor_ints(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().to(at::kCPU, at::kLong).contiguous();
  const int64_t* data = flat.const_data_ptr<int64_t>();
  return {data, data + flat.numel()};
}

std::vector<double> tensor_doubles(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().to(at::kCPU, at::kDouble).contiguous();
  const double* data = flat.const_data_ptr<double>();
  return {data, data + flat.numel()};
}

IntsInput::IntsInput(const BindContext& context, size_t input, std::string_view attribute) : input_(input) {
  if (!attribute.empty() && context.node.find(attribute)) {
    constant_ = context.node.get_ints(attribute);
  } else if (!context.node.input(input).empty() && context.constant) {
    if (const Tensor* value = context.constant(input)) constant_ = value->as_ints();
  }
}

IntsArgument ints_argument(const InferContext& context, size_t input, std::string_view attribute) {
  IntsArgument argument;
  if (!attribute.empty() && context.node().find(attribute)) {
    argument = {true, context.node().get_ints(attribute)};
  } else if (!context.node().input(input).empty()) {
    argument.present = true;
    if (const Tensor* value = context.constant(input)) argument.values = value->as_ints();
  }
  return argument;
}

Op make_op(std::string name, int64_t since, std::function<Kernel(const BindContext&)> bind,
           std::function<void(InferContext&)> infer) {
  Op op;
  op.name = std::move(name);
  op.since = since;
  op.bind = std::move(bind);
  op.infer = std::move(infer);
  return op;
}

std::optional<std::vector<int64_t>> IntsInput::get(const KernelArgs& args) const {
  if (constant_) return constant_;
  if (!args.has(input_)) return std::nullopt;
  return tensor_ints(args.in(input_));
}

std::vector<int64_t> IntsInput::required(const KernelArgs& args) const {
  auto values = get(args);
  MC_CHECK(values, "input {} is missing", input_);
  return *std::move(values);
}

Kernel unary(std::function<at::Tensor(const at::Tensor&)> function) {
  return [function = std::move(function)](const KernelArgs& args) { args.out(0, function(args.in(0))); };
}

Kernel binary(std::function<at::Tensor(const at::Tensor&, const at::Tensor&)> function) {
  return [function = std::move(function)](const KernelArgs& args) {
    const at::Tensor& a = args.in(0);
    const at::Tensor& b = args.in(1);
    if (a.device() == b.device() || a.dim() == 0 || b.dim() == 0) return args.out(0, function(a, b));
    // A shape tensor on the CPU meets data on the device.
    args.out(0, a.is_cpu() ? function(a.to(b.device()), b) : function(a, b.to(a.device())));
  };
}

at::Tensor wrap_indices(const at::Tensor& index, int64_t size) {
  const at::Tensor wide = index.to(at::kLong);
  return at::where(wide < 0, wide + size, wide);
}

at::Tensor flat_positions(at::Tensor position, const at::Tensor& index, at::IntArrayRef sizes) {
  for (size_t d = 0; d < sizes.size(); ++d) {
    const at::Tensor part = wrap_indices(index.select(-1, static_cast<int64_t>(d)), sizes[d]);
    MC_CHECK(!part.is_cpu() || ((part >= 0) & (part < sizes[d])).all().item<bool>(),
             "an index is outside of a dim with {} elements", sizes[d]);
    position = position * sizes[d] + part;
  }
  return position;
}

}  // namespace mc
