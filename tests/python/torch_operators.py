"""For each ONNX operator that PyTorch has too: the same on torch tensors, from the node's inputs (None where
omitted) and attributes. A tuple holds several outputs."""

import math

import torch
import torch.nn.functional as F

REFERENCES = {}


def reference(*names):
    def add(function):
        for name in names:
            REFERENCES[name] = function
        return function

    return add


def plain(name, function):
    REFERENCES[name] = lambda inputs, attributes: function(*inputs)


for _name in [
    "Neg",
    "Abs",
    "Sqrt",
    "Exp",
    "Log",
    "Reciprocal",
    "Sign",
    "Floor",
    "Ceil",
    "Round",
    "Erf",
    "Sin",
    "Cos",
    "Tan",
    "Asin",
    "Acos",
    "Atan",
    "Sinh",
    "Cosh",
]:
    plain(_name, getattr(torch, _name.lower()))
for _name in ["Asinh", "Acosh", "Atanh", "Relu", "Sigmoid", "Tanh", "Add", "Sub", "Mul", "Div", "Pow"]:
    plain(_name, getattr(torch, _name.lower()))
plain("Where", torch.where)
plain("Identity", lambda x: x)
plain("CastLike", lambda x, like: x)
plain("PRelu", lambda x, slope: torch.where(x < 0, x * slope, x))
plain("HardSwish", F.hardswish)
plain("Softplus", F.softplus)
plain("Softsign", F.softsign)
plain("Mish", F.mish)
plain("Selu", torch.selu)
plain("MatMul", torch.matmul)
plain("Reshape", lambda x, shape: x.reshape(shape.tolist()))
plain("Flatten", lambda x: torch.flatten(x, 1))
plain("Squeeze", lambda x, axes: x.squeeze(tuple(axes.tolist())))
plain("Expand", lambda x, shape: x * torch.ones(shape.tolist(), dtype=x.dtype))
plain("Tile", lambda x, repeats: x.repeat(repeats.tolist()))
plain("GlobalAveragePool", lambda x: x.mean((2, 3), keepdim=True))
plain("GlobalMaxPool", lambda x: x.amax((2, 3), keepdim=True))
plain("Dropout", lambda x: x)
plain("com.microsoft.Gelu", F.gelu)
plain("com.microsoft.FastGelu", lambda x, b: F.gelu(x + b, approximate="tanh"))
plain("com.microsoft.BiasGelu", lambda x, b: F.gelu(x + b))
plain("com.microsoft.QuickGelu", lambda x: x * torch.sigmoid(float(torch.tensor(1.702)) * x))
plain("com.microsoft.BiasSplitGelu", lambda x, b: (x + b).chunk(2, -1)[0] * F.gelu((x + b).chunk(2, -1)[1]))
plain("com.microsoft.Inverse", torch.linalg.inv)
plain("com.microsoft.ExpandDims", lambda x, axis: x.unsqueeze(int(axis)))
plain("com.microsoft.Trilu", torch.triu)


@reference("Min")
def minimum(inputs, attributes):
    result = inputs[0]
    for other in inputs[1:]:
        result = torch.minimum(result, other)
    return result


@reference("Max")
def maximum(inputs, attributes):
    result = inputs[0]
    for other in inputs[1:]:
        result = torch.maximum(result, other)
    return result


@reference("Sum")
def total(inputs, attributes):
    return sum(inputs[1:], inputs[0])


@reference("Mean")
def mean(inputs, attributes):
    return sum(inputs[1:], inputs[0]) / len(inputs)


@reference("Mod")
def modulo(inputs, attributes):
    return torch.fmod(*inputs)


@reference("LeakyRelu")
def leaky_relu(inputs, attributes):
    return F.leaky_relu(inputs[0], attributes["alpha"])


@reference("Elu")
def elu(inputs, attributes):
    return F.elu(inputs[0], attributes["alpha"])


@reference("Celu")
def celu(inputs, attributes):
    return F.celu(inputs[0], attributes["alpha"])


