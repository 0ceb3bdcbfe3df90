// What calibrating costs beyond running the network: 100 samples through the float network alone, with the
// smallest and largest elements gathered, and with histograms for every calibrator; then each calibrator's
// own time, and reading, one pass, ranges by every calibrator in turn and writing one file, end to end.
//
//   bench_calibration [model.onnx] [size] [samples] [batch]
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>

#include <unistd.h>

#include <ATen/ATen.h>

#include "mc/base/free_memory.h"
#include "mc/models/models.h"
#include "mc/onnx/onnx.h"
#include "mc/quantize/calibrate.h"
#include "mc/rewrite/pass.h"

namespace {

double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void show(const std::string& what, double time) {
  std::printf("%-28s%8.3f s\n", what.c_str(), time);
}

mc::Model float_model(int argc, char** argv, int64_t size) {
  mc::Model model = argc > 1 && *argv[1]
                        ? mc::read_onnx(argv[1])
                        : mc::build_model("resnet50", {.input_shape = {3, size, size}, .classes = 1000});
  mc::apply_passes(model, mc::inference_passes());
  return model;
}

mc::NextBatch batches_of(const at::Tensor& images, int64_t at_once) {
  auto left = std::make_shared<std::vector<at::Tensor>>(images.split(at_once));
  return [left, next = size_t{0}]() mutable -> std::optional<mc::Batch> {
    if (next == left->size()) return std::nullopt;
    mc::Batch batch;
    batch.inputs = {left->at(next++)};
    batch.indices.resize(batch.inputs[0].size(0));
    return batch;
  };
}

void quantize_by_all(const std::string& from, const std::string& to, const at::Tensor& images,
                     int64_t at_once) {
  mc::Model model = mc::read_onnx(from);
  mc::apply_passes(model, mc::inference_passes());
  mc::QuantizeOptions options;
  options.mode = "ptq";
  mc::prepare_qat(model, options);
  mc::GraphModule module(std::move(model));
  const mc::ActivationStatistics statistics = mc::collect_statistics(module, batches_of(images, at_once));
  for (const std::string& name : mc::calibrator_names()) mc::set_ranges(module, statistics, name);
  mc::write_onnx(mc::convert(module, options), to);
}

}  // namespace

int main(int argc, char** argv) {
  mc::keep_free_memory();
  const int64_t size = argc > 2 ? std::stoll(argv[2]) : 224;
  const int64_t count = argc > 3 ? std::stoll(argv[3]) : 100;
  const int64_t at_once = argc > 4 ? std::stoll(argv[4]) : 8;
  const mc::Model model = float_model(argc, argv, size);
  at::manual_seed(0);
  const at::Tensor images = at::randn({count, 3, size, size});

  const at::NoGradGuard no_grad;
  mc::GraphModule plain(model);
  plain.eval();
  const auto run_plain = [&] {
    for (const at::Tensor& batch : images.split(at_once)) plain.forward(batch);
  };
  for (int i = 0; i < 3; ++i) plain.forward(images.narrow(0, 0, at_once));
  show("forward alone", seconds(run_plain));

  mc::Model prepared = model;
  mc::QuantizeOptions options;
  options.mode = "ptq";
  mc::prepare_qat(prepared, options);
  mc::GraphModule module(prepared);
  const auto pass = [&] { return batches_of(images, at_once); };
  mc::ActivationStatistics statistics;
  show("forward + extremes", seconds([&] { mc::collect_statistics(module, pass(), {.histograms = false}); }));
  show("forward + histograms", seconds([&] { statistics = mc::collect_statistics(module, pass()); }));
  double all = 0;
  for (const std::string& name : mc::calibrator_names()) {
    const double time = seconds([&] { mc::set_ranges(module, statistics, name); });
    show("ranges by " + name, time);
    all += time;
  }
  show("ranges by all", all);

  const auto folder = std::filesystem::temp_directory_path();
  const std::string id = std::to_string(getpid());
  const std::string from = folder / (id + "-float.onnx"), to = folder / (id + "-quantized.onnx");
  mc::write_onnx(model, from);
  show("end to end, by all", seconds([&] { quantize_by_all(from, to, images, at_once); }));
  std::filesystem::remove(from);
  std::filesystem::remove(to);
}
