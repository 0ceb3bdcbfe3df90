// Signals: DFT and STFT. Complex numbers are pairs in a last axis of two; real ones an axis of one.
#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"
#include "mc/ops/signal.h"

namespace mc {
namespace {

// Transforms are made in float or double.
at::ScalarType transform_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// [..., 1] as real numbers [...], [..., 2] as complex ones.
at::Tensor signal_of(const at::Tensor& x) {
  MC_CHECK(x.dim() >= 2 && (x.size(-1) == 1 || x.size(-1) == 2),
           "the signal is [{}]; its last axis must hold 1 (real) or 2 (complex) numbers",
           fmt::join(x.sizes(), ","));
  const at::Tensor wide = x.to(transform_type(x));
  return x.size(-1) == 1 ? wide.squeeze(-1) : at::view_as_complex(wide.contiguous());
}

// The spectrum along `axis` from frequency 0 to n / 2 or to n, as pairs.
at::Tensor spectrum(const at::Tensor& signal, int64_t n, int64_t axis, bool onesided) {
  if (onesided && !signal.is_complex()) return at::view_as_real(at::fft_rfft(signal, n, axis));
  const at::Tensor full = at::view_as_real(at::fft_fft(signal, n, axis));
  return onesided ? full.narrow(axis, 0, n / 2 + 1) : full;
}

// Of a DFT; opset 17 has an attribute for the axis where opset 20 has an input.
struct TransformAttributes {
  bool inverse, onesided;
  int64_t default_axis;

  int64_t axis(const std::optional<std::vector<int64_t>>& given, int64_t rank) const {
    MC_CHECK(!given || given->size() == 1, "axis must be one number");
    const int64_t axis = normalize_axis(given ? (*given)[0] : default_axis, rank);
    MC_CHECK(axis != rank - 1, "axis {} is the one that holds real and imaginary parts", axis);
    return axis;
  }
  // How many numbers the transform sees on an axis of `size`.
  int64_t length(const std::optional<std::vector<int64_t>>& given, int64_t size) const {
    MC_CHECK(!given || given->size() == 1, "dft_length must be one number");
    const int64_t length = given ? (*given)[0] : (inverse && onesided ? 2 * (size - 1) : size);
    MC_CHECK(length >= 1, "the transform would have {} points; it needs 1", length);
    return length;
  }
};

TransformAttributes transform_attributes(const Node& node, int64_t opset) {
  return {node.get_int("inverse", 0) != 0, node.get_int("onesided", 0) != 0,
          opset < 20 ? node.get_int("axis", 1) : -2};
}

Kernel bind_dft(const BindContext& context) {
  return [attributes = transform_attributes(context.node, context.opset), length = IntsInput(context, 1),
          given_axis = IntsInput(context, 2)](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const at::Tensor signal = signal_of(x);
    const int64_t axis = attributes.axis(given_axis.get(args), x.dim());
    const int64_t n = attributes.length(length.get(args), x.size(axis));
    at::Tensor y;
    if (!attributes.inverse) {
      y = spectrum(signal, n, axis, attributes.onesided);
    } else if (attributes.onesided) {
      y = at::fft_irfft(signal, n, axis).unsqueeze(-1);
    } else {
      y = at::view_as_real(at::fft_ifft(signal, n, axis));
    }
    args.out(0, y.to(x.scalar_type()));
  };
}

void infer_dft(InferContext& context) {
  const TransformAttributes attributes = transform_attributes(context.node(), context.opset());
  const Shape* x = input_shape(context, 0);
  const IntsArgument length = ints_argument(context, 1);
  const IntsArgument given_axis = ints_argument(context, 2);
  std::optional<Shape> y;
  if (x) {
    y = Shape(x->size());
    if (!given_axis.present || given_axis.values) {
      const int64_t axis = attributes.axis(given_axis.values, static_cast<int64_t>(x->size()));
      const Dim size = (*x)[axis];
      y = *x;
      (*y)[axis] = Dim();
      if (!length.present && attributes.inverse == attributes.onesided && !attributes.inverse) {
        (*y)[axis] = size;
      } else if (length.values || (!length.present && size.known())) {
        const int64_t n = attributes.length(length.values, size.value);
        (*y)[axis] = attributes.onesided && !attributes.inverse ? n / 2 + 1 : n;
      }
    }
    if (!y->empty()) y->back() = Dim(attributes.inverse && attributes.onesided ? 1 : 2);
  }
  context.output(0, Type::tensor(input_dtype(context, 0), y));
}

// How a signal is cut into frames.
struct Frames {
  int64_t step, length;
};

Frames frames_of(const std::vector<int64_t>& step, const std::optional<std::vector<int64_t>>& length,
                 std::optional<int64_t> window, int64_t signal) {
  MC_CHECK(step.size() == 1 && step[0] >= 1, "frame_step must be one number, at least 1");
  MC_CHECK(!length || length->size() == 1, "frame_length must be one number");
  const Frames frames{step[0], length ? (*length)[0] : window.value_or(signal)};
  MC_CHECK(!window || *window == frames.length, "the window has {} elements and a frame {}", *window,
           frames.length);
  MC_CHECK(frames.length >= 1 && frames.length <= signal, "a frame of {} does not fit a signal of {}",
           frames.length, signal);
  return frames;
}

Kernel bind_stft(const BindContext& context) {
  return [onesided = context.node.get_int("onesided", 1) != 0, step = IntsInput(context, 1),
          length = IntsInput(context, 3)](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    MC_CHECK(x.dim() == 3, "the signal has {} dims; batch, length and 1 or 2 numbers are needed", x.dim());
    MC_CHECK(!args.has(2) || args.in(2).dim() == 1, "the window has {} dims; 1 is needed", args.in(2).dim());
    const Frames frames =
        frames_of(step.required(args), length.get(args),
                  args.has(2) ? std::optional(args.in(2).size(0)) : std::nullopt, x.size(1));
    at::Tensor cut = signal_of(x).unfold(1, frames.length, frames.step);
    if (args.has(2)) cut = cut * args.in(2).to(transform_type(x));
    args.out(0, spectrum(cut, frames.length, 2, onesided).to(x.scalar_type()));
  };
}

void infer_stft(InferContext& context) {
  const Shape* x = input_shape(context, 0);
  const Shape* window = input_shape(context, 2);
  const IntsArgument step = ints_argument(context, 1), length = ints_argument(context, 3);
  const bool windowed = !context.node().input(2).empty();
  Shape y = {x && !x->empty() ? (*x)[0] : Dim(), Dim(), Dim(), Dim(2)};
  const bool settled = length.values || (!length.present && (!windowed || (window && all_known(*window))));
  if (x && x->size() == 3 && (*x)[1].known() && step.values && settled) {
    const bool fixed = window && window->size() == 1 && window->front().known();
    const Frames frames =
        frames_of(*step.values, length.values, fixed ? std::optional(window->front().value) : std::nullopt,
                  (*x)[1].value);
    y[1] = ((*x)[1].value - frames.length) / frames.step + 1;
    y[2] = context.node().get_int("onesided", 1) != 0 ? frames.length / 2 + 1 : frames.length;
  }
  context.output(0, Type::tensor(input_dtype(context, 0), y));
}

}  // namespace

std::vector<Op> signal_ops() {
  std::vector<Op> ops = {
      make_op("DFT", 17, bind_dft, infer_dft),
      make_op("STFT", 17, bind_stft, infer_stft),
  };
  for (Op& op : spectral_window_ops()) ops.push_back(std::move(op));
  return ops;
}

}  // namespace mc
