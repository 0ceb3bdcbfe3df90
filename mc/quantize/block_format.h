// How integers with blocks stand in an ONNX file.
#pragma once

#include <string>
#include <vector>

#include "mc/graph/graph.h"
#include "mc/quantize/block_quantize.h"
#include "mc/quantize/matrix_layers.h"

namespace mc {

// Codes of 4 bits two a byte, the first in the low half, rows filled up to whole bytes; of 8 bits as they
// are. `codes` is uint8 [..., n].
at::Tensor pack_codes(const at::Tensor& codes, int64_t bits);

// The DequantizeLinear that gives the layer's weight back, which the layer's node reads from then on: int4 or
// int8 where the grid is symmetric, else uint4 or uint8 with zero points; blocks along the inputs. The
// returned node belongs before the layer's. Needs opset 21.
Node to_dequantize(Graph& graph, const MatrixLayer& layer, const BlockWeight& weight, const BlockGrid& grid);

// The layer's node becomes com.microsoft's MatMulNBits (with the bias of a Gemm) or GatherBlockQuantized.
void to_matmul_nbits(Graph& graph, const MatrixLayer& layer, const BlockWeight& weight,
                     const BlockGrid& grid);

}  // namespace mc
