// One array of an npz file. What stands in the file as it would in memory stays there, and its rows are read
// when they are asked for: memory does not grow with the file. What is compressed, or in another order, is
// read at once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/data/file_part.h"
#include "mc/data/zip.h"

namespace mc {

class NpzArray {
 public:
  // The entry NAME.npy of the archive. Reads it whole to compare its checksum. Throws Error that names the
  // array.
  NpzArray(const ZipFile& zip, const ZipEntry& entry);

  const std::string& name() const { return name_; }
  void rename(std::string name) { name_ = std::move(name); }

  at::ScalarType dtype() const { return dtype_; }
  const std::vector<int64_t>& shape() const { return shape_; }  // at least one axis, the first of rows
  size_t row_bytes() const { return row_bytes_; }

  // Copies row `index`, one of shape()[0], to `target`, which has room for row_bytes(). Safe from several
  // threads. Throws Error when the file was changed meanwhile.
  void read_row(int64_t index, std::byte* target) const;
  at::Tensor read_all() const;

 private:
  void check_sum(const ZipEntry& entry, uint64_t bytes_before) const;

  std::string name_;
  at::ScalarType dtype_ = at::kFloat;
  std::vector<int64_t> shape_;
  size_t row_bytes_ = 0;
  at::Tensor values_;                        // or, where undefined:
  std::shared_ptr<const FilePart> on_disk_;  // the array file, header included
  uint64_t begin_ = 0;                       // of the rows in it
};

}  // namespace mc
