#include <ATen/ATen.h>

#include "mc/quantize/weight_methods.h"

namespace mc {

BlockWeight quantize_rtn(const at::Tensor& weight, const BlockGrid& grid) {
  BlockWeight result = choose_block_scales(weight, grid);
  result.codes = round_to_blocks(weight, result, grid);
  return result;
}

double output_error(const at::Tensor& weight, const at::Tensor& other, const at::Tensor& hessian) {
  const at::Tensor difference = (other - weight).to(hessian.scalar_type());
  return (at::matmul(difference, hessian) * difference).sum().item<double>();
}

}  // namespace mc
