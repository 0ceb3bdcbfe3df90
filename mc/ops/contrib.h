// What Microsoft's operators (domain com.microsoft, since 1; ONNX Runtime's ContribOperators.md) share. Most
// are ai.onnx operators with something fused to them, so their kernels are built of those operators' own.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/ops/op.h"

namespace mc {

// The operator `name` of a family under Microsoft's domain, for operators that mean the same in both.
// Attributes and optional inputs are those of ai.onnx's newest opset.
Op microsoft_twin(const std::vector<Op>& family, std::string_view name);

// Fills in the fields that every operator of Microsoft has.
Op microsoft_op(std::string name, std::function<Kernel(const BindContext&)> bind,
                std::function<void(InferContext&)> infer, std::vector<Role> roles = {});

// An operator of a family, with these attributes and the meaning of `opset`, as a function of its inputs (an
// undefined one is omitted) that gives its first output.
using TensorFunction = std::function<at::Tensor(const std::vector<at::Tensor>&)>;
TensorFunction operator_function(const std::vector<Op>& family, std::string_view name,
                                 std::vector<Attribute> attributes, int64_t opset = INT64_MAX);

// The activation that a fused operator names ("Relu", "Clip", ...; empty for none), as a function of one
// tensor; `attributes` go to it under the names that ai.onnx gives them. Throws Error for what is no
// activation.
std::function<at::Tensor(const at::Tensor&)> named_activation(const std::string& name,
                                                              std::vector<Attribute> attributes);

}  // namespace mc
