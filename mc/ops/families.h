// The operator families. A new family is one file and one line here and in table.cpp.
#pragma once

#include <vector>

#include "mc/ops/op.h"

namespace mc {

std::vector<Op> conv_ops();
std::vector<Op> fused_conv_ops();
std::vector<Op> gemm_ops();
std::vector<Op> norm_ops();
std::vector<Op> pool_ops();
std::vector<Op> activation_ops();
std::vector<Op> softmax_ops();
std::vector<Op> dropout_ops();
std::vector<Op> attention_ops();
std::vector<Op> quantize_ops();
std::vector<Op> fake_quantize_ops();
std::vector<Op> learned_fake_quantize_ops();
std::vector<Op> integer_ops();
std::vector<Op> folded_batch_norm_ops();
std::vector<Op> elementwise_ops();
std::vector<Op> logic_ops();
std::vector<Op> cast_ops();
std::vector<Op> shape_ops();
std::vector<Op> layout_ops();
std::vector<Op> join_ops();
std::vector<Op> slice_ops();
std::vector<Op> gather_ops();
std::vector<Op> scatter_ops();
std::vector<Op> pad_ops();
std::vector<Op> reduce_ops();
std::vector<Op> order_ops();
std::vector<Op> constant_ops();
std::vector<Op> random_ops();
std::vector<Op> resize_ops();
std::vector<Op> control_ops();
std::vector<Op> recurrent_ops();
std::vector<Op> sequence_ops();
std::vector<Op> optional_ops();
std::vector<Op> string_ops();
std::vector<Op> scan_ops();
std::vector<Op> loss_ops();
std::vector<Op> sampling_ops();
std::vector<Op> detection_ops();
std::vector<Op> signal_ops();
std::vector<Op> unpool_ops();
std::vector<Op> linear_attention_ops();
std::vector<Op> matrix_ops();
std::vector<Op> contrib_activation_ops();
std::vector<Op> contrib_attention_ops();
std::vector<Op> contrib_block_ops();
std::vector<Op> contrib_gqa_ops();
std::vector<Op> contrib_integer_ops();
std::vector<Op> contrib_matmul_ops();
std::vector<Op> contrib_norm_ops();
std::vector<Op> contrib_quant_ops();
std::vector<Op> contrib_tensor_ops();

}  // namespace mc
