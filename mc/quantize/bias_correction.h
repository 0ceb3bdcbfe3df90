// Bias correction (M. Nagel et al., "Data-free quantization through weight equalization and bias correction",
// ICCV 2019, section 4.2 and appendix D): rounding shifts the mean of a layer's outputs, and its bias can
// take that back, b' = b + E[y] - E[y quantized], a mean for each output channel over the samples.
#pragma once

#include <cstdint>
#include <string>

#include "mc/calibration/samples.h"
#include "mc/module/graph_module.h"

namespace mc {

// Corrects the biases of all quantized layers of a calibrated module; a layer without one gains one (a MatMul
// an Add). Methods: `none`; `fast`, one pass, in which every layer is fed what it reads in the float model,
// rounded; `full`, layer after layer, each fed what the quantized and so far corrected model gives it, at one
// pass for each level of layers on top of one another. The module ends quantizing. Gives how many layers were
// corrected; left out are those whose bias is not one constant a channel. Memory does not depend on the
// number of samples. Throws Error: another method, a module that is not prepared.
int64_t correct_biases(GraphModule& calibrated, const Samples& samples, const std::string& method);

}  // namespace mc
