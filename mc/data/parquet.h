// Parquet files. What decodes them is a library that is loaded when it is first needed, or a function of the
// caller's; it hands over Arrow's layout.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "mc/data/arrow_abi.h"
#include "mc/data/dataset.h"

namespace mc {

// Opens the files as one table; throws Error that names what is wrong. Safe from several threads.
using ParquetReader = std::function<void(const std::vector<std::string>& files, ArrowArrayStream& stream)>;

// Takes `reader` in place of the library that is loaded (null: that one again).
void set_parquet_reader(ParquetReader reader);

// The .parquet files of `folder` that belong to `split`, as the Hugging Face library `datasets` lays them
// out: in a subfolder of that name, or named SPLIT.parquet or SPLIT-00000-of-00004.parquet, in the folder
// itself or in its subfolder `data`; "validation" where there is no "test". All files where none is named for
// a split. Empty when there are none.
std::vector<std::filesystem::path> parquet_files(const std::filesystem::path& folder,
                                                 const std::string& split);

// The files as one set (arrow_dataset.h). Throws Error that names the file.
std::shared_ptr<const Dataset> open_parquet(const std::vector<std::filesystem::path>& files,
                                            const std::vector<FieldInfo>& wanted = {});

}  // namespace mc
