// Samples that Python holds, registered for the commands' --data.
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <pybind11/functional.h>
#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>

#include "bindings/bindings.h"
#include "mc/base/error.h"
#include "mc/data/arrow_dataset.h"
#include "mc/data/labels.h"
#include "mc/data/memory_dataset.h"
#include "mc/data/parquet.h"
#include "mc/onnx/onnx.h"
#include "mc/recipe/fields.h"

namespace py = pybind11;

namespace mc {
namespace {

using Shared = std::shared_ptr<const Dataset>;
using PyField = std::tuple<std::string, at::ScalarType, std::vector<int64_t>>;

// A dataset as Python holds it.
struct DatasetHandle {
  Shared dataset;
};

std::vector<FieldInfo> as_fields(const std::vector<PyField>& fields) {
  std::vector<FieldInfo> result;
  for (const auto& [name, type, shape] : fields) result.push_back({name, type, shape});
  return result;
}

// Samples that a Python function makes when they are asked for.
class CallbackDataset : public Dataset {
 public:
  // fetch(indices) -> (arrays, labels or None).
  CallbackDataset(py::function fetch, int64_t size, std::vector<FieldInfo> fields, bool labelled)
      : fetch_(std::move(fetch)), size_(size), fields_(std::move(fields)), labelled_(labelled) {
    MC_CHECK(size_ > 0, "the data has no samples");
  }
  ~CallbackDataset() override {
    py::gil_scoped_acquire gil;
    fetch_.release().dec_ref();
  }

  int64_t size() const override { return size_; }
  std::vector<FieldInfo> fields() const override { return fields_; }
  bool labelled() const override { return labelled_; }
  std::string description() const override { return fmt::format("a Python dataset of {} samples", size_); }

  // Known when all labels were seen once.
  int64_t classes() const override {
    if (!labelled_) return 0;
    std::call_once(counted_, [&] {
      constexpr int64_t kAtOnce = 64;
      for (int64_t begin = 0; begin < size_; begin += kAtOnce) {
        std::vector<int64_t> indices;
        for (int64_t i = begin; i < std::min(begin + kAtOnce, size_); ++i) indices.push_back(i);
        classes_ = std::max(classes_, count_classes(get(indices).labels));
      }
    });
    return classes_;
  }

  Batch get(std::span<const int64_t> indices) const override {
    Batch batch;
    batch.indices.assign(indices.begin(), indices.end());
    for (int64_t index : indices)
      MC_CHECK(index >= 0 && index < size_, "sample {} does not exist, there are {}", index, size_);
    fetch(batch);
    MC_CHECK(batch.inputs.size() == fields_.size(), "a batch has {} arrays, the first sample had {}",
             batch.inputs.size(), fields_.size());
    for (size_t i = 0; i < fields_.size(); ++i) {
      MC_CHECK(batch.inputs[i].dim() > 0 && batch.inputs[i].size(0) == batch.size(),
               "array '{}': {} samples were asked for, {} came", fields_[i].name, batch.size(),
               batch.inputs[i].dim() > 0 ? batch.inputs[i].size(0) : 0);
      MC_CHECK(batch.inputs[i].scalar_type() == fields_[i].dtype,
               "array '{}' has elements of {}, those of the first sample were {}", fields_[i].name,
               c10::toString(batch.inputs[i].scalar_type()), c10::toString(fields_[i].dtype));
    }
    MC_CHECK(batch.labels.defined() == labelled_, "some samples have labels and others have none");
    if (labelled_) batch.labels = as_labels(batch.labels);
    return batch;
  }

 private:
  void fetch(Batch& batch) const {
    py::gil_scoped_acquire gil;
    try {
      const auto given =
          fetch_(batch.indices).cast<std::pair<std::vector<at::Tensor>, std::optional<at::Tensor>>>();
      batch.inputs = given.first;
      if (given.second) batch.labels = *given.second;
    } catch (py::error_already_set& error) {
      fail("the Python dataset: {}", error.what());
    }
  }

