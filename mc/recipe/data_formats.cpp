#include "mc/recipe/data_formats.h"

#include "mc/base/text.h"
#include "mc/data/memory_dataset.h"
#include "mc/data/parquet.h"

namespace mc {
namespace {

void check_idx(const DataOptions& data) {
  MC_CHECK(data.root.has_value(),
           "`format: idx` needs `root`: the folder of train-images-idx3-ubyte and the others");
  MC_CHECK(data.train.empty() && data.test.empty(), "`train` and `test` are for npz; idx has `root`");
}

std::shared_ptr<const Dataset> open_idx_split(const DataOptions& data, const std::string& split) {
  return open_idx(*data.root, split);
}

void check_npz(const DataOptions& data) {
  MC_CHECK(!data.train.empty() && !data.test.empty(), "`format: npz` needs `train` and `test`: files");
  MC_CHECK(!data.root.has_value(), "`root` is for idx; npz has `train` and `test`");
}

std::shared_ptr<const Dataset> open_npz_split(const DataOptions& data, const std::string& split) {
  return open_npz(split == "train" ? data.train : data.test);
}

// A folder has its splits by name; else each has files of its own.
void check_parquet(const DataOptions& data) {
  const bool files = !data.train.empty() && !data.test.empty();
  MC_CHECK(
      data.root.has_value() != files && data.train.empty() == data.test.empty(),
      "`format: parquet` needs `root`, a folder of .parquet files by split, or `train` and `test`: files");
}

std::shared_ptr<const Dataset> open_parquet_split(const DataOptions& data, const std::string& split) {
  if (!data.root) return open_parquet(split == "train" ? data.train : data.test);
  return open_dataset(data.root->string(), split);
}

void check_memory(const DataOptions& data) {
  MC_CHECK(
      data.root && is_registered_data(data.root->string()) && data.train.empty() && data.test.empty(),
      "`format: memory` is for data that a program registers before it runs the recipe (`root: memory:1`)");
}

std::shared_ptr<const Dataset> open_memory_split(const DataOptions& data, const std::string& split) {
  return find_registered_data(data.root->string(), split);
}

}  // namespace

const std::vector<DataFormat>& data_formats() {
  static const std::vector<DataFormat> formats = {
      {"idx", "images and labels as MNIST stores them", check_idx, open_idx_split},
      {"npz", "NumPy archives: one array for each input and `labels`", check_npz, open_npz_split},
      {"parquet", "Parquet files: one column for each input and `labels`", check_parquet, open_parquet_split},
      {"memory", "samples of the program that runs the recipe", check_memory, open_memory_split},
  };
  return formats;
}

std::vector<std::string> data_format_names() {
  std::vector<std::string> names;
  for (const DataFormat& format : data_formats()) names.push_back(format.name);
  return names;
}

const DataFormat& find_data_format(const std::string& name) {
  for (const DataFormat& format : data_formats()) {
    if (format.name == name) return format;
  }
  fail("unknown data format '{}'{}; there are {}", name, did_you_mean(name, data_format_names()),
       join(data_format_names(), ", "));
}

}  // namespace mc
