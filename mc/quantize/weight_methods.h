// How the integers of a weight are chosen; one file a method. Weights are float [rows, inner], rows counting
// output channels.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/calibration/input_statistics.h"
#include "mc/quantize/block_quantize.h"

namespace mc {

// Round to nearest.
BlockWeight quantize_rtn(const at::Tensor& weight, const BlockGrid& grid);

struct GptqOptions {
  double damping = 0.01;   // of the mean of the Hessian's diagonal
  bool act_order = false;  // columns with large inputs first; scales then come from the weight as given
};

// E. Frantar et al., "GPTQ: Accurate post-training quantization for generative pre-trained transformers",
// ICLR 2023, algorithm 1: columns are rounded one by one, and the columns that follow make up for the error.
// Computed in double. A column whose input was always 0 is rounded to nearest. Throws Error when the damped
// Hessian is not positive definite.
BlockWeight quantize_gptq(const at::Tensor& weight, const at::Tensor& hessian, const BlockGrid& grid,
                          const GptqOptions& options);

// J. Lin et al., "AWQ: Activation-aware weight quantization", MLSys 2024, equations 4 and 5: factors of input
// channels s = magnitude^alpha with the alpha of a grid of 20 in [0, 1) for which rounding weight * s, with
// inputs divided by s, has least squared error of the outputs, summed over `weights` that read one input.
// double [inner]; all 1 where nothing is better.
at::Tensor awq_factors(const std::vector<at::Tensor>& weights, const InputStatistics& input,
                       const BlockGrid& grid);

// H. Badri and A. Shaji, "Half-quadratic quantization of large machine learning models", 2023: least l_p norm
// (p = 0.7) of the error by half-quadratic splitting, without data. The paper moves real zero points; the
// formats here hold whole ones, so these are rounded and the scale takes its own least-squares step. Every
// block keeps its best iterate, which begins as round to nearest.
BlockWeight quantize_hqq(const at::Tensor& weight, const BlockGrid& grid);

// Mean squared error of the outputs when `weight` is replaced by `other`, up to a constant factor.
double output_error(const at::Tensor& weight, const at::Tensor& other, const at::Tensor& hessian);

}  // namespace mc