@reference("HardSigmoid")
def hard_sigmoid(inputs, attributes):
    alpha, beta = (float(torch.tensor(v)) for v in (0.2, 0.5))
    return torch.clamp(inputs[0] * alpha + beta, 0, 1)


@reference("ThresholdedRelu")
def thresholded(inputs, attributes):
    return F.threshold(inputs[0], attributes["alpha"], 0)


@reference("Gelu")
def gelu(inputs, attributes):
    return F.gelu(inputs[0], approximate=attributes.get("approximate", b"none").decode())


@reference("Swish")
def swish(inputs, attributes):
    return inputs[0] * torch.sigmoid(attributes["alpha"] * inputs[0])


@reference("Shrink")
def shrink(inputs, attributes):
    x, bias, edge = inputs[0], attributes["bias"], attributes["lambd"]
    return torch.where(x > edge, x - bias, torch.where(x < -edge, x + bias, torch.zeros_like(x)))


@reference("Clip")
def clip(inputs, attributes):
    low = attributes["min"] if "min" in attributes else inputs[1].detach()
    high = attributes["max"] if "max" in attributes else inputs[2].detach()
    return torch.clamp(inputs[0], low, high)


def softmax_of(function):
    def apply(inputs, attributes):
        x = inputs[0]
        if attributes["opset"] < 13:
            return function(x.flatten(1), 1).reshape(x.shape)
        return function(x, attributes.get("axis", -1))

    return apply


REFERENCES["Softmax"] = softmax_of(torch.softmax)
REFERENCES["LogSoftmax"] = softmax_of(torch.log_softmax)


@reference("TopK")
def top_k(inputs, attributes):
    return torch.topk(inputs[0], int(inputs[1]), -1).values


@reference("CumSum")
def cumulative_sum(inputs, attributes):
    x, axis = inputs[0], int(inputs[1])
    if attributes.get("reverse"):
        x = x.flip(axis)
    y = x.cumsum(axis)
    if attributes.get("exclusive"):
        y = y - x
    return y.flip(axis) if attributes.get("reverse") else y


@reference("CumProd")
def cumulative_product(inputs, attributes):
    return inputs[0].cumprod(int(inputs[1]))


def reduction(function):
    def apply(inputs, attributes):
        axes = tuple(inputs[1].tolist()) if len(inputs) > 1 else tuple(range(inputs[0].dim()))
        return function(inputs[0], axes, bool(attributes.get("keepdims", 1)))

    return apply


def product(x, axes, keep):
    for axis in sorted(axes, reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


for _name, _function in {
    "ReduceSum": torch.sum,
    "ReduceMean": torch.mean,
    "ReduceMax": torch.amax,
    "ReduceMin": torch.amin,
    "ReduceLogSumExp": torch.logsumexp,
    "ReduceProd": product,
    "ReduceL1": lambda x, axes, keep: torch.linalg.vector_norm(x, 1, axes, keep),
    "ReduceL2": lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keep),
    "ReduceLogSum": lambda x, axes, keep: torch.sum(x, axes, keep).log(),
    "ReduceSumSquare": lambda x, axes, keep: torch.sum(x * x, axes, keep),
}.items():
    REFERENCES[_name] = reduction(_function)


def padded(x, attributes, value=0.0):
    space = x.dim() - 2
    pads = attributes.get("pads", [0] * 2 * space)
    flat = [p for axis in reversed(range(space)) for p in (pads[axis], pads[space + axis])]
    return F.pad(x, flat, value=value)


@reference("Conv")
def convolution(inputs, attributes):
    x, w, *bias = inputs
    function = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[x.dim()]
    ones = [1] * (x.dim() - 2)
    stride, dilation = attributes.get("strides", ones), attributes.get("dilations", ones)
    y = padded(x, attributes)
    return function(y, w, bias[0] if bias else None, stride, 0, dilation, attributes.get("group", 1))


@reference("com.microsoft.FusedConv")
def fused_convolution(inputs, attributes):
    return torch.relu(F.conv2d(*inputs[:3]) + inputs[3])


