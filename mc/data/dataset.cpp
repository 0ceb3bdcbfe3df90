#include "mc/data/dataset.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/data/memory_dataset.h"
#include "mc/data/parquet.h"

namespace mc {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kRandom = "random:";
constexpr uint64_t kRandomSeed = 0;

// Some samples of another dataset.
class Subset : public Dataset {
 public:
  int64_t size() const override { return count_; }
  std::vector<FieldInfo> fields() const override { return base_->fields(); }
  bool labelled() const override { return base_->labelled(); }
  int64_t classes() const override { return base_->classes(); }
  bool random() const override { return base_->random(); }
  const RawImages* raw_images() const override { return raw_.images.defined() ? &raw_ : nullptr; }
  Batch get(std::span<const int64_t> indices) const override {
    std::vector<int64_t> chosen;
    chosen.reserve(indices.size());
    for (int64_t index : indices) {
      MC_CHECK(index >= 0 && index < count_, "sample {} does not exist, there are {}", index, count_);
      chosen.push_back(place(index));
    }
    return base_->get(chosen);
  }

 protected:
  Subset(std::shared_ptr<const Dataset> base, int64_t count) : base_(std::move(base)), count_(count) {}
  // Where sample `index` stands in the other dataset.
  virtual int64_t place(int64_t index) const = 0;

  std::shared_ptr<const Dataset> base_;
  int64_t count_;
  RawImages raw_;
};

class Taken : public Subset {
 public:
  Taken(std::shared_ptr<const Dataset> base, int64_t count) : Subset(std::move(base), count) {
    if (const RawImages* raw = base_->raw_images()) {
      raw_.images = raw->images.narrow(0, 0, count);
      if (raw->labels.defined()) raw_.labels = raw->labels.narrow(0, 0, count);
    }
  }
  std::string description() const override {
    return fmt::format("the first {} of {}", count_, base_->description());
  }

 protected:
  int64_t place(int64_t index) const override { return index; }
};

class Spread : public Subset {
 public:
  Spread(std::shared_ptr<const Dataset> base, int64_t count) : Subset(std::move(base), count) {
    if (const RawImages* raw = base_->raw_images()) {
      std::vector<int64_t> chosen;
      chosen.reserve(static_cast<size_t>(count_));
      for (int64_t index = 0; index < count_; ++index) chosen.push_back(place_of(index));
      const at::Tensor index = at::tensor(chosen, at::kLong);
      raw_.images = raw->images.index_select(0, index);
      if (raw->labels.defined()) raw_.labels = raw->labels.index_select(0, index);
    }
  }
  std::string description() const override {
    return fmt::format("{} spread over {}", count_, base_->description());
  }

 protected:
  int64_t place(int64_t index) const override { return place_of(index); }

 private:
  int64_t place_of(int64_t index) const { return index * base_->size() / count_; }
};

std::vector<std::string> names_of(const std::vector<FieldInfo>& fields) {
  std::vector<std::string> names;
  for (const FieldInfo& field : fields) names.push_back(field.name);
  return names;
}

int64_t random_count(const std::string& source) {
  const std::string_view digits = std::string_view(source).substr(kRandom.size());
  int64_t count = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), count);
  MC_CHECK(error == std::errc() && end == digits.data() + digits.size() && count >= 1,
           "'{}' is no number of random samples; write random:100", source);
  return count;
}

std::vector<fs::path> npz_files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".npz") files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

bool has_idx_files(const fs::path& folder) {
  return std::ranges::any_of(fs::directory_iterator(folder), [](const fs::directory_entry& entry) {
    return entry.path().filename().string().find("-idx") != std::string::npos;
  });
}

std::shared_ptr<const Dataset> open_folder(const fs::path& folder, const std::string& split,
                                           const std::vector<FieldInfo>& fields) {
  const std::vector<std::string> names = names_of(fields);
  if (has_idx_files(folder)) return open_idx(folder, split);
  if (const auto files = parquet_files(folder, split); !files.empty()) return open_parquet(files, fields);
  if (!split.empty() && fs::is_directory(folder / split)) {
    if (auto files = npz_files(folder / split); !files.empty()) return open_npz(files, names);
  }
  if (!split.empty() && fs::is_regular_file(folder / (split + ".npz"))) {
    return open_npz({folder / (split + ".npz")}, names);
  }
  auto files = npz_files(folder);
  MC_CHECK(!files.empty(),
           "{}: has neither .npz nor .parquet files, nor IDX files with the names that MNIST has",
           folder.string());
  return open_npz(files, names);
}

}  // namespace

std::shared_ptr<const Dataset> take(std::shared_ptr<const Dataset> dataset, int64_t count) {
  if (count < 0 || count >= dataset->size()) return dataset;
  return std::make_shared<Taken>(std::move(dataset), count);
}

std::shared_ptr<const Dataset> spread(std::shared_ptr<const Dataset> dataset, int64_t count) {
  if (count < 0 || count >= dataset->size()) return dataset;
  return std::make_shared<Spread>(std::move(dataset), count);
}

Batch all(const Dataset& dataset) {
  std::vector<int64_t> indices(static_cast<size_t>(dataset.size()));
  std::iota(indices.begin(), indices.end(), 0);
  return dataset.get(indices);
}

std::shared_ptr<const Dataset> open_dataset(const std::string& source, const std::string& split,
                                            const std::vector<FieldInfo>& fields) {
  if (is_registered_data(source)) return find_registered_data(source, split);
  if (source.starts_with(kRandom)) return random_dataset(random_count(source), fields, kRandomSeed);
  const fs::path path(source);
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  MC_CHECK(fs::exists(status), "{}: there is no such file or folder", source);
  try {
    if (fs::is_directory(status)) return open_folder(path, split, fields);
  } catch (const fs::filesystem_error& problem) {
    fail("{}: {}", source, problem.code().message());
  }
  if (path.extension() == ".parquet") return open_parquet({path}, fields);
  MC_CHECK(
      path.extension() == ".npz",
      "{}: is no dataset that is understood; give an .npz or .parquet file, a folder of them, a folder of "
      "IDX files, or random:N",
      source);
  return open_npz({path}, names_of(fields));
}

}  // namespace mc
