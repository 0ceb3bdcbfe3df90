#include "mc/recipe/data_formats.h"

#include "mc/base/text.h"

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

}  // namespace

const std::vector<DataFormat>& data_formats() {
  static const std::vector<DataFormat> formats = {
      {"idx", "images and labels as MNIST stores them", check_idx, open_idx_split},
      {"npz", "NumPy archives: one array for each input and `labels`", check_npz, open_npz_split},
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