@reference("ConvTranspose")
def transposed_convolution(inputs, attributes):
    x, w, *bias = inputs
    function = {3: F.conv_transpose1d, 4: F.conv_transpose2d}[x.dim()]
    y = function(x, w, bias[0] if bias else None, attributes["strides"], 0)
    if "pads" in attributes:  # what output_padding adds behind, and the padding that is cut
        y = F.pad(y, (-attributes["pads"][0], attributes["output_padding"][0] - attributes["pads"][1]))
    return y


@reference("Gemm")
def gemm(inputs, attributes):
    a = inputs[0].t() if attributes.get("transA") else inputs[0]
    b = inputs[1].t() if attributes.get("transB") else inputs[1]
    y = attributes.get("alpha", 1.0) * (a @ b)
    return y + attributes.get("beta", 1.0) * inputs[2] if len(inputs) > 2 else y


@reference("com.microsoft.FusedGemm")
def fused_gemm(inputs, attributes):
    return torch.tanh(inputs[0] @ inputs[1].t() + inputs[2])


@reference("com.microsoft.FusedMatMul")
def fused_matmul(inputs, attributes):
    return attributes["alpha"] * (inputs[0].swapaxes(1, 2) @ inputs[1].permute(1, 0, 2))


@reference("com.microsoft.TransposeMatMul")
def transpose_matmul(inputs, attributes):
    return inputs[0] @ inputs[1].t()


@reference("Einsum")
def einsum(inputs, attributes):
    return torch.einsum(attributes["equation"].decode(), *inputs)


@reference("MaxPool")
def max_pool(inputs, attributes):
    x = padded(inputs[0], attributes, -math.inf)
    function = {3: F.max_pool1d, 4: F.max_pool2d}[x.dim()]
    return function(x, attributes["kernel_shape"], attributes.get("strides", 1))


@reference("com.microsoft.NhwcMaxPool")
def nhwc_max_pool(inputs, attributes):
    return F.max_pool2d(inputs[0].permute(0, 3, 1, 2), attributes["kernel_shape"], 1).permute(0, 2, 3, 1)


@reference("AveragePool")
def average_pool(inputs, attributes):
    if "dilations" in attributes:
        x = inputs[0]
        return (x[..., :-2] + x[..., 2:]) / 2
    x, ones = padded(inputs[0], attributes), padded(torch.ones_like(inputs[0]), attributes)
    return F.avg_pool2d(x, attributes["kernel_shape"], 1) / F.avg_pool2d(ones, attributes["kernel_shape"], 1)


@reference("LpPool")
def lp_pool(inputs, attributes):
    return F.lp_pool2d(inputs[0], attributes["p"], attributes["kernel_shape"], 1)


@reference("GlobalLpPool")
def global_lp_pool(inputs, attributes):
    return torch.linalg.vector_norm(inputs[0], 2, (2, 3), True)


@reference("Transpose")
def transpose(inputs, attributes):
    return inputs[0].permute(attributes["perm"])


@reference("Unsqueeze")
def unsqueeze(inputs, attributes):
    x = inputs[0]
    for axis in inputs[1].tolist():
        x = x.unsqueeze(axis)
    return x


@reference("DepthToSpace")
def depth_to_space(inputs, attributes):
    return F.pixel_shuffle(inputs[0], attributes["blocksize"])  # one channel out: DCR and CRD agree


@reference("SpaceToDepth")
def space_to_depth(inputs, attributes):
    return F.pixel_unshuffle(inputs[0], attributes["blocksize"])


@reference("Trilu")
def triangle(inputs, attributes):
    function = torch.triu if attributes.get("upper", 1) else torch.tril
    return function(inputs[0], int(inputs[1]) if len(inputs) > 1 else 0)


@reference("Concat")
def concat(inputs, attributes):
    return torch.cat(inputs, attributes["axis"])


@reference("Split")
def split(inputs, attributes):
    return tuple(inputs[0].split(inputs[1].tolist(), attributes["axis"]))


@reference("Gather")
def gather(inputs, attributes):
    x, index, axis = inputs[0], inputs[1], attributes.get("axis", 0)
    index = index % x.shape[axis]
    return x.index_select(axis, index.flatten()).unflatten(axis, index.shape)


