// From an ONNX file to a Graph and to a module that runs: milliseconds (median of some rounds) and anonymous
// memory above the idle process, in times the file's size.
//   bench_loading MODEL.onnx [ROUNDS]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "mc/module/graph_module.h"
#include "mc/onnx/onnx.h"

namespace {

double anonymous_megabytes() {
  std::ifstream file("/proc/self/status");
  for (std::string word; file >> word;) {
    double kibibytes = 0;
    if (word == "RssAnon:" && file >> kibibytes) return kibibytes * 1024 / 1e6;
  }
  return 0;
}

double median_ms(int rounds, const std::function<void()>& body) {
  std::vector<double> times;
  for (int i = 0; i < rounds; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    times.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
  return times[static_cast<size_t>(rounds) / 2];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: bench_loading MODEL.onnx [ROUNDS]\n");
    return 2;
  }
  const std::filesystem::path path(argv[1]);
  const int rounds = argc > 2 ? std::stoi(argv[2]) : 7;
  at::ones({1}).add(1);  // LibTorch's own start is not ours
  const double idle = anonymous_megabytes(),
               size = static_cast<double>(std::filesystem::file_size(path)) / 1e6;
  {
    const mc::GraphModule module(mc::read_onnx(path));
    std::printf("file            %8.1f MB\n", size);
    std::printf("anonymous memory of a module %.1f MB, %.2f x the file\n", anonymous_megabytes() - idle,
                (anonymous_megabytes() - idle) / size);
  }
  std::printf("file to Graph   %8.1f ms\n", median_ms(rounds, [&] { mc::read_onnx(path); }));
  std::printf("file to module  %8.1f ms\n",
              median_ms(rounds, [&] { const mc::GraphModule module(mc::read_onnx(path)); }));
  return 0;
}
