// The Microsoft domain: weights of 2, 4 or 8 bits with a scale for each block of a row (MatMulNBits,
// GatherBlockQuantized). The codes do not train; what they are multiplied with does, scales included.
#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/contrib.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

// Bytes of several codes each, the first in the lowest bits, as one code an element of a longer last axis.
at::Tensor unpack_codes(const at::Tensor& bytes, int64_t bits) {
  if (bits == 8) return bytes;
  std::vector<at::Tensor> codes;
  for (int64_t shift = 0; shift < 8; shift += bits) {
    codes.push_back(bytes.bitwise_right_shift(shift).bitwise_and((1 << bits) - 1));
  }
  return at::stack(codes, -1).flatten(-2);
}

// B [columns, blocks, bytes] holds columns of the weight, which is transposed; its scales are [columns,
// blocks].
struct NBits {
  int64_t inner, columns, bits, block;

  explicit NBits(const Node& node)
      : inner(node.get_int("K", 0)),
        columns(node.get_int("N", 0)),
        bits(node.get_int("bits", 4)),
        block(node.get_int("block_size", 0)) {
    MC_CHECK(bits == 2 || bits == 4 || bits == 8, "bits is {}; 2, 4 and 8 are supported", bits);
    MC_CHECK(block >= 16 && (block & (block - 1)) == 0 && block <= (1 << 20),
             "block_size is {}; it must be a power of two, at least 16", block);
    MC_CHECK(inner >= 1 && columns >= 1 && inner <= (1 << 30) && columns <= (1 << 30),
             "K and N are {} and {}; they must be from 1 to 2^30", inner, columns);
    MC_CHECK(node.get_int("weight_prepacked", 0) == 0, "weights prepacked for one device cannot be read");
  }
  int64_t blocks() const { return (inner + block - 1) / block; }

  at::Tensor codes(const at::Tensor& b) const {
    MC_CHECK(b.scalar_type() == at::kByte && b.numel() == columns * blocks() * (block * bits / 8),
             "B [{}] does not hold {} columns of {} blocks of {} codes", fmt::join(b.sizes(), ","), columns,
             blocks(), block);
    return unpack_codes(b.reshape({columns, -1}), bits).narrow(1, 0, inner);
  }
  // Zero points are packed like codes, rows filled up to whole bytes, or one number each.
  at::Tensor zero_points(const at::Tensor& given) const {
    const bool is_packed = given.scalar_type() == at::kByte;
    const int64_t row = is_packed ? (blocks() * bits + 7) / 8 : blocks();
    MC_CHECK(given.numel() == columns * row, "{} zero points are given where {} columns of {} are needed",
             given.numel(), columns, row);
    const at::Tensor rows = given.reshape({columns, row});
    return is_packed ? unpack_codes(rows, bits).narrow(1, 0, blocks()) : rows;
  }
};

// One number for each element of a row from one for each block of it.
at::Tensor by_element(const at::Tensor& of_blocks, const NBits& format, const at::Tensor& block_of) {
  if (block_of.defined()) return of_blocks.index_select(1, block_of);
  return of_blocks.repeat_interleave(format.block, 1).narrow(1, 0, format.inner);
}

Kernel bind_matmul_n_bits(const BindContext& context) {
  const NBits format(context.node);
  // Codes that the file holds are unpacked once.
  at::Tensor known;
  if (const Tensor* b = context.constant(1)) known = format.codes(to_aten(*b, false));
  return [format, known](const KernelArgs& args) {
    const at::Tensor& a = args.in(0);
    MC_CHECK(a.dim() >= 1 && a.size(-1) == format.inner, "A [{}] does not end with K = {}",
             fmt::join(a.sizes(), ","), format.inner);
    const at::Tensor& scales = args.in(2);
    MC_CHECK(scales.numel() == format.columns * format.blocks(), "{} scales are given; {} x {} are needed",
             scales.numel(), format.columns, format.blocks());
    at::Tensor block_of;
    if (args.has(4)) {
      block_of = wrap_indices(args.in(4).flatten(), format.blocks());
      MC_CHECK(block_of.numel() == format.inner, "g_idx has {} numbers, not K = {}", block_of.numel(),
               format.inner);
    }
    const at::Tensor codes = known.defined() ? on_device_of(known, a) : format.codes(args.in(1));
    at::Tensor centred = codes.to(a.scalar_type());
    if (args.has(3)) {
      const at::Tensor zero = format.zero_points(args.in(3)).to(a.scalar_type());
      centred = centred - by_element(zero, format, block_of);
    } else {
      centred = centred - (1 << (format.bits - 1));
    }
    const at::Tensor scale = scales.reshape({format.columns, format.blocks()}).to(a.scalar_type());
    args.out(0, at::linear(a, centred * by_element(scale, format, block_of), args.in_or(5)));
  };
}

