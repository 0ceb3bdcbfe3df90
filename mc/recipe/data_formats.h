// The formats of a recipe's data, one visible list.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "mc/data/dataset.h"
#include "mc/recipe/data_options.h"

namespace mc {

struct DataFormat {
  std::string name;
  std::string summary;
  // Throws Error when a key that the format needs is missing, or one is given that it does not know.
  void (*check)(const DataOptions&);
  // `split` is "train" or "test". Throws Error that names the file.
  std::shared_ptr<const Dataset> (*open)(const DataOptions&, const std::string& split);
};

const std::vector<DataFormat>& data_formats();
const DataFormat& find_data_format(const std::string& name);  // Error with the nearest name

}  // namespace mc
