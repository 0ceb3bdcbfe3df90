#include "mc/data/parquet.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "mc/base/dynamic_library.h"
#include "mc/base/error.h"
#include "mc/data/arrow_dataset.h"

namespace mc {
namespace {

namespace fs = std::filesystem;

struct InstalledReader {
  std::mutex mutex;
  ParquetReader reader;
};

InstalledReader& installed_reader() {
  static InstalledReader instance;
  return instance;
}

// By the library of plugins/parquet, loaded at the first call.
void read_by_library(const std::vector<std::string>& files, ArrowArrayStream& stream) {
  using Open = int(const char* const*, size_t, ArrowArrayStream*, char*, size_t);
  static const DynamicLibrary library =
      with_context([] { return "reading Parquet needs Arrow C++: pip install pyarrow, and build again"; },
                   [] {
                     return DynamicLibrary(
                         library_candidates("MC_PARQUET_LIBRARY", MC_PARQUET_LIBRARY, {"libmc_parquet.so"}));
                   });
  std::vector<const char*> names;
  for (const std::string& file : files) names.push_back(file.c_str());
  std::string message(1000, '\0');
  const int status = library.function<Open>("mc_open_parquet")(names.data(), names.size(), &stream,
                                                               message.data(), message.size());
  MC_CHECK(status == 0, "{}", message.c_str());
}

ParquetReader current_reader() {
  std::lock_guard lock(installed_reader().mutex);
  return installed_reader().reader ? installed_reader().reader : ParquetReader(read_by_library);
}

bool is_of_split(const fs::path& file, const std::string& split) {
  const std::string stem = file.stem().string();
  return stem == split || stem.starts_with(split + "-");
}

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  if (!fs::is_directory(folder)) return files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".parquet") files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

std::vector<fs::path> files_of_split(const fs::path& folder, const std::string& split) {
  if (std::vector<fs::path> files = files_in(folder / split); !files.empty()) return files;
  for (const fs::path& place : {folder, folder / "data"}) {
    std::vector<fs::path> files = files_in(place);
    std::erase_if(files, [&](const fs::path& file) { return !is_of_split(file, split); });
    if (!files.empty()) return files;
  }
  return {};
}

}  // namespace

void set_parquet_reader(ParquetReader reader) {
  std::lock_guard lock(installed_reader().mutex);
  std::swap(installed_reader().reader, reader);
}

std::vector<fs::path> parquet_files(const fs::path& folder, const std::string& split) {
  std::vector<std::string> names = {split};
  if (split == "test") names.emplace_back("validation");
  for (const std::string& name : names) {
    if (name.empty()) continue;
    if (std::vector<fs::path> files = files_of_split(folder, name); !files.empty()) return files;
  }
  for (const fs::path& place : {folder, folder / "data"}) {
    if (std::vector<fs::path> files = files_in(place); !files.empty()) return files;
  }
  return {};
}

std::shared_ptr<const Dataset> open_parquet(const std::vector<fs::path>& files,
                                            const std::vector<FieldInfo>& wanted) {
  MC_CHECK(!files.empty(), "no Parquet file is given");
  std::vector<std::string> names;
  for (const fs::path& file : files) {
    MC_CHECK(fs::is_regular_file(file), "{}: there is no such file", file.string());
    names.push_back(file.string());
  }
  std::string source = files.front().string();
  if (files.size() > 1) source += fmt::format(" and {} more", files.size() - 1);
  const ParquetReader reader = current_reader();
  ArrowArrayStream stream = {};
  with_context([&] { return source; }, [&] { reader(names, stream); });
  return arrow_dataset(stream, source, wanted);
}

}  // namespace mc