void infer_matmul_n_bits(InferContext& context) {
  const NBits format(context.node());
  std::optional<Shape> y;
  if (const Shape* a = input_shape(context, 0)) {
    MC_CHECK(!a->empty(), "A is a scalar");
    y = *a;
    merge_dims(y->back(), Dim(format.inner));
    y->back() = Dim(format.columns);
  }
  context.output(0, Type::tensor(input_dtype(context, 0), y));
}

double n_bits_macs(const Node& node, std::span<const Shape>, std::span<const Shape> outputs) {
  return element_count(outputs[0]) * static_cast<double>(NBits(node).inner);
}

struct BlockGather {
  int64_t gather_axis, quantize_axis, block, bits;

  explicit BlockGather(const Node& node)
      : gather_axis(node.get_int("gather_axis", 0)),
        quantize_axis(node.get_int("quantize_axis", 1)),
        block(node.get_int("block_size", 128)),
        bits(node.get_int("bits", 4)) {
    MC_CHECK(bits == 2 || bits == 4 || bits == 8, "bits is {}; 2, 4 and 8 are supported", bits);
    MC_CHECK(block >= 16 && block <= (1 << 20) && (block & (block - 1)) == 0,
             "block_size is {}; it must be a power of two from 16 to 2^20", block);
  }
  // Codes of uint8 data are packed along the last axis.
  int64_t packed(DType data) const { return data == DType::kUInt8 ? 8 / bits : 1; }
};

Kernel bind_gather_block_quantized(const BindContext& context) {
  return [format = BlockGather(context.node)](const KernelArgs& args) {
    const at::Tensor& data = args.in(0);
    const at::Tensor& scales = args.in(2);
    const int64_t axis = normalize_axis(format.gather_axis, data.dim());
    const int64_t quantized = normalize_axis(format.quantize_axis, data.dim());
    MC_CHECK(axis != quantized && scales.dim() == data.dim(),
             "the gathered axis must not be the quantized one, and scales have as many dims as the data");
    const bool is_packed = format.packed(args.slot(0).dtype()) > 1;
    const at::Tensor index = wrap_indices(args.in(1), data.size(axis));
    const auto pick = [&](const at::Tensor& x) { return x.index_select(axis, index.flatten()); };
    const at::Tensor codes = is_packed ? unpack_codes(pick(data), format.bits) : pick(data);
    const auto spread = [&](const at::Tensor& x) {
      MC_CHECK(x.size(quantized) == (codes.size(quantized) + format.block - 1) / format.block,
               "axis {} has {} scales or zero points for {} codes in blocks of {}", quantized,
               x.size(quantized), codes.size(quantized), format.block);
      return x.repeat_interleave(format.block, quantized).narrow(quantized, 0, codes.size(quantized));
    };
    at::Tensor centred = codes.to(scales.scalar_type());
    if (args.has(3)) {
      const at::Tensor zero = is_packed ? unpack_codes(pick(args.in(3)), format.bits) : pick(args.in(3));
      const int64_t blocks = scales.size(quantized);  // packed zero points may be filled up
      centred = centred - spread(zero.narrow(quantized, 0, blocks).to(scales.scalar_type()));
    } else if (args.slot(0).dtype() == DType::kUInt8) {
      centred = centred - (1 << (format.bits - 1));
    }
    std::vector<int64_t> dims = codes.sizes().vec();
    dims.erase(dims.begin() + axis);
    dims.insert(dims.begin() + axis, index.sizes().begin(), index.sizes().end());
    args.out(0, (centred * spread(pick(scales))).reshape(dims));
  };
}

void infer_gather_block_quantized(InferContext& context) {
  const Shape* data = input_shape(context, 0);
  const Shape* index = input_shape(context, 1);
  const BlockGather format(context.node());
  std::optional<Shape> y;
  if (data && index && input_dtype(context, 0) != DType::kUndefined) {
    const int64_t axis = normalize_axis(format.gather_axis, static_cast<int64_t>(data->size()));
    y = *data;
    y->back() = multiply_dims(y->back(), Dim(format.packed(input_dtype(context, 0))));
    y->erase(y->begin() + axis);
    y->insert(y->begin() + axis, index->begin(), index->end());
  }
  context.output(0, Type::tensor(input_dtype(context, 2), y));
}

}  // namespace

std::vector<Op> contrib_block_ops() {
  const Role constant = Role::kConstant, state = Role::kState;
  Op matmul = microsoft_op("MatMulNBits", bind_matmul_n_bits, infer_matmul_n_bits,
                           {constant, constant, state, state, constant, Role::kWeight});
  matmul.macs = n_bits_macs;
  return {matmul, microsoft_op("GatherBlockQuantized", bind_gather_block_quantized,
                               infer_gather_block_quantized, {constant, constant, state, state})};
}

}  // namespace mc
