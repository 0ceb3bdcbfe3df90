// A column of an Arrow record batch as a tensor.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/data/arrow_abi.h"

namespace mc {

// The samples of a column, one after the other.
struct ArrowColumn {
  at::Tensor elements;           // [samples, ...]; where samples are lists of different lengths [all, ...]
  std::vector<int64_t> lengths;  // of those lists; empty where all samples have one shape
};

// Whether columns of this type can be read: numbers, booleans, and lists of them (fixed, variable, nested).
// Text, bytes, structs (such as encoded images), dates and dictionaries cannot.
bool is_numeric_column(const ArrowSchema& schema);

// Throws Error where one of the `count` elements from `from` on is missing.
void check_no_nulls(const ArrowArray& array, int64_t from, int64_t count);

// The column `array`, a child of a record batch, from sample `first` on. The tensors stand on Arrow's memory,
// which `owner` keeps alive; only booleans are copied. Throws Error for other types, for missing values, for
// lists of lists that differ in length, and for offsets outside the data.
ArrowColumn read_arrow_column(const ArrowSchema& schema, const ArrowArray& array, int64_t first,
                              int64_t samples, const std::shared_ptr<void>& owner);

}  // namespace mc
