// A convolution with what follows it as one oneDNN primitive, for plans of inference on the CPU:
//
//   FusedConv(x, weight, bias?, addend?) = activation(Conv(x, weight, bias) + addend)
//
// Attributes are Conv's and `activation` (an ONNX operator's name) with its numbers in `scalars`. The weight
// is constant; it is brought into oneDNN's blocked layout once, for the size of the first input.
#include <mutex>

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include "mc/base/error.h"
#include "mc/ops/conv.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"

namespace mc {
namespace {

using Scalars = c10::List<std::optional<at::Scalar>>;
using Reorder = at::Tensor(const at::Tensor&, at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, int64_t,
                           at::OptionalIntArrayRef);
using Pointwise = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                             at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, int64_t, std::string_view,
                             Scalars, std::optional<std::string_view>);
using PointwiseAdd = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                const std::optional<at::Tensor>&, at::IntArrayRef, at::IntArrayRef,
                                at::IntArrayRef, int64_t, std::string_view, std::optional<at::Scalar>,
                                std::optional<std::string_view>, Scalars, std::optional<std::string_view>);

// LibTorch's compiler uses these operators; they have no C++ declaration in its headers.
template <class Signature>
c10::TypedOperatorHandle<Signature> handle(const char* name, const char* overload) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, overload).typed<Signature>();
}

struct FusedActivation {
  const char* onnx;
  const char* onednn;
};
constexpr FusedActivation kFusedActivations[] = {
    {"", "none"},         {"Relu", "relu"},           {"Sigmoid", "sigmoid"},      {"Tanh", "tanh"},
    {"Clip", "hardtanh"}, {"HardSwish", "hardswish"}, {"LeakyRelu", "leaky_relu"},
};

const char* onednn_name(const std::string& activation) {
  for (const FusedActivation& row : kFusedActivations) {
    if (activation == row.onnx) return row.onednn;
  }
  fail("activation '{}' cannot be fused", activation);
}

class FusedConv {
 public:
  explicit FusedConv(const BindContext& context)
      : activation_(onednn_name(context.node.get_string("activation", ""))),
        group_(context.node.get_int("group", 1)) {
    const Tensor* weight = context.constant(1);
    MC_CHECK(weight && weight->dtype == DType::kFloat && weight->dims.size() == 4,
             "the weight must be a constant float tensor of 4 dims");
    window_ = parse_window(context.node, {weight->dims.begin() + 2, weight->dims.end()});
    MC_CHECK(window_.symmetric() && group_ >= 1, "pads must be alike at both ends, and group at least 1");
    for (const float scalar : context.node.get_floats("scalars")) scalars_.push_back(at::Scalar(scalar));
  }

  at::Tensor operator()(const at::Tensor& input, const at::Tensor& w, const at::Tensor& bias,
                        const at::Tensor& addend) {
    MC_CHECK(input.dim() == 4 && input.size(1) == w.size(1) * group_,
             "the input has {} dims and {} channels; the weight takes 4 dims and {} channels", input.dim(),
             input.dim() > 1 ? input.size(1) : 0, w.size(1) * group_);
    for (size_t axis = 0; axis < 2; ++axis) window_.count(axis, input.size(static_cast<int64_t>(axis) + 2));
    static const auto plain = handle<Pointwise>("mkldnn::_convolution_pointwise", "");
    static const auto adding = handle<PointwiseAdd>("mkldnn::_convolution_pointwise", "binary");
    const at::Tensor x = input.contiguous(at::MemoryFormat::ChannelsLast);
    std::call_once(packed_once_, [&] { pack(x, w); });
    const std::optional<at::Tensor> b = bias.defined() ? std::optional(bias) : std::nullopt;
    if (!addend.defined()) {
      return plain.call(x, packed_, b, window_.begin, window_.strides, window_.dilations, group_, activation_,
                        scalars_, std::nullopt);
    }
    const std::optional<std::string_view> activation =
        activation_ == "none" ? std::nullopt : std::optional(activation_);
    return adding.call(x, addend.contiguous(at::MemoryFormat::ChannelsLast), packed_, b, window_.begin,
                       window_.strides, window_.dilations, group_, "add", std::nullopt, activation, scalars_,
                       std::nullopt);
  }

 private:
  void pack(const at::Tensor& x, const at::Tensor& w) {
    static const auto reorder = handle<Reorder>("mkldnn::_reorder_convolution_weight", "");
    packed_ = reorder.call(w, window_.begin, window_.strides, window_.dilations, group_, x.sizes());
  }

  std::string_view activation_;
  int64_t group_;
  Window window_;
  Scalars scalars_;
  std::once_flag packed_once_;
  at::Tensor packed_;
};

Kernel bind_fused_conv(const BindContext& context) {
  auto convolution = std::make_shared<FusedConv>(context);
  return [convolution](const KernelArgs& args) {
    args.out(0, (*convolution)(args.in(0), args.in(1), args.in_or(2), args.in_or(3)));
  };
}

}  // namespace

std::vector<Op> fused_conv_ops() {
  return {{.name = "FusedConv",
           .domain = "mc",
           .differentiable = false,
           .bind = bind_fused_conv,
           .infer = [](InferContext& context) { infer_convolution(context, 1, DType::kUndefined); }}};
}

}  // namespace mc