@reference("GatherElements")
def gather_elements(inputs, attributes):
    return inputs[0].gather(attributes["axis"], inputs[1] % inputs[0].shape[attributes["axis"]])


@reference("GatherND", "com.microsoft.GatherND")
def gather_nd(inputs, attributes):
    return inputs[0][tuple(inputs[1].unbind(-1))]


@reference("Compress")
def compress(inputs, attributes):
    return inputs[0][inputs[1]]


@reference("Scatter", "ScatterElements")
def scatter(inputs, attributes):
    x, index, updates = inputs
    axis = attributes.get("axis", 0)
    index = index % x.shape[axis]
    if "reduction" in attributes:
        return x.scatter_reduce(axis, index, updates, "prod")
    return x.scatter(axis, index, updates)


@reference("ScatterND")
def scatter_nd(inputs, attributes):
    x, index, updates = inputs
    return x.index_put(tuple(index.unbind(-1)), updates, accumulate="reduction" in attributes)


@reference("Pad", "com.microsoft.Pad")
def pad(inputs, attributes):
    x, pads = inputs[0], inputs[1].tolist()
    mode = attributes.get("mode", b"constant").decode()
    rank = x.dim()
    flat = [p for axis in reversed(range(rank)) for p in (pads[axis], pads[rank + axis])]
    if mode == "constant":
        return F.pad(x, flat, value=float(inputs[2]) if len(inputs) > 2 else 0.0)
    return F.pad(x[None, None], flat, mode={"edge": "replicate"}.get(mode, mode))[0, 0]


@reference("Resize")
def resize(inputs, attributes):
    mode = attributes["mode"].decode()
    if mode != "linear":
        return None  # PyTorch's cubic has another coefficient, its nearest rounds down
    return F.interpolate(inputs[0], tuple(inputs[3].tolist()[2:]), mode="bilinear", align_corners=False)


@reference("com.microsoft.CDist")
def distances(inputs, attributes):
    difference = inputs[0][:, None] - inputs[1][None]
    squares = (difference * difference).sum(-1)
    return squares.sqrt() if attributes.get("metric") == b"euclidean" else squares


@reference("DequantizeLinear", "com.microsoft.DequantizeLinear")
def dequantize(inputs, attributes):
    codes, scale, zero = inputs
    return (codes.double() - zero.double()) * scale


@reference("GridSample")
def grid_sample(inputs, attributes):
    mode = {b"cubic": "bicubic"}.get(attributes.get("mode"), "bilinear")
    return F.grid_sample(*inputs, mode, "zeros", bool(attributes.get("align_corners", 0)))


@reference("AffineGrid")
def affine_grid(inputs, attributes):
    return F.affine_grid(inputs[0], inputs[1].tolist(), align_corners=False)


@reference("NegativeLogLikelihoodLoss")
def likelihood_loss(inputs, attributes):
    return F.nll_loss(*inputs)


@reference("SoftmaxCrossEntropyLoss")
def cross_entropy(inputs, attributes):
    loss = F.cross_entropy(*inputs, ignore_index=attributes["ignore_index"], reduction="sum")
    return loss, torch.log_softmax(inputs[0], 1)


@reference("MaxUnpool")
def max_unpool(inputs, attributes):
    return F.max_unpool2d(*inputs, attributes["kernel_shape"], attributes["strides"])


@reference("Col2Im")
def columns_to_image(inputs, attributes):
    return F.fold(inputs[0], inputs[1].tolist(), inputs[2].tolist())


@reference("Det")
def determinant(inputs, attributes):
    return torch.linalg.det(inputs[0])


@reference("SwiGLU")
def gated_unit(inputs, attributes):
    return F.silu(inputs[0]) * inputs[1]


@reference("DFT")
def fourier(inputs, attributes):
    function = torch.fft.ifft if attributes.get("inverse") else torch.fft.fft
    return torch.view_as_real(function(torch.view_as_complex(inputs[0].contiguous()), dim=1))
