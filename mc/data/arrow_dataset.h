// Tables in Arrow's memory layout as a dataset: what Parquet files hold, and what other libraries in the same
// process hand over.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "mc/data/arrow_abi.h"
#include "mc/data/dataset.h"

namespace mc {

// All record batches of `stream`, which is released. A column is an array; `label` or `labels` are the
// labels. Numbers and lists of one length stand where Arrow has them; lists of different lengths (token ids)
// are filled up with zeros, to the size that `wanted` gives them, else to the longest, and lists of whole
// numbers also where they are all too short by the same number.
//
// With `wanted`, exactly those arrays in that order, in those element types where that loses nothing but the
// precision of floats; an `attention_mask` that the table lacks is 1 where `input_ids` has an element.
// Without, every column of numbers; others are left out. `source` is for messages. Throws Error that names
// the source and the column: one that is missing (with the nearest), holds text, bytes or nulls, or is too
// long.
std::shared_ptr<const Dataset> arrow_dataset(ArrowArrayStream& stream, const std::string& source,
                                             const std::vector<FieldInfo>& wanted = {});

}  // namespace mc
