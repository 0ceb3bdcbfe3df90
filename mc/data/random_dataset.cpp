#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "mc/base/error.h"
#include "mc/base/random.h"
#include "mc/data/dataset.h"

namespace mc {
namespace {

void fill(at::Tensor sample, Random random) {
  if (sample.is_floating_point()) {
    AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, sample.scalar_type(), "random_dataset", [&] {
      auto* values = sample.data_ptr<scalar_t>();
      for (int64_t i = 0; i < sample.numel(); ++i) values[i] = static_cast<scalar_t>(random.normal());
    });
  } else {
    AT_DISPATCH_INTEGRAL_TYPES_AND(at::kBool, sample.scalar_type(), "random_dataset", [&] {
      auto* values = sample.data_ptr<scalar_t>();
      for (int64_t i = 0; i < sample.numel(); ++i) values[i] = static_cast<scalar_t>(random.below(2));
    });
  }
}

class RandomDataset : public Dataset {
 public:
  RandomDataset(int64_t size, std::vector<FieldInfo> fields, uint64_t seed)
      : size_(size), fields_(std::move(fields)), seed_(seed) {}

  int64_t size() const override { return size_; }
  std::vector<FieldInfo> fields() const override { return fields_; }
  bool labelled() const override { return false; }
  int64_t classes() const override { return 0; }
  bool random() const override { return true; }
  std::string description() const override { return fmt::format("{} random samples", size_); }

  Batch get(std::span<const int64_t> indices) const override {
    Batch batch;
    batch.indices.assign(indices.begin(), indices.end());
    for (const FieldInfo& field : fields_) {
      std::vector<int64_t> shape = {static_cast<int64_t>(indices.size())};
      shape.insert(shape.end(), field.shape.begin(), field.shape.end());
      at::Tensor values = at::empty(shape, field.dtype);
      for (size_t i = 0; i < indices.size(); ++i) {
        MC_CHECK(indices[i] >= 0 && indices[i] < size_, "sample {} does not exist, there are {}", indices[i],
                 size_);
        fill(values.select(0, static_cast<int64_t>(i)),
             Random(seed_, 0, static_cast<uint64_t>(indices[i]), field.name));
      }
      batch.inputs.push_back(std::move(values));
    }
    return batch;
  }

 private:
  int64_t size_;
  std::vector<FieldInfo> fields_;
  uint64_t seed_;
};

bool can_fill(at::ScalarType type) {
  return c10::isIntegralType(type, true) || type == at::kFloat || type == at::kDouble || type == at::kHalf ||
         type == at::kBFloat16;
}

}  // namespace

std::shared_ptr<const Dataset> random_dataset(int64_t size, const std::vector<FieldInfo>& fields,
                                              uint64_t seed) {
  MC_CHECK(size >= 1, "{} random samples: there must be at least one", size);
  MC_CHECK(!fields.empty(), "random samples need a model whose inputs say what they look like");
  for (const FieldInfo& field : fields) {
    for (int64_t dim : field.shape) {
      MC_CHECK(dim >= 0, "input '{}' has a size that varies; random samples need a fixed one", field.name);
    }
    MC_CHECK(can_fill(field.dtype), "input '{}' has elements of {}, which cannot be drawn at random",
             field.name, c10::toString(field.dtype));
  }
  return std::make_shared<RandomDataset>(size, fields, seed);
}

}  // namespace mc
