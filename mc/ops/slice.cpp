// Slice, and ReverseSequence.
#include <algorithm>
#include <limits>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

// `count` elements start, start + step, ... of one axis.
struct Range {
  int64_t start;
  int64_t count;
  int64_t step;
};

// numpy's slicing: negative positions count from the end, positions outside of the axis are clamped.
Range clamp_range(int64_t start, int64_t end, int64_t step, int64_t size) {
  MC_CHECK(step != 0 && step != std::numeric_limits<int64_t>::min(), "a slice's step is {}", step);
  if (start < 0) start += size;
  if (end < 0) end += size;
  if (step > 0) {
    start = std::clamp<int64_t>(start, 0, size);
    end = std::clamp<int64_t>(end, 0, size);
    const int64_t length = std::max<int64_t>(end - start, 0);
    return {start, length / step + (length % step != 0), step};
  }
  start = std::clamp<int64_t>(start, -1, size - 1);
  end = std::clamp<int64_t>(end, -1, size - 1);
  const int64_t length = std::max<int64_t>(start - end, 0);
  return {start, length / -step + (length % -step != 0), step};
}

at::Tensor take(const at::Tensor& x, int64_t axis, const Range& range) {
  if (range.step > 0) return x.slice(axis, range.start, range.start + range.count * range.step, range.step);
  if (range.count == 0) return x.slice(axis, 0, 0);
  const int64_t first = range.start + (range.count - 1) * range.step;
  return x.slice(axis, first, range.start + 1, -range.step).flip(axis);  // LibTorch has no negative steps
}

// What a slice says of each of its axes; checked to be of one length.
struct SliceSpec {
  std::vector<int64_t> starts, ends, axes, steps;

  SliceSpec(std::vector<int64_t> from, std::vector<int64_t> to, std::optional<std::vector<int64_t>> on,
            std::optional<std::vector<int64_t>> by)
      : starts(std::move(from)), ends(std::move(to)) {
    if (!on) {
      on.emplace();
      for (size_t i = 0; i < starts.size(); ++i) on->push_back(static_cast<int64_t>(i));
    }
    axes = *std::move(on);
    steps = by ? *std::move(by) : std::vector<int64_t>(starts.size(), 1);
    MC_CHECK(ends.size() == starts.size() && axes.size() == starts.size() && steps.size() == starts.size(),
             "{} starts, {} ends, {} axes and {} steps do not match", starts.size(), ends.size(), axes.size(),
             steps.size());
  }
  Range range(size_t i, int64_t size) const { return clamp_range(starts[i], ends[i], steps[i], size); }
};

Kernel bind_slice(const BindContext& context) {
  return [starts = IntsInput(context, 1, "starts"), ends = IntsInput(context, 2, "ends"),
          axes = IntsInput(context, 3, "axes"), steps = IntsInput(context, 4)](const KernelArgs& args) {
    at::Tensor x = args.in(0);
    const SliceSpec spec(starts.required(args), ends.required(args), axes.get(args), steps.get(args));
    for (size_t i = 0; i < spec.axes.size(); ++i) {
      const int64_t axis = normalize_axis(spec.axes[i], x.dim());
      x = take(x, axis, spec.range(i, x.size(axis)));
    }
    args.out(0, x);
  };
}

// The dim that remains; a symbolic one stays where the slice keeps all of it.
Dim sliced(const Dim& dim, const SliceSpec& spec, size_t i) {
  if (dim.known()) return Dim(spec.range(i, dim.value).count);
  const bool whole =
      spec.starts[i] == 0 && spec.steps[i] == 1 && spec.ends[i] >= std::numeric_limits<int32_t>::max();
  return whole ? dim : Dim();
}

void infer_slice(InferContext& context) {
  const Shape* shape = input_shape(context, 0);
  const IntsArgument starts = ints_argument(context, 1, "starts");
  const IntsArgument ends = ints_argument(context, 2, "ends");
  const IntsArgument axes = ints_argument(context, 3, "axes");
  const IntsArgument steps = ints_argument(context, 4);
  std::optional<Shape> result;
  if (shape) {
    result = *shape;
    const auto rank = static_cast<int64_t>(shape->size());
    if (starts.values && ends.values && axes.present == axes.values.has_value() &&
        steps.present == steps.values.has_value()) {
      const SliceSpec spec(*starts.values, *ends.values, axes.values, steps.values);
      for (size_t i = 0; i < spec.axes.size(); ++i) {
        Dim& dim = (*result)[normalize_axis(spec.axes[i], rank)];
        dim = sliced(dim, spec, i);
      }
      const auto elements = context.shape_value(0);
      if (elements && rank == 1 && spec.axes.size() == 1) {
        const Range range = spec.range(0, static_cast<int64_t>(elements->size()));
        Shape part;
        for (int64_t i = 0; i < range.count; ++i) part.push_back((*elements)[range.start + i * range.step]);
        context.output_shape_value(0, part);
      }
    } else if (axes.values) {
      for (int64_t axis : *axes.values) (*result)[normalize_axis(axis, rank)] = Dim();
    } else {
      *result = Shape(shape->size());
    }
  }
  context.output(0, Type::tensor(input_dtype(context, 0), result));
}

Kernel bind_reverse_sequence(const BindContext& context) {
  const int64_t batch_axis = context.node.get_int("batch_axis", 1);
  const int64_t time_axis = context.node.get_int("time_axis", 0);
  MC_CHECK(batch_axis != time_axis && batch_axis >= 0 && batch_axis < 2 && time_axis >= 0 && time_axis < 2,
           "batch_axis {} and time_axis {} must be 0 and 1", batch_axis, time_axis);
  return [time_axis](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const int64_t steps = x.size(time_axis);
    const at::Tensor lengths = on_device_of(args.in(1), x).to(at::kLong).unsqueeze(1);
    const at::Tensor time = at::arange(steps, lengths.options()).unsqueeze(0);
    at::Tensor index = at::where(time < lengths, lengths - 1 - time, time);  // [batch, time]
    if (time_axis == 0) index = index.t();
    while (index.dim() < x.dim()) index = index.unsqueeze(-1);
    args.out(0, x.gather(time_axis, index.expand(x.sizes())));
  };
}

}  // namespace

std::vector<Op> slice_ops() {
  Op slice = make_op("Slice", 1, bind_slice, infer_slice);
  slice.quant = QuantPart::kSameRange;
  Op reverse = make_op("ReverseSequence", 10, bind_reverse_sequence, infer_same_as_input);
  reverse.quant = QuantPart::kSameRange;
  return {slice, reverse};
}

}  // namespace mc
