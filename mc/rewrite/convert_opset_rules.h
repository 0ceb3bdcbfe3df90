// The rules of convert_opset_table.cpp. Names say what the node becomes. Internal to the room.
#pragma once

#include <initializer_list>
#include <string>
#include <variant>
#include <vector>

#include "mc/rewrite/convert_opset_step.h"

namespace mc::opset_rules {

// Made for a row (convert_opset_inputs.cpp).

// Integer attribute -> int64 input `index` (rank 1, or a scalar) and back.
OpsetRule to_input(std::string attribute, size_t index, bool scalar = false);
OpsetRule to_attribute(std::string attribute, size_t index, bool scalar = false);
// Several rules, one after the other.
OpsetRule all_of(std::vector<OpsetRule> rules);
// An attribute that is new: erased where it holds the old meaning, else refused. For lists, each element.
struct NewAttribute {
  std::string name;
  std::variant<int64_t, std::string> old_meaning;
};
OpsetRule without_attributes(std::vector<NewAttribute> attributes);
// Input `index` is new: refused where given.
OpsetRule without_input(size_t index);
// An attribute whose negative values (counted from the last of input 0's axes, or of one axis more) are new.
OpsetRule without_negative(std::string attribute, int64_t more_axes = 0);
OpsetRule rename_to(std::string op);
OpsetRule refused(std::string reason);
// Refuses these element types of input 0, which the newer form no longer takes.
OpsetRule without_types(uint64_t types);

// What attributes and inputs hold (convert_opset_inputs.cpp).
void clip_to_inputs(OpsetStep& step);
void clip_to_attributes(OpsetStep& step);
void pad_to_inputs(OpsetStep& step);
void pad_to_attributes(OpsetStep& step);
void pad_all_axes(OpsetStep& step);
void slice_to_inputs(OpsetStep& step);
void slice_to_attributes(OpsetStep& step);
void dropout_to_inputs(OpsetStep& step);
void dropout_to_attributes(OpsetStep& step);
void dft_to_input(OpsetStep& step);
void reduce_to_attributes(OpsetStep& step);
void upsample_to_input(OpsetStep& step);
void upsample_to_attribute(OpsetStep& step);
void constant_to_tensor(OpsetStep& step);
void split_count(OpsetStep& step);
void split_without_count(OpsetStep& step);

// Meaning (convert_opset_meaning.cpp).
void softmax_of_matrix_to_axis(OpsetStep& step);
void softmax_of_axis_to_matrix(OpsetStep& step);
void dropout_mask_to_bool(OpsetStep& step);
void dropout_mask_to_float(OpsetStep& step);
void group_norm_per_channel(OpsetStep& step);
void batch_norm_per_channel(OpsetStep& step);
void batch_norm_training_mode(OpsetStep& step);
void batch_norm_by_outputs(OpsetStep& step);
void batch_norm_one_type(OpsetStep& step);
void scan_of_batch(OpsetStep& step);
void grid_sample_modes(OpsetStep& step);
void grid_sample_old_modes(OpsetStep& step);
void roi_align_old_corners(OpsetStep& step);
void roi_align_without_mode(OpsetStep& step);
void same_shapes(OpsetStep& step);
void same_types(OpsetStep& step);
void gemm_with_zeros(OpsetStep& step);
void shape_slice(OpsetStep& step);
void pool_windows_inside(OpsetStep& step);
void max_pool_one_output(OpsetStep& step);
void top_k_largest(OpsetStep& step);
void quantize_per_tensor(OpsetStep& step);
void quantize_with_zero_point(OpsetStep& step);
void scatter_plain_sums(OpsetStep& step);
void reshape_without_zero(OpsetStep& step);
void optional_input_only(OpsetStep& step);
void mod_of_integers(OpsetStep& step);
void pad_without_wrap(OpsetStep& step);

// Resize (convert_opset_resize.cpp).
void resize_coordinates(OpsetStep& step);
void resize_asymmetric(OpsetStep& step);
void resize_without_tf_half_pixel(OpsetStep& step);
void resize_all_inputs(OpsetStep& step);
void resize_all_axes(OpsetStep& step);
void resize_without_symmetric(OpsetStep& step);
void resize_to_upsample(OpsetStep& step);

// Operators made of older ones (convert_opset_meaning.cpp).
void compare_or_equal(OpsetStep& step);
void hard_swish_of_older(OpsetStep& step);
void mish_of_older(OpsetStep& step);
void swish_of_older(OpsetStep& step);

}  // namespace mc::opset_rules
