// What the kernels of operator families share: integer inputs (axes, shapes, pads) that are parsed when the
// kernel is bound if they are constant, and read at run time otherwise.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/ops/op.h"

namespace mc {

std::vector<int64_t> tensor_ints(const at::Tensor& tensor);  // any integer (or float) tensor, any device
std::vector<double> tensor_doubles(const at::Tensor& tensor);

// The integers of an input, or of the attribute that an older opset had in its place.
class IntsInput {
 public:
  IntsInput(const BindContext& context, size_t input, std::string_view attribute = {});
  // The values; nullopt when the optional input is omitted.
  std::optional<std::vector<int64_t>> get(const KernelArgs& args) const;
  // Throws Error when the input is omitted.
  std::vector<int64_t> required(const KernelArgs& args) const;

 private:
  size_t input_;
  std::optional<std::vector<int64_t>> constant_;
};

// The same for inference: whether the argument is there, and its values where they are known.
struct IntsArgument {
  bool present = false;
  std::optional<std::vector<int64_t>> values;
};
IntsArgument ints_argument(const InferContext& context, size_t input, std::string_view attribute = {});

// Fills in the fields that every operator has.
Op make_op(std::string name, int64_t since, std::function<Kernel(const BindContext&)> bind,
           std::function<void(InferContext&)> infer);

// A kernel of one input and one output; of two inputs.
Kernel unary(std::function<at::Tensor(const at::Tensor&)> function);
Kernel binary(std::function<at::Tensor(const at::Tensor&, const at::Tensor&)> function);

// Indices in [-size, size) as int64 in [0, size); others stay outside.
at::Tensor wrap_indices(const at::Tensor& index, int64_t size);
// Index tuples (the last axis of `index`, as many as `sizes`) as positions in the flattened dims `sizes`,
// after `position` blocks of them. Throws Error for an index outside (on the CPU; looking would stall a
// device).
at::Tensor flat_positions(at::Tensor position, const at::Tensor& index, at::IntArrayRef sizes);

// Moves a small CPU operand (a scalar constant, indices) to where the data is; no copy when it is there.
inline at::Tensor on_device_of(const at::Tensor& tensor, const at::Tensor& data) {
  return tensor.device() == data.device() ? tensor : tensor.to(data.device());
}

}  // namespace mc