  py::function fetch_;
  int64_t size_;
  std::vector<FieldInfo> fields_;
  bool labelled_;
  mutable std::once_flag counted_;
  mutable int64_t classes_ = 0;
};

using PyBlock = std::pair<std::vector<at::Tensor>, std::optional<at::Tensor>>;

DatasetHandle make_memory_dataset(std::vector<std::string> names, const std::vector<PyBlock>& blocks) {
  std::vector<MemoryBlock> result;
  for (const auto& [arrays, labels] : blocks) {
    result.push_back({arrays, labels ? as_labels(*labels) : at::Tensor()});
  }
  return {memory_dataset(std::move(names), std::move(result))};
}

ArrowArrayStream& stream_of(const py::capsule& capsule) {
  MC_CHECK(capsule.name() && std::string_view(capsule.name()) == "arrow_array_stream",
           "this capsule is no Arrow stream");
  return *capsule.get_pointer<ArrowArrayStream>();
}

DatasetHandle make_arrow_dataset(const py::capsule& capsule, const std::string& source,
                                 const std::vector<PyField>& wanted) {
  ArrowArrayStream& stream = stream_of(capsule);
  const std::vector<FieldInfo> fields = as_fields(wanted);
  py::gil_scoped_release release;  // a stream of Python's takes it when it must
  return {arrow_dataset(stream, source, fields)};
}

DatasetHandle make_callback_dataset(py::function fetch, int64_t size, const std::vector<PyField>& fields,
                                    bool labelled) {
  return {std::make_shared<CallbackDataset>(std::move(fetch), size, as_fields(fields), labelled)};
}

std::unique_ptr<RegisteredData> register_data(const std::map<std::string, DatasetHandle*>& splits) {
  DatasetSplits shared;
  for (const auto& [name, handle] : splits) {
    MC_CHECK(handle, "split '{}' is None", name);
    shared.emplace(name, handle->dataset);
  }
  return std::make_unique<RegisteredData>(std::move(shared));
}

// read(paths) gives an object with __arrow_c_stream__.
void read_parquet_with(const py::function& read) {
  const auto* held = new py::function(read);  // never freed: the reader may outlive the interpreter
  set_parquet_reader([held](const std::vector<std::string>& files, ArrowArrayStream& stream) {
    py::gil_scoped_acquire gil;
    try {
      const auto capsule = (*held)(files).attr("__arrow_c_stream__")().cast<py::capsule>();
      stream = std::exchange(stream_of(capsule), ArrowArrayStream{});
    } catch (py::error_already_set& error) {
      fail("{}", error.what());
    }
  });
}

std::vector<PyField> model_inputs(const std::string& file) {
  std::vector<PyField> result;
  for (const FieldInfo& field : fields_of(read_onnx(file)))
    result.emplace_back(field.name, field.dtype, field.shape);
  return result;
}

}  // namespace

void bind_data(py::module_& module) {
  py::class_<DatasetHandle> dataset(module, "Dataset", "Samples that the commands can read.");
  forbid_new(dataset, "memory_dataset, arrow_dataset and callback_dataset");
  dataset.def("__len__", [](const DatasetHandle& self) { return self.dataset->size(); })
      .def_property_readonly("labelled", [](const DatasetHandle& self) { return self.dataset->labelled(); })
      .def_property_readonly("description",
                             [](const DatasetHandle& self) { return self.dataset->description(); })
      .def_property_readonly("fields",
                             [](const DatasetHandle& self) {
                               std::vector<PyField> fields;
                               for (const FieldInfo& field : self.dataset->fields())
                                 fields.emplace_back(field.name, field.dtype, field.shape);
                               return fields;
                             })
      .def(
          "get",
          [](const DatasetHandle& self, const std::vector<int64_t>& indices) {
            Batch batch = self.dataset->get(indices);
            return std::pair(std::move(batch.inputs),
                             batch.labels.defined() ? std::optional<at::Tensor>(batch.labels) : std::nullopt);
          },
          py::arg("indices"), py::call_guard<py::gil_scoped_release>(), "(arrays, labels or None).");
  module.def("memory_dataset", &make_memory_dataset, py::arg("names"), py::arg("blocks"),
             py::call_guard<py::gil_scoped_release>(),
             "Arrays by name; a block has one tensor a name, and labels or None.");
  module.def("arrow_dataset", &make_arrow_dataset, py::arg("stream"), py::arg("source"), py::arg("wanted"),
             "From an Arrow stream (a capsule of __arrow_c_stream__).");
  module.def("callback_dataset", &make_callback_dataset, py::arg("fetch"), py::arg("size"), py::arg("fields"),
             py::arg("labelled"), "fetch(indices) gives (arrays, labels or None).");
  py::class_<RegisteredData> registered(module, "RegisteredData",
                                        "Datasets that --data finds under `source`, while this lives.");
  forbid_new(registered, "register_data");
  registered.def_property_readonly("source", &RegisteredData::source);
  module.def("register_data", &register_data, py::arg("splits"),
             "Datasets by split ('' where there are none).");
  module.def("read_parquet_with", &read_parquet_with, py::arg("read"),
             "From now on read(paths) reads Parquet files: what it gives has __arrow_c_stream__.");
  module.def("model_inputs", &model_inputs, py::arg("file"), py::call_guard<py::gil_scoped_release>(),
             "(name, dtype, shape of one sample; -1 where it is open) of each input of an ONNX file.");
}

}  // namespace mc
