// Tables of signal processing, made once where their sizes are constant: windows (Harris, "On the use of
// windows for harmonic analysis with the discrete Fourier transform", 1978) and weights of mel bands.
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"
#include "mc/ops/signal.h"

namespace mc {
namespace {

constexpr int64_t kMaxTable = int64_t{1} << 26;  // elements: what a broken file must not exceed

DType table_type(const Node& node) {
  const int64_t number = node.get_int("output_datatype", 1);
  MC_CHECK(number > 0 && number < 64 && dtype_known(static_cast<int32_t>(number)) &&
               dtype_bits(static_cast<DType>(number)) >= 8,
           "output_datatype is {}, which is no element type of a table", number);
  return static_cast<DType>(number);
}

int64_t table_number(const std::vector<int64_t>& values, const char* name, int64_t least) {
  MC_CHECK(values.size() == 1 && values[0] >= least && values[0] <= kMaxTable,
           "{} must be one number, {} to {}", name, least, kMaxTable);
  return values[0];
}

// Windows are sums of cosines: sum_k a_k cos(2 pi k n / N).
using Cosines = std::array<double, 3>;
constexpr Cosines kHann = {0.5, -0.5, 0};
constexpr Cosines kHamming = {25.0 / 46.0, 25.0 / 46.0 - 1, 0};
constexpr Cosines kBlackman = {0.42, -0.5, 0.08};

at::Tensor window_table(const Cosines& cosines, int64_t size, bool periodic, DType type) {
  const int64_t period = std::max<int64_t>(1, periodic ? size : size - 1);
  const at::Tensor angle =
      at::arange(size, at::kDouble) * (2 * std::numbers::pi / static_cast<double>(period));
  const at::Tensor table = cosines[0] + cosines[1] * angle.cos() + cosines[2] * (angle * 2).cos();
  return table.to(to_scalar_type(type));
}

Op window_op(const char* name, const Cosines& cosines) {
  const auto bind = [cosines](const BindContext& context) -> Kernel {
    const bool periodic = context.node.get_int("periodic", 1) != 0;
    const DType type = table_type(context.node);
    if (const Tensor* size = context.constant(0)) {
      const at::Tensor table =
          window_table(cosines, table_number(size->as_ints(), "size", 0), periodic, type);
      return [table](const KernelArgs& args) { args.out(0, table); };
    }
    return [=](const KernelArgs& args) {
      args.out(0, window_table(cosines, table_number(tensor_ints(args.in(0)), "size", 0), periodic, type));
    };
  };
  const auto infer = [](InferContext& context) {
    const IntsArgument size = ints_argument(context, 0);
    context.output(0, Type::tensor(table_type(context.node()),
                                   Shape{size.values ? Dim(table_number(*size.values, "size", 0)) : Dim()}));
  };
  Op op = make_op(name, 17, bind, infer);
  op.differentiable = false;
  return op;
}

struct MelBands {
  int64_t bands, dft_length;
  double sample_rate, low, high;  // in Hz
};

// Triangles that rise from one edge to the next and fall to the one after. The edges lie evenly on the mel
// scale (2595 log10(1 + f / 700)) and are rounded down to bins of the spectrum.
at::Tensor mel_table(const MelBands& mel, DType type) {
  const int64_t bins = mel.dft_length / 2 + 1;
  MC_CHECK(mel.bands <= kMaxTable / bins, "{} bands of {} bins are too large a table", mel.bands, bins);
  MC_CHECK(mel.low >= 0 && mel.high >= mel.low && mel.high <= mel.sample_rate,
           "edges of {} and {} Hz do not fit a sample rate of {}", mel.low, mel.high, mel.sample_rate);
  const auto to_mel = [](double hertz) { return 2595 * std::log10(1 + hertz / 700); };
  const double first = to_mel(mel.low);
  const double step = (to_mel(mel.high) - first) / static_cast<double>(mel.bands + 2);
  const auto edge = [&](int64_t i) {
    const double hertz = 700 * (std::pow(10, (first + step * static_cast<double>(i)) / 2595) - 1);
    return static_cast<int64_t>(
        std::floor(static_cast<double>(mel.dft_length + 1) * hertz / mel.sample_rate));
  };
  at::Tensor table = at::zeros({bins, mel.bands}, at::kDouble);
  double* values = table.data_ptr<double>();
  for (int64_t band = 0; band < mel.bands; ++band) {
    const int64_t low = edge(band), peak = edge(band + 1), high = edge(band + 2);
    for (int64_t bin = std::max<int64_t>(0, low); bin < std::min(bins, std::max(high, peak + 1)); ++bin) {
      double weight = 1;
      if (bin < peak) weight = static_cast<double>(bin - low) / static_cast<double>(peak - low);
      if (bin > peak) weight = static_cast<double>(high - bin) / static_cast<double>(high - peak);
      values[bin * mel.bands + band] = weight;
    }
  }
  return table.to(to_scalar_type(type));
}

Kernel bind_mel(const BindContext& context) {
  return [type = table_type(context.node)](const KernelArgs& args) {
    const auto whole = [&](size_t i, const char* name) {
      return table_number(tensor_ints(args.in(i)), name, 1);
    };
    const auto edge = [&](size_t i) {
      MC_CHECK(args.in(i).numel() == 1, "an edge has {} elements; it is one number", args.in(i).numel());
      return args.in(i).item<double>();
    };
    args.out(0, mel_table({whole(0, "num_mel_bins"), whole(1, "dft_length"),
                           static_cast<double>(whole(2, "sample_rate")), edge(3), edge(4)},
                          type));
  };
}

void infer_mel(InferContext& context) {
  const IntsArgument bands = ints_argument(context, 0), length = ints_argument(context, 1);
  context.output(
      0,
      Type::tensor(table_type(context.node()),
                   Shape{length.values ? Dim(table_number(*length.values, "dft_length", 1) / 2 + 1) : Dim(),
                         bands.values ? Dim(table_number(*bands.values, "num_mel_bins", 1)) : Dim()}));
}

}  // namespace

std::vector<Op> spectral_window_ops() {
  Op mel = make_op("MelWeightMatrix", 17, bind_mel, infer_mel);
  mel.differentiable = false;
  return {window_op("HannWindow", kHann), window_op("HammingWindow", kHamming),
          window_op("BlackmanWindow", kBlackman), mel};
}

}  // namespace mc
